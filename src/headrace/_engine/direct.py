"""Runs that are awaited or called in place: no scheduler, no queue.

*Awaited* (``await coroutine_task(x)``): in the caller's own asyncio task. *Called*
(``plain_task(x)``): in the caller's own thread, by hand.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from random import random
from time import time
from typing import Any, Final, cast

from headrace._concurrency.bodies import (
    body_here,
    is_plain_code,
    pause,
    this_face,
    unshielded,
)
from headrace._engine.bodies import block_on, in_context, under_limit
from headrace._engine.coroutine_runs import ask_to_retry, refused, trimmed
from headrace._engine.inputs import substitute_inputs
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.outcomes import (
    Outcome,
    drained,
    may_retry,
    of_error,
    of_value,
    retry_delay,
)
from headrace._engine.resolve import ATOMS, Source, find
from headrace._engine.scheduler import Scheduler, not_ready, prepare_retry
from headrace._engine.scopes import Scope
from headrace._engine.stopping import end_family
from headrace._engine.submitting import materialised, new_run
from headrace._engine.thread_runs import is_to_be_awaited
from headrace.context import CURRENT
from headrace.exceptions import BlockedLoop, CancelledRun
from headrace.futures import TaskFuture
from headrace.futures.watching import await_ends, block_for_ends
from headrace.runs import Record
from headrace.specs import TaskSpec, is_coroutine_callable
from headrace.states import State, StateType

__all__ = (
    "announce",
    "await_inputs",
    "await_run",
    "begin",
    "block_for_inputs",
    "call_run",
    "end",
    "sources_of",
)

_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_CANCELLED: Final = StateType.CANCELLED
_CRASHED: Final = StateType.CRASHED


# -- shared with flow runs ---------------------------------------------------------


def announce(run: Record) -> None:
    """Tell the observers of a run's latest state; they hear it on their loop."""
    host = run.scope.host
    if host.announcer is None:
        return
    event = host.announcer.announce(run)
    scheduler = run.scope.scheduler or host.open()
    if scheduler.is_here():
        host.announcer.publish(event)
    elif not scheduler.loop.is_closed():
        scheduler.call(host.announcer.publish, event)


def begin(run: Record) -> None:
    """Enter Running."""
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if run.scope.host.announcer is not None:
        announce(run)


def end(run: Any, outcome: Outcome) -> None:
    """Enter the final state, and let go of all that the run needed."""
    run.outcome = outcome[1]
    run.ended = time()
    run.phase = outcome[0]
    if run.rare is not None:
        end_family(run, outcome[0])
    if run.scope.host.announcer is not None:
        announce(run)
    run.args = ()
    run.kwargs = NO_KWARGS
    run.context = run.handle = run.upstreams = None


def sources_of(
    args: Sequence[Any], kwargs: Mapping[str, Any], wait_for: Any
) -> tuple[list[Source], list[Source]] | None:
    """The futures and states among inputs, required and tolerated.

    None when the arguments are plain values, as most are.
    """
    if not kwargs and wait_for is None:
        for value in args:
            if type(value) not in ATOMS:
                break
        else:
            return None
    required: list[Source] = []
    tolerated: list[Source] = []
    for value in (*args, *kwargs.values()):
        if type(value) not in ATOMS:
            find(value, required, tolerated)
    if wait_for is not None:
        find(materialised(wait_for), required, tolerated)
    return required, tolerated


def _pending(sources: tuple[list[Source], list[Source]]) -> list[TaskFuture[Any]]:
    return [
        source
        for source in (*sources[0], *sources[1])
        if isinstance(source, TaskFuture) and not source.done()
    ]


async def await_inputs(
    run: Record, sources: tuple[list[Source], list[Source]] | None
) -> Outcome | None:
    """Wait for the upstreams of a run and put their values into its inputs.

    Returns:
        The outcome of a run that cannot start.
    """
    if sources is None:
        return None
    await await_ends(_pending(sources), None)
    return _put(run, sources)


