from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace._engine.mapping import spread, whole_futures, with_data
from headrace.annotations import BaseAnnotation, allow_failure, quote, unmapped
from headrace.exceptions import (
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
)
from headrace.parameters import Binder
from headrace.states import Completed, Running

Call = tuple[list[Any], dict[str, Any]]


def two(a: Any, b: Any = 0, *args: Any, key: Any = None, **kwargs: Any) -> None:
    """What is mapped."""


BINDER = Binder(two, "two")


def as_it_is(value: Any) -> Any:
    return value


def calls_of(*args: Any, **kwargs: Any) -> list[Call]:
    count, calls = spread("two", BINDER, args, kwargs, share=as_it_is)
    found = [(list(row), dict(named)) for row, named in calls]
    assert len(found) == count
    return found


@pytest.mark.rule("MAP-01", "MAP-14", "MAP-15")
@pytest.mark.parametrize(
    ("args", "kwargs", "calls"),
    [
        pytest.param([[1, 2]], {}, [([1], {}), ([2], {})], id="one"),
        pytest.param([[1, 2], "s"], {}, [([1, "s"], {}), ([2, "s"], {})], id="static"),
        pytest.param([[1], [2], [3]], {}, [([1, 2, 3], {})], id="zipped"),
        pytest.param([], {"a": [1], "key": 2}, [([], {"a": 1, "key": 2})], id="named"),
        pytest.param([5], {"z": [1]}, [([5], {"z": 1})], id="only-a-keyword"),
        pytest.param([[], 1], {}, [], id="none"),
        pytest.param([{"k": 1}], {}, [(["k"], {})], id="dict"),
        pytest.param([range(2)], {}, [([0], {}), ([1], {})], id="range"),
        pytest.param([iter([1])], {}, [([1], {})], id="iterator"),
        pytest.param([unmapped([1]), [2]], {}, [([[1], 2], {})], id="unmapped"),
        pytest.param([unmapped(quote(1)), [2]], {}, [([quote(1), 2], {})], id="quoted"),
        pytest.param(
            [allow_failure([1, "x"])], {}, [([1], {}), (["x"], {})], id="marked-atoms"
        ),
        pytest.param(
            [allow_failure([[1]])], {}, [([allow_failure([1])], {})], id="marked"
        ),
        pytest.param([quote([[1]])], {}, [([quote([1])], {})], id="quote"),
        pytest.param(
            [allow_failure(quote([[1]]))],
            {},
            [([allow_failure(quote([1]))], {})],
            id="marked-twice",
        ),
        pytest.param(
            [quote(5), [1]], {}, [([quote(5), 1], {})], id="quote-of-no-iterable"
        ),
    ],
)
def test_each_run_gets_its_arguments(
    args: list[Any], kwargs: dict[str, Any], calls: list[Call]
) -> None:
    assert calls_of(*args, **kwargs) == calls


COLUMNS = st.integers(0, 5).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(), min_size=count, max_size=count)
        | st.text(max_size=3)
        | st.lists(st.integers()).map(unmapped),
        min_size=1,
        max_size=4,
    )
)


@given(COLUMNS)
def test_spreading_is_zipping_what_is_split_with_what_is_not(
    columns: list[Any],
) -> None:
    split = [column for column in columns if isinstance(column, list)]
    if not split:
        return

    calls = calls_of(*columns)

    expected = [
        [
            column[row]
            if isinstance(column, list)
            else column.value
            if isinstance(column, unmapped)
            else column
            for column in columns
        ]
        for row in range(len(split[0]))
    ]
    assert calls == [(row, {}) for row in expected]


@pytest.mark.rule("MAP-03")
def test_a_list_is_not_copied_to_be_split() -> None:
    given_list = [1, 2]
    _, calls = spread("two", BINDER, [given_list], {}, share=as_it_is)

    given_list[0] = 5

    assert next(iter(calls))[0] == (5,)


@pytest.mark.rule("MAP-04")
def test_each_split_argument_has_its_length_in_the_error() -> None:
    with pytest.raises(MappingLengthMismatch) as caught:
        calls_of([1], [1, 2], (1, 2, 3), key=[], other="x", z=unmapped([1]))

    assert caught.value.lengths == {"a": 1, "b": 2, "args[0]": 3, "key": 0}


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no text")


