"""When to try a failed attempt again: arithmetic only, no clock and no sleep."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, TypeAlias, cast

from headrace._values import Value
from headrace.callables import check_takes

__all__ = (
    "MAX_DELAYS",
    "NO_RETRY",
    "RetryDelay",
    "RetryPolicy",
    "exponential_backoff",
)

# More would be a mistake in a formula rather than a plan.
MAX_DELAYS: Final = 50

# Doubled so often, a jitter factor lets the delay fall to nothing.
_FACTOR_WITHOUT_LOWER_BOUND: Final = 50.0

_DELAY_ADVICE: Final = (
    "Write 0.5 for half a second, or [1, 10, 60] for one delay for each retry."
)
_JITTER_ADVICE: Final = "Write 0.5 to stretch delays by up to half, or None for none."

RetryDelay: TypeAlias = (
    float | Sequence[float] | Callable[[int], float | Sequence[float]]
)


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double: ``backoff_factor``, twice that, four times that, ...

    Args:
        backoff_factor: The first delay, in seconds.

    Returns:
        A function for ``retry_delay_seconds=``: from the number of retries to a list
        of as many delays, of at most fifty.

    Raises:
        TypeError: The factor is no number.
        ValueError: It is negative or not finite.
    """
    factor = _number(
        "exponential_backoff()", "backoff_factor", backoff_factor, advice=_DELAY_ADVICE
    )

    def delays(retries: int) -> list[float]:
        return [factor * 2**i for i in range(min(retries, MAX_DELAYS))]

    return delays


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class RetryPolicy(Value):
    """How often, after how long and after what a failed attempt is tried again.

    Made by `RetryPolicy.of`, which checks what users give.

    Attributes:
        retries: How many attempts may follow the first.
        retry_delay_seconds: The delay as it was given.
        jitter_factor: How far a delay may be stretched: 0.5 means by half. None or 0
            means not at all.
        condition: The user's function that says whether a failure is worth another
            attempt; None means that each is.
        delays: Seconds before each retry; the last one serves for all that follow,
            and none means no delay.
    """

    retries: int = 0
    retry_delay_seconds: RetryDelay = 0.0
    jitter_factor: float | None = None
    condition: Callable[..., Any] | None = None
    delays: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        task_name: str,
        retries: int,
        retry_delay_seconds: RetryDelay = 0.0,
        retry_jitter_factor: float | None = None,
        retry_condition_fn: Callable[..., Any] | None = None,
    ) -> RetryPolicy:
        """Check the options of a task and make a policy of them.

        Args:
            task_name: What the messages call the task.
            retries: How many attempts may follow the first.
            retry_delay_seconds: A number for all retries, one for each, or a function
                from the number of retries to either, which is called here.
            retry_jitter_factor: See `RetryPolicy`.
            retry_condition_fn: See `RetryPolicy`.

        Raises:
            TypeError: An option has a wrong type.
            ValueError: A number is negative or not finite, or there are more than
                fifty delays.
        """
        retries = _count(task_name, retries)
        delays = _delays(task_name, retries, retry_delay_seconds)
        if retry_jitter_factor is not None:
            retry_jitter_factor = _number(
                task_name,
                "retry_jitter_factor",
                retry_jitter_factor,
                advice=_JITTER_ADVICE,
            )
        # Any object, because a type checker is not always there to refuse it.
        condition: object = retry_condition_fn
        if condition is not None and not callable(condition):
            raise TypeError(
                f"{task_name}: retry_condition_fn must be a function of the task, the "
                f"run and the state, not {condition!r}. Write "
                f"retry_condition_fn=lambda task, run, state: ..."
            )
        if callable(condition):
            advice = "It is called as fn(task, task_run, state), by position."
            check_takes(condition, 3, f"{task_name}: the retry_condition_fn", advice)
        return cls(
            retries=retries,
            retry_delay_seconds=retry_delay_seconds,
            jitter_factor=retry_jitter_factor,
            condition=retry_condition_fn,
            delays=delays,
        )

    def allows(self, attempts_done: int) -> bool:
        """Whether one more attempt may follow so many."""
        return attempts_done <= self.retries

    def delay_before_retry(self, k: int) -> float:
        """Seconds to wait before a retry, without jitter.

        Args:
            k: Which retry; the first is 1.
        """
        if not self.delays:
            return 0.0
        return self.delays[min(k, len(self.delays)) - 1]

    def jittered(self, delay: float, uniform: Callable[[], float]) -> float:
        """A delay drawn around a given one, whose mean is about that one.

        It is exponentially distributed, between two bounds that are equally likely
        to be passed: above ``delay * (1 + jitter_factor)``, and below what leaves as
        much on the other side of the median.

        Args:
            delay: Seconds.
            uniform: Draws from [0, 1), as `random.random` does.

        Returns:
            Seconds: the same `delay` if there is no jitter.
        """
        if not self.jitter_factor or delay <= 0:
            return delay
        most = delay * (1 + self.jitter_factor)
        least = delay * _lower_multiple(1 + self.jitter_factor)
        below_least = -math.expm1(-least / delay)
        below_most = -math.expm1(-most / delay)
        drawn = below_least + (below_most - below_least) * uniform()
        wait = -delay * math.log(max(1 - drawn, 1e-10))
        return min(max(wait, least), most)


NO_RETRY: Final = RetryPolicy()


def _lower_multiple(upper: float) -> float:
    """The lower bound, in means, that an upper one goes with."""
    if upper >= _FACTOR_WITHOUT_LOWER_BOUND:
        return 0.0
    return math.log2(2**upper / (2**upper - 1))


def _count(task_name: str, retries: object) -> int:
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(
            f"{task_name}: retries must be a whole number, not {retries!r}. Write "
            f"retries=3 to allow three attempts after the first."
        )
    if retries < 0:
        raise ValueError(
            f"{task_name}: retries must not be negative, but is {retries}. Write "
            f"retries=0 for none."
        )
    return retries


def _delays(task_name: str, retries: int, given: object) -> tuple[float, ...]:
    option = "retry_delay_seconds"
    if callable(given):
        given = given(retries)
        option = f"what the function given as {option} returns for {retries} retries"
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes, bytearray)):
        return (_number(task_name, option, given, advice=_DELAY_ADVICE),)
    delays = cast("Sequence[object]", given)
    if len(delays) > MAX_DELAYS:
        raise ValueError(
            f"{task_name}: {option} has more than {MAX_DELAYS} retry delays: "
            f"{len(delays)}. Leave some out: the last one serves for all retries "
            f"that follow."
        )
    return tuple(
        _number(task_name, f"{option}[{i}]", delay, advice=_DELAY_ADVICE)
        for i, delay in enumerate(delays)
    )


def _number(task_name: str, option: str, given: object, *, advice: str) -> float:
    """A number that is finite and not negative.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative or not finite.
    """
    # `Real` and not float: numbers of other packages, such as numpy, are welcome.
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(
            f"{task_name}: {option} must be a number, not {given!r}. {advice}"
        )
    number = float(given)
    if not 0 <= number < math.inf:
        raise ValueError(
            f"{task_name}: {option} must be >= 0 and finite, but is {given!r}. {advice}"
        )
    return number
