"""The ways in: called, awaited, submitted, each from every kind of code.

Outside of everything a call makes a scope for its own length, so that a task can be
used, and tested, like a function.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from threading import get_ident
from typing import Any, Generic, TypeAlias, TypeVar, cast

from headrace._concurrency.bodies import (
    ThreadFace,
    block_until,
    is_plain_code,
    shielded,
    this_face,
)
from headrace._engine.bodies import block_on
from headrace._engine.called import call_run
from headrace._engine.direct import await_run
from headrace._engine.flow_runs import FlowRun, await_flow, call_flow
from headrace._engine.host import Host, finish_scope, finish_scope_here
from headrace._engine.scopes import Scope
from headrace._engine.stopping import leave_thread_behind
from headrace._engine.submitting import submit_run
from headrace._engine.thread_runs import ThreadCall
from headrace._engine.verdict import log_unseen
from headrace.exceptions import BlockedLoop
from headrace.futures import TaskFuture
from headrace.runs import Record
from headrace.specs import FlowSpec, TaskSpec
from headrace.states import StateType

__all__ = (
    "Given",
    "acall_flow",
    "acall_task",
    "await_task",
    "blocks_here",
    "call_coroutine_flow",
    "call_coroutine_task",
    "call_plain_flow",
    "call_plain_task",
    "coroutine_of",
    "outcome_of",
)

T = TypeVar("T")

Given: TypeAlias = "tuple[tuple[Any, ...], Mapping[str, Any], Any]"


def blocks_here(holder: Any) -> bool:
    """Whether calling coroutine code here blocks for its value (FLOW-01)."""
    return holder is not None and holder.is_plain_body and is_plain_code()


def outcome_of(run: Record, *, return_state: bool, is_inline: bool = False) -> Any:
    """What a direct call gives: the final state, or the value or what was raised.

    Args:
        run: The run, ended.
        return_state: Whether the caller asked for the state.
        is_inline: Whether the body ran in the caller's own thread, in plain code: an
            exception that is no `Exception` is raised as it is then.
    """
    if not return_state and run.phase is StateType.COMPLETED:
        return run.outcome
    state = run.last_state
    if return_state:
        return state
    if is_inline and _is_base(state.data) and not state.is_completed():
        raise state.data
    return state.result()


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
    is_over = False
    try:
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
        yield scope
        is_over = True
    finally:
        interrupted = await finish_scope(scope, cancel=not is_over)
        log_unseen(scope, "")
        await host.aclose()
        if interrupted:
            raise asyncio.CancelledError


def _guarded(act: Callable[[], T]) -> T:
    """Do something shielded from interrupts, if this thread can get any."""
    if this_face() is None:
        return act()
    with shielded():
        return act()


# -- tasks -------------------------------------------------------------------------------


def call_plain_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a plain task in this thread; with a time limit, in a worker thread."""
    args, kwargs, wait_for = given

    def act() -> Record:
        if spec.timeout_seconds is not None:
            with _scope_here(holder) as scope:
                return _submit_and_block(scope, holder, spec, given)
        if holder is not None:
            return call_run(holder.scope, spec, args, kwargs, wait_for)
        with _scope_here(None) as scope:
            return call_run(scope, spec, args, kwargs, wait_for)

    return _guarded(act)  # type: ignore[no-any-return]


