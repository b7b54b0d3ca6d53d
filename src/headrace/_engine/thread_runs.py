"""One attempt of a submitted run in a worker thread."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import time
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._concurrency.brakes import SMALL, weight_of
from headrace._concurrency.current import set_holder
from headrace._engine import naming, stopping
from headrace._engine.around import around_here
from headrace._engine.asking import ask_to_retry, finish_asking, refused
from headrace._engine.bodies import block_on
from headrace._engine.coroutine_runs import finish_awaitable, trimmed
from headrace._engine.hooks import hooking
from headrace._engine.inputs import substitute_inputs
from headrace._engine.keeping import kept, recall
from headrace._engine.outcomes import (
    Outcome,
    drained,
    must_ask,
    noted,
    of_error,
    of_value,
)
from headrace._engine.results.planning import plan_of
from headrace._engine.results.steps import PUT_ASIDE, known_here, put_aside
from headrace._engine.scopes import context_of
from headrace._engine.thread_calls import ThreadCall
from headrace.exceptions import RunInterrupted
from headrace.futures import Submission, TaskFuture
from headrace.futures.admission import Ticket
from headrace.futures.resolve import ATOMS
from headrace.states import State, StateType

__all__ = ("is_to_be_awaited", "perform")

_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
# Compared with instead of isinstance(): it is exactly this, and no `Told`.
_TUPLE: Final[Any] = tuple

# The outcome of an attempt that was given up, in an abandoned thread: nobody looks.
_LATE: Final[Outcome] = (StateType.CANCELLED, None)

# The engine's own types that can be awaited but are values when a body returns them.
_VALUES: Final = (State, TaskFuture, Submission)


class _ToAwait:
    """Stands for the outcome of an attempt that goes on with something to await.

    That is what the body returned, or, of a body that failed with ``outcome``, what the
    user's condition returned.
    """

    __slots__ = ("awaitable", "outcome")

    def __init__(self, awaitable: Any, outcome: Outcome | None = None) -> None:
        self.awaitable = awaitable
        self.outcome = outcome


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
    spec = run.spec
    is_bare, may_go_on = spec.is_bare and run.scope.is_bare, True
    # An interrupt may come between any two of our bytecodes, but only one ever comes.
    try:
        try:
            is_usual = is_bare and spec.is_single and scheduler.announcer is None
            # Before what is rare is looked at; see `_attempt`.
            run.handle = face
            if is_usual and run.upstreams is None and run.rare is None:
                # `_attempt` of most runs, without a call.
                run.attempts += 1
                run.started, run.phase = time(), _RUNNING
                outcome = run.context.copy().run(_in_context, run, face, is_bare)
            else:
                outcome, may_go_on = _attempt(scheduler, run, face, is_bare=is_bare)
        except BaseException as error:  # noqa: BLE001 - see above
            outcome = of_error(run, error, apart=True)
        face.leave(run)
    except BaseException as error:  # noqa: BLE001 - see above
        face.leave(run)
        outcome = of_error(run, error, apart=True)
    if not (is_bare and spec.retry is None):
        outcome, may_go_on = _followed_up(run, face, outcome, is_bare, may_go_on)
    gave: Any = outcome
    phase, data = gave if type(gave) is _TUPLE else (None, None)
    call: Any = _hand_over_value
    item: Any = run, face, data
    if phase is not _COMPLETED:
        call, item = _hand_over, (scheduler, run, face, outcome, may_go_on)
    if type(data) not in SMALL:
        call, item = _weighed(scheduler, data, call, item)
    try:
        scheduler.call(call, item)
    except RuntimeError:
        return  # the loop has closed: nobody is left to tell
    finally:
        # An error leads here, by the f_back of the body's frame in its trace. So no
        # frame on the way may lead to the run, which leads to the error.
        del job, run, outcome, item, gave, data


def _saved(
    run: TaskFuture[Any], face: ThreadFace, outcome: Outcome | _ToAwait
) -> Outcome | _ToAwait:
    """Store and cache what an attempt gave, and keep it for its flow, in this thread."""
    # An attempt that was given up leaves no trace.
    if isinstance(outcome, _ToAwait) or run.handle is not face or not run.attempts:
        return outcome
    plan = plan_of(run)
    if plan is not None:
        if run.spec.timeout_seconds is not None:
            run.scope.scheduler.call(stopping.lift_limit, run)
        saved: Outcome = plan.save(run, outcome)
        return kept(run, saved)
    return kept(run, outcome)


def _hand_over_value(item: tuple[TaskFuture[Any], ThreadFace, Any]) -> None:
    """On the loop: the attempt has given a value. Small, as many may be on their way."""
    run, face, value = item
    if run.handle is not face:
        return  # the attempt was given up
    scheduler = run.scope.scheduler
    if run.rare is None and run.spec.hooks is None:
        scheduler.finish(run, _COMPLETED, value)
    else:
        scheduler.attempt_ended(run, (_COMPLETED, value))


def _hand_over(item: tuple[Any, TaskFuture[Any], ThreadFace, Any, bool]) -> None:
    """On the loop: the attempt has ended in its thread."""
    scheduler, run, face, outcome, may_go_on = item
    is_late = run.handle is not face  # the attempt was given up, and may be retried
    if outcome is PUT_ASIDE:
        put_aside(scheduler, run)
    elif type(outcome) is not _ToAwait:
        if not is_late:
            scheduler.attempt_ended(run, noted(run, outcome), may_go_on=may_go_on)
    elif is_late:
        close = getattr(outcome.awaitable, "close", None)
        if close is not None:
            close()
    else:
        awaitable, failure = outcome.awaitable, outcome.outcome
        if failure is None:
            coro = finish_awaitable(run, scheduler, awaitable)
        else:
            coro = finish_asking(run, scheduler, noted(run, failure), awaitable)
        context = run.context.copy()
        run.handle = context.run(scheduler.spawn, coro, name=run.spec.name)


def _weighed(
    scheduler: Any, data: Any, call: Callable[[Any], None], item: Any
) -> tuple[Callable[[Any], None], Any]:
    """What to call on the loop, and with what, where the data may be large."""
    weight = weight_of(data)
    if not weight:
        return call, item
    scheduler.pools.brake.note(weight)
    return _hand_over_large, (scheduler, weight, call, item)


def _hand_over_large(weighed: tuple[Any, int, Callable[[Any], None], Any]) -> None:
    scheduler, weight, call, item = weighed
    try:
        call(item)
    finally:
        # Else each error here would let threads run ahead by one value less, for good.
        scheduler.pools.brake.release(weight)


def _attempt(
    scheduler: Any, run: TaskFuture[Any], face: ThreadFace, *, is_bare: bool
) -> tuple[Any, bool]:
    """One attempt, in this thread: its outcome, and whether a retry is allowed."""
    # Looked at after the handle was set, as a cancel sets it before it looks at the
    # handle: one of the two sees the other.
    if run.rare is not None and run.rare.stop is not None:
        return of_error(run, RunInterrupted(), apart=True), False
    if run.upstreams is not None or not is_bare:
        early = _prepared(scheduler, run, is_bare=is_bare)
        if early is not None:
            return early, False
    if run.rare is not None and run.rare.ticket is not None:
        scheduler.call(Ticket.leave, run.rare.ticket)
    run.started = time()
    run.attempts += 1
    run.phase = _RUNNING
    if scheduler.announcer is not None:
        scheduler.announcer.note(run)
        scheduler.call(scheduler.announcer.tell, run)
    if run.spec.hooks is not None and run.spec.hooks.running:
        wait = functools.partial(_block_on, scheduler, run)
        hooking.tell_in_thread(scheduler, run, face, wait)
    if run.spec.timeout_seconds is not None:
        scheduler.call(stopping.set_limit, (scheduler, run, time()))
    try:
        return run.context.copy().run(_in_context, run, face, is_bare), True
    finally:
        del run  # see `perform`


def _prepared(scheduler: Any, run: TaskFuture[Any], *, is_bare: bool) -> Outcome | None:
    """What comes before the first attempt; the outcome of a run that has none."""
    try:
        if run.upstreams is not None:
            substitute_inputs(run)
        if is_bare:
            return None
        known = recall(run)
        if known is None:
            block_on = functools.partial(_block_on, scheduler, run)
            naming.name_here(run, block_on)
            plan = None if run.attempts else plan_of(run)
            if plan is not None:
                known = known_here(run, plan, block_on, scheduler)
    except Exception as error:  # noqa: BLE001 - users' code may raise anything
        return _FAILED, error
    return known


def _block_on(scheduler: Any, run: TaskFuture[Any], coro: Any) -> Any:
    return block_on(scheduler, coro, context_of(run), run.name)


def _in_context(
    run: TaskFuture[Any],
    face: ThreadFace,
    is_bare: bool,
) -> Outcome | _ToAwait:
    set_holder(run)
    try:
        if is_bare:
            value = run.spec.fn(*run.args, **run.kwargs)
            if type(value) in ATOMS and run.rare is None:
                return _COMPLETED, value
        else:
            value = around_here(run)
        value = drained(value)
        if is_to_be_awaited(value):
            return _ToAwait(value)
        # An attempt that was given up leaves no trace in the record. What is told of this
        # one is noted on the loop, which may give it up between any two lines here.
        if run.handle is not face:
            return _LATE
        return of_value(run, value, apart=True)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        if run.handle is not face:
            return _LATE
        return of_error(run, trimmed(error), apart=True)
    finally:
        del run  # see `perform`


def is_to_be_awaited(value: object) -> bool:
    """Whether a plain body returned something that the engine is to await."""
    return inspect.isawaitable(value) and not isinstance(value, _VALUES)


def _followed_up(
    run: TaskFuture[Any],
    face: ThreadFace,
    outcome: Outcome | _ToAwait,
    is_bare: bool,
    may_go_on: bool,
) -> tuple[Outcome | _ToAwait, bool]:
    """Save the outcome of a body, and ask whether it is to be tried again."""
    if not is_bare:
        outcome = _saved(run, face, outcome)
    if run.spec.retry is None or isinstance(outcome, _ToAwait):
        return outcome, may_go_on
    if not must_ask(run, outcome):
        return outcome, may_go_on
    context = run.context
    if context is None or run.handle is not face:
        return _LATE, False
    try:
        run.scope.scheduler.call(stopping.lift_limit, run)
        answer = context.copy().run(_ask, run, outcome)
        if inspect.isawaitable(answer):
            return _ToAwait(answer, outcome), True
        return outcome, bool(answer)
    except Exception as error:  # noqa: BLE001 - the condition may raise anything
        refused(run, error)
        return outcome, False
    except BaseException as error:  # noqa: BLE001 - so may it
        return of_error(run, error, apart=True), False


def _ask(run: TaskFuture[Any], outcome: Outcome) -> Any:
    set_holder(run)
    return ask_to_retry(run, outcome)
