from __future__ import annotations

import functools
import math
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace.retries import NO_RETRY, RetryPolicy, exponential_backoff

SECONDS = st.floats(min_value=1e-3, max_value=1e6)
FACTORS = st.floats(min_value=1e-3, max_value=100)
DRAWS = st.floats(min_value=0, max_value=1, exclude_max=True)


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy.of("load", **{"retries": 3, **options})


# -- How often ----------------------------------------------------------------


@pytest.mark.rule("RETRY-01")
@given(st.integers(min_value=0, max_value=1_000))
def test_so_many_retries_allow_one_attempt_more(retries: int) -> None:
    attempts = 1
    while policy(retries=retries).allows(attempts):
        attempts += 1

    assert attempts == retries + 1


def test_no_retry_allows_one_attempt() -> None:
    assert not NO_RETRY.allows(1)
    assert NO_RETRY.delay_before_retry(1) == 0
    assert RetryPolicy.of("load", 0).delays == (0.0,)


@pytest.mark.rule("PRM-09")
@pytest.mark.parametrize("retries", [True, 1.0, "3", None, [1]])
def test_retries_that_are_no_whole_number_are_refused(retries: Any) -> None:
    with pytest.raises(TypeError, match="load: retries must be a whole number"):
        policy(retries=retries)


@pytest.mark.rule("PRM-09")
def test_negative_retries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"load: retries must not be negative.*-1"):
        policy(retries=-1)


# -- After how long -----------------------------------------------------------


@pytest.mark.rule("RETRY-03", "RETRY-07")
@pytest.mark.parametrize(
    ("given_delay", "waits"),
    [
        pytest.param(1.9, [1.9, 1.9, 1.9], id="one-number-serves-for-all"),
        pytest.param(0, [0, 0, 0], id="zero"),
        pytest.param([1, 0.5], [1, 0.5, 0.5], id="the-last-one-is-repeated"),
        pytest.param((1, 2, 3, 4), [1, 2, 3], id="surplus-is-not-used"),
        pytest.param(range(1, 3), [1, 2, 2], id="any-sequence"),
        pytest.param([], [0, 0, 0], id="an-empty-list-is-no-delay"),
        pytest.param(Fraction(1, 2), [0.5, 0.5, 0.5], id="any-real-number"),
    ],
)
def test_the_delay_before_each_retry(given_delay: Any, waits: list[float]) -> None:
    made = policy(retry_delay_seconds=given_delay)

    assert [made.delay_before_retry(k) for k in (1, 2, 3)] == waits


@pytest.mark.rule("RETRY-03")
@given(st.lists(SECONDS, max_size=50), st.integers(min_value=1, max_value=200))
def test_the_delay_is_always_one_of_those_given(delays: list[float], k: int) -> None:
    wait = policy(retry_delay_seconds=delays).delay_before_retry(k)

    assert wait == (delays[min(k, len(delays)) - 1] if delays else 0)


@pytest.mark.rule("RETRY-04", "PRM-10", "OPT-06")
def test_a_function_is_called_with_the_retries_and_kept_for_others() -> None:
    calls: list[int] = []

    def delays(retries: int) -> list[float]:
        calls.append(retries)
        return [float(retries)] * retries

    made = policy(retries=2, retry_delay_seconds=delays)
    more = policy(retries=4, retry_delay_seconds=made.retry_delay_seconds)

    assert calls == [2, 4]
    assert made.delays == (2.0, 2.0)
    assert more.delays == (4.0, 4.0, 4.0, 4.0)


@pytest.mark.rule("RETRY-04")
def test_a_function_may_give_one_number() -> None:
    assert policy(retry_delay_seconds=lambda n: n / 2).delays == (1.5,)


@pytest.mark.rule("RETRY-06")
def test_exponential_backoff_doubles_its_factor() -> None:
    assert exponential_backoff(1)(4) == [1, 2, 4, 8]
    assert exponential_backoff(0.5)(2) == [0.5, 1]
    assert exponential_backoff(1)(0) == []


@pytest.mark.rule("RETRY-06", "RETRY-08")
@given(SECONDS, st.integers(min_value=0, max_value=10_000))
def test_exponential_backoff_can_always_be_used(factor: float, retries: int) -> None:
    made = policy(retries=retries, retry_delay_seconds=exponential_backoff(factor))

    assert len(made.delays) == min(retries, 50)
    assert all(b == 2 * a for a, b in zip(made.delays, made.delays[1:], strict=False))
    assert made.delay_before_retry(1) == (factor if retries else 0)


