"""Run the body of a task or flow in place, or in a task of its own under a limit."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

from headrace._concurrency.bodies import block_until
from headrace._concurrency.outlasting import outlast
from headrace._engine import stopping
from headrace._engine.outcomes import CANCEL, LIMIT, ExitOfBody
from headrace.exceptions import BlockedLoop, CancelledRun

__all__ = ("block_on", "contained", "in_context", "under_limit")


@types.coroutine
def in_context(
    context: Context, coro: Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Await a coroutine in the present asyncio task, but in another context.

    What the body sets in context variables stays in there, as in a task of its own.
    """
    enter = context.run
    is_closed = False
    try:
        yielded = enter(coro.send, None)
        while True:
            try:
                sent = yield yielded
            except GeneratorExit:
                is_closed = True
                enter(coro.close)
                raise
            except BaseException as error:  # noqa: BLE001 - passed on to the body
                yielded = enter(coro.throw, error)
            else:
                yielded = enter(coro.send, sent)
    except StopIteration as end:
        return end.value
    except GeneratorExit as error:
        if is_closed:
            raise
        raise ExitOfBody(error) from None
    finally:
        del context, enter  # see `headrace._engine.doors.outcome_of`


async def under_limit(
    run: Any, scheduler: Any, context: Context, coro: Coroutine[Any, Any, Any]
) -> Any:
    """Await a body in a task of its own, and leave it behind if it does not listen.

    At the limit, or when this wait is cancelled, the body is cancelled and waited for
    as long as the grace allows; ``run.rare.stop`` tells which.

    Raises:
        BaseException: What the body raised.
        CancelledError: This wait was cancelled; or the body was left behind.
    """
    body = _Limited(run, scheduler, context, coro)
    over = body.over
    interrupted = await outlast(
        lambda: asyncio.shield(over),
        is_over=over.done,
        when_cancelled=functools.partial(body.stop, CANCEL),
    )
    outcome = body.outcome()
    if interrupted is not None or outcome is None:
        raise interrupted or asyncio.CancelledError
    value, error = outcome
    try:
        if isinstance(error, GeneratorExit):
            raise ExitOfBody(error)
        if error is not None:
            raise error
        return value
    finally:
        del (
            run,
            context,
            coro,
            body,
            outcome,
            error,
        )  # see `headrace._engine.doors.outcome_of`


class _Limited:
    """A body in an asyncio task of its own, and the timer that limits it.

    Attributes:
        over: Done when the body has ended, or is waited for no longer.
    """

    __slots__ = ("_coro", "_grace", "_loop", "_run", "_task", "over")

    def __init__(
        self, run: Any, scheduler: Any, context: Context, coro: Coroutine[Any, Any, Any]
    ) -> None:
        self._run = run
        self._coro = coro
        self._grace: float = scheduler.host.settings.cancel_grace_seconds
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        task = scheduler.new_task(contained(coro), name=run.name, context=context)
        self._task: asyncio.Task[tuple[Any, BaseException | None]] = task
        run.set_body(task)
        run.rarely().body = task
        limit = run.spec.timeout_seconds
        run.rarely().timer = self._loop.call_later(limit, self.stop, LIMIT)
        task.add_done_callback(self._end)

    def stop(self, why: str) -> None:
        """Cancel the body, and give it the grace period to clean up."""
        rare = self._run.rare
        rare.timer.cancel()
        rare.stop = rare.stop or why
        if rare.claim is not None:
            rare.claim.stop()
        inner = self._run.inner_scope()
        if inner is not None:
            stopping.cancel_scope(inner)
        self._task.cancel()
        rare.timer = self._loop.call_later(self._grace, self._end)

    def _end(self, _: object = None) -> None:
        if not self.over.done():
            self._run.rare.timer.cancel()  # it may be due in this very turn of the loop
            self.over.set_result(None)

    def outcome(self) -> tuple[Any, BaseException | None] | None:
        """What the body returned or raised; None if it was left behind."""
        run, task = self._run, self._task
        outcome = None
        if not task.done():
            run.rare.is_last = True
            stopping.leave_behind(run.scope, task, run.name, run.rare.stop)
        elif task.cancelled():
            self._coro.close()  # it never took its first step
        else:
            outcome = task.result()
            if outcome[1] is None:
                stopping.note_overrun(self._loop, run)
        run.rare.timer = run.rare.body = None
        return outcome


async def contained(
    coro: Coroutine[Any, Any, Any],
) -> tuple[Any, BaseException | None]:
    """What a coroutine returned, and what it raised. Raises nothing.

    A SystemExit or KeyboardInterrupt that leaves a task ends the whole loop.
    """
    try:
        return await coro, None
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return None, error


def block_on(
    scheduler: Any,
    coro: Coroutine[Any, Any, Any],
    context: Context,
    what: str,
    *,
    stoppable: bool = True,
) -> Any:
    """Run a coroutine on a scheduler's loop and block this thread for its value.

    If this thread is told to stop meanwhile, the coroutine is cancelled and waited
    for. It may have been told so already: what has to be done in every case is not
    ``stoppable``.

    Raises:
        BlockedLoop: The loop is the one of this very thread.
        BaseException: What the coroutine raised.
    """
    if scheduler.is_here():
        coro.close()
        instead = f"await {what.removesuffix('()')}.acall(...)"
        raise BlockedLoop(what, "it needs the event loop of this thread", instead)
    outcome: list[tuple[Any, BaseException | None]] = []
    tasks: list[asyncio.Task[Any]] = []

    def start(fire: Any) -> None:
        async def run() -> None:
            outcome.append(await contained(coro))

        task: asyncio.Task[None] = context.run(scheduler.spawn, run(), name=what)
        tasks.append(task)
        task.add_done_callback(lambda _: fire())

    try:
        block_until(
            lambda fire: scheduler.call(start, fire),
            stoppable=stoppable,
            look=scheduler.loop.is_closed,
        )
    except BaseException:
        scheduler.call(_cancel_all, tasks)
        block_until(lambda fire: _when_done(scheduler, tasks, fire), stoppable=False)
        raise
    value, error = outcome[0] if outcome else (None, asyncio.CancelledError())
    if isinstance(error, asyncio.CancelledError):
        # In plain code nobody asked this caller to end.
        raise CancelledRun(f"{what} was cancelled.") from error
    if error is not None:
        raise error
    return value


def _cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _when_done(scheduler: Any, tasks: list[asyncio.Task[Any]], fire: Any) -> None:
    def look(_: object) -> None:
        for task in tasks:
            task.add_done_callback(lambda _: fire())
        if not tasks:
            fire()

    scheduler.call(look, None)
