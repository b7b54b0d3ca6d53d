"""Drain a runtime: take nothing new, wait, cancel what goes on, say what is left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from headrace._concurrency.bodies import block_until
from headrace._engine import stopping
from headrace._engine.closing import VISIT
from headrace._engine.records import open_runs
from headrace._engine.scopes import Scope
from headrace._text import one_line
from headrace.futures.watching import settle, tell_loop
from headrace.runs import Drained

__all__ = ("drain_scope", "drain_scope_here")

log: Final = logging.getLogger("headrace.engine")

_MOST_NAMES: Final = 1000

# How often it is looked whether all has ended. `Scope.tell_when_idle` will not do: it
# ends the streams that nobody reads, and here somebody still may.
_FIRST_LOOK: Final = 0.005
_LAST_LOOK: Final = 0.1

# What was cancelled has ended when its own grace is over, and then some.
_SECONDS_MORE: Final = 0.5

_SECONDS_TO_LOOK_AT_LOOP: Final = 0.5


class _Draining:
    """One wait for the end of a scope; its methods run on the loop of the scope.

    Args:
        scope: The scope, which is closing.
        grace: Seconds that what goes on is left alone.
        tell: Called when it is over. On the loop.
    """

    def __init__(self, scope: Scope, grace: float, tell: Callable[[], object]) -> None:
        self._scope = scope
        self._grace = grace
        self._tell = tell
        self._mine = VISIT.get()  # a request that asks for it does not wait for itself
        self._began = monotonic()
        self._until = 0.0
        self._pause = _FIRST_LOOK
        self._timer: asyncio.TimerHandle | None = None
        self._is_given_up = False
        self._cancelled: list[Any] | None = None
        self._left_before = 0
        self._left: list[str] = []
        self._requests = 0

    def begin(self, _: object) -> None:
        """The clock starts."""
        self._until = self._scope.scheduler.loop.time() + self._grace
        self._look()

    def give_up(self, _: object) -> None:
        """Nobody waits for it any more: nothing is cancelled on behalf of it."""
        self._is_given_up = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._is_given_up:
            return
        time_left = self._until - self._scope.scheduler.loop.time()
        if self._scope.is_idle and (self._has_cancelled or not self._visits()):
            self._tell()
        elif time_left > 0:
            self._look_again(time_left)
        elif self._has_cancelled:
            self._leave_behind()
            self._tell()
        else:
            self._cancel()
            self._look()

    def _leave_behind(self) -> None:
        """Have nobody wait for what was called in place and does not stop.

        Plain bodies in threads that are not ours: no future stands for them, and they
        end by themselves, or with the process.
        """
        for run in tuple(self._scope.direct):
            self._left.append(run.name)
            self._scope.leave(run)

    def _look_again(self, time_left: float) -> None:
        seconds = min(self._pause, time_left)
        self._pause = min(2 * self._pause, _LAST_LOOK)
        loop: asyncio.AbstractEventLoop = self._scope.scheduler.loop
        self._timer = loop.call_later(seconds, self._look)

    @property
    def _has_cancelled(self) -> bool:
        return self._cancelled is not None

    def _visits(self) -> int:
        return len(self._scope.visits - {self._mine})

    def _cancel(self) -> None:
        scope = self._scope
        host = scope.host
        self._requests = self._visits()
        runs = open_runs(scope)
        self._cancelled = sorted(runs, key=lambda run: (run.created, run.number))
        self._left = host.watch_left_behind()
        self._left_before = len(self._left)
        stopping.cancel_scope(scope)
        grace = host.settings.cancel_grace_seconds + _SECONDS_MORE
        self._until = scope.scheduler.loop.time() + grace
        self._pause = _FIRST_LOOK

    def outcome(self) -> Drained:
        """What became of it, which is logged too."""
        cancelled = self._cancelled or []
        left = self._left[self._left_before :]
        left += [run.name for run in cancelled if not run.is_settled]
        drained = Drained(
            seconds=monotonic() - self._began,
            cancelled=tuple([run.name for run in cancelled[:_MOST_NAMES]]),
            more_cancelled=max(len(cancelled) - _MOST_NAMES, 0),
            abandoned=tuple(dict.fromkeys(left)),
            requests=self._requests,
        )
        level = logging.INFO if drained.is_clean else logging.WARNING
        log.log(level, "%s", one_line(str(drained)))
        return drained


async def drain_scope(scope: Scope, grace: float) -> Drained:
    """Drain a scope of this or another loop; see `headrace.Runtime.drain`."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    draining = _Draining(scope, grace, lambda: tell_loop(loop, settle, over))
    scheduler = _begun(scope)
    if scheduler is None:
        return draining.outcome()
    _post(scheduler, draining.begin)
    try:
        while not over.done() and not scheduler.loop.is_closed():
            await asyncio.wait([over], timeout=_SECONDS_TO_LOOK_AT_LOOP)
    finally:
        _post(scheduler, draining.give_up)
    return draining.outcome()


def drain_scope_here(scope: Scope, grace: float) -> Drained:
    """`drain_scope` in plain code: blocks this thread, which is not that of the loop."""
    fires: list[Callable[[], None]] = []
    draining = _Draining(scope, grace, lambda: [fire() for fire in fires])
    scheduler = _begun(scope)
    if scheduler is None:
        return draining.outcome()

    def begin(fire: Callable[[], None]) -> None:
        fires.append(fire)
        _post(scheduler, draining.begin)

    try:
        block_until(begin, look=scheduler.loop.is_closed)
    finally:
        _post(scheduler, draining.give_up)
    return draining.outcome()


def _begun(scope: Scope) -> Any:
    """The scheduler of the scope, which takes nothing new; None if it is over."""
    scope.close()
    if scope.has_ended:
        return None
    if scope.scheduler is None and scope.is_idle and not scope.visits:
        return None  # nothing has needed a loop so far
    if scope.scheduler is None:
        scope.scheduler = scope.host.open()
    # Not `Scope.opened`: another thread may leave the block at this moment.
    return scope.scheduler


def _post(scheduler: Any, call: Callable[[object], None]) -> None:
    # The loop may have closed: then the scope is over, and who waits sees to that.
    with contextlib.suppress(RuntimeError):
        scheduler.call(call, None)
