"""A flow run: its body, then all that it submitted, then its verdict."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any, Final, cast

from headrace._concurrency.bodies import (
    block_until,
    call_body,
    stoppable_here,
    this_face,
)
from headrace._concurrency.current import set_holder
from headrace._concurrency.deadlines import deadline_here
from headrace._concurrency.holding import held_here, lent_here
from headrace._concurrency.loops import running_loop
from headrace._engine import run_logging
from headrace._engine.bodies import in_context, under_limit
from headrace._engine.called import (
    attempts_here,
    block_on_for,
    tell_of_end_here,
)
from headrace._engine.coroutine_runs import trimmed
from headrace._engine.deadlines import (
    limit_on,
    refuse_overdue,
    stopped_at_deadline,
    under_deadline,
)
from headrace._engine.direct import attempts, tell_of_end
from headrace._engine.flow_record import FlowRecord
from headrace._engine.host import Host, host_here, host_of
from headrace._engine.in_place import announce, end
from headrace._engine.inputs_in_place import await_inputs, block_for_inputs, sources_of
from headrace._engine.naming import name_here, name_in_task
from headrace._engine.outcomes import (
    CANCEL,
    Outcome,
    drained,
    is_overdue,
    noted,
    of_error,
)
from headrace._engine.places import leave
from headrace._engine.results.planning import plan_of
from headrace._engine.results.steps import saved_in_task
from headrace._engine.scope_ends import drop_scope, finish_scope, finish_scope_here
from headrace._engine.scopes import Scope
from headrace._engine.verdict import futures_in, verdict, verdict_in_turns
from headrace.exceptions import CancelledRun, RunInterrupted
from headrace.futures.resolve import ATOMS
from headrace.futures.watching import block_for_ends
from headrace.specs import FlowSpec
from headrace.states import StateType

__all__ = ("await_flow", "call_flow")

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_CANCELLED: Final = StateType.CANCELLED


def _validate(run: FlowRecord) -> None:
    """Check and convert the arguments, as the annotations of the flow say (FLOW-05).

    Raises:
        ParameterTypeError: Some do not fit.
    """
    validator = run.spec.validator
    if validator is not None and (run.args or run.kwargs):
        run.args, run.kwargs = validator(run.args, run.kwargs)


def _entered(run: FlowRecord) -> None:
    if run.parent is not None:
        run.parent.enter(run)
    if run.scope.log_prints:
        run.scope.look_at_prints()
    if run.scope.host.announcer is not None:
        announce(run)


# -- coroutine flows ---------------------------------------------------------------


async def await_flow(
    spec: FlowSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    parent: Scope | None,
    wait_for: Any = None,
    template: Host | None = None,
) -> FlowRecord:
    """Run a coroutine flow on the running loop, its body in the present task.

    Args:
        spec: The flow.
        args: Its arguments, which fit.
        kwargs: Its keyword arguments.
        parent: The scope that the present code belongs to, or None.
        wait_for: What else must have completed before it starts.
        template: Options for a host of its own when nothing else gives any.

    Raises:
        CancelledError: The caller was cancelled, and with it the flow run.
    """
    refuse_overdue(spec)
    host, is_own = host_here(parent, template)
    run = FlowRecord(spec, args, kwargs, host, parent)
    run.handle = asyncio.current_task()
    _entered(run)
    outcome: Outcome | None = None
    interrupted: asyncio.CancelledError | None = None
    is_closed = False
    try:
        try:
            deadline = deadline_here()
            whole = _whole(run, wait_for)
            if deadline is not None:
                here = run.scope.scheduler
                whole = under_deadline(deadline, run, here, whole, kind="Flow")
            outcome = await whole
        except asyncio.CancelledError as error:
            run.rarely().stop = run.rarely().stop or CANCEL
            outcome = of_error(run, error, kind="Flow")
            interrupted = error
        later = await _concluded(run, outcome)
        # The first is the caller's own: the cancel scopes of anyio know theirs.
        interrupted = interrupted or later
        if interrupted is not None:
            raise interrupted
    except GeneratorExit:
        is_closed = True
        if run.scope.place is not None:
            run.scope.place.close_soon()
        raise
    finally:
        run.scope.shut()
        end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
        if is_own and is_closed:
            host.drop()
        elif is_own:
            await host.aclose()
    try:
        return run
    finally:
        # From 3.12 on the f_back of the body's frame leads here: see `outcome_of`.
        del run, outcome, interrupted


async def _concluded(
    run: FlowRecord, outcome: Outcome
) -> asyncio.CancelledError | None:
    """Leave the runner and call the hooks; what cancelled the wait, if anything did."""
    interrupted = None
    if run.scope.runner is not None:
        interrupted = await leave(run.scope)
    if run.spec.hooks is not None:
        later = await tell_of_end(run, outcome)
        interrupted = interrupted or later
    return interrupted


async def _whole(run: FlowRecord, wait_for: Any) -> Outcome:
    """All that happens to a flow run between its two ends: its outcome."""
    outcome: Outcome | None = None
    try:
        outcome = await await_inputs(run, run.parent, wait_for)
        if outcome is not None:
            return outcome
        try:
            _validate(run)
            await name_in_task(run)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            return _FAILED, error
        run_logging.flow_began(run)
        outcome = await attempts(run, _limited, run.scope.reopen)
        plan = plan_of(run)
        return outcome if plan is None else await saved_in_task(run, plan, outcome)
    finally:
        del run, outcome  # see `await_flow`


async def _limited(run: FlowRecord) -> Outcome:
    context = copy_context()
    context.run(set_holder, run)
    try:
        if run.spec.timeout_seconds is None:
            run.scope.body = asyncio.current_task()
            return await _body_and_runs(run, context)
        whole = _body_and_runs(run, context)
        outer = copy_context()
        return cast(
            "Outcome", await under_limit(run, run.scope.scheduler, outer, whole)
        )
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if run.spec.timeout_seconds is None or (task is not None and task.cancelling()):
            raise
        return of_error(run, error, kind="Flow")
    finally:
        run.scope.calm_down()
        del run, context  # see `await_flow`


async def _body_and_runs(run: FlowRecord, context: Context) -> Outcome:
    scope: Scope = run.scope
    try:
        try:
            coro = run.spec.call(*run.args, **run.kwargs)
            value = drained(await in_context(context, coro))
        except GeneratorExit:  # closed from outside
            drop_scope(scope)
            raise
        except BaseException as error:
            is_ours = isinstance(error, asyncio.CancelledError)
            mine = is_ours and _is_being_cancelled(run)
            interrupted = await finish_scope(scope, cancel=True)
            if mine:
                raise
            if interrupted is not None:
                raise interrupted from error
            return of_error(run, trimmed(error), kind="Flow")
        interrupted = await finish_scope(scope, cancel=scope.is_cancelled)
        if interrupted is not None:
            raise interrupted
        try:
            return await verdict_in_turns(run, scope, value)
        except Exception as error:  # noqa: BLE001 - users' containers may raise anything
            return of_error(run, trimmed(error), kind="Flow")
    finally:
        del run, context  # see `await_flow`


def _is_being_cancelled(run: FlowRecord) -> bool:
    """Whether a cancellation comes from outside, and not from the body itself."""
    task = asyncio.current_task()
    stopped = run.rare is not None and run.rare.stop is not None
    return stopped or (task is not None and task.cancelling() > 0)


# -- plain flows -------------------------------------------------------------------


def call_flow(
    spec: FlowSpec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    parent: Scope | None,
    wait_for: Any = None,
    template: Host | None = None,
) -> FlowRecord:
    """Run a plain flow, its body in this thread; the run, ended. See `await_flow`.

    Raises:
        KeyboardInterrupt: As it was raised in the body or while waiting.
    """
    refuse_overdue(spec)
    # On the loop's own thread the runs need another loop: this one is blocked.
    shares = parent is not None and (
        parent.scheduler is None or parent.scheduler.thread_id != get_ident()
    )
    host = host_of(parent, template, shares=shares)
    run = FlowRecord(spec, args, kwargs, host, parent)
    run.handle = get_ident()
    run.scope.blocks = running_loop()
    mine = this_face()
    outcome: Outcome | None = None
    try:
        if mine is not None:
            mine.inside.add(run)
        _entered(run)
        try:
            outcome = _whole_here(run, wait_for)
        except RunInterrupted as error:
            # If it is a body around this that has to stop, it will be told again.
            outcome = of_error(run, error, kind="Flow")
        if run.scope.runner is not None:
            block_on_for(run, leave(run.scope), stoppable=False)
        if spec.hooks is not None:
            tell_of_end_here(run, outcome)
    except BaseException as error:
        outcome = of_error(run, error, kind="Flow")
        raise
    finally:
        run.scope.shut()
        if mine is None or mine.claim(run):
            end(run, outcome or (_CANCELLED, CancelledRun(run.name)))
        if not shares:
            host.close()
    held = held_here()
    if held is not None and run.phase is not _COMPLETED:
        # What stopped this flow may have made the body around it forgo its places.
        with lent_here(held, block_until):
            pass
    try:
        return run
    finally:
        # From 3.11 on the f_back of the body's frame leads here: see `outcome_of`.
        del run, outcome


def _whole_here(run: FlowRecord, wait_for: Any) -> Outcome:
    """All that happens to a flow run between its two ends: its outcome."""
    try:
        with stopped_at_deadline(run):
            sources = sources_of(run.parent, run.args, run.kwargs, wait_for)
            outcome = block_for_inputs(run, sources, f"{run.spec.name}()")
            return outcome or _attempts_here(run)
    except RunInterrupted as error:
        if not is_overdue(run):
            raise
        return of_error(run, error, kind="Flow")
    finally:
        outcome = None
        del run  # see `call_flow`


def _attempts_here(run: FlowRecord) -> Outcome:
    """Check the arguments, name the run, and run its body as often as need be."""
    try:
        _validate(run)
        name_here(run, functools.partial(block_on_for, run))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        return _FAILED, error
    run_logging.flow_began(run)
    outcome: Outcome | None = None
    try:
        outcome = attempts_here(run, _attempt_here, run.scope.reopen)
        plan = plan_of(run)
        return outcome if plan is None else noted(run, plan.save(run, outcome))
    finally:
        del run, outcome  # see `call_flow`


def _attempt_here(run: FlowRecord) -> Outcome:
    try:
        if run.spec.timeout_seconds is None:
            return _body_and_runs_here(run)
        with stoppable_here(run) as face, limit_on(run, face):
            return _body_and_runs_here(run)
    except RunInterrupted as error:
        # If it is a body around this that has to stop, it will be told again.
        return of_error(run, error, kind="Flow")
    finally:
        run.scope.calm_down()
        del run  # see `call_flow`


def _body_and_runs_here(run: FlowRecord) -> Outcome:
    scope: Scope = run.scope
    try:
        try:
            # Its context is in no variable: see `call_flow`.
            value = call_body(copy_context(), _body_here, (run,), {}, interrupt=True)
        except BaseException as error:  # noqa: BLE001 - a body may raise anything
            finish_scope_here(scope, cancel=True)
            return of_error(run, trimmed(error), kind="Flow")
        finish_scope_here(scope, cancel=scope.is_cancelled)
        if run.rare is not None and run.rare.stop is not None:
            return of_error(run, asyncio.CancelledError(), kind="Flow")
        try:
            return _judged_here(run, scope, value)
        except Exception as error:  # noqa: BLE001 - users' containers may raise anything
            return of_error(run, trimmed(error), kind="Flow")
    finally:
        del run  # see `call_flow`


def _judged_here(run: FlowRecord, scope: Scope, value: object) -> Outcome:
    if type(value) not in ATOMS:
        required, tolerated = futures_in(value)
        block_for_ends(
            [*required, *tolerated],
            None,
            what=f"{run.spec.name}()",
            instead=f"await {run.spec.name}.acall(...)",
        )
    return verdict(run, scope, value)


def _body_here(run: FlowRecord) -> Any:
    set_holder(run)
    try:
        return drained(run.spec.fn(*run.args, **run.kwargs))
    finally:
        del run  # see `call_flow`
