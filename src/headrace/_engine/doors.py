"""The ways in: called, awaited, submitted, each from every kind of code.

Outside of everything a call makes a scope for its own length, so that a task can be
used, and tested, like a function.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from threading import get_ident
from typing import Any, Final, TypeAlias, TypeVar

from headrace._concurrency.bodies import (
    block_until,
    is_plain_code,
    shielded,
    this_face,
)
from headrace._concurrency.deadlines import deadline_here
from headrace._concurrency.lending import lent_while_awaited
from headrace._concurrency.loops import running_loop
from headrace._concurrency.outlasting import outlast
from headrace._engine.bodies import block_on
from headrace._engine.called import call_run
from headrace._engine.direct import await_run
from headrace._engine.flow_record import FlowRecord
from headrace._engine.flow_runs import await_flow, call_flow
from headrace._engine.host import Host
from headrace._engine.inputs_in_place import Given
from headrace._engine.scope_ends import drop_scope, finish_scope, finish_scope_here
from headrace._engine.scopes import Scope
from headrace._engine.submitting import submit_run
from headrace._engine.thread_calls import Body, in_thread
from headrace._engine.verdict import log_unseen
from headrace.circles import begin_wait, end_wait
from headrace.exceptions import BlockedLoop, RunInterrupted
from headrace.futures import TaskFuture
from headrace.runs import Record
from headrace.specs import FlowSpec, TaskSpec
from headrace.states import StateType, StoredData, in_hand

__all__ = (
    "Door",
    "acall_flow",
    "acall_task",
    "await_task",
    "awaited",
    "blocks_here",
    "call_coroutine_flow",
    "call_coroutine_task",
    "call_plain_flow",
    "call_plain_task",
    "outcome_of",
)

T = TypeVar("T")

# Takes what the present code belongs to, a spec, and what was given.
Door: TypeAlias = "Callable[[Any, Any, Given], Coroutine[Any, Any, Record]]"

_COMPLETED: Final = StateType.COMPLETED


def blocks_here(holder: Any) -> bool:
    """Whether calling coroutine code here blocks for its value (FLOW-01)."""
    return holder is not None and holder.is_plain_body and is_plain_code()


def outcome_of(run: Record, *, return_state: bool, is_inline: bool = False) -> Any:
    """What a direct call gives: the final state, or the value or what was raised.

    Args:
        run: The run, ended.
        return_state: Whether the caller asked for the state.
        is_inline: Whether its body is plain. If that ran in plain code, in the caller's
            own thread, an exception that is no `Exception` is raised as it is.
    """
    if not return_state and run.phase is _COMPLETED:
        # What is kept elsewhere is a rare thing.
        return run.outcome if run.rare is None else in_hand(run.outcome)
    state = run.last_state
    if return_state:
        return state
    try:
        if is_inline and _is_base(state.data) and is_plain_code() and _ran_here(run):
            raise state.data
        return state.result()
    finally:
        # The trace of an error holds this frame: let the frame not hold what leads to
        # the error. The same where this is called.
        del run, state


def _ran_here(run: Record) -> bool:
    # A task with a limit was run by a worker thread, or by a runner elsewhere.
    if not isinstance(run, TaskFuture):
        return True
    return run.spec.timeout_seconds is None and run.scope.place is None


def _is_base(data: object) -> bool:
    return isinstance(data, BaseException) and not isinstance(data, Exception)


# -- a scope for a call outside of everything ------------------------------------------


@contextmanager
def _scope_here(holder: Any) -> Generator[Scope]:
    if holder is not None:
        yield holder.scope
        return
    host = Host()
    scope = Scope(host, "task run")
    scope.blocks = running_loop()
    is_over = False
    try:
        if host.log_prints:
            scope.look_at_prints()
        yield scope
        is_over = True
    finally:
        try:
            finish_scope_here(scope, cancel=not is_over)
        finally:
            log_unseen(scope, "")
            host.close()


@asynccontextmanager
async def _scope_on_loop(holder: Any) -> AsyncGenerator[Scope]:
    if holder is not None:
        yield holder.scope
        return
    host = Host()
    host.open_here()
    scope = Scope(host, "task run")
    is_over = False
    try:
        if host.log_prints:
            scope.look_at_prints()
        yield scope
        is_over = True
    except GeneratorExit:
        drop_scope(scope)
        host.drop()
        raise
    finally:
        interrupted = None
        if not scope.has_ended:
            interrupted = await finish_scope(scope, cancel=not is_over)
            log_unseen(scope, "")
            await host.aclose()
        if interrupted is not None:
            raise interrupted


def _guarded(act: Callable[..., T], *args: Any) -> T:
    """Do something shielded from interrupts, if this thread can get any."""
    if this_face() is None:
        return act(*args)
    with shielded():
        return act(*args)


# -- tasks -------------------------------------------------------------------------------


def call_plain_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a plain task in this thread; elsewhere with a time limit or a runner."""
    scope = _scope_of(holder)
    is_placed = scope is not None and scope.place is not None
    is_bounded = deadline_here() is not None and _is_bounded_here(scope)
    if spec.timeout_seconds is not None or is_placed or is_bounded:
        return _guarded(_call_under_limit, holder, spec, given)
    del holder  # see `outcome_of`
    if scope is None:
        return _guarded(_call_alone, spec, given)
    return _guarded(call_run, scope, spec, given)


