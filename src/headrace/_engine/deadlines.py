"""Runs under a deadline: how each joins it, and how it is stopped when that passes.

Submitted runs are stopped as they are cancelled, by `stopping.end_at_deadline`. Those
in place are run in an asyncio task of their own, or in a thread that can be stopped.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from headrace._concurrency.bodies import ThreadFace, stoppable_here
from headrace._concurrency.deadlines import DEADLINE, Deadline
from headrace._concurrency.outlasting import outlast
from headrace._engine import stopping
from headrace._engine.bodies import contained
from headrace._engine.outcomes import CANCEL, DEADLINE as WHY, LIMIT, Outcome, of_error
from headrace.states import FINAL

__all__ = (
    "bind",
    "enlist",
    "limit_on",
    "refuse_overdue",
    "stopped_at_deadline",
    "under_deadline",
)


def bind(deadline: Deadline, scheduler: Any, runs: Iterable[Any]) -> None:
    """Note which deadline runs are under that are about to be scheduled."""
    group = deadline.group(scheduler)
    for run in runs:
        run.rarely().deadline = group


def enlist(scheduler: Any, runs: Sequence[Any]) -> None:
    """Have runs of one call stopped at their deadline. From any thread.

    After they were handed to the scheduler: it is told to stop none that it does not
    know yet.
    """
    rare = runs[0].rare if runs else None
    group = None if rare is None else rare.deadline
    if group is None:
        return

    group.join(runs, functools.partial(stopping.end_at_deadline, scheduler))
    for run in runs:
        if run.phase in FINAL:  # before it joined
            group.leave(run)


def refuse_overdue(spec: Any) -> None:
    """Refuse a call of something when the deadline of the present code has passed.

    Raises:
        DeadlineExceeded: It has.
    """
    deadline = DEADLINE.get()
    if deadline is not None:
        deadline.refuse(f"{spec.name}()")


async def under_deadline(
    deadline: Deadline,
    run: Any,
    scheduler: Any,
    coro: Coroutine[Any, Any, Outcome],
    kind: str = "Task",
) -> Outcome:
    """Await what gives the outcome of a run in place, in a task of its own.

    Args:
        deadline: When it is stopped. It is left behind if it does not listen.
        run: The run.
        scheduler: One of the running loop.
        coro: The coroutine.
        kind: For messages.

    Raises:
        CancelledError: This wait was cancelled.
    """
    body = _Bounded(deadline, run, scheduler, coro)
    over = body.over
    try:
        interrupted = await outlast(
            lambda: asyncio.shield(over),
            is_over=over.done,
            when_cancelled=functools.partial(body.stop, CANCEL),
        )
        outcome, error = body.outcome()
        if interrupted is not None:
            raise interrupted
        if outcome is None or run.rarely().stop == WHY:
            return of_error(run, error or asyncio.CancelledError(), kind=kind)
        return outcome
    finally:
        del run, coro, body  # see `headrace._engine.doors.outcome_of`


class _Bounded:
    """An asyncio task for a run in place, which a deadline stops.

    Attributes:
        over: Done when it has ended, or is waited for no longer.
    """

    __slots__ = ("_coro", "_run", "_scheduler", "_task", "_timer", "over")

    def __init__(
        self,
        deadline: Deadline,
        run: Any,
        scheduler: Any,
        coro: Coroutine[Any, Any, Outcome],
    ) -> None:
        self._run = run
        self._coro = coro
        self._scheduler = scheduler
        self._timer: asyncio.TimerHandle | None = None
        self.over: asyncio.Future[None] = scheduler.loop.create_future()
        task = scheduler.new_task(contained(coro), name=run.name)
        self._task: asyncio.Task[tuple[Outcome | None, BaseException | None]] = task
        run.rarely().body = task
        task.add_done_callback(self._end)
        group = run.rarely().deadline = deadline.group(scheduler)
        group.join([run], lambda _: self.stop(WHY))

    def stop(self, why: str) -> None:
        """Cancel it, and give it the grace period to clean up."""
        rare = self._run.rarely()
        if self._timer is not None or self.over.done():
            return
        rare.stop = rare.stop or why
        if rare.claim is not None:
            rare.claim.stop()
        inner = self._run.inner_scope()
        if inner is not None:
            stopping.cancel_scope(inner)
        self._task.cancel()
        grace = self._scheduler.host.settings.cancel_grace_seconds
        self._timer = self._scheduler.loop.call_later(grace, self._end)

    def _end(self, _: object = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.over.done():
            self.over.set_result(None)

    def outcome(self) -> tuple[Outcome | None, BaseException | None]:
        """What it returned or raised; neither if it was left behind."""
        run, task = self._run, self._task
        run.rarely().body = None
        if not task.done():
            run.rarely().is_last = True
            stopping.leave_behind(run.scope, task, run.name, run.rare.stop)
        elif task.cancelled():
            self._coro.close()  # it never took its first step
        else:
            return task.result()
        return None, None


@contextmanager
def limit_on(run: Any, face: ThreadFace) -> Generator[None]:
    """Have the loop stop the body in this thread, and its runs, at the limit."""
    scheduler = run.scope.opened()
    timers: list[asyncio.TimerHandle] = []

    def start(seconds: float) -> None:
        timers.append(scheduler.loop.call_later(seconds, stop))

    def stop() -> None:
        _stop_flow(scheduler, run, face, LIMIT)

    def end(_: object) -> None:
        for timer in timers:
            timer.cancel()

    scheduler.call(start, run.spec.timeout_seconds)
    try:
        yield
    finally:
        # Timers belong to the loop's thread.
        scheduler.call(end, None)


def _stop_flow(scheduler: Any, run: Any, face: ThreadFace, why: str) -> None:
    """Stop the body of a plain flow, and its runs. On the loop."""
    run.rarely().stop = why
    stopping.cancel_scope(run.scope)
    reason = stopping.why_stopped(run, why)
    stopping.stop_thread(scheduler.loop, face, run, reason, interrupt=True)


@contextmanager
def stopped_at_deadline(run: Any) -> Generator[None]:
    """Have the loop stop the body of a plain flow in this thread, and its runs.

    Raises:
        RunInterrupted: The deadline has passed; ``run.rare.stop`` tells.
    """
    deadline = DEADLINE.get()
    if deadline is None:
        yield
        return
    scheduler = run.scope.opened()
    group = run.rarely().deadline = deadline.group(scheduler)
    with stoppable_here(run) as face:

        def stop(_: object) -> None:
            if run.rarely().stop is None:
                _stop_flow(scheduler, run, face, WHY)

        group.join([run], stop)
        try:
            yield
        finally:
            group.leave(run)
