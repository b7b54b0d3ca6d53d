"""Tests for limits that are found: against simulated providers, in simulated time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace.limits.adaptive import Adaptive, Call, Controller, is_overload


class Provider:
    """Takes so many calls at once; more are refused, at once or late, or all get slow."""

    def __init__(
        self, capacity: int, kind: str, options: Adaptive | None = None
    ) -> None:
        self.capacity = capacity
        self.kind = kind
        self.controller = Controller(options or Adaptive())
        self.now = 0.0
        self.refused = 0
        self.limits: list[int] = []
        self._served = 0
        self._going: list[tuple[float, int, Call, float, bool]] = []
        self._numbers = itertools.count()

    def answer(self, calls: int) -> None:
        """Be asked as much as may be until so many calls have ended."""
        for _ in range(calls):
            while len(self._going) < self.controller.limit:
                self._begin()
            self.now, _, call, seconds, is_served = heapq.heappop(self._going)
            self._served -= is_served
            self.refused += not is_served
            self.controller.end(call, seconds, is_refused=not is_served)
            self.limits.append(self.controller.limit)

    def _begin(self) -> None:
        at_once = len(self._going) + 1
        call = self.controller.begin(at_once)
        seconds, is_served = 0.1, True
        if self.kind == "slow":
            seconds *= max(1.0, at_once / self.capacity)
        elif self._served >= self.capacity:
            is_served = False
            seconds = 0.001 if self.kind == "quick to refuse" else seconds
        self._served += is_served
        number = next(self._numbers)
        heapq.heappush(
            self._going, (self.now + seconds, number, call, seconds, is_served)
        )


REFUSING = pytest.mark.parametrize("kind", ["quick to refuse", "late to refuse"])


@REFUSING
@pytest.mark.parametrize("capacity", [5, 12, 37, 60])
def test_it_settles_near_the_capacity_in_200_calls(kind: str, capacity: int) -> None:
    provider = Provider(capacity, kind)

    provider.answer(200)

    assert provider.controller.limit == pytest.approx(capacity, rel=0.15, abs=1)


@REFUSING
def test_it_follows_a_capacity_that_drops(kind: str) -> None:
    provider = Provider(37, kind)
    provider.answer(500)

    provider.capacity = 5
    provider.answer(200)

    assert provider.controller.limit == pytest.approx(5, abs=1)


@REFUSING
def test_it_follows_a_capacity_that_rises(kind: str) -> None:
    provider = Provider(5, kind)
    provider.answer(200)

    provider.capacity = 60
    provider.answer(1000)

    assert provider.controller.limit == pytest.approx(60, rel=0.15)


@REFUSING
@pytest.mark.parametrize("capacity", [5, 37])
def test_once_settled_it_wastes_few_calls(kind: str, capacity: int) -> None:
    provider = Provider(capacity, kind)
    provider.answer(300)
    provider.refused = 0

    provider.answer(2000)

    assert provider.refused < 0.05 * 2000
    assert min(provider.limits[300:]) >= 0.85 * capacity - 1
    assert max(provider.limits[300:]) <= 1.15 * capacity + 1


def test_of_one_that_only_gets_slow_it_finds_the_capacity_by_the_latency() -> None:
    provider = Provider(37, "slow", Adaptive(tolerance=1.05))

    provider.answer(1500)

    assert provider.controller.limit == pytest.approx(37, rel=0.2)
    provider.capacity = 5
    provider.answer(500)
    assert provider.controller.limit == pytest.approx(5, abs=2)


def test_latency_can_be_left_alone() -> None:
    provider = Provider(5, "slow", Adaptive(max=50, tolerance=None))

    provider.answer(2000)

    assert provider.controller.limit == 50


def test_calls_that_never_use_the_limit_do_not_raise_it() -> None:
    controller = Controller(Adaptive(start=8))

    for _ in range(100):
        controller.end(controller.begin(2), 0.1, is_refused=False)

    assert controller.limit == 8


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 10), st.integers(1, 60)), max_size=300
    ),
    st.integers(1, 10),
    st.integers(0, 10),
    st.integers(0, 40),
)
def test_it_stays_within_its_bounds(
    calls: list[tuple[bool, float, int]], low: int, more: int, most: int
) -> None:
    options = Adaptive(min=low, start=low + more, max=low + more + most)
    controller = Controller(options)

    for is_refused, seconds, at_once in calls:
        controller.end(controller.begin(at_once), seconds, is_refused=is_refused)

        assert options.min <= controller.limit <= options.max


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        pytest.param(TimeoutError(), True, id="a-timeout"),
        pytest.param(ConnectionResetError(), True, id="a-connection"),
        pytest.param(ValueError("bad"), False, id="another"),
    ],
)
def test_what_says_that_there_were_too_many(error: Exception, is_one: bool) -> None:
    assert is_overload(error) is is_one


@pytest.mark.parametrize("status", [429, 503, 529, 404])
def test_the_status_of_an_answer_says_it_too(status: int) -> None:
    class Refused(Exception):
        def __init__(self) -> None:
            self.response = SimpleNamespace(status_code=status)

    assert is_overload(Refused()) is (status != 404)


def any_value(value: Any) -> Any:
    """A value of the wrong type, unseen by type checkers."""
    return value


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: Adaptive(min=0), ValueError, id="min"),
        pytest.param(lambda: Adaptive(start=300), ValueError, id="start-above-max"),
        pytest.param(
            lambda: Adaptive(min=any_value(1.5)), TypeError, id="no-whole-number"
        ),
        pytest.param(lambda: Adaptive(tolerance=1), ValueError, id="tolerance"),
        pytest.param(lambda: Adaptive(signal=any_value("429")), TypeError, id="signal"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    make: Callable[[], Adaptive], error: type[Exception]
) -> None:
    with pytest.raises(error, match="Adaptive"):
        make()
