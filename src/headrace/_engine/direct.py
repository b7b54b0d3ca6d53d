"""Runs that are awaited in place: in the caller's own asyncio task, without a queue.

And the steps that they share with runs called in place (`called`) and with flow runs.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from random import random
from time import time
from typing import Any, Final

from headrace._concurrency.current import set_holder
from headrace._concurrency.deadlines import deadline_here
from headrace._concurrency.holding import HELD, while_lent
from headrace._engine.around import around
from headrace._engine.asking import ask_to_retry, refused
from headrace._engine.bodies import in_context, under_limit
from headrace._engine.coroutine_runs import plain_value, trimmed
from headrace._engine.deadlines import under_deadline
from headrace._engine.deferred import prepare_retry
from headrace._engine.families import note_parent
from headrace._engine.hooks.hooking import hooks_at_end, outlast_hooks
from headrace._engine.in_place import announce, begin, end
from headrace._engine.inputs_in_place import (
    Given,
    are_plain,
    await_inputs,
    scheduler_here,
)
from headrace._engine.keeping import kept, recall
from headrace._engine.limiting import (
    give_back,
    refuse_at_once,
    take_in_task,
)
from headrace._engine.naming import name_in_task
from headrace._engine.outcomes import (
    CANCEL,
    Outcome,
    may_retry,
    must_ask,
    of_error,
    of_value,
    retry_delay,
)
from headrace._engine.results.planning import plan_of
from headrace._engine.results.steps import known_in_task, saved_in_task
from headrace._engine.scopes import Scope
from headrace._engine.stopping import lift_limit
from headrace._engine.submitting import new_run
from headrace.context import TAGS
from headrace.exceptions import CancelledRun
from headrace.futures import TaskFuture
from headrace.futures.resolve import ATOMS
from headrace.hooks import Hook
from headrace.specs import TaskSpec
from headrace.states import StateType

__all__ = (
    "attempts",
    "await_run",
    "tell",
    "tell_of_end",
)

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_CANCELLED: Final = StateType.CANCELLED


# -- shared with called runs and flow runs -------------------------------------------


async def attempts(
    run: Any,
    attempt: Callable[[Any], Awaitable[Outcome]],
    between: Callable[[], None] | None = None,
    take: Callable[[Any], Awaitable[Outcome | None]] | None = None,
) -> Outcome:
    """Attempt a run in place until it may not be attempted again: its outcome.

    Args:
        run: A run of a task or flow.
        attempt: Makes one attempt.
        between: Called before each further one.
        take: Waits for the places of a run that is under limits, before each; it gives
            the outcome of one that cannot have any.
    """
    outcome: Outcome = _COMPLETED, None
    hooks = run.spec.hooks
    try:
        while True:
            if take is not None and (failed := await take(run)) is not None:
                return failed
            begin(run)
            if hooks is not None and hooks.running:
                await tell(run, hooks.running)
            outcome = await attempt(run)
            if run.rare is not None:
                lift_limit(run)
                if run.rare.claim is not None:
                    give_back(run, outcome)
            if outcome[0] is not _FAILED or not may_retry(run, _FAILED):
                return outcome
            if must_ask(run, outcome) and not await _condition_allows(run, outcome):
                return outcome
            now = time()
            delay = retry_delay(run, random, now)
            prepare_retry(run, outcome[1], now, delay)
            announce(run)
            if hooks is not None and hooks.retry:
                await tell(run, hooks.retry)
                delay = max(delay - (time() - now), 0.0)
            await asyncio.sleep(delay)
            if between is not None:
                between()
    finally:
        del run, attempt, between, take, outcome  # see `await_run`


async def tell(run: Any, hooks: tuple[Hook, ...]) -> None:
    """Call hooks of the state that a run in place is in."""
    interrupted = await outlast_hooks(run, hooks, run.last_state)
    if interrupted is not None:
        raise interrupted


async def tell_of_end(run: Any, outcome: Outcome) -> asyncio.CancelledError | None:
    """Call the hooks of the end of a run in place, before it ends.

    Returns:
        What cancelled the wait for them; the caller must raise it.
    """
    hooks = hooks_at_end(run, outcome)
    if not hooks:
        return None
    state = run.settle(*outcome)
    announce(run)
    return await outlast_hooks(run, hooks, state)


# -- awaited -------------------------------------------------------------------------


async def await_run(  # noqa: C901 - hot
    scope: Scope,
    spec: TaskSpec,
    given: Given,
    take: Callable[[Any], Awaitable[Outcome | None]] | None = None,
) -> TaskFuture[Any]:
    """Run a coroutine task in place; the run, ended.

    Raises:
        CancelledError: The caller was cancelled, and with it the run.
        RunEnded: The scope of the present code has ended.
        LimitTooSmall: It could never begin.
        DeadlineExceeded: The deadline of the present code has passed.
    """
    if take is None and (spec.limit is not None or scope.host.limits is not None):
        return await _await_under_limits(scope, spec, given)
    deadline = deadline_here()
    if deadline is not None:
        deadline.refuse(f"{spec.name}()")
    args, kwargs, wait_for = given
    run = new_run(scope, spec, args, kwargs)
    run.seen = True  # its caller is given the outcome, whatever it is
    note_parent(run)
    scope.enter(run)
    outcome: Outcome | None = None
    interrupted: asyncio.CancelledError | None = None
    try:
        try:
            run.handle = asyncio.current_task()
            if scope.host.announcer is not None:
                announce(run)
            if deadline is not None:
                whole = _whole(run, wait_for, take)
                here = scheduler_here(scope)
                outcome = await under_deadline(deadline, run, here, whole)
            elif spec.is_single and scope.is_bare and take is None:
                # As most are: all else that `_whole` does is not for them.
                if not are_plain(args, kwargs, wait_for):
                    outcome = await await_inputs(run, scope, wait_for)
                if outcome is None:
                    begin(run)
                    outcome = await _attempt(run)
            else:
                outcome = await _whole(run, wait_for, take)
        except asyncio.CancelledError as error:
            stop = run.rarely().stop
            run.rarely().stop = stop or CANCEL
            outcome = of_error(run, error)
            interrupted = error
        if spec.hooks is not None:
            later = await tell_of_end(run, outcome)
            # The first is the caller's own: the cancel scopes of anyio know theirs.
            interrupted = interrupted or later
        if interrupted is not None:
            raise interrupted
    finally:
        end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
    try:
        return run
    finally:
        # From 3.12 on the f_back of the body's frame leads here: see `outcome_of`.
        del run, outcome, interrupted


async def _whole(
    run: TaskFuture[Any],
    wait_for: Any,
    take: Callable[[Any], Awaitable[Outcome | None]] | None,
) -> Outcome:
    """All that happens to a run between its two ends: its outcome."""
    scope = run.scope
    try:
        outcome = await await_inputs(run, scope, wait_for)
        if outcome is not None:
            return outcome
        if run.spec.is_bare and scope.is_bare:
            return await attempts(run, _attempt, take=take)
        outcome = await _prepared(run)
        outcome = outcome or await attempts(run, _attempt_and_save, take=take)
        return kept(run, outcome)
    finally:
        outcome = None
        del run  # see `await_run`


async def _await_under_limits(
    scope: Scope, spec: TaskSpec, given: Given
) -> TaskFuture[Any]:
    refuse_at_once(scope, spec, TAGS.get())
    ended = await_run(scope, spec, given, take_in_task)
    held = HELD.get()
    # Its caller waits for it: it may need the very places that the caller has.
    return await (ended if held is None else while_lent(held, ended))


async def _prepared(run: TaskFuture[Any]) -> Outcome | None:
    """What is done once before the first attempt; the outcome of a run without one."""
    found = recall(run)
    if found is not None:
        return found
    try:
        await name_in_task(run)
        plan = plan_of(run)
        return None if plan is None else await known_in_task(run, plan)
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything
        return _FAILED, error


async def _attempt_and_save(run: TaskFuture[Any]) -> Outcome:
    outcome = await _attempt(run)
    plan = plan_of(run)
    try:
        return outcome if plan is None else await saved_in_task(run, plan, outcome)
    finally:
        del run, outcome  # see `await_run`


async def _attempt(run: TaskFuture[Any]) -> Outcome:
    """One attempt; raises CancelledError only if the caller was cancelled."""
    spec = run.spec
    context = contextvars.copy_context()
    context.run(set_holder, run)
    if run.rare is not None and run.rare.claim is not None:
        context.run(HELD.set, run.rare.claim)
    try:
        if spec.is_bare and run.scope.is_bare:
            coro = spec.call(*run.args, **run.kwargs)
        else:
            coro = around(run)
        if spec.timeout_seconds is None:
            value = await in_context(context, coro)
        else:
            scheduler = scheduler_here(run.scope)
            value = await under_limit(run, scheduler, context, coro)
        if type(value) in ATOMS and run.rare is None:
            return _COMPLETED, value
        return of_value(run, await in_context(context, plain_value(value)))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return of_error(run, error)
    except GeneratorExit:
        raise  # closed from outside
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return of_error(run, trimmed(error))
    finally:
        del run, context  # see `await_run`


async def _condition_allows(run: TaskFuture[Any], outcome: Outcome) -> bool:
    try:
        answer = ask_to_retry(run, outcome)
        return bool(await answer if hasattr(answer, "__await__") else answer)
    except Exception as error:  # noqa: BLE001 - the condition may raise anything
        refused(run, error)
        return False
