"""One attempt of a submitted run on the loop."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable
from time import time
from typing import Any, Final

from headrace._concurrency.current import set_holder
from headrace._engine import naming, stopping
from headrace._engine.around import around, around_place
from headrace._engine.asking import finish_asking
from headrace._engine.hooks import hooking
from headrace._engine.hooks.completing import complete_in_task, end_otherwise
from headrace._engine.inputs import put_inputs
from headrace._engine.keeping import kept, recall
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.outcomes import Outcome, must_ask, noted, of_error, of_value
from headrace._engine.results.planning import plan_of
from headrace._engine.results.steps import (
    PUT_ASIDE,
    has_looked,
    known_aside,
    put_aside,
    saved_in_task,
)
from headrace.futures import TaskFuture
from headrace.futures.resolve import ATOMS
from headrace.states import StateType

__all__ = (
    "finish_awaitable",
    "live",
    "plain_value",
    "trimmed",
)

_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED

# So many first steps are still due when more runs are started, up to the window: one
# run in place of each that began took a tenth longer.
_FEW_STARTING: Final = 16


class _Gate:
    """What is awaited here lets the loop turn once, without a frame of its own."""

    __await__ = staticmethod(functools.partial(iter, (None,)))


_GATE: Final[Any] = _Gate()


async def live(run: TaskFuture[Any], scheduler: Any) -> None:  # noqa: C901 - hot
    """An attempt from its first step to its outcome. Raises nothing."""
    try:
        await _GATE
    except BaseException as error:  # noqa: BLE001 - cancelled before its first step
        _never_started(run, scheduler, error)
        return
    scheduler.starting -= 1
    scheduler.submits_in_a_row = 0
    if scheduler.ready and scheduler.starting < _FEW_STARTING:
        scheduler.fill()
    set_holder(run)  # in this task's own context: nothing to reset
    spec = run.spec
    if run.upstreams is not None and not put_inputs(run, scheduler):
        return
    if not (spec.is_usual and run.scope.is_bare):
        await _live_fully(run, scheduler)
        return
    # In this order: other threads may look at any moment.
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if scheduler.announcer is not None:
        scheduler.announce(run)
    outcome: Outcome | None
    try:
        if spec.timeout_seconds is not None:
            stopping.set_limit((scheduler, run, time()))
        if run.kwargs is NO_KWARGS:  # ** of nothing makes a dict all the same
            value = await spec.call(*run.args)
        else:
            value = await spec.call(*run.args, **run.kwargs)
        if type(value) in ATOMS and run.rare is None:
            outcome = None  # it completed, and nobody has ended it before
        else:
            value = await plain_value(value)
            outcome = _outcome_of(run, scheduler, value)
            if outcome[0] is _COMPLETED and run.rare is None:
                value, outcome = outcome[1], None
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        value, outcome = None, of_error(run, trimmed(error))
    if outcome is not None:
        await end_otherwise(run, scheduler, outcome)
    elif spec.hooks is None or not spec.hooks.completion:
        scheduler.finish(run, _COMPLETED, value)
    else:
        rest = complete_in_task(run, scheduler, value)
        if rest is not None:
            await rest
    # On 3.12 and later an error reaches this frame through the body's, as its f_back.
    del run, outcome


async def _live_fully(run: TaskFuture[Any], scheduler: Any) -> None:
    """The rest of `live` for a run with more to it: a user's name, hooks, a runner.

    Apart, so that the runs of most tasks do not pay for it.
    """
    spec = run.spec
    plan = plan_of(run)
    has_more = spec.run_name is not None or run.scope.kept is not None
    if (has_more or plan is not None) and not await _is_prepared(run, scheduler, plan):
        return
    if run.rare is not None and run.rare.ticket is not None:
        run.rare.ticket.leave()
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if scheduler.announcer is not None:
        scheduler.announce(run)
    try:
        if spec.hooks is not None and spec.hooks.running:
            await hooking.tell_in_task(run, scheduler)
        if spec.timeout_seconds is not None:
            stopping.set_limit((scheduler, run, time()))
        value = await _body_of(run, scheduler)
        if type(value) not in ATOMS:
            value = await plain_value(value)
        outcome = _outcome_of(run, scheduler, value)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        outcome = of_error(run, trimmed(error))
    if plan is not None:
        outcome = await _saved(run, plan, outcome)
    kept(run, outcome)
    await end_otherwise(run, scheduler, outcome)
    del run, outcome  # see `live`


def _outcome_of(run: TaskFuture[Any], scheduler: Any, value: object) -> Outcome:
    if run.spec.timeout_seconds is not None:
        stopping.note_overrun(scheduler.loop, run)
    return of_value(run, value)


def _body_of(run: TaskFuture[Any], scheduler: Any) -> Awaitable[Any]:
    place = run.scope.place
    if place is None:
        return around(run)
    return around_place(run, scheduler, functools.partial(place.run, run, scheduler))


async def _is_prepared(run: TaskFuture[Any], scheduler: Any, plan: Any) -> bool:
    """Name a run, unless it is known already; False if it is not to be attempted now."""
    known = None if run.scope.kept is None else recall(run)
    try:
        if known is None:
            if run.spec.run_name is not None:
                await naming.name_in_task(run)
            is_new = run.rare is None or not has_looked(run)
            if plan is not None and is_new and not run.attempts:
                known = plan.at_once(run) or await known_aside(run, plan, scheduler)
        if known is PUT_ASIDE:
            put_aside(scheduler, run)
            return False
    except BaseException as error:  # noqa: BLE001 - the user's function may raise anything
        outcome = of_error(run, trimmed(error))
        scheduler.attempt_ended(run, outcome, may_go_on=False)
        return False
    if known is None:
        return True
    known = noted(run, known)
    if run.spec.hooks is None:
        scheduler.attempt_ended(run, known)
    else:
        await hooking.conclude_in_task(run, scheduler, known)
    return False


async def _saved(run: TaskFuture[Any], plan: Any, outcome: Outcome) -> Outcome:
    """Store and cache what an attempt gave, without limit; a cancel ends that too."""
    stopping.lift_limit(run)
    try:
        return await saved_in_task(run, plan, outcome)
    except BaseException as error:  # noqa: BLE001 - it was cancelled
        return of_error(run, trimmed(error))


def _never_started(run: TaskFuture[Any], scheduler: Any, error: BaseException) -> None:
    scheduler.starting -= 1
    # Without a trace: it would lead to the engine only, and so to the run.
    outcome = of_error(run, error.with_traceback(None))
    scheduler.attempt_ended(run, outcome, may_go_on=False)
    if scheduler.ready and not scheduler.loop.is_closed():
        scheduler.fill()


async def finish_awaitable(
    run: TaskFuture[Any], scheduler: Any, awaitable: Awaitable[Any]
) -> None:
    """The rest of an attempt whose plain body returned something to await (DEF-06)."""
    set_holder(run)  # in this task's own context: nothing to reset
    try:
        outcome = of_value(run, await awaitable)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        outcome = of_error(run, trimmed(error))
    plan = plan_of(run)
    if plan is not None:
        outcome = await _saved(run, plan, outcome)
    kept(run, outcome)
    if must_ask(run, outcome):
        await finish_asking(run, scheduler, outcome)
    else:
        scheduler.attempt_ended(run, outcome)
    del run, outcome


async def plain_value(value: Any) -> Any:
    """The value of a coroutine body: generators are drained to a list (GEN-01)."""
    if inspect.isgenerator(value):
        return list(value)
    if inspect.isasyncgen(value):
        return [item async for item in value]
    return value


def trimmed(error: BaseException) -> BaseException:
    """Drop the engine's own frame: it refers to the run, which refers to the error."""
    trace = error.__traceback__
    return error.with_traceback(trace.tb_next if trace is not None else None)
