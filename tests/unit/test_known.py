from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from headrace._engine.known import KnownResults


class Thing:
    """Can be weakly referenced."""


class Run:
    """Stands for a record: has a key, and counts how often it was asked for."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.asked = 0

    def run_key(self) -> int:
        self.asked += 1
        return self.key


@pytest.fixture(autouse=True)
def _no_collector() -> Generator[None]:
    gc.disable()
    yield
    gc.enable()


def run_of(key: int) -> Any:
    return Run(key)


def noted(value: object, *, by: Any = None) -> KnownResults:
    known = KnownResults()
    known.note(value, by or run_of(1))
    return known


def test_an_object_is_known_by_the_run_that_gave_it_last() -> None:
    thing = Thing()
    known = noted(thing)

    known.note([thing], run_of(2))

    assert known.key_of(thing) == 2
    assert known.key_of(Thing()) is None


def test_nothing_is_asked_of_a_run_that_gave_nothing_to_be_known() -> None:
    run = Run(1)

    noted([1, "two", {"three": 3.0}], by=run)

    assert run.asked == 0


def test_the_id_of_a_run_is_asked_for_once() -> None:
    run = Run(1)

    noted([Thing() for _ in range(10)], by=run)

    assert run.asked == 1


def test_an_object_that_is_gone_leaves_nothing() -> None:
    thing = Thing()
    known = noted([thing, Thing()])
    address = id(thing)
    assert len(known._traces) == 1

    del thing

    assert known._traces == {}
    assert known.key_of(address) is None


def test_another_object_at_an_address_that_is_remembered_is_not_known() -> None:
    thing, successor = Thing(), Thing()
    known = noted(thing)

    # As it is while another thread has not been told yet that the first one is gone.
    known._traces[id(successor)] = known._traces[id(thing)]

    assert known.key_of(successor) is None


def test_what_was_noted_is_freed_before_its_objects_are() -> None:
    thing = Thing()
    known = noted(thing)
    ref = weakref.ref(known)

    del known

    assert ref() is None
    assert thing


def test_cleared_it_knows_nothing() -> None:
    thing = Thing()
    known = noted(thing)

    known.clear()

    assert known.key_of(thing) is None


def test_of_a_large_value_only_so_much_is_looked_at() -> None:
    things = [Thing() for _ in range(1_500)]
    known = noted(things)

    assert [known.key_of(things[index]) for index in (0, 999, 1_000)] == [1, 1, None]


def test_no_method_of_a_result_is_called() -> None:
    class Own(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("called")

        def __bool__(self) -> bool:
            raise AssertionError("called")

    thing = Thing()
    own = Own()
    own.append(thing)

    known = noted(own)

    assert known.key_of(thing) == known.key_of(own) == 1
