"""How runs are stopped: time limits, cancels, and who does not listen.

A coroutine body is cancelled and given a grace period to clean up; then it is left
behind as a *zombie*. A plain body is told, interrupted, and, when its thread does not
stop, left behind in an *abandoned* thread. The run ends either way, and what a body
that was left behind returns or raises later is dropped.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._concurrency.interrupts import forget_pending
from headrace._concurrency.loops import is_asyncio_task
from headrace._concurrency.slices import in_slices
from headrace._engine.deferred import withdrawn
from headrace._engine.families import cancel_children
from headrace._engine.in_place import end_abandoned
from headrace._engine.outcomes import (
    CANCEL,
    DEADLINE,
    LIMIT,
    Outcome,
    of_error,
    overdue,
)
from headrace._text import one_line
from headrace.exceptions import RunInterrupted
from headrace.states import FINAL, StateType

__all__ = (
    "cancel",
    "cancel_many",
    "cancel_scope",
    "end_at_deadline",
    "leave_behind",
    "leave_thread_behind",
    "lift_limit",
    "note_overrun",
    "set_limit",
    "stop_thread",
    "tell_to_cancel",
    "why_stopped",
)

log: Final = logging.getLogger("headrace.engine")

# Of those that were told, each takes its turn at once, and its own time, and logs a line.
_MOST_IN_A_TURN: Final = 32

# How often a thread that handles a lock is left to do so.
_PRESSES: Final = 100
_SECONDS_TO_PRESS: Final = 0.001

_CANCELLED: Final = StateType.CANCELLED

# What stops a run and not only the body of an attempt.
_TO_THE_END: Final = frozenset({CANCEL, DEADLINE})

_WHEN: Final = {
    LIMIT: ("at its time limit", "exceeded its time limit"),
    DEADLINE: ("at its deadline", "exceeded its deadline"),
}
_WHEN_CANCELLED: Final = ("when it was cancelled", "was cancelled")


def set_limit(item: tuple[Any, Any, float]) -> None:
    """Start the clock of a body that has begun just now (RES-18). On the loop."""
    scheduler, run, began = item
    if run.phase in FINAL or run.scope.is_cancelled:
        return
    rare = run.rarely()
    if rare.stop is None:
        left = run.spec.timeout_seconds
        if not run.spec.is_async:
            left -= max(time() - began, 0.0)  # on its way from the thread
        rare.timer = scheduler.loop.call_later(left, _at_limit, scheduler, run)


def note_overrun(loop: asyncio.AbstractEventLoop, run: Any) -> None:
    """Say that a body held the loop past its limit, so that nothing could stop it."""
    rare = run.rare
    if (
        rare is not None
        and rare.stop is None
        and rare.timer is not None
        and loop.time() > rare.timer.when()
    ):
        log.warning(
            "%s completed after its limit of %s seconds: it never let the event loop "
            "run, so it could not be stopped",
            one_line(run.name),
            run.spec.timeout_seconds,
        )


def lift_limit(run: Any) -> None:
    """The body of an attempt has ended: what follows is not limited. On the loop."""
    rare = run.rare
    if rare is None or rare.stop in _TO_THE_END or run.phase in FINAL:
        return
    if rare.timer is not None:
        rare.timer.cancel()
        rare.timer = None
    if rare.stop is not None and rare.children:
        cancel_children(run)
    rare.stop = None


def _at_limit(scheduler: Any, run: Any) -> None:
    if run.phase in FINAL or run.rare.stop is not None:
        return
    _stop(scheduler, run, LIMIT)


def cancel(scheduler: Any, run: Any) -> None:
    """Have a run end as Cancelled. On the loop; may be called again."""
    _end(scheduler, run, CANCEL, _cancelled)


def end_at_deadline(scheduler: Any, run: Any) -> None:
    """Have a run end as overdue. On the loop; may be called again."""
    _end(scheduler, run, DEADLINE, overdue)


def _end(scheduler: Any, run: Any, why: str, unbegun: Callable[[Any], Outcome]) -> None:
    """Withdraw a run that has not begun, with this outcome, or stop it."""
    if run.is_settled:
        return
    rare = run.rarely()
    if rare.stop is None:
        if run.handle is None and _withdraw(scheduler, run, unbegun):
            return
        if rare.timer is not None:
            rare.timer.cancel()
        _stop(scheduler, run, why)


def _cancelled(run: Any) -> Outcome:
    return _CANCELLED, withdrawn(run)


def _withdraw(scheduler: Any, run: Any, end: Callable[[Any], Outcome]) -> bool:
    """End a run that is not in an attempt; False if it is about to be.

    Args:
        scheduler: Its scheduler.
        run: The run.
        end: Gives its outcome.
    """
    if run in run.scope.waiting:
        run.scope.waiting.discard(run)
        if run.rare.timer is not None:
            run.rare.timer.cancel()
    elif not run.spec.is_async and run.scope.place is None:
        try:
            scheduler.dispatched.remove(run)
        except KeyError:
            return False
    run.scope.active.discard(run)
    if run.rare.claim is not None:
        run.rare.claim.leave()
    scheduler.conclude(run, *end(run))
    return True


def _stop(scheduler: Any, run: Any, why: str) -> None:
    """Climb the first two rungs, and set the time of the last."""
    run.rare.stop = why
    settings = scheduler.host.settings
    handle = run.handle
    grace = settings.cancel_grace_seconds
    if isinstance(handle, asyncio.Task):
        handle.cancel()
    else:
        if why is not CANCEL:
            grace = settings.abandon_after_seconds
        if handle is not None:
            reason = why_stopped(run, why)
            stop_thread(
                scheduler.loop, handle, run, reason, interrupt=run.spec.interrupt
            )
    if run.rare.claim is not None:
        # After its thread was told: else that could go on in between, without a place.
        run.rare.claim.stop()
    run.rare.timer = scheduler.loop.call_later(grace, _give_up, scheduler, run)


def why_stopped(run: Any, why: str) -> str:
    """Why a run has to stop, for the message of `RunInterrupted`."""
    if why == LIMIT:
        return f"exceeded its limit of {run.spec.timeout_seconds} seconds"
    if why == DEADLINE:
        return f"exceeded its deadline of {run.rare.deadline.deadline.seconds} seconds"
    return "was cancelled"


def stop_thread(
    loop: asyncio.AbstractEventLoop,
    face: ThreadFace,
    body: object,
    reason: str,
    *,
    interrupt: bool,
) -> None:
    """Climb the first two rungs with a body in a thread; see `ThreadFace.stop`."""
    face.stop(body, reason, interrupt=interrupt)
    _press(loop, face, body, _PRESSES)


def _press(
    loop: asyncio.AbstractEventLoop, face: ThreadFace, body: object, left: int
) -> None:
    if face.press(body, is_last=not left) and left:
        loop.call_later(_SECONDS_TO_PRESS, _press, loop, face, body, left - 1)


def _give_up(scheduler: Any, run: Any) -> None:
    """The last rung: end the run without its body."""
    if run.phase in FINAL:
        return
    handle, why = run.handle, run.rare.stop
    if is_asyncio_task(handle):
        leave_behind(run.scope, handle, run.name, why)
        # Not retried: another attempt would overlap the one that still runs.
        run.rare.is_last = True
        scheduler.attempt_ended(run, of_error(run, asyncio.CancelledError()))
        return
    if isinstance(handle, ThreadFace):
        leave_thread_behind(run.scope, handle, run, why)
    scheduler.attempt_ended(run, of_error(run, RunInterrupted()))


def leave_thread_behind(
    scope: Any, face: ThreadFace, job: Any, why: str = CANCEL
) -> None:
    """Abandon a thread whose body does not stop, say so, and end what it called."""
    if any(pool.abandon(face, job) for pool in scope.scheduler.pools):
        scope.host.note_left_behind(job.name)
        log.warning(
            "%s did not stop %s; its thread is abandoned and what it returns is dropped",
            one_line(job.name),
            _WHEN.get(why, _WHEN_CANCELLED)[0],
        )
        forget_pending()
        end_abandoned(scope, face.claim, cancel_scope)


def leave_behind(
    scope: Any, task: asyncio.Task[Any], name: str, why: str | None
) -> None:
    """Count a task whose body swallows its cancellation among the zombies.

    What it awaits in place will not end by itself either, and is ended.
    """
    scheduler = scope.scheduler
    scheduler.zombies.add(task)
    task.add_done_callback(scheduler.zombies.discard)
    scope.host.note_left_behind(name)
    log.warning(
        "%s still runs %s seconds after it %s; it is left behind and what it returns "
        "is dropped",
        one_line(name),
        scheduler.host.settings.cancel_grace_seconds,
        _WHEN.get(why or CANCEL, _WHEN_CANCELLED)[1],
    )
    end_abandoned(scope, lambda run: run.body_task() is task, cancel_scope)


def cancel_many(scheduler: Any, runs: Iterable[Any]) -> None:
    """`cancel` for many runs, in turns of the loop. They may be of several loops."""
    in_slices(scheduler.loop, _cancelling(scheduler, runs), most=_MOST_IN_A_TURN)


def cancel_scope(scope: Any) -> None:
    """Cancel every run in a scope and in the scopes inside it. On its loop."""
    scope.is_cancelled = True
    scheduler = scope.scheduler
    for stream in tuple(scope.streams):
        stream.end()
    active = list(scope.active)
    ready = list(scheduler.ready)
    runs = itertools.chain(
        list(scope.waiting), (run for run in ready if run.scope is scope), active
    )
    cancel_many(scheduler, runs)
    tasks: set[Any] = set()
    for member in list(scope.direct):
        inner = member.inner_scope()
        if inner is not None:
            tell_to_cancel(inner)
        task = member.body_task()
        if task is not None:
            tasks.add(task)
    # In-place bodies share tasks: each is cancelled once, the own body never.
    tasks.discard(scope.body)
    if tasks:
        tasks.difference_update([run.handle for run in active])
    for task in tasks:
        loop = task.get_loop()
        if loop is scheduler.loop:
            task.cancel()
            grace = scheduler.host.settings.cancel_grace_seconds
            loop.call_later(grace, _give_up_in_place, scope, task)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)


def _give_up_in_place(scope: Any, task: asyncio.Task[Any]) -> None:
    """The last rung for what was awaited in place, in a task of the user's own."""
    for run in tuple(scope.direct):
        if run.body_task() is task and task not in scope.scheduler.zombies:
            leave_behind(scope, task, run.name, CANCEL)


def tell_to_cancel(scope: Any) -> None:
    """`cancel_scope` from any thread."""
    scope.is_cancelled = True
    if scope.scheduler is not None and not scope.scheduler.loop.is_closed():
        scope.scheduler.call(cancel_scope, scope)


def _cancelling(scheduler: Any, runs: Iterable[Any]) -> Iterator[None]:
    for run in runs:
        if run.scope.scheduler is scheduler:
            cancel(scheduler, run)
        else:
            run.cancel()
        yield