@pytest.mark.rule("MAP-05")
def test_a_value_without_a_text_does_not_hide_the_mistake() -> None:
    with pytest.raises(MappingMissingIterable, match="Unprintable"):
        calls_of(Unprintable())


@pytest.mark.rule("MAP-05")
def test_long_values_are_shortened_in_the_error() -> None:
    with pytest.raises(MappingMissingIterable) as caught:
        calls_of("x" * 10_000)

    assert len(str(caught.value)) < 500


def test_a_call_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ParameterBindError):
        spread("two", BINDER, [], {}, share=as_it_is)


class Moody:
    """Iterable, and touchy about attributes it does not have."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)

    def __iter__(self) -> Iterator[int]:
        return iter([1, 2])


@pytest.mark.rule("MAP-02")
def test_an_iterable_with_any_getattr_is_split() -> None:
    assert calls_of(Moody()) == [([1], {}), ([2], {})]


class Reader:
    """A file by what it can do."""

    def readline(self) -> str:
        raise AssertionError("read")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raise AssertionError("read")


@pytest.mark.rule("MAP-02", "RES-09")
@pytest.mark.parametrize("make", [Reader, io.StringIO, io.BytesIO])
def test_a_file_is_not_split(make: type[Any]) -> None:
    file = make()

    assert calls_of([1], file) == [([1, file], {})]


class Failing:
    def __iter__(self) -> Iterator[Any]:
        raise OSError("gone")


def test_what_fails_to_be_read_says_so() -> None:
    with pytest.raises(OSError, match="gone"):
        calls_of(Failing())


# -- Whole arguments ------------------------------------------------------------------


@pytest.mark.rule("MAP-07", "MAP-10", "MAP-12")
@pytest.mark.parametrize(
    ("wrap", "is_found"),
    [
        pytest.param(lambda s: s, True, id="bare"),
        pytest.param(allow_failure, True, id="allow-failure"),
        pytest.param(lambda s: allow_failure(allow_failure(s)), True, id="twice"),
        pytest.param(unmapped, False, id="unmapped"),
        pytest.param(lambda s: allow_failure(unmapped(s)), False, id="around-unmapped"),
        pytest.param(quote, False, id="quote"),
        pytest.param(lambda s: allow_failure(quote(s)), False, id="around-quote"),
        pytest.param(lambda s: [s], False, id="an-element"),
    ],
)
def test_states_given_as_whole_arguments_are_found(wrap: Any, is_found: bool) -> None:
    state = Completed(data=[1])

    assert whole_futures([wrap(state), 5]) == ([state] if is_found else [])


@pytest.mark.rule("MAP-07", "RES-15")
def test_data_takes_the_place_of_a_whole_argument_and_is_quoted() -> None:
    state, other = Completed(), Running()
    data = {id(state): [1]}

    assert with_data(state, data) == quote([1])
    assert with_data(allow_failure(state), data) == allow_failure(quote([1]))
    assert with_data(other, data) is other
    assert with_data(5, data) == 5


@pytest.mark.rule("MAP-07", "MAP-10")
@pytest.mark.parametrize("mark", [unmapped, quote])
def test_a_whole_argument_that_is_not_split_keeps_its_state(
    mark: type[BaseAnnotation[Any]],
) -> None:
    state = Completed()
    marked = mark(state)

    assert with_data(marked, {id(state): [1]}) is marked


@pytest.mark.rule("MAP-10")
def test_what_goes_to_every_run_is_prepared_once() -> None:
    asked: list[Any] = []

    def share(value: Any) -> Any:
        asked.append(value)
        return "shared"

    _, calls = spread("two", BINDER, [[1, 2], unmapped([5])], {"key": 6}, share=share)

    assert [(list(row), dict(named)) for row, named in calls] == [
        ([1, "shared"], {"key": "shared"}),
        ([2, "shared"], {"key": "shared"}),
    ]
    assert asked == [[5], 6]


@pytest.mark.rule("MAP-06", "MAP-10")
def test_for_no_runs_nothing_is_prepared() -> None:
    def share(value: Any) -> Any:
        raise AssertionError(value)

    count, calls = spread("two", BINDER, [[], unmapped([5])], {}, share=share)

    assert (count, list(calls)) == (0, [])