def call_coroutine_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a coroutine task on the loop and block this plain code for its end."""
    return _guarded(lambda: _submit_and_block(holder.scope, holder, spec, given))


def _submit_and_block(
    scope: Scope, holder: Any, spec: TaskSpec, given: Given
) -> TaskFuture[Any]:
    args, kwargs, wait_for = given
    on_loop = scope.scheduler is not None and scope.scheduler.thread_id == get_ident()
    if on_loop or not is_plain_code():
        limit = spec.timeout_seconds
        reason = (
            "it is a coroutine task and needs the event loop of this thread"
            if spec.is_async
            else f"it has a time limit (timeout_seconds={limit}) to be watched"
        )
        instead = f"await {spec.name}.acall(...)"
        raise BlockedLoop(f"{spec.name}()", reason, instead)
    owner = holder if holder is not None else scope
    run = submit_run(owner, spec, args, kwargs, wait_for)
    run.seen = True  # its caller is given the outcome, whatever it is
    try:
        block_until(lambda fire: run.watch(lambda _: fire()))
    except BaseException:
        # The caller has to stop, and takes the run along.
        run.cancel()
        block_until(lambda fire: run.watch(lambda _: fire()), stoppable=False)
        raise
    return run


async def await_task(holder: Any, spec: TaskSpec, given: Given) -> Record:
    """Run a coroutine task in place."""
    args, kwargs, wait_for = given
    if holder is not None:
        return await await_run(holder.scope, spec, args, kwargs, wait_for)
    async with _scope_on_loop(None) as scope:
        return await await_run(scope, spec, args, kwargs, wait_for)


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
    interrupted = False
    while not run.done():
        try:
            await run.astate()
        except asyncio.CancelledError:
            interrupted = True
            run.cancel()
    if interrupted:
        raise asyncio.CancelledError


# -- flows -------------------------------------------------------------------------------


def call_plain_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRun:
    """Run a plain flow in this thread."""
    args, kwargs, wait_for = given
    return _guarded(lambda: call_flow(spec, args, kwargs, holder, wait_for))


def call_coroutine_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRun:
    """Run a coroutine flow on the loop and block this plain code for its end."""
    args, kwargs, wait_for = given
    scope: Scope = holder.scope
    context = contextvars.copy_context()
    coro = await_flow(spec, args, kwargs, holder, wait_for)

    def act() -> FlowRun:
        run: FlowRun = block_on(scope.opened(), coro, context, f"{spec.name}()")
        return run

    return _guarded(act)


async def acall_flow(holder: Any, spec: FlowSpec, given: Given) -> FlowRun:
    """Run a flow of either kind without blocking the loop."""
    args, kwargs, wait_for = given
    if spec.is_async:
        return await await_flow(spec, args, kwargs, holder, wait_for)
    async with _scope_on_loop(holder) as scope:
        owner = holder if holder is not None else scope
        call = lambda: call_flow(spec, args, kwargs, owner, wait_for)  # noqa: E731
        return await _in_thread(scope.opened(), call, spec.name)  # type: ignore[no-any-return]


class _Body:
    """What a call in a worker thread is to whoever has to stop it."""

    __slots__ = ("face", "is_stopped", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.face: ThreadFace | None = None
        self.is_stopped = False


async def _in_thread(scheduler: Any, call: Callable[[], Any], name: str) -> Any:
    """Call in a worker thread of a scheduler; a cancellation is passed on to it."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    outcome: list[tuple[Any, BaseException | None]] = []
    context = contextvars.copy_context()
    body = _Body(name)

    def tell() -> None:
        if not over.done():
            over.set_result(None)

    def job(face: ThreadFace) -> None:
        face.enter(body)
        try:
            body.face = face
            if body.is_stopped:
                outcome.append((None, asyncio.CancelledError()))
            else:
                with shielded():
                    outcome.append((context.run(call), None))
        except BaseException as error:  # noqa: BLE001 - a body may raise anything
            outcome.append((None, error))
        face.leave(body)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell)

    thread_call = ThreadCall(job)
    scheduler.workers().put(thread_call)
    interrupted = False
    while not over.done():
        try:
            await asyncio.shield(over)
        except asyncio.CancelledError:
            if not interrupted:
                body.is_stopped = True
                if body.face is not None:
                    body.face.stop(body, "was cancelled", interrupt=True)
                grace = scheduler.host.settings.cancel_grace_seconds
                loop.call_later(grace, tell)
            interrupted = True
    if not outcome and body.face is not None:
        leave_thread_behind(scheduler, body.face, thread_call, name)
    if interrupted or not outcome:
        raise asyncio.CancelledError
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def coroutine_of(
    make: Callable[[], Coroutine[Any, Any, Record]], *, return_state: bool
) -> Coroutine[Any, Any, Any]:
    """The coroutine that a direct call gives in coroutine code."""

    async def call() -> Any:
        return outcome_of(await make(), return_state=return_state)

    return call()
