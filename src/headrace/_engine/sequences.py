"""Runs that start one after the other, in the order of their submission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ("Turn",)


class Turn:
    """The turn of one run: over when it has ended, and all the turns before it are.

    So one that is cancelled while others wait before it lets nobody overtake them. All
    of it happens on the loop of the scheduler, but for the making.

    Attributes:
        is_over: Whether the next turn has come.
    """

    __slots__ = ("_before", "_scheduler", "_waiting", "is_over")

    def __init__(self, scheduler: Any, before: Turn | None) -> None:
        self._scheduler = scheduler
        self._before = before
        self.is_over = False
        self._waiting: list[Callable[[], object]] = []

    def take(self, run: Any) -> None:
        """Schedule the run, to start when its turn has come."""
        before = self._before
        if before is not None and not before.is_over:
            run.rarely().turn = before
        self._scheduler.take_looked([run])
        run.add_waiter(self._run_ended)

    def tell(self, call: Callable[[], object]) -> None:
        """Have something called when this turn is over."""
        if self.is_over:
            call()
        else:
            self._waiting.append(call)

    def _run_ended(self, _: object) -> None:
        if self._before is None:
            self._pass_on()
        else:
            self._before.tell(self._pass_on)
            self._before = None

    def _pass_on(self) -> None:
        self.is_over = True
        # In turns of the loop: many may have ended while they waited.
        for call in self._waiting:
            self._scheduler.loop.call_soon(call)
        self._waiting.clear()
