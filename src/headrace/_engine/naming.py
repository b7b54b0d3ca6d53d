"""Names that users give to runs: found once, when the inputs of a run are there."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from headrace._engine.scopes import context_of
from headrace.futures import Submission, TaskFuture
from headrace.futures.resolve import substitute
from headrace.run_names import RunName, checked_name
from headrace.states import StateType

__all__ = ("name_held_back", "name_here", "name_in_task")


async def name_in_task(run: Any) -> None:
    """Name a run, in the asyncio task of its attempt.

    Raises:
        Exception: What the user's function raised, or TypeError (RNAME-06).
    """
    how = _unused(run)
    if how is not None:
        found = context_of(run).run(how.name_from, run.parameters())
        if not isinstance(found, str):
            found = checked_name(how, await found)
        run.rarely().title = found


def name_here(run: Any, block_on: Callable[[Any], Any]) -> None:
    """Name a run, in this thread.

    Args:
        run: The run.
        block_on: Waits for a coroutine on the loop of the run.

    Raises:
        Exception: See `name_in_task`.
    """
    how = _unused(run)
    if how is not None:
        found = context_of(run).run(how.name_from, run.parameters())
        if not isinstance(found, str):
            found = checked_name(how, block_on(_awaited(found)))
        run.rarely().title = found


def name_held_back(run: Any) -> None:
    """Name a run that does not start, as far as its inputs allow (RNAME-08).

    The names of runs that did not complete stand for their values. A name that cannot be made so,
    or would have to be awaited, is not given.
    """
    how = _unused(run)
    if how is None or how.is_async:
        return
    try:
        parameters = {k: _shown(v) for k, v in run.parameters().items()}
        found = context_of(run).run(how.name_from, parameters)
    except Exception:  # noqa: BLE001 - a value that is missing may make it fail
        return
    if isinstance(found, str):
        run.rarely().title = found
    elif inspect.iscoroutine(found):
        found.close()


def _unused(run: Any) -> RunName | None:
    """How the run is to be named; None if it need not, or has been."""
    how: RunName | None = run.spec.run_name
    if how is None or (run.rare is not None and run.rare.title is not None):
        return None
    return how


def _shown(value: Any) -> Any:
    is_run = isinstance(value, TaskFuture | Submission)
    if is_run and value.get_state().type is not StateType.COMPLETED:
        return value.name
    try:
        found: Any = substitute(value)
    except Exception:  # noqa: BLE001 - it holds what did not complete
        return cast("Any", value)
    return found


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
