"""Tests for rates: arithmetic with times that are given."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from headrace.limits.rates import Bucket, Rate, checked_burst


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        pytest.param("50/s", 50, 1, id="a-second"),
        pytest.param("500/min", 500, 60, id="a-minute"),
        pytest.param("10000/hour", 10000, 3600, id="an-hour"),
        pytest.param("1/day", 1, 86400, id="a-day"),
        pytest.param("5/10s", 5, 10, id="ten-seconds"),
        pytest.param("0.5 / 2 minute", 0.5, 120, id="spaces-and-fractions"),
    ],
)
def test_a_rate_is_read_from_a_text(text: str, count: float, seconds: float) -> None:
    assert Rate.of(text) == Rate(count, seconds)


@pytest.mark.parametrize(
    "text", ["", "50", "/s", "50/", "x/s", "50/week", "-1/s", "0/s", "nan/s", "5/0s"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'is no rate\. Write "50/s"'):
        Rate.of(text)


def test_a_rate_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="rate=50 is no text"):
        Rate.of(50)


@pytest.mark.parametrize("burst", [0, 0.5, float("nan"), float("inf")])
def test_a_burst_below_one_is_refused(burst: float) -> None:
    with pytest.raises(ValueError, match="burst="):
        checked_burst(burst, Rate(1, 1))


def test_a_burst_without_a_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a rate"):
        checked_burst(5, None)


def test_tokens_of_a_rate_are_due_at_even_times() -> None:
    bucket = Bucket(Rate(50, 1), 1)
    times = []
    now = 8.0
    for _ in range(101):
        now = bucket.due(1, now, None)
        bucket.take(1, now)
        times.append(now)

    assert times == [8 + n / 50 for n in range(101)]


def test_a_burst_may_be_taken_at_once_and_arrives_again() -> None:
    bucket = Bucket(Rate(10, 1), 3)
    taken = []
    for _ in range(5):
        now = bucket.due(1, 0.0, None)
        bucket.take(1, now)
        taken.append(now)

    assert taken == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert not bucket.is_full(0.4)
    assert bucket.is_full(0.51)
    assert bucket.due(3, 0.51, None) == 0.51


def test_what_weighs_more_than_the_burst_leaves_a_debt() -> None:
    bucket = Bucket(Rate(10, 1), 1)

    assert bucket.due(30, 0.0, None) == 0
    bucket.take(30, 0.0)

    assert bucket.due(1, 0.0, None) == pytest.approx(3)


def test_by_another_clock_a_bucket_is_full() -> None:
    bucket = Bucket(Rate(1, 3600), 1)
    bucket.due(1, 1e6, None)
    bucket.take(1, 1e6)

    assert bucket.due(1, 0.0, "another") == 0


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 20)), min_size=1, max_size=60),
    st.floats(1, 10),
)
def test_no_time_span_gets_more_than_the_rate_and_a_burst(
    steps: list[tuple[float, float]], burst: float
) -> None:
    bucket = Bucket(Rate(5, 1), burst)
    now = 0.0
    taken: list[tuple[float, float]] = []
    for pause, weight in steps:
        now = bucket.due(weight, now + pause, None)
        bucket.take(weight, now)
        taken.append((now, weight))

    for first, (begin, _) in enumerate(taken):
        for last in range(first, len(taken)):
            before_the_last = sum(weight for _, weight in taken[first:last])
            needed = min(taken[last][1], burst)
            assert (
                before_the_last + needed <= 5 * (taken[last][0] - begin) + burst + 1e-6
            )


@given(st.floats(0.1, 1000), st.floats(0.1, 10), st.integers(1, 200))
def test_who_always_takes_gets_the_whole_rate(
    count: float, weight: float, times: int
) -> None:
    bucket = Bucket(Rate(count, 1), 1)
    now = 0.0
    for _ in range(times):
        now = bucket.due(weight, now, None)
        bucket.take(weight, now)

    spent = weight * (times - 1) + min(weight, 1) - 1
    assert now == pytest.approx(max(spent, 0) / count, rel=1e-9, abs=1e-9)
