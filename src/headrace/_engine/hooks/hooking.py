"""Hooks: functions of the user that are told of the states of a run.

The state is decided before they are called and nothing they do changes it. Whoever
waits for the run is woken after them.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._concurrency.outlasting import outlast
from headrace._engine import stopping
from headrace._engine.hooks.calls import (
    begin_hook,
    call_hook,
    call_stoppable,
    finish_hook,
    note_call,
)
from headrace._engine.hooks.threads import HookJob
from headrace._engine.outcomes import Outcome
from headrace._engine.scopes import context_of
from headrace._text import one_line
from headrace.exceptions import UpstreamTaskError
from headrace.futures.watching import settle, tell_loop
from headrace.hooks import Hook
from headrace.runs import Record
from headrace.states import State, StateType

__all__ = (
    "before_retry",
    "call_all",
    "call_here",
    "conclude",
    "conclude_in_task",
    "finish_without",
    "hooks_at_end",
    "outlast_hooks",
    "tell_in_task",
    "tell_in_thread",
)

_COMPLETED: Final = StateType.COMPLETED
_CANCELLED: Final = StateType.CANCELLED

log: Final = logging.getLogger("headrace.hooks")


def hooks_at_end(run: Any, outcome: Outcome) -> tuple[Hook, ...]:
    """What is to be called when a run ends so.

    Nothing for one that was held back, or was known from an earlier attempt of its flow.
    """
    phase, data = outcome
    hooks = run.spec.hooks
    is_held_back = phase is _CANCELLED and isinstance(data, UpstreamTaskError)
    is_known = phase is _COMPLETED and not run.attempts and not _is_cached(run)
    if hooks is None or is_held_back or is_known:
        return ()
    found: tuple[Hook, ...] = hooks.ends.get(phase, ())
    return found


def _is_cached(run: Any) -> bool:
    rare = run.rare
    return rare is not None and rare.result is not None and rare.result.is_cached


# -- submitted runs, on the loop of their scheduler ---------------------------------


def conclude(scheduler: Any, run: Any, phase: StateType, data: object) -> None:
    """End a run: decide its state, have its hooks called, and then finish it."""
    hooks = hooks_at_end(run, (phase, data))
    if not hooks:
        scheduler.finish(run, phase, data)
        return
    if run.is_settled:
        return
    state = _settled(scheduler, run, phase, data)
    _have_called(scheduler, run, hooks, state, scheduler.finish_settled)


async def conclude_in_task(run: Any, scheduler: Any, outcome: Outcome) -> None:
    """End an attempt in the asyncio task that it ran in, which calls the hooks too."""
    hooks = hooks_at_end(run, outcome)
    if not any(hook.is_async for hook in hooks):
        scheduler.attempt_ended(run, outcome)  # no task waits for those in threads
        return
    states: list[State[Any]] = []

    def keep(scheduler: Any, run: Any, phase: StateType, data: object) -> None:
        if not run.is_settled:
            states.append(_settled(scheduler, run, phase, data))

    scheduler.attempt_ended(run, outcome, conclude=keep)
    if states:
        on_stuck = functools.partial(finish_without, scheduler, run)
        await call_all(run, hooks, states[0], on_stuck)
        scheduler.finish_settled(run)


async def tell_in_task(run: Any, scheduler: Any) -> None:
    """Call the hooks of an attempt that begins, in its own asyncio task."""
    hooks, state = run.spec.hooks.running, run.last_state
    await call_all(run, hooks, state, lambda _: stopping.cancel(scheduler, run))


def before_retry(scheduler: Any, run: Any, then: Callable[[Any], object]) -> None:
    """Call the hooks of a run that waits for its next attempt."""
    _have_called(scheduler, run, run.spec.hooks.retry, run.last_state, then)


def _settled(scheduler: Any, run: Any, phase: StateType, data: object) -> State[Any]:
    state: State[Any] = run.settle(phase, data)
    run.scope.active.add(run)  # one that was withdrawn too: it has not ended yet
    if scheduler.announcer is not None:
        scheduler.announce(run)
    return state


def _have_called(
    scheduler: Any,
    run: Any,
    hooks: tuple[Hook, ...],
    state: State[Any],
    then: Callable[[Any], object],
) -> None:
    """Have hooks called, and then ``then(run)`` on the loop. Waits for nothing."""
    if not any(hook.is_async for hook in hooks):
        scheduler.hook_line.add(HookJob(run, hooks, state, None, then))
        return

    def on_stuck(task: asyncio.Task[Any]) -> None:
        _leave_hook_behind(run, task)
        then(run)

    async def call() -> None:
        await call_all(run, hooks, state, on_stuck)
        then(run)

    context_of(run).run(scheduler.spawn, call(), name=f"hooks of {run.name}")


def finish_without(scheduler: Any, run: Any, task: asyncio.Task[Any]) -> None:
    """Finish a run although a hook of its end does not."""
    _leave_hook_behind(run, task)
    scheduler.finish_settled(run)


def _leave_hook_behind(run: Any, task: asyncio.Task[Any]) -> None:
    stopping.leave_behind(run.scope, task, f"a hook of {run.name}", None)


async def call_all(
    run: Any,
    hooks: tuple[Hook, ...],
    state: State[Any],
    on_stuck: Callable[[asyncio.Task[Any]], object],
) -> None:
    """Call hooks one after the other: on this loop, and in worker threads."""
    plain: list[Hook] = []
    for hook in hooks:
        if not hook.is_async:
            plain.append(hook)  # for one change of threads
            continue
        if plain:
            await _in_threads(run, tuple(plain), state)
            plain.clear()
        begun = begin_hook(hook, run, state)
        if begun is not None:
            await finish_hook(hook, run, begun, on_stuck)
    if plain:
        await _in_threads(run, tuple(plain), state)


async def _in_threads(run: Any, hooks: tuple[Hook, ...], state: State[Any]) -> None:
    scheduler = run.scope.scheduler or run.scope.host.open()
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def then(_: object) -> None:
        tell_loop(loop, settle, over)

    job = HookJob(run, hooks, state, context_of(run), then)
    if scheduler.is_here():
        scheduler.hook_line.add(job)
    else:
        scheduler.call(scheduler.hook_line.add, job)
    await over


# -- runs in place -------------------------------------------------------------------


async def outlast_hooks(
    run: Record, hooks: tuple[Hook, ...], state: State[Any]
) -> asyncio.CancelledError | None:
    """Call hooks in a task of their own, however often the wait for them is cancelled.

    Returns:
        What cancelled the wait first; the caller must raise it.
    """
    if not hooks:
        return None
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def on_stuck(task: asyncio.Task[Any]) -> None:
        _leave_hook_behind(run, task)
        settle(over)

    async def call() -> None:
        await call_all(run, hooks, state, on_stuck)
        settle(over)

    # Held by the variable until it ends, or as a zombie.
    task = context_of(run).run(loop.create_task, call())
    interrupted = await outlast(
        lambda: asyncio.shield(over), is_over=over.done, when_cancelled=lambda: None
    )
    del task
    return interrupted


def call_here(
    run: Any,
    hooks: tuple[Hook, ...],
    state: State[Any],
    block_on: Callable[[Any], object],
) -> None:
    """Call hooks in this thread.

    Args:
        run: The run that they are told of.
        hooks: The hooks.
        state: The state that the run has entered.
        block_on: Waits for a coroutine on the loop of the run.
    """
    context = context_of(run)
    for hook in hooks:
        if hook.is_async:
            block_on(outlast_hooks(run, (hook,), state))
        else:
            note_call(hook, run)
            context.run(call_hook, hook, run, state)


def tell_in_thread(
    scheduler: Any, run: Any, face: ThreadFace, block_on: Callable[[Any], object]
) -> None:
    """Call the hooks of an attempt that begins, in the thread of the attempt."""
    state, context = run.last_state, context_of(run)
    for hook in run.spec.hooks.running:
        if hook.is_async:
            block_on(outlast_hooks(run, (hook,), state))
            continue
        limit = _LimitHere(scheduler, run, face, hook)
        scheduler.call(limit.start, None)
        note_call(hook, run)
        context.run(call_stoppable, face, hook, run, run.view(), state)
        scheduler.call(limit.end, None)


class _LimitHere:
    """Stops a hook that keeps a plain body from beginning; on the loop of its run.

    A hook that does not stop takes the run along: its thread is lost.
    """

    def __init__(self, scheduler: Any, run: Any, face: ThreadFace, hook: Hook) -> None:
        self._scheduler = scheduler
        self._run = run
        self._face = face
        self._hook = hook
        self._timer: asyncio.TimerHandle | None = None

    def start(self, _: object) -> None:
        """The hook is about to be called."""
        seconds = self._scheduler.host.settings.hook_timeout_seconds
        self._timer = self._scheduler.loop.call_later(seconds, self._pass)

    def end(self, _: object) -> None:
        """It has returned."""
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        settings, loop = self._scheduler.host.settings, self._scheduler.loop
        reason = f"took longer than {settings.hook_timeout_seconds} seconds"
        stopping.stop_thread(loop, self._face, self._hook, reason, interrupt=True)
        self._timer = loop.call_later(settings.abandon_after_seconds, self._give_up)

    def _give_up(self) -> None:
        name = one_line(self._run.name)
        log.error("the hook %s of %s does not stop", self._hook.name, name)
        stopping.cancel(self._scheduler, self._run)
