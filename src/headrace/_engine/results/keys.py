"""The cache keys of runs: asked for once, outside of the context of the run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from contextvars import Context
from typing import Any, Final

from headrace._engine.bodies import in_context
from headrace._engine.scopes import context_of
from headrace._text import one_line, shown
from headrace.context import CURRENT, TaskRunContext
from headrace.hashing import KeyPolicy, explain, parts_to_text, stable_hash
from headrace.hashing.keys import task_input_hash
from headrace.runs import result_of
from headrace.states import format_exception

__all__ = ("Complaints", "KeyAsker")

log: Final = logging.getLogger("headrace.results")


class Complaints:
    """Logs what goes wrong with the results of a task: the first of it, as each run may."""

    __slots__ = ("_is_silent",)

    def __init__(self) -> None:
        self._is_silent = False

    def log(
        self,
        text: str,
        *values: object,
        level: int = logging.ERROR,
        error: BaseException | None = None,
    ) -> None:
        """Log it, unless something was logged before."""
        if not self._is_silent:
            self._is_silent = True
            log.log(level, text, *map(one_line, map(str, values)), exc_info=error)


class KeyAsker:
    """Asks the key function of a task.

    Args:
        key_of: The function.
        complaints: Are told of what it raises.
    """

    __slots__ = ("_complaints", "_is_ready_made", "_key_of")

    def __init__(self, key_of: Any, complaints: Complaints) -> None:
        self._key_of = key_of
        self._complaints = complaints
        # One of ours, which looks at no context: what is a third of the time of a hit.
        self._is_ready_made = key_of is task_input_hash or (
            isinstance(key_of, KeyPolicy) and not key_of.others
        )

    def ask(self, run: Any) -> Any:
        """Find the key of a run, into its ``rare.result``.

        Returns:
            What to await for what `take` or `refuse` are to be given; None if neither
            is.

        Raises:
            BaseException: What the function raised, if that is no ``Exception``.
        """
        try:
            if self._is_ready_made:
                found = self._key_of(_KeyContext(run), run.parameters())
            else:
                found = self._found(run)
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            self.refuse(run, error)
            return None
        if type(found) is str:
            run.rare.result.key = found or None
        elif inspect.isawaitable(found):
            return found
        else:
            self.take(run, found)
        return None

    def _found(self, run: Any) -> Any:
        parameters = run.parameters()
        # The run has not begun: its context is not there yet (CACHE-05).
        context = context_of(run)
        context.run(CURRENT.set, run.scope)
        asked = TaskRunContext(
            task=run.spec.owner,
            task_run=run.view(),
            parameters=parameters,
            log_prints=False,
            start_time=None,
        )
        found = context.run(self._key_of, asked, parameters)
        if inspect.isawaitable(found):
            return _awaited(context, found)
        return found

    def take(self, run: Any, found: object) -> None:
        """Take what the function gave."""
        if found is None or isinstance(found, str):
            run.rare.result.key = found or None
            return
        self._complaints.log(
            "%s: its cache_key_fn returned %s, which is neither a text nor None; it is "
            "not cached. Return a str",
            run.name,
            shown(found),
        )

    def refuse(self, run: Any, error: Exception) -> None:
        """Go on without a key, as the function raised."""
        self._complaints.log(
            "%s: its cache_key_fn raised %s; it is not cached",
            run.name,
            format_exception(error),
            error=error,
        )

    def note_parts(self, run: Any) -> None:
        """What the key of a run is made of, before its body may change its arguments."""
        result = result_of(run)
        if not isinstance(self._key_of, KeyPolicy) and not self._is_ready_made:
            name = getattr(
                self._key_of, "__qualname__", type(self._key_of).__qualname__
            )
            result.parts = f"{stable_hash(result.key or '')} key of {name}"
            return
        try:
            found = explain(self._key_of, _KeyContext(run), run.parameters())
            result.parts = parts_to_text(found)
        except Exception:  # noqa: BLE001 - users' objects may raise anything
            result.parts = ""


class _KeyContext:
    """The context of our own key functions, which look at no more than this."""

    __slots__ = ("_run", "task")

    def __init__(self, run: Any) -> None:
        self._run = run
        self.task = run.spec.owner

    @property
    def task_run(self) -> Any:
        """The run."""
        return self._run.view()


async def _awaited(
    context: Context, awaitable: Awaitable[Any]
) -> tuple[Any, BaseException | None]:
    """What is awaited in a context gives and raises, but for what who waits is told."""
    try:
        # Tells an end of this from outside from a GeneratorExit of the user's.
        return await in_context(context, _coroutine_of(awaitable)), None
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None, error
    except BaseException as error:  # noqa: BLE001 - users' code may raise anything
        return None, error


async def _coroutine_of(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