def block_for_inputs(
    run: Record, sources: tuple[list[Source], list[Source]] | None, what: str
) -> Outcome | None:
    """`await_inputs` in plain code.

    Raises:
        BlockedLoop: An upstream needs the loop of this very thread.
    """
    if sources is None:
        return None
    block_for_ends(_pending(sources), None, what=what, instead=_way_out(what))
    return _put(run, sources)


def _put(run: Any, sources: tuple[list[Source], list[Source]]) -> Outcome | None:
    required, tolerated = sources
    for source in tolerated:
        if isinstance(source, TaskFuture):
            source.see()
    for source in required:
        kind = source.type if isinstance(source, State) else source.phase
        if kind is not _COMPLETED:
            return _CANCELLED, not_ready(run, source)
    try:
        substitute_inputs(run)
    except Exception as error:  # noqa: BLE001 - users' containers may raise anything
        return _FAILED, error
    return None


def _way_out(what: str) -> str:
    return f"await {what.removesuffix('()')}.acall(...)"


# -- awaited -------------------------------------------------------------------------


async def await_run(
    scope: Scope,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any = None,
) -> TaskFuture[Any]:
    """Run a coroutine task in place; the run, ended.

    Raises:
        CancelledError: The caller was cancelled, and with it the run.
        RunEnded: The scope of the present code has ended.
    """
    run = new_run(scope, spec, args, kwargs)
    run.seen = True  # its caller is given the outcome, whatever it is
    scope.enter(run)
    outcome: Outcome | None = None
    try:
        run.handle = asyncio.current_task()
        if scope.host.announcer is not None:
            announce(run)
        sources = sources_of(args, kwargs, wait_for)
        outcome = await await_inputs(run, sources)
        if outcome is None:
            outcome = await _attempts(run)
    except asyncio.CancelledError as error:
        stop = run.rarely().stop
        run.rarely().stop = stop or "cancel"
        outcome = of_error(run, error)
        raise
    finally:
        end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
        scope.leave(run)
    return run


async def _attempts(run: TaskFuture[Any]) -> Outcome:
    while True:
        begin(run)
        outcome = await _attempt(run)
        if outcome[0] is not _FAILED or not may_retry(run, _FAILED):
            return outcome
        if not await _condition_allows(run, outcome):
            return outcome
        now = time()
        delay = retry_delay(run, random, now)
        prepare_retry(run, outcome[1], now, delay)
        announce(run)
        await asyncio.sleep(delay)


async def _attempt(run: TaskFuture[Any]) -> Outcome:
    """One attempt; raises CancelledError only if the caller was cancelled."""
    spec = run.spec
    context = contextvars.copy_context()
    context.run(CURRENT.set, run)
    try:
        coro = spec.call(*run.args, **run.kwargs)
        if spec.timeout_seconds is None:
            value = await in_context(context, coro)
        else:
            scheduler = _scheduler_here(run.scope)
            value = await under_limit(run, scheduler, context, coro)
        if type(value) in ATOMS and run.rare is None:
            return _COMPLETED, value
        if is_to_be_awaited(value):
            value = await in_context(context, value)
        return of_value(run, drained(value))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return of_error(run, error)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return of_error(run, trimmed(error))


def _scheduler_here(scope: Scope) -> Scheduler:
    """A scheduler of the running loop, for its task factory and list of zombies."""
    if scope.scheduler is not None and scope.scheduler.is_here():
        found: Scheduler = scope.scheduler
        return found
    return scope.host.derived().open_here()


async def _condition_allows(run: TaskFuture[Any], outcome: Outcome) -> bool:
    if run.spec.retry.condition is None:
        return True
    try:
        answer = ask_to_retry(run, outcome)
        return bool(await answer if hasattr(answer, "__await__") else answer)
    except Exception as error:  # noqa: BLE001 - the condition may raise anything
        refused(run, error)
        return False


# -- called --------------------------------------------------------------------------


