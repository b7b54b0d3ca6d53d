"""Finding how much a provider takes, from its errors and its latency. Arithmetic only.

Three known rules together. Additive increase and multiplicative decrease (Chiu and Jain,
"Analysis of the Increase and Decrease Algorithms", 1989), begun by slow start (Jacobson,
"Congestion Avoidance and Control", 1988). The decrease is by the share of what was
refused, as in DCTCP (RFC 8257). The answer to latency is that of FAST TCP (Jin, Wei,
Low, 2004): of the limit, keep what the best latency is of the present one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from headrace._values import Value

__all__ = ("Adaptive", "Call", "Controller", "is_overload")

# HTTP: too many requests, service unavailable, site overloaded.
_REFUSALS: Final = frozenset({429, 503, 529})

# A round with fewer refusals has answered to them one by one.
_SHARE_OF_A_DROP: Final = 0.1
_MOST_AT_ONCE: Final = 0.75  # of the limit, that one round may take away
_CALLS_TO_LOOK: Final = 8
_LONGEST_PAUSE: Final = 8  # rounds between two attempts at more, when those fail
_FORGETTING: Final = 0.02  # how fast a provider that has become slower is believed


def is_overload(error: BaseException) -> bool:
    """Whether an error says that there were too many calls.

    A `TimeoutError` or `ConnectionError` does, and what carries the status 429, 503 or
    529, itself or in its ``response``.
    """
    if isinstance(error, (TimeoutError, ConnectionError)):
        return True
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and status in _REFUSALS:
                return True
    return False


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Adaptive(Value):
    """A number of calls at once that is found while they are made.

    ``Limit(Adaptive(min=1, start=8, max=200))``. More is tried as long as calls end
    well, and less after a refusal, or while they take too long.

    Args:
        min: Never fewer at once.
        start: How many to begin with.
        max: Never more at once.
        signal: Of an exception, whether it says that there were too many calls; by
            default `is_overload`. Other errors say nothing about that.
        tolerance: How many times the usual latency is too long; None for any.

    Raises:
        TypeError, ValueError: ``1 <= min <= start <= max`` does not hold in whole
            numbers, ``tolerance`` is not above 1, or ``signal`` cannot be called.
    """

    min: int = 1
    start: int = 8
    max: int = 200
    signal: Callable[[BaseException], object] = is_overload
    tolerance: float | None = 2.0

    def __post_init__(self) -> None:
        numbers: tuple[Any, ...] = (self.min, self.start, self.max)
        text = f"Adaptive(min={self.min!r}, start={self.start!r}, max={self.max!r})"
        advice = "Give whole numbers with 1 <= min <= start <= max."
        if any(isinstance(n, bool) or not isinstance(n, int) for n in numbers):
            raise TypeError(f"{text} got something that is no whole number. {advice}")
        if not 1 <= self.min <= self.start <= self.max:
            raise ValueError(f"{text} is not in order. {advice}")
        if self.tolerance is not None and not 1 < self.tolerance < math.inf:
            raise ValueError(
                f"Adaptive(tolerance={self.tolerance!r}) is not above 1. Write 2.0 for "
                f"twice the usual latency, or None to leave latency alone."
            )
        if not callable(self.signal):
            raise TypeError(
                f"Adaptive(signal={self.signal!r}) cannot be called. Give a function "
                f"of an exception that says whether there were too many calls."
            )


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """One call, as the controller knows it.

    Attributes:
        number: Which one.
        at_once: How many went on when it began, itself included.
    """

    number: int
    at_once: float


class Controller:
    """Decides how many calls may go on at once, by what became of earlier ones.

    Works in rounds of as many calls as may go on. Calls that began before the last
    decrease say nothing about the present limit, and do not count.
    """

    __slots__ = (
        "_base", "_begun", "_is_trying", "_limit", "_lost", "_options", "_pause",
        "_quiet", "_refused", "_seconds", "_since", "_size", "_slow_start", "_step", "_top",
        "_well",
    )  # fmt: skip

    # Of the present round:
    _lost: float  # seconds of those that were refused
    _refused: int
    _seconds: float  # of those that went well, together
    _size: int
    _top: float  # most at once
    _well: int

    # Of the way up: whether more is being tried, and how much that is.
    _is_trying: bool
    _quiet: int
    _step: int

    def __init__(self, options: Adaptive) -> None:
        self._options = options
        self._limit = float(options.start)
        self._begun = 0
        self._since = 0  # the first call that counts
        self._slow_start = True
        self._base = math.inf  # the latency of a round at its best
        self._pause = 1  # clean rounds before more is tried
        self._stay()
        self._new_round()

    @property
    def limit(self) -> int:
        """How many calls may go on at once."""
        return int(self._limit)

    def begin(self, at_once: float) -> Call:
        """A call begins.

        Args:
            at_once: How many go on then, this one included.
        """
        self._begun += 1
        return Call(self._begun, at_once)

    def end(self, call: Call, seconds: float, *, is_refused: bool) -> None:
        """A call has ended.

        Args:
            call: What `begin` gave.
            seconds: How long it took.
            is_refused: Whether it failed because there were too many.
        """
        if call.number < self._since:
            return
        self._top = max(self._top, call.at_once)
        if is_refused:
            self._lost += seconds
            self._refuse(call)
        else:
            self._well += 1
            self._seconds += seconds
            if self._slow_start and call.at_once > self._limit / 2:
                self._set(self._limit + 1)
        if self._well + self._refused >= self._size:
            self._end_round()

    def _refuse(self, call: Call) -> None:
        self._refused += 1
        # As many as it found going on were too many.
        self._set(min(self._limit, call.at_once - 1))
        if self._slow_start:
            self._slow_start = False
            self._start_over()

    def _end_round(self) -> None:
        refused, well = self._refused, self._well
        spent = self._seconds + self._lost
        # Of the time, not of the calls: those that are refused at once come thick and
        # fast. What is left of the limit are the calls that the provider had in hand.
        share = self._lost / spent if spent else refused / (refused + well)
        latency = self._seconds / well if well else 0.0
        is_used = self._is_used()
        self._new_round()
        if refused:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._stay()
            if refused > 1 and share > _SHARE_OF_A_DROP:
                self._set(self._limit * (1 - min(share, _MOST_AT_ONCE)))
                self._start_over()
        elif self._is_slow(latency):
            self._slow_start = False
            self._stay()
            kept = self._base * (self._options.tolerance or 1) / latency
            self._set(self._limit * max(kept, 1 - _MOST_AT_ONCE))
            self._start_over()
        elif is_used and not self._slow_start:
            self._try_more()

    def _try_more(self) -> None:
        if self._is_trying:  # and it went well
            self._is_trying, self._pause = False, 1
        self._quiet += 1
        if self._quiet >= self._pause:
            self._quiet, self._is_trying = 0, True
            self._set(self._limit + self._step)
            self._step = min(self._step * 2, max(self.limit // 4, 1))

    def _stay(self) -> None:
        self._is_trying = False
        self._quiet, self._step = 0, 1

    def _is_slow(self, latency: float) -> bool:
        tolerance = self._options.tolerance
        if tolerance is None or not latency:
            return False
        if latency > self._base:
            self._base += _FORGETTING * (latency - self._base)
        else:
            self._base = latency
        return latency > self._base * tolerance

    def _is_used(self) -> bool:
        """Whether there were calls enough to say that the limit is not too much."""
        return self._top >= self.limit

    def _set(self, limit: float) -> None:
        options = self._options
        self._limit = float(min(max(limit, options.min), options.max))

    def _start_over(self) -> None:
        self._since = self._begun + 1
        self._new_round()

    def _new_round(self) -> None:
        self._well = self._refused = 0
        self._lost = self._seconds = self._top = 0.0
        # In slow start the limit grows with every call: look early.
        most = _CALLS_TO_LOOK if self._slow_start else self.limit
        self._size = min(self.limit, most)  # calls of this round
