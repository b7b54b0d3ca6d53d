"""Admission: so many submitted runs may stand in line; who submits more is made to wait."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headrace._concurrency.bodies import block_until
from headrace._concurrency.holding import HELD, while_lent
from headrace.futures.watching import settle, tell_loop

__all__ = (
    "Admission",
    "Ticket",
    "ask_for_admission",
    "await_admission",
    "block_for_admission",
    "has_to_wait",
)


class Admission:
    """Admits runs in the order of their submission. On one loop.

    It holds nothing back but whoever waits for it: a run that is not admitted starts when
    its time has come, and is as good as admitted then.

    Args:
        most: How many runs that were admitted may not have started.
    """

    __slots__ = ("_most", "_pending", "_queue")

    def __init__(self, most: int) -> None:
        self._most = most
        self._pending = 0
        self._queue: deque[Ticket] = deque()

    def enter(self, ticket: Ticket) -> None:
        """A run is submitted."""
        if ticket.is_over:
            ticket.admit()
        elif ticket.is_urgent or self._pending < self._most:
            self._admit(ticket)
        else:
            self._queue.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """A run has started, or ended without that."""
        if ticket.is_over:
            return
        ticket.is_over = True
        if ticket.is_admitted:
            self._pending -= 1
        else:
            ticket.admit()
        while self._queue and self._pending < self._most:
            first = self._queue.popleft()
            if not first.is_over:
                self._admit(first)

    def _admit(self, ticket: Ticket) -> None:
        self._pending += 1
        ticket.admit()


class Ticket:
    """The place of one run in the line.

    Args:
        admission: What admits it.
        is_urgent: Whether it is admitted at once: it was submitted by a run, which others
            may wait for.
    """

    __slots__ = ("_admission", "_calls", "is_admitted", "is_over", "is_urgent")

    def __init__(self, admission: Admission, *, is_urgent: bool) -> None:
        self._admission = admission
        self._calls: list[Callable[[], object]] = []
        self.is_urgent = is_urgent
        self.is_admitted = False
        self.is_over = False

    def enter(self) -> None:
        """See `Admission.enter`."""
        self._admission.enter(self)

    def leave(self) -> None:
        """See `Admission.leave`."""
        self._admission.leave(self)

    def admit(self) -> None:
        """It need not be waited for any more."""
        self.is_admitted = True
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def tell(self, call: Callable[[], object]) -> None:
        """Have something called when it is admitted. On the loop of its run."""
        if self.is_admitted:
            call()
        else:
            self._calls.append(call)


def ask_for_admission(scheduler: Any, runs: Iterable[Any], *, is_urgent: bool) -> None:
    """Have runs that are about to be scheduled stand in line. From any thread."""
    is_here = scheduler.is_here()
    for run in runs:
        ticket = Ticket(scheduler.admission, is_urgent=is_urgent)
        run.rarely().ticket = ticket
        if is_here:
            ticket.enter()
        else:
            scheduler.call(Ticket.enter, ticket)


def has_to_wait(run: Any) -> bool:
    """Whether a run is not admitted yet."""
    return run.rare is not None and _open_ticket(run) is not None


def _open_ticket(run: Any) -> Ticket | None:
    """The ticket of a run that is not admitted yet."""
    ticket: Ticket | None = None if run.rare is None else run.rare.ticket
    # One that is urgent will be at once: to wait would lend the places of its parent.
    if ticket is None or ticket.is_admitted or ticket.is_urgent:
        return None
    return ticket


async def await_admission(runs: Sequence[Any]) -> None:
    """Wait until runs of one call are admitted; a cancelled wait withdraws the others."""
    held = HELD.get()
    wait = _await_admission(runs)
    await (wait if held is None else while_lent(held, wait))


async def _await_admission(runs: Sequence[Any]) -> None:
    loop = asyncio.get_running_loop()
    try:
        for run in reversed(runs):  # who came last is admitted last
            ticket = _open_ticket(run)
            if ticket is None:
                continue
            admitted: asyncio.Future[None] = loop.create_future()

            def tell(waiter: asyncio.Future[None] = admitted) -> None:
                tell_loop(loop, settle, waiter)

            if run.post(ticket.tell, tell):
                await admitted
    except BaseException:
        _withdraw(runs)
        raise


def block_for_admission(runs: Sequence[Any]) -> None:
    """`await_admission` in plain code: blocks this thread."""
    try:
        for run in reversed(runs):
            ticket = _open_ticket(run)
            if ticket is not None:
                ask = functools.partial(run.post, ticket.tell)
                block_until(ask, look=run.lose)
    except BaseException:
        _withdraw(runs)
        raise


def _withdraw(runs: Iterable[Any]) -> None:
    for run in runs:
        if has_to_wait(run):
            run.cancel()
