"""Where the bodies of a flow's runs go on: the runner of the flow, opened and left."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any, Final

from headrace._concurrency.outlasting import outlast
from headrace._concurrency.threads import Threads
from headrace.futures.watching import settle
from headrace.task_runners import Call, LocalTaskRunner, Runner, ThreadPoolTaskRunner

__all__ = ("Place", "leave", "pool_for", "settle_scope")

log: Final = logging.getLogger("headrace.engine")


def settle_scope(scope: Any, runner: Any) -> None:
    """Have the runs of a flow's scope go where the runner of the flow says."""
    if runner is None:
        return
    duplicate = getattr(runner, "duplicate", None)
    scope.runner = copy.copy(runner) if duplicate is None else duplicate()
    if not isinstance(runner, LocalTaskRunner):
        scope.place = Place(scope.runner)
        scope.is_bare = False
    elif runner.is_sequential:
        scope.is_sequential = True


class Place:
    """A runner that is opened before the first attempt, and left by `aclose`.

    In a task of its own, so that what it opens is left where it was opened: the cancel
    scopes of anyio insist on that.
    """

    __slots__ = ("_closing", "_opened", "_runner", "_task")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    async def run(self, run: Any, scheduler: Any) -> Any:
        """Have the runner make one attempt of a run.

        Raises:
            BaseException: What the body raised, or opening the runner.
        """
        opened = self._opened
        if opened is None:
            opened = self._opened = scheduler.loop.create_future()
            closing = self._closing = scheduler.loop.create_future()
            coro = self._keep_open(opened, closing)
            self._task = scheduler.spawn(coro, name=f"runner of {run.scope.name}")
        # Without owning it: who is cancelled here leaves the others their runner.
        await asyncio.shield(opened)
        spec = run.spec
        before = getattr(spec.fn, "headrace_before", None)
        if before is not None:
            before(run)  # a test may want the attempt to fail: not for others to know
        fn = spec.call if spec.is_async else spec.fn
        call = Call(run.name, fn, run.args, run.kwargs, spec.is_async)
        return await self._runner.run(call)

    async def _keep_open(
        self, opened: asyncio.Future[None], closing: asyncio.Future[None]
    ) -> None:
        try:
            async with self._runner.open():
                settle(opened)
                await closing
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # nobody may be left who waits for it

    def close_soon(self) -> None:
        """Have the runner left, if it was opened. Every run has ended; on the loop."""
        if self._closing is not None:
            settle(self._closing)

    async def aclose(self) -> asyncio.CancelledError | None:
        """Leave the runner, if it was opened; what that raises is logged.

        Returns:
            What cancelled this wait; the caller must raise it.
        """
        task = self._task
        if task is None:
            return None
        self.close_soon()
        interrupted = await outlast(
            lambda: asyncio.wait([task]), is_over=task.done, when_cancelled=lambda: None
        )
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("leaving %r failed", self._runner, exc_info=error)
        return interrupted


def pool_for(run: Any, scheduler: Any) -> Threads[Any]:
    """The worker threads for a plain run: those of its flow, or of its runtime."""
    scope = run.scope
    if scope.runner is None or not isinstance(scope.runner, ThreadPoolTaskRunner):
        workers: Threads[Any] = scheduler.pools.workers()
        return workers
    if scope.threads is None:
        scope.threads = scheduler.pools.new(scope.runner.max_workers)
    pool: Threads[Any] = scope.threads
    return pool


async def leave(scope: Any) -> asyncio.CancelledError | None:
    """Leave the runner of a flow all of whose runs have ended; see `Place.aclose`."""
    if scope.threads is not None:
        scope.threads.close_soon(lambda: None)
    if scope.place is None:
        return None
    place: Place = scope.place
    return await place.aclose()