def call_run(
    scope: Scope,
    spec: TaskSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any = None,
) -> TaskFuture[Any]:
    """Run a plain task in this thread; the run, ended.

    Raises:
        BlockedLoop: It may have to wait, and this thread must run its loop.
        RunEnded: The scope of the present code has ended.
    """
    sources = sources_of(args, kwargs, wait_for)
    if _holds_loop(scope):
        _refuse_to_wait(spec, sources)
    run = new_run(scope, spec, args, kwargs)
    run.seen = True
    scope.enter(run)
    outcome: Outcome | None = None
    try:
        if scope.host.announcer is not None:
            announce(run)
        if sources is not None:
            outcome = block_for_inputs(run, sources, f"{spec.name}()")
        if outcome is None:
            outcome = _attempts_here(run)
    except BaseException as error:
        outcome = of_error(run, error)
        raise
    finally:
        end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
        scope.leave(run)
    return run


def _holds_loop(scope: Scope) -> bool:
    """Whether waiting here would hold up an event loop that has work to do."""
    if not is_plain_code():
        return True
    return scope.scheduler is not None and bool(scope.scheduler.is_here())


def _refuse_to_wait(
    spec: TaskSpec, sources: tuple[list[Source], list[Source]] | None
) -> None:
    """Raise BlockedLoop, naming why the run may have to wait."""
    reason = None
    if sources is not None and (pending := _pending(sources)):
        reason = f"its input {pending[0].name!r} is not done"
    elif spec.retry is not None and any(spec.retry.delays):
        reason = f"it may wait for a retry (retry_delay_seconds={spec.retry.delays[0]})"
    elif spec.retry is not None and is_coroutine_callable(
        cast("Any", spec.retry.condition)
    ):
        reason = "its retry_condition_fn is a coroutine function"
    if reason is not None:
        what = f"{spec.name}()"
        raise BlockedLoop(what, reason, _way_out(what))


def _attempts_here(run: TaskFuture[Any]) -> Outcome:
    while True:
        begin(run)
        outcome = _attempt_here(run)
        if outcome[0] is not _FAILED or not may_retry(run, _FAILED):
            return outcome
        if run.spec.retry.condition is not None and not _allows_here(run, outcome):
            return outcome
        now = time()
        delay = retry_delay(run, random, now)
        prepare_retry(run, outcome[1], now, delay)
        announce(run)
        if delay:
            pause(delay)


def _attempt_here(run: TaskFuture[Any]) -> Outcome:
    context = contextvars.copy_context()
    try:
        with body_here():
            if this_face() is None:
                value = context.run(_body_here, run)
            else:
                with unshielded():
                    value = context.run(_body_here, run)
        if type(value) in ATOMS:
            return _COMPLETED, value
        if is_to_be_awaited(value):
            value = _awaited_value(run, value, context)
        return of_value(run, value)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return of_error(run, trimmed(error))


def _body_here(run: TaskFuture[Any]) -> Any:
    CURRENT.set(run)
    return drained(run.spec.fn(*run.args, **run.kwargs))


def _awaited_value(
    run: TaskFuture[Any], value: Any, context: contextvars.Context
) -> Any:
    """The value of something to await that a plain body returned (DEF-06)."""
    if _holds_loop(run.scope):
        if hasattr(value, "close"):
            value.close()
        what = f"{run.spec.name}()"
        raise BlockedLoop(what, "its body returned something to await", _way_out(what))

    async def wait() -> Any:
        return await value

    return block_on(run.scope.opened(), wait(), context, run.name)


def _allows_here(run: TaskFuture[Any], outcome: Outcome) -> bool:
    context = contextvars.copy_context()
    try:
        answer = ask_to_retry(run, outcome)
        if hasattr(answer, "__await__"):
            answer = block_on(run.scope.opened(), answer, context, run.name)
        return bool(answer)
    except Exception as error:  # noqa: BLE001 - the condition may raise anything
        refused(run, error)
        return False
