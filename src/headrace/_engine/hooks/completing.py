"""The end of a run that completed and has hooks: a part of the hot path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from sys import getrefcount
from time import time
from typing import Any, Final

from headrace._engine.asking import finish_asking
from headrace._engine.hooks.calls import finish_hook, report
from headrace._engine.hooks.hooking import call_all, conclude_in_task, finish_without
from headrace._engine.outcomes import Outcome, must_ask
from headrace.hooks import Hook
from headrace.runs import TaskRun
from headrace.states import FINAL, State, StateType
from headrace.states.record import OUR_REFERENCES

__all__ = ("complete_in_task", "end_otherwise", "finish_later")

_COMPLETED: Final = StateType.COMPLETED

# Made by hand, and the state not filled in: their constructors would take as long as
# two hooks that do nothing.
_new: Final[Callable[[Any], Any]] = object.__new__
_STATE: Final[Any] = State
_VIEW: Final[Any] = TaskRun


def complete_in_task(
    run: Any, scheduler: Any, value: object
) -> Coroutine[Any, Any, None] | None:
    """Complete a run in its own asyncio task, which calls its hooks too.

    Args:
        run: The run, which has such hooks and nothing rare; see
            `headrace.specs.TaskSpec.is_usual`.
        scheduler: Its scheduler.
        value: What it gives.

    Returns:
        What to await, if a hook waits for something, for one; else None.
    """
    spec = run.spec
    hooks, is_plain = spec.hooks.completion, spec.hooks.is_plain
    if scheduler.is_watched:
        return conclude_in_task(run, scheduler, (_COMPLETED, value))
    run.outcome = value
    run.ended = ended = time()
    run.settled = state = _new(_STATE)
    state._run = run  # noqa: SLF001
    if is_plain:
        scheduler.hook_line.add(run)
        return None
    # What the hooks of the run before were given, if none kept it. Not so the state:
    # hooks may set what they please there, and other threads may be reading it.
    owner, view, scheduler.view = spec.owner, scheduler.view or _new_view(), None
    view._run = run  # noqa: SLF001
    for hook in hooks:
        try:
            # By a loop, since `send` would raise StopIteration for each hook.
            rest = hook.fn(owner, view, state).__await__()
            for yielded in rest:
                return _complete_later(run, scheduler, hook, (rest, yielded))
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            report(hook, run, error)
    if getrefcount(state) == OUR_REFERENCES and run.log is None:
        run.settled = None  # made anew if need be: fewer objects for the collector
    else:
        state.fill_in()
    # One less than of the state, as nothing else of ours holds it.
    if getrefcount(view) == OUR_REFERENCES - 1:
        view._run = None  # noqa: SLF001
        scheduler.view = view
    scheduler.finish(run, _COMPLETED, value, ended)
    return None


def _new_view() -> Any:
    """A view to be given to hooks, of no run yet."""
    view = _new(_VIEW)
    view._is_brief = False  # noqa: SLF001
    return view


def finish_later(run: Any) -> None:
    """The rest of `complete_in_task`, when the hooks have been called in a thread."""
    if run.phase in FINAL:
        return  # lost with the loop that it was on
    state = run.settled
    if getrefcount(state) == OUR_REFERENCES and run.log is None:
        run.settled = None  # as above: a call would take longer than the hooks there
    else:
        state.fill_in()
    run.scope.scheduler.finish(run, _COMPLETED, run.outcome, run.ended)


async def _complete_later(
    run: Any, scheduler: Any, hook: Hook, begun: tuple[Any, Any]
) -> None:
    """The rest of `complete_in_task`, from a hook on that waits."""
    state: State[Any] = run.settled
    state.fill_in()
    hooks = run.spec.hooks.completion
    on_stuck = functools.partial(finish_without, scheduler, run)
    await finish_hook(hook, run, begun, on_stuck)
    await call_all(run, hooks[hooks.index(hook) + 1 :], state, on_stuck)
    scheduler.finish_settled(run)


def end_otherwise(
    run: Any, scheduler: Any, outcome: Outcome
) -> Coroutine[Any, Any, None]:
    """The same for any run, at more cost."""
    if must_ask(run, outcome):
        return finish_asking(run, scheduler, outcome)
    return conclude_in_task(run, scheduler, outcome)
