"""One hook, called: what it raises is logged, and how long it may take is limited."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace
from headrace._text import one_line
from headrace.hooks import Hook
from headrace.states import State, format_exception

__all__ = (
    "begin_hook",
    "call_hook",
    "call_stoppable",
    "finish_hook",
    "note_call",
    "reads_calls",
    "report",
)

log: Final = logging.getLogger("headrace.hooks")


def call_hook(hook: Hook, run: Any, state: State[Any]) -> None:
    """Call a plain hook. Raises nothing but KeyboardInterrupt."""
    try:
        found = hook.fn(run.spec.owner, run.view(), state)
        if found is not None:
            _refuse_awaitable(hook, run, found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)


def call_stoppable(
    face: ThreadFace, hook: Hook, run: Any, view: Any, state: State[Any]
) -> None:
    """Call a plain hook in a worker thread, where others may stop it. Raises nothing.

    In the context of the hooks of the run, with what they are given for the run.
    """
    # An interrupt may come between any two of our bytecodes, but only one ever comes:
    # see `thread_runs.perform`.
    try:
        face.enter(hook)
        try:
            found = hook.fn(run.spec.owner, view, state)
            if found is not None:
                _refuse_awaitable(hook, run, found)
        except BaseException as error:  # noqa: BLE001 - a hook may raise anything
            report(hook, run, error)
        face.leave(hook)
    except BaseException:  # noqa: BLE001 - see above
        face.leave(hook)


def _refuse_awaitable(hook: Hook, run: Any, found: object) -> None:
    if not inspect.isawaitable(found):
        return
    if inspect.iscoroutine(found):
        found.close()
    log.error(
        "the hook %s of %s returned something to await; decorate a coroutine function "
        "as the hook, so that it is awaited",
        hook.name,
        one_line(run.name),
    )


def begin_hook(hook: Hook, run: Any, state: State[Any]) -> tuple[Any, Any] | None:
    """Take the first step of a coroutine hook. Raises nothing.

    Returns:
        Its coroutine and what that waits for, for `finish_hook`; None if it is over, as
        most hooks are: for those no timer is set.
    """
    note_call(hook, run)
    try:
        coro = hook.fn(run.spec.owner, run.view(), state)
        return coro, coro.send(None)
    except StopIteration:
        return None
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)
        return None


async def finish_hook(
    hook: Hook,
    run: Any,
    begun: tuple[Any, Any],
    on_stuck: Callable[[asyncio.Task[Any]], object],
) -> None:
    """Wait for the end of a coroutine hook. Raises nothing of its own.

    Args:
        hook: The hook.
        run: The run that it is told of.
        begun: What `begin_hook` gave, in the same step of the present task.
        on_stuck: Called, with the present task, when the hook goes on although it was
            cancelled at its limit: nobody is to wait for it any more.

    Raises:
        CancelledError: The run itself was cancelled meanwhile.
    """
    settings = run.scope.host.settings
    limit, grace = settings.hook_timeout_seconds, settings.cancel_grace_seconds
    try:
        await _limited(*begun, limit, grace, on_stuck)
    except asyncio.CancelledError as error:
        if not run.is_settled and run.rare is not None and run.rare.stop is not None:
            raise
        report(hook, run, error)
    except GeneratorExit:
        raise  # closed from outside
    except BaseException as error:  # noqa: BLE001 - a hook may raise anything
        report(hook, run, error)


def reads_calls() -> bool:
    """Whether somebody reads the line that is logged for each call of a hook."""
    return log.isEnabledFor(logging.DEBUG)


def note_call(hook: Hook, run: Any) -> None:
    """Log that a hook is about to be called."""
    if reads_calls():
        log.debug("calling the hook %s of %s", hook.name, one_line(run.name))


def report(hook: Hook, run: Any, error: BaseException) -> None:
    """Log what a hook raised."""
    log.error(
        "the hook %s of %s failed: %s",
        hook.name,
        one_line(run.name),
        one_line(format_exception(error)),
        exc_info=error,
    )


@types.coroutine
def _limited(
    coro: Coroutine[Any, Any, Any],
    yielded: Any,
    limit: float,
    grace: float,
    on_stuck: Callable[[asyncio.Task[Any]], object],
) -> Generator[Any, Any, None]:
    """Await the rest of a coroutine in the present task, for so long at the most."""
    timer = _Limit(limit, grace, on_stuck)
    try:
        while True:
            try:
                sent = yield yielded
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as error:  # noqa: BLE001 - passed on to the hook
                yielded = coro.throw(error)
            else:
                yielded = coro.send(sent)
    except StopIteration:
        return
    except asyncio.CancelledError as error:
        if not timer.has_passed:
            raise
        raise TimeoutError(f"it took longer than {limit} seconds") from error
    finally:
        timer.end()


class _Limit:
    """Cancels the present task at a limit, and gives up on it after a grace."""

    def __init__(
        self,
        limit: float,
        grace: float,
        on_stuck: Callable[[asyncio.Task[Any]], object],
    ) -> None:
        self.has_passed = False
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._grace = grace
        self._on_stuck = on_stuck
        self._timer = self._loop.call_later(limit, self._pass)

    def _pass(self) -> None:
        self.has_passed = True
        if self._task is not None:
            self._task.cancel()
        self._timer = self._loop.call_later(self._grace, self._give_up)

    def _give_up(self) -> None:
        if self._task is not None:
            self._on_stuck(self._task)

    def end(self) -> None:
        self._timer.cancel()
        if self.has_passed and self._task is not None:
            self._task.uncancel()
