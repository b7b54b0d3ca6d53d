"""What became of a runtime that was drained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headrace._values import Value

__all__ = ("Drained",)

_MOST_NAMES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Drained(Value):
    """How draining a runtime went.

    Attributes:
        seconds: How long it took.
        cancelled: Names of the runs that had not ended when the grace was over, at most
            1000 of them. These were cancelled.
        more_cancelled: How many others were.
        abandoned: Names of those whose bodies did not stop when they were cancelled, and
            may still be at work.
        requests: How many requests had not been answered when the grace was over.
    """

    seconds: float
    cancelled: tuple[str, ...] = ()
    more_cancelled: int = 0
    abandoned: tuple[str, ...] = ()
    requests: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether everything had ended within the grace."""
        return not self.cancelled and not self.abandoned and not self.requests

    def __str__(self) -> str:
        text = f"the runtime was drained in {self.seconds:.2f} s"
        if self.is_clean:
            return f"{text}: every run had ended"
        count = len(self.cancelled) + self.more_cancelled
        text += f"; runs cancelled: {count}{_names(self.cancelled, count)}"
        if self.abandoned:
            left = len(self.abandoned)
            text += f"; that did not stop: {left}{_names(self.abandoned, left)}"
        if self.requests:
            text += f"; requests not answered by then: {self.requests}"
        return text


def _names(names: Sequence[str], count: int) -> str:
    shown = ", ".join(map(repr, names[:_MOST_NAMES_SHOWN]))
    more = count - min(len(names), _MOST_NAMES_SHOWN)
    if not shown:
        return ""
    return f" ({shown} and {more} more)" if more else f" ({shown})"
