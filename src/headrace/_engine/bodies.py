"""Run the body of a task or flow in place, or in a task of its own under a limit."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

from headrace._concurrency.bodies import block_until
from headrace._engine import stopping
from headrace._engine.outcomes import LIMIT
from headrace.exceptions import BlockedLoop, CancelledRun

__all__ = ("block_on", "in_context", "under_limit")


@types.coroutine
def in_context(
    context: Context, coro: Coroutine[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Await a coroutine in the present asyncio task, but in another context.

    What the body sets in context variables stays in there, as in a task of its own.
    """
    enter = context.run
    try:
        yielded = enter(coro.send, None)
        while True:
            try:
                sent = yield yielded
            except GeneratorExit:
                enter(coro.close)
                raise
            except BaseException as error:  # noqa: BLE001 - passed on to the body
                yielded = enter(coro.throw, error)
            else:
                yielded = enter(coro.send, sent)
    except StopIteration as end:
        return end.value


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
    loop = asyncio.get_running_loop()
    task = scheduler.new_task(_contained(coro), name=run.name, context=context)
    run.set_body(task)
    over: asyncio.Future[None] = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    def stop(why: str) -> None:
        run.rarely().stop = run.rarely().stop or why
        inner = run.inner_scope()
        if inner is not None:
            stopping.cancel_scope(inner)
        task.cancel()
        run.rare.timer = loop.call_later(grace, end)

    grace = scheduler.host.settings.cancel_grace_seconds
    task.add_done_callback(end)
    run.rarely().timer = loop.call_later(run.spec.timeout_seconds, stop, LIMIT)
    interrupted = False
    while not over.done():
        try:
            await asyncio.shield(over)
        except asyncio.CancelledError:
            if not interrupted:
                run.rare.timer.cancel()
                stop(stopping.CANCEL)
            interrupted = True
    run.rare.timer.cancel()
    run.rare.timer = None
    if not task.done():
        run.rare.is_left_behind = True
        stopping.leave_behind(scheduler, task, run.name, run.rare.stop)
    if interrupted or not task.done():
        raise asyncio.CancelledError
    value, error = task.result()
    if error is not None:
        raise error
    return value


async def _contained(
    coro: Coroutine[Any, Any, Any],
) -> tuple[Any, BaseException | None]:
    # A SystemExit or KeyboardInterrupt that leaves a task ends the whole loop.
    try:
        return await coro, None
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        return None, error


def block_on(
    scheduler: Any, coro: Coroutine[Any, Any, Any], context: Context, what: str
) -> Any:
    """Run a coroutine on a scheduler's loop and block this thread for its value.

    If this thread is told to stop meanwhile, the coroutine is cancelled and waited
    for.

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
            outcome.append(await _contained(coro))

        task = context.run(scheduler.spawn, run(), name=what)
        tasks.append(task)
        task.add_done_callback(lambda _: fire())

    try:
        block_until(lambda fire: scheduler.call(start, fire))
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