@pytest.mark.rule("RETRY-06")
def test_exponential_backoff_of_nonsense_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="backoff_factor must be a number"):
        exponential_backoff("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="backoff_factor must be >= 0"):
        exponential_backoff(-1)


@pytest.mark.rule("RETRY-05", "PRM-10")
@pytest.mark.parametrize(
    "delays",
    [[1] * 51, tuple([1] * 51), lambda _: [1] * 51],
    ids=["list", "tuple", "fn"],
)
def test_more_than_fifty_delays_are_refused(delays: Any) -> None:
    with pytest.raises(ValueError, match=r"load: .*more than 50 retry delays: 51"):
        policy(retry_delay_seconds=delays)


@pytest.mark.rule("RETRY-05")
@pytest.mark.parametrize("bad", ["1", b"1", True, None, {}, object(), "12"])
def test_a_delay_that_is_no_number_is_refused(bad: Any) -> None:
    for delay in (bad, [1, bad], lambda _: bad, lambda _: [bad]):
        with pytest.raises(TypeError, match=r"load: .*retry_delay_seconds.*number"):
            policy(retry_delay_seconds=delay)


@pytest.mark.rule("RETRY-05", "RETRY-12")
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, -math.inf])
def test_a_delay_that_cannot_be_waited_for_is_refused(bad: float) -> None:
    for delay in (bad, [1, bad], lambda _: bad, lambda _: [bad]):
        with pytest.raises(ValueError, match=r"retry_delay_seconds.*>= 0 and finite"):
            policy(retry_delay_seconds=delay)


def test_a_wrong_delay_in_a_list_is_pointed_at() -> None:
    with pytest.raises(ValueError, match=r"retry_delay_seconds\[1\].* is -2"):
        policy(retry_delay_seconds=[1, -2])


# -- Jitter -------------------------------------------------------------------


def lower_bound(factor: float) -> float:
    upper = 1 + factor
    return 0 if upper >= 50 else math.log2(2**upper / (2**upper - 1))


@pytest.mark.rule("RETRY-10")
@given(SECONDS, FACTORS, DRAWS)
def test_a_jittered_delay_keeps_its_bounds(
    delay: float, factor: float, draw: float
) -> None:
    wait = policy(retry_jitter_factor=factor).jittered(delay, lambda: draw)

    assert delay * lower_bound(factor) <= wait * (1 + 1e-9)
    assert wait <= delay * (1 + factor) * (1 + 1e-9)
    assert wait >= 0


@pytest.mark.rule("RETRY-10")
@pytest.mark.parametrize(
    ("factor", "least", "most"),
    [(0.1, 0.906, 1.1), (0.5, 0.629, 1.5), (1, 0.415, 2), (5, 0.023, 6), (49, 0, 50)],
)
def test_the_bounds_of_jitter_around_one_second(
    factor: float, least: float, most: float
) -> None:
    made = policy(retry_jitter_factor=factor)

    assert made.jittered(1, lambda: 0.0) == pytest.approx(least, abs=5e-4)
    # Beyond 23 seconds the rule itself stops: it takes no logarithm of less than 1e-10.
    assert made.jittered(1, lambda: 1.0) == pytest.approx(min(most, 23.026), abs=5e-4)


@pytest.mark.rule("RETRY-10")
@pytest.mark.parametrize("factor", [0.1, 0.3, 0.5, 1, 2, 5, 49, 100])
def test_jitter_keeps_the_mean(factor: float) -> None:
    made = policy(retry_jitter_factor=factor)
    draws = 20_000

    # Evenly spread draws in place of random ones: the mean, without the noise.
    waits = [made.jittered(10, lambda i=i: (i + 0.5) / draws) for i in range(draws)]

    # Worst at a factor of 2, where the rule itself gives 1.0123 times the delay.
    assert sum(waits) / draws == pytest.approx(10, rel=0.013)


@pytest.mark.rule("RETRY-11")
def test_each_retry_draws_afresh() -> None:
    made = policy(retry_delay_seconds=[1, 2], retry_jitter_factor=1)
    uniform = random.Random(7).random  # noqa: S311 - no secret is made of it

    waits = {made.jittered(made.delay_before_retry(k), uniform) for k in (1, 2, 2, 2)}

    assert len(waits) == 4


@pytest.mark.rule("RETRY-09", "RETRY-10")
@pytest.mark.parametrize("factor", [None, 0, 0.5])
def test_without_a_delay_or_a_factor_there_is_no_jitter(factor: float | None) -> None:
    made = policy(retry_jitter_factor=factor)

    assert made.jittered(0.0, lambda: 0.5) == 0
    assert factor or made.jittered(3.0, lambda: 0.5) == 3.0


@pytest.mark.rule("PRM-11")
def test_a_jitter_factor_that_makes_no_sense_is_refused() -> None:
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="load: retry_jitter_factor must be >= 0"):
            policy(retry_jitter_factor=bad)
    for wrong in ("1", True, [1]):
        with pytest.raises(TypeError, match="load: retry_jitter_factor must be a num"):
            policy(retry_jitter_factor=wrong)


# -- The condition ------------------------------------------------------------


class Condition:
    def __call__(self, *_: object) -> bool:
        return True


@pytest.mark.parametrize(
    "condition", [Condition(), functools.partial(Condition()), lambda *_: True]
)
def test_a_condition_is_anything_that_can_be_called(condition: Any) -> None:
    assert policy(retry_condition_fn=condition).condition is condition


def test_a_condition_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match=r"load: retry_condition_fn must be a function"):
        policy(retry_condition_fn="always")


@pytest.mark.parametrize("condition", [lambda: True, lambda state: True])
def test_a_condition_that_takes_other_arguments_is_refused(condition: Any) -> None:
    with pytest.raises(
        TypeError, match=r"load: .* called with three arguments .*state"
    ):
        policy(retry_condition_fn=condition)
