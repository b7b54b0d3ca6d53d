from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from headrace.parameters import Binder, ParameterNames
from headrace.runs.inputs import RunInput, packed, task_inputs

KEYS = st.integers(min_value=1, max_value=2**128 - 1)


def names() -> ParameterNames:
    def fn(a: int, /, b: int, *more: int, c: int, **named: int) -> None: ...

    return Binder(fn, "fn").names


def ids(*keys: int) -> list[str]:
    return [str(UUID(int=key)) for key in keys]


@pytest.mark.parametrize("links", [None, ()])
def test_without_links_every_parameter_has_none(links: tuple[()] | None) -> None:
    inputs = task_inputs(names(), links)

    assert inputs == {"a": [], "b": [], "more": [], "c": [], "named": []}


def test_places_are_read_as_the_parameters_that_take_them() -> None:
    links = (0, 1, 1, 2, 2, 3, 3, 4, "c", 5, "other", 6, "b", 7, "a", 8, "wait_for", 9)

    inputs = task_inputs(names(), links)

    assert inputs == {
        "a": ids(1),
        "b": ids(2, 7),
        "more": ids(3, 4),
        "c": ids(5),
        # A keyword of the name of a positional-only parameter is another's.
        "named": ids(6, 8),
        "wait_for": ids(9),
    }


def test_a_run_is_told_once_for_each_parameter_however_often_it_is_there() -> None:
    inputs = task_inputs(names(), (0, 1, 0, (1, 2, 1), 0, packed([1] * 20), "c", 1))

    assert inputs["a"] == ids(1, 2)
    assert inputs["c"] == ids(1)


@given(st.lists(KEYS, min_size=1, max_size=30, unique=True))
def test_any_number_of_ids_is_read_as_it_was_packed(keys: list[int]) -> None:
    assert task_inputs(names(), ("c", packed(keys)))["c"] == ids(*keys)


def test_many_ids_take_sixteen_bytes_each() -> None:
    keys = [2**127 + number for number in range(1_000)]

    many = packed(keys)

    assert isinstance(many, bytes)
    assert len(many) == 16_000


def test_an_input_is_its_id() -> None:
    found = RunInput("abc")

    assert (found, found.id, str(found)) == ("abc", "abc", "abc")
    assert type(found.id) is str
