"""Runs that are called in place: in the caller's own thread, by hand.

On a thread whose event loop has work to do, a run that may have to wait is refused
before its body begins.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine
from random import random
from threading import get_ident
from time import time
from typing import Any, Final, cast

from headrace._concurrency.bodies import (
    block_until,
    call_body,
    is_plain_code,
    pause,
    this_face,
)
from headrace._concurrency.current import set_holder
from headrace._concurrency.deadlines import deadline_here
from headrace._concurrency.holding import HELD, lent_here
from headrace._concurrency.loops import running_loop
from headrace._engine.around import around_here
from headrace._engine.asking import ask_to_retry, refused
from headrace._engine.bodies import block_on
from headrace._engine.coroutine_runs import trimmed
from headrace._engine.deferred import prepare_retry
from headrace._engine.families import note_parent
from headrace._engine.hooks.hooking import call_here, hooks_at_end
from headrace._engine.in_place import announce, begin, end
from headrace._engine.inputs import Inputs
from headrace._engine.inputs_in_place import (
    Given,
    block_for_inputs,
    pending,
    sources_of,
    way_out,
)
from headrace._engine.keeping import kept, recall
from headrace._engine.limiting import (
    give_back,
    has_limits,
    refuse_at_once,
    take_here,
)
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.naming import name_here
from headrace._engine.outcomes import (
    Outcome,
    drained,
    may_retry,
    must_ask,
    noted,
    of_error,
    of_value,
    retry_delay,
)
from headrace._engine.results.planning import plan_of
from headrace._engine.results.steps import known_here
from headrace._engine.scopes import Scope, context_of
from headrace._engine.submitting import new_run
from headrace._engine.thread_runs import is_to_be_awaited
from headrace.callables import is_coroutine_callable
from headrace.context import TAGS
from headrace.exceptions import BlockedLoop, CancelledRun
from headrace.futures import TaskFuture
from headrace.futures.resolve import ATOMS
from headrace.hooks import Hook
from headrace.specs import TaskSpec
from headrace.states import State, StateType

__all__ = (
    "attempts_here",
    "block_on_for",
    "call_run",
    "tell_here",
    "tell_of_end_here",
)

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_CANCELLED: Final = StateType.CANCELLED


def call_run(  # noqa: C901 - hot
    scope: Scope,
    spec: TaskSpec,
    given: Given,
    take: Callable[[Any], Outcome | None] | None = None,
) -> TaskFuture[Any]:
    """Run a plain task in this thread; the run, ended. See `await_run`.

    Raises:
        BlockedLoop: It may have to wait, and this thread must run its loop.
        RunEnded: The scope of the present code has ended.
        LimitTooSmall: It could never begin.
        DeadlineExceeded: The deadline of the present code has passed.
    """
    if take is None and (spec.limit is not None or scope.host.limits is not None):
        return _call_under_limits(scope, spec, given)
    deadline = deadline_here()
    if deadline is not None:
        deadline.refuse(f"{spec.name}()")
    args, kwargs, wait_for = given
    sources = sources_of(scope, args, kwargs, wait_for)
    if _holds_loop(scope):
        _refuse_to_wait(scope, spec, sources, (*args, *kwargs.values()))
    run = new_run(scope, spec, args, kwargs)
    run.seen = True
    note_parent(run)
    run.handle = get_ident()
    face = this_face()
    outcome: Outcome | None = None
    try:
        scope.enter(run)
        if face is not None:
            face.inside.add(run)
        if scope.host.announcer is not None:
            announce(run)
        if sources is not None:
            outcome = block_for_inputs(run, sources, f"{spec.name}()")
        if outcome is None and spec.is_single and scope.is_bare and take is None:
            # As most are: all else that `_whole_here` does is not for them.
            begin(run)
            outcome = _attempt_here(run)
        outcome = outcome or _whole_here(run, take)
        if spec.hooks is not None:
            tell_of_end_here(run, outcome)
    except BaseException as error:
        outcome = of_error(run, error)
        if spec.hooks is not None and run in scope.direct and not run.is_settled:
            tell_of_end_here(run, outcome)
        raise
    finally:
        if face is None or face.claim(run):
            end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
    try:
        return run
    finally:
        # From 3.11 on the f_back of the body's frame leads here: see `outcome_of`.
        del run, outcome


def _whole_here(
    run: TaskFuture[Any], take: Callable[[Any], Outcome | None] | None
) -> Outcome:
    """All that happens to a run that has its inputs: its outcome."""
    outcome: Outcome | None = None
    try:
        if run.spec.is_bare and run.scope.is_bare:
            return attempts_here(run, _attempt_here, take=take)
        outcome = _prepared_here(run)
        outcome = outcome or attempts_here(run, _attempt_and_save_here, take=take)
        return kept(run, outcome)
    finally:
        del run, outcome  # see `call_run`


def _call_under_limits(scope: Scope, spec: TaskSpec, given: Given) -> TaskFuture[Any]:
    refuse_at_once(scope, spec, TAGS.get())
    held = HELD.get()
    if held is None:
        return call_run(scope, spec, given, take_here)
    # Its caller waits for it: it may need the very places that the caller has.
    with lent_here(held, block_until):
        return call_run(scope, spec, given, take_here)


def _holds_loop(scope: Scope) -> bool:
    """Whether waiting here would hold up an event loop that has work to do."""
    running = running_loop()
    if running is None:
        return False
    scheduler = scope.scheduler
    is_ours = scheduler is not None and scheduler.loop is running
    return is_ours or not is_plain_code()


def _refuse_to_wait(
    scope: Scope,
    spec: TaskSpec,
    sources: Inputs | None,
    inputs: tuple[Any, ...],
) -> None:
    """Raise BlockedLoop, naming why the run may have to wait."""
    reason = None
    if sources is not None and (late := pending(sources)):
        awaited = sources_of(None, inputs, {}, None)
        if awaited is not None and late[0] in pending(awaited):
            reason = f"its input {late[0].name!r} is not done"
        else:
            reason = f"the run {late[0].name!r} in its wait_for is not done"
    elif has_limits(scope, spec, TAGS.get()):
        reason = "it is under a limit, and may have to wait for its turn"
    elif spec.retry is not None and any(spec.retry.delays):
        delay = next(filter(None, spec.retry.delays))
        reason = f"it may wait for a retry (retry_delay_seconds={delay})"
    elif spec.retry is not None and is_coroutine_callable(
        cast("Any", spec.retry.condition)
    ):
        reason = "its retry_condition_fn is a coroutine function"
    elif spec.hooks is not None and spec.hooks.has_async:
        reason = "it has a hook that is a coroutine function"
    elif spec.run_name is not None and spec.run_name.is_async:
        reason = "its task_run_name is a coroutine function"
    elif spec.results is not None or scope.stores_results:
        reason = "its result is stored or cached"
    if reason is not None:
        what = f"{spec.name}()"
        raise BlockedLoop(what, reason, way_out(what))


def attempts_here(
    run: Any,
    attempt: Callable[[Any], Outcome],
    between: Callable[[], None] | None = None,
    take: Callable[[Any], Outcome | None] | None = None,
) -> Outcome:
    """`headrace._engine.direct.attempts` in this thread."""
    outcome: Outcome = _COMPLETED, None
    hooks = run.spec.hooks
    try:
        while True:
            if take is not None and (failed := take(run)) is not None:
                return failed
            begin(run)
            if hooks is not None:
                tell_here(run, hooks.running, run.last_state)
            outcome = _attempted(run, attempt)
            if outcome[0] is not _FAILED or not may_retry(run, _FAILED):
                return outcome
            if must_ask(run, outcome) and not _allows_here(run, outcome):
                return outcome
            now = time()
            delay = retry_delay(run, random, now)
            # A plain flow has its own loop, and blocks this thread whatever it waits for.
            if delay and not run.is_flow and _holds_loop(run.scope):
                return _FAILED, _blocked_by_retry(run, delay)
            prepare_retry(run, outcome[1], now, delay)
            announce(run)
            if hooks is not None:
                tell_here(run, hooks.retry, run.last_state)
                delay -= time() - now
            if delay > 0:
                pause(delay)
            if between is not None:
                between()
    finally:
        del run, attempt, between, take, outcome  # see `call_run`


def _attempted(run: Any, attempt: Callable[[Any], Outcome]) -> Outcome:
    outcome: Outcome | None = None
    try:
        outcome = attempt(run)
        if run.rare is not None and run.rare.claim is not None:
            give_back(run, outcome)
        return outcome
    finally:
        del run, attempt, outcome  # see `call_run`


def _prepared_here(run: TaskFuture[Any]) -> Outcome | None:
    """What is done once before the first attempt; the outcome of a run without one."""
    found = recall(run)
    if found is not None:
        return found
    block_on = functools.partial(block_on_for, run)
    try:
        name_here(run, block_on)
        plan = plan_of(run)
        return None if plan is None else known_here(run, plan, block_on)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        return _FAILED, error


def _attempt_and_save_here(run: TaskFuture[Any]) -> Outcome:
    outcome = _attempt_here(run)
    plan = plan_of(run)
    try:
        return outcome if plan is None else noted(run, plan.save(run, outcome))
    finally:
        del run, outcome  # see `call_run`


def _blocked_by_retry(run: TaskFuture[Any], delay: float) -> BlockedLoop:
    # Only a body that returns AwaitingRetry gets so far; delays are refused before.
    what = f"{run.spec.name}()"
    reason = f"its body asked to be run again in {delay:g} seconds"
    return BlockedLoop(what, reason, way_out(what))


def _attempt_here(run: TaskFuture[Any]) -> Outcome:
    spec = run.spec
    context = contextvars.copy_context()
    context.run(set_holder, run)
    if run.rare is not None and run.rare.claim is not None:
        context.run(HELD.set, run.rare.claim)
    try:
        if spec.is_bare and run.scope.is_bare:
            body, args, kwargs = spec.fn, run.args, run.kwargs
        else:
            body, args, kwargs = around_here, (run,), NO_KWARGS
        value = call_body(context, body, args, kwargs, interrupt=spec.interrupt)
        if type(value) in ATOMS:
            return _COMPLETED, value
        if inspect.isgenerator(value):  # its code is the rest of the body
            body, args = drained, (value,)
            value = call_body(context, body, args, NO_KWARGS, interrupt=spec.interrupt)
        if is_to_be_awaited(value):
            value = _awaited_value(run, value, context)
        return of_value(run, value)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return of_error(run, trimmed(error))
    finally:
        args, kwargs = (), NO_KWARGS
        del run, context  # see `call_run`


def _awaited_value(
    run: TaskFuture[Any], value: Any, context: contextvars.Context
) -> Any:
    """The value of something to await that a plain body returned (DEF-06)."""
    if _holds_loop(run.scope):
        if hasattr(value, "close"):
            value.close()
        what = f"{run.spec.name}()"
        raise BlockedLoop(what, "its body returned something to await", way_out(what))

    async def wait() -> Any:
        return await value

    return block_on(run.scope.opened(), wait(), context, run.name)


def tell_here(run: Any, hooks: tuple[Hook, ...], state: State[Any]) -> None:
    """Call hooks of a run that is called in this thread."""
    if hooks:
        call_here(run, hooks, state, functools.partial(block_on_for, run))


def tell_of_end_here(run: Any, outcome: Outcome) -> None:
    """Call the hooks of the end of a run in this thread, before it ends.

    Though the thread was told to stop: that may be why it ends.
    """
    hooks = hooks_at_end(run, outcome)
    if hooks:
        state = run.settle(*outcome)
        announce(run)
        block_on = functools.partial(block_on_for, run, stoppable=False)
        call_here(run, hooks, state, block_on)


def block_on_for(
    run: Any, coro: Coroutine[Any, Any, Any], *, stoppable: bool = True
) -> Any:
    """Block this thread for a coroutine that belongs to a run, on its loop."""
    # Not `opened`: hooks are told of the end of a flow run, whose scope has ended.
    scheduler = run.scope.scheduler or run.scope.host.open()
    return block_on(scheduler, coro, context_of(run), run.name, stoppable=stoppable)


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