def _is_bounded_here(scope: Scope | None) -> bool:
    """Whether a deadline is to release this caller, as only a worker thread makes it.

    What holds up its loop cannot be stopped by that, and runs here all the same.
    """
    scheduler = None if scope is None else scope.scheduler
    is_elsewhere = scheduler is None or scheduler.thread_id != get_ident()
    return is_elsewhere and is_plain_code()


def _call_alone(spec: TaskSpec, given: Given) -> Record:
    with _scope_here(None) as scope:
        return call_run(scope, spec, given)


def _call_under_limit(holder: Any, spec: TaskSpec, given: Given) -> Record:
    with _scope_here(holder) as scope:
        return _submit_and_block(scope, holder, spec, given)


def call_coroutine_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a coroutine task on the loop and block this plain code for its end."""
    return _guarded(_submit_and_block, holder.scope, holder, spec, given)


def _submit_and_block(
    scope: Scope, holder: Any, spec: TaskSpec, given: Given
) -> TaskFuture[Any]:
    args, kwargs, wait_for = given
    on_loop = scope.scheduler is not None and scope.scheduler.thread_id == get_ident()
    if on_loop or not is_plain_code():
        limit = spec.timeout_seconds
        if spec.is_async:
            reason = "it is a coroutine task and needs the event loop of this thread"
        elif limit is not None:
            reason = f"it has a time limit (timeout_seconds={limit}) to be watched"
        else:
            reason = f"the task runner of its flow, {scope.runner!r}, runs it elsewhere"
        instead = f"await {spec.name}.acall(...)"
        raise BlockedLoop(f"{spec.name}()", reason, instead)
    owner = holder if holder is not None else scope
    run = submit_run(owner, spec, args, kwargs, wait_for)
    run.seen = True  # its caller is given the outcome, whatever it is
    waiting = None
    try:
        waiting = begin_wait((run,))
        block_until(lambda fire: run.watch(lambda _: fire()), look=run.lose)
    except RunInterrupted:
        # The caller has to stop, and takes the run along. It has not the time to wait
        # until that has cleaned up: its scope does.
        run.cancel()
        raise
    except BaseException:
        run.cancel()
        block_until(
            lambda fire: run.watch(lambda _: fire()), stoppable=False, look=run.lose
        )
        raise
    finally:
        end_wait(waiting)
    return run


def await_task(
    holder: Any, spec: TaskSpec, given: Given
) -> Coroutine[Any, Any, Record]:
    """Run a coroutine task in place."""
    if holder is None:
        return _await_alone(spec, given)
    return await_run(holder.scope, spec, given)


async def _await_alone(spec: TaskSpec, given: Given) -> Record:
    async with _scope_on_loop(None) as scope:
        return await await_run(scope, spec, given)


async def acall_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a task of either kind without blocking the loop."""
    if spec.is_async:
        return await await_task(holder, spec, given)
    args, kwargs, wait_for = given
    async with _scope_on_loop(holder) as scope:
        owner = holder if holder is not None else scope
        run = submit_run(owner, spec, args, kwargs, wait_for)
        run.seen = True
        await _end_of(run)
    return run


async def _end_of(run: TaskFuture[Any]) -> None:
    """Wait for a run and pass the caller's cancellation on to it."""
    interrupted = await outlast(run.astate, is_over=run.done, when_cancelled=run.cancel)
    if interrupted is not None:
        raise interrupted


# -- flows -------------------------------------------------------------------------------


def call_plain_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRecord:
    """Run a plain flow in this thread."""
    args, kwargs, wait_for = given
    parent = _scope_of(holder)
    del holder  # see `outcome_of`
    return _guarded(call_flow, spec, args, kwargs, parent, wait_for)


def _scope_of(holder: Any) -> Scope | None:
    return holder.scope if holder is not None else None


def call_coroutine_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRecord:
    """Run a coroutine flow on the loop and block this plain code for its end."""
    args, kwargs, wait_for = given
    scope: Scope = holder.scope
    context = contextvars.copy_context()

    def act() -> FlowRecord:
        scheduler = scope.opened()
        coro = await_flow(spec, args, kwargs, scope, wait_for)
        run: FlowRecord = block_on(scheduler, coro, context, f"{spec.name}()")
        return run

    return _guarded(act)


def acall_flow(
    holder: Any, spec: FlowSpec, given: Given
) -> Coroutine[Any, Any, FlowRecord]:
    """Run a flow of either kind without blocking the loop."""
    if not spec.is_async:
        return _acall_plain_flow(holder, spec, given)
    args, kwargs, wait_for = given
    return await_flow(spec, args, kwargs, _scope_of(holder), wait_for)


async def _acall_plain_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRecord:
    args, kwargs, wait_for = given
    async with _scope_on_loop(holder) as scope:
        body = Body(lambda: call_flow(spec, args, kwargs, scope, wait_for), spec.name)
        with lent_while_awaited():
            return await in_thread(scope, body)


async def awaited(
    door: Door, holder: Any, spec: Any, given: Given, *, return_state: bool
) -> Any:
    """What a direct call gives in coroutine code.

    Args:
        door: Makes the run, once this is awaited.
        holder: What the code that called belongs to.
        spec: The task or flow.
        given: What it was called with.
        return_state: See `outcome_of`.
    """
    run: Record | None = None
    try:
        run = await door(holder, spec, given)
        if return_state or run.phase is not _COMPLETED:
            return outcome_of(run, return_state=return_state)
        value = run.outcome
        if run.rare is None or not isinstance(value, StoredData):
            return value
        return await value.aload()
    finally:
        del holder, given, run  # see `outcome_of`
