"""Deadlines: moments by which all that was started under them has to be over.

The context says which deadline code is under. Runs that are made there join it; when it
passes, those that have not ended are stopped, each on the loop of its scheduler. What it
means to be stopped is no concern of this module.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final, Protocol

from headrace._concurrency.loops import shows_machine_time
from headrace._concurrency.slices import in_slices
from headrace.exceptions import DeadlineExceeded

__all__ = ("DEADLINE", "Deadline", "Group", "Poster", "deadline_here")

# Each of those that are stopped takes its turn at once, and its own time.
_MOST_IN_A_TURN: Final = 32

# Loops do not take timers of any length.
_LONGEST_TIMER: Final = 86_400.0


class Poster(Protocol):
    """A scheduler, as far as it matters here."""

    loop: asyncio.AbstractEventLoop

    def call(self, call: Callable[[Any], object], item: Any, /) -> object:
        """Have something called on its loop; from any thread."""
        ...


class Deadline:
    """One deadline. From any thread.

    Args:
        seconds: How long from now.
        loop: The loop whose clock counts; None for the clock of the machine.

    Attributes:
        seconds: As it was given.
        is_left: Whether its block was left: nothing joins any more but what runs make.
    """

    __slots__ = ("_clock", "_due", "_groups", "_has_passed", "is_left", "seconds")

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop | None) -> None:
        own = loop is not None and not shows_machine_time(loop)
        self._clock: Callable[[], float] = loop.time if loop and own else monotonic
        self.seconds = seconds
        self._due = self._clock() + seconds
        self._has_passed = False
        self.is_left = False
        self._groups: dict[asyncio.AbstractEventLoop, Group] = {}

    def remaining(self) -> float:
        """Seconds that are left; 0 when it has passed."""
        return 0.0 if self._has_passed else max(0.0, self._due - self._clock())

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self._has_passed or self._due <= self._clock()

    def end(self) -> None:
        """It has passed: a timer may be a little early, and is right all the same."""
        self._has_passed = True

    def refuse(self, what: str) -> None:
        """Refuse to begin something when it has passed.

        Raises:
            DeadlineExceeded: It has.
        """
        if self.is_over:
            raise DeadlineExceeded(what, self.seconds, "was called after")

    def group(self, scheduler: Poster) -> Group:
        """Those under it whose loop is that of a scheduler."""
        found = self._groups.get(scheduler.loop)
        if found is None:
            # Two threads may be here at once: they are given one.
            found = self._groups.setdefault(scheduler.loop, Group(self, scheduler))
        return found

    def leave(self) -> None:
        """Its block was left: timers that nobody needs are taken away."""
        self.is_left = True
        for group in tuple(self._groups.values()):
            group.tidy()


class Group:
    """What is under a deadline on one loop, and the one timer for all of it."""

    __slots__ = ("_is_set", "_members", "_scheduler", "_timer", "deadline")

    def __init__(self, deadline: Deadline, scheduler: Poster) -> None:
        self.deadline = deadline
        self._scheduler = scheduler
        self._members: dict[Any, Callable[[Any], object]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_set = False

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline.is_over

    # -- from any thread ---------------------------------------------------------------

    def join(self, members: Iterable[Any], stop: Callable[[Any], object]) -> None:
        """Have ``stop(member)`` called for each when the deadline passes.

        On the loop, and more than once if need be. Those that joined last are the first.
        """
        self._members.update(dict.fromkeys(members, stop))
        if not self._is_set:
            self._is_set = True
            self._post(self._set)

    def leave(self, member: Any) -> None:
        """It has ended."""
        self._members.pop(member, None)
        if self.deadline.is_left and not self._members:
            self.tidy()

    def tidy(self) -> None:
        """Take the timer away if nothing needs it."""
        if self._is_set and not self._members:
            self._post(self._unset)

    def _post(self, call: Callable[[Any], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed
            self._scheduler.call(call, None)

    # -- on the loop -------------------------------------------------------------------

    def _set(self, _: object = None) -> None:
        if self._timer is None:
            left = min(self.deadline.remaining(), _LONGEST_TIMER)
            is_last = left < _LONGEST_TIMER
            act = self._pass if is_last else self._again
            self._timer = self._scheduler.loop.call_later(left, act)

    def _again(self) -> None:
        self._timer = None
        self._set()

    def _unset(self, _: object) -> None:
        if self._members or self._timer is None:
            return
        self._is_set = False
        self._timer.cancel()
        self._timer = None
        if self._members:  # since a moment
            self._is_set = True
            self._set()

    def _pass(self) -> None:
        self._timer = None
        self._is_set = False  # who joins from here on is stopped by a timer of its own
        self.deadline.end()
        in_slices(self._scheduler.loop, self._stopping(), most=_MOST_IN_A_TURN)

    def _stopping(self) -> Iterator[None]:
        # What was made last is the deepest: it ends by itself, not by what it is in.
        for member in reversed(tuple(self._members)):
            # Behind whatever its thread has posted about it before it joined.
            self._scheduler.call(self._stop, member)
            yield

    def _stop(self, member: Any) -> None:
        stop = self._members.get(member)
        if stop is not None:
            stop(member)


DEADLINE: Final[ContextVar[Deadline | None]] = ContextVar(
    "headrace_deadline", default=None
)
deadline_here: Final = DEADLINE.get  # see `headrace._concurrency.current`
