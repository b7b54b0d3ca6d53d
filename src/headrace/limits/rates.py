"""Rates: what ``"500/min"`` means, and when the next may begin. No clock, no wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Final

from headrace._values import Value

__all__ = ("Bucket", "Rate", "checked_burst")

_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}

_ADVICE: Final = 'Write "50/s", "500/min", "10000/hour", "1/day" or "5/10s".'


@dataclass(slots=True, eq=False, repr=False)
class Rate(Value):
    """So much in so many seconds.

    Attributes:
        count: How much.
        seconds: In what time.
    """

    count: float
    seconds: float

    @classmethod
    def of(cls, given: object) -> Rate:
        """The rate that a text such as ``"500/min"`` means.

        Raises:
            TypeError: It is no text.
            ValueError: It is not of this form, or not above 0.
        """
        if not isinstance(given, str):
            raise TypeError(f"rate={given!r} is no text. {_ADVICE}")
        count, slash, time = given.partition("/")
        digits = time.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = time.strip()[len(digits) :]
        try:
            found = cls(float(count), float(digits or 1) * _UNITS[unit])
        except (ValueError, KeyError):
            raise ValueError(f"rate={given!r} is no rate. {_ADVICE}") from None
        sound = 0 < found.count < math.inf and 0 < found.seconds < math.inf
        if not slash or not sound:
            raise ValueError(f"rate={given!r} is no rate. {_ADVICE}")
        return found


def checked_burst(burst: object, rate: Rate | None) -> float:
    """How much may begin at once after a pause.

    Raises:
        TypeError: It is no number.
        ValueError: It is below 1, or there is no rate for it.
    """
    if isinstance(burst, bool) or not isinstance(burst, Real):
        raise TypeError(
            f"burst={burst!r} is no number. Write burst=10, or leave it out."
        )
    size = float(burst)
    if not 1 <= size < math.inf:
        raise ValueError(
            f"burst={burst!r} is below 1, so nothing could ever begin. Write burst=1 "
            f"for an even pace, or more for what may begin at once after a pause."
        )
    if size != 1 and rate is None:
        raise ValueError(f'burst={burst!r} needs a rate. Add one, such as rate="50/s".')
    return size


class Bucket:
    """A token bucket: tokens arrive at an even pace, up to ``burst`` of them.

    What weighs more than the burst takes a full bucket and leaves a debt, which those
    behind it wait for; so the pace holds for every weight. When tokens are due is one
    product of how many were spent, and not a sum of steps: nothing adds up in rounding.

    Args:
        rate: The pace.
        burst: The most tokens that are ever there.
    """

    __slots__ = ("_burst", "_clock", "_rate", "_since", "_spent")

    def __init__(self, rate: Rate, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._clock: object = None
        self._since = -math.inf  # it was full then,
        self._spent = 0.0  # and so much was taken since

    def due(self, weight: float, now: float, clock: object) -> float:
        """When so much may be taken: now, or later.

        Args:
            weight: How many tokens.
            now: The time, in seconds.
            clock: Which clock that is of. By another one the bucket is full.
        """
        if clock != self._clock:
            self._clock = clock
            self._since, self._spent = now, 0.0
        missing = self._spent + min(weight, self._burst) - self._burst
        return max(now, self._after(missing))

    def take(self, weight: float, now: float) -> None:
        """Take tokens that are due by now."""
        if now > self._after(self._spent):  # full since then
            self._since, self._spent = now, 0.0
        self._spent += weight

    @property
    def clock(self) -> object:
        """The clock of the latest time it was given."""
        return self._clock

    def is_full(self, now: float) -> bool:
        """Whether it is as good as a new one, by its own clock."""
        return now >= self._after(self._spent)

    def _after(self, spent: float) -> float:
        return self._since + spent * self._rate.seconds / self._rate.count
