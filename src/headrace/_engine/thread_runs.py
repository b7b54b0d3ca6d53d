"""One attempt of a submitted run in a worker thread."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from time import time
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._engine import stopping
from headrace._engine.coroutine_runs import (
    ask_to_retry,
    finish_awaitable,
    refused,
    trimmed,
)
from headrace._engine.inputs import substitute_inputs
from headrace._engine.outcomes import (
    Outcome,
    drained,
    may_retry,
    of_error,
    of_value,
)
from headrace._engine.resolve import ATOMS
from headrace.context import CURRENT
from headrace.exceptions import RunInterrupted
from headrace.futures import Submission, TaskFuture
from headrace.states import State, StateType

__all__ = ("ThreadCall", "is_to_be_awaited", "perform")

_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED

# The engine's own types that can be awaited but are values when a body returns them.
_VALUES: Final = (State, TaskFuture, Submission)


class ThreadCall:
    """A job of the engine's own: a call in a worker thread."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[ThreadFace], None]) -> None:
        self._call = call

    def __call__(self, face: ThreadFace) -> None:
        self._call(face)


class _ToAwait:
    """Stands for the outcome of a body that returned something to await."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Any) -> None:
        self.awaitable = awaitable


def perform(scheduler: Any, job: Any, face: ThreadFace) -> None:
    """Do one job of the pool, and hand its outcome to the loop. Raises nothing."""
    if type(job) is ThreadCall:
        job(face)
        return
    run: TaskFuture[Any] = job
    try:
        # Whoever removes it owns it: this thread, or a cancel on the loop.
        scheduler.dispatched.remove(run)
    except KeyError:
        return
    face.enter(run)
    may_go_on = True
    try:
        outcome, may_go_on = _attempt(scheduler, run, face)
    except BaseException as error:  # noqa: BLE001 - an interrupt between our bytecodes
        outcome = of_error(run, error)
    face.leave(run)
    try:
        scheduler.call(_hand_over, (scheduler, run, outcome, may_go_on))
    except RuntimeError:
        return  # the loop has closed: nobody is left to tell


def _hand_over(item: tuple[Any, TaskFuture[Any], Any, bool]) -> None:
    """On the loop: the attempt has ended in its thread."""
    scheduler, run, outcome, may_go_on = item
    if type(outcome) is not _ToAwait:
        scheduler.attempt_ended(run, outcome, may_go_on=may_go_on)
    elif run.done():
        close = getattr(outcome.awaitable, "close", None)
        if close is not None:
            close()
    else:
        coro = finish_awaitable(run, scheduler, outcome.awaitable)
        context = run.context.copy()
        run.handle = context.run(scheduler.spawn, coro, name=run.spec.name)


def _attempt(
    scheduler: Any, run: TaskFuture[Any], face: ThreadFace
) -> tuple[Any, bool]:
    """One attempt, in this thread: its outcome, and whether a retry is allowed."""
    run.handle = face
    # Looked at after the handle is set, as a cancel sets it before it looks at the
    # handle: one of the two sees the other.
    if run.rare is not None and run.rare.stop is not None:
        return of_error(run, RunInterrupted()), False
    if run.upstreams is not None:
        try:
            substitute_inputs(run)
        except Exception as error:  # noqa: BLE001 - users' containers may raise anything
            return (_FAILED, error), False
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if scheduler.announcer is not None:
        scheduler.call(scheduler.announce, run)
    if run.spec.timeout_seconds is not None:
        scheduler.call(stopping.set_limit, (scheduler, run))
    return run.context.copy().run(_in_context, run)


def _in_context(run: TaskFuture[Any]) -> tuple[Any, bool]:
    CURRENT.set(run)
    try:
        value = run.spec.fn(*run.args, **run.kwargs)
        if type(value) in ATOMS and run.rare is None:
            return (_COMPLETED, value), True
        value = drained(value)
        if is_to_be_awaited(value):
            return _ToAwait(value), True
        outcome = of_value(run, value)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        outcome = of_error(run, trimmed(error))
    return outcome, _is_allowed(run, outcome)


def is_to_be_awaited(value: object) -> bool:
    """Whether a plain body returned something that the engine is to await."""
    return inspect.isawaitable(value) and not isinstance(value, _VALUES)


def _is_allowed(run: TaskFuture[Any], outcome: Outcome) -> bool:
    """Whether the user's condition, if there is one, allows another attempt."""
    if not may_retry(run, outcome[0]) or run.spec.retry.condition is None:
        return True
    try:
        return bool(ask_to_retry(run, outcome))
    except Exception as error:  # noqa: BLE001 - the condition may raise anything
        refused(run, error)
        return False
