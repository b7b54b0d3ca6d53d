"""Calls of the engine's own in worker threads, beside the attempts of runs."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from headrace._concurrency.bodies import ThreadFace, stoppable_here
from headrace._concurrency.outlasting import outlast
from headrace._engine.scopes import Scope
from headrace._engine.stopping import leave_thread_behind, stop_thread
from headrace.futures.watching import tell_loop

__all__ = ("Body", "ThreadCall", "in_pool", "in_thread")

T = TypeVar("T")


class ThreadCall:
    """A job of the engine's own: a call in a worker thread."""

    __slots__ = ("_call", "name")

    def __init__(self, call: Callable[[ThreadFace], None], name: str) -> None:
        self._call = call
        self.name = name

    def __call__(self, face: ThreadFace) -> None:
        self._call(face)


class Body(Generic[T]):
    """A call in a worker thread, for the coroutine that waits for it.

    Attributes:
        over: Done when the call has ended, or is waited for no longer.
        outcome: What it returned and what it raised; None as long as it goes on.
    """

    __slots__ = (
        "_call", "_context", "_is_stopped", "_loop", "face", "name", "outcome", "over",
    )  # fmt: skip

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self.name = name
        self.face: ThreadFace | None = None
        self.outcome: tuple[T | None, BaseException | None] | None = None
        self._call = call
        self._context = contextvars.copy_context()
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()

    def perform(self, face: ThreadFace) -> None:
        """Make the call, in the thread. Raises nothing."""
        with stoppable_here(self):
            try:
                self.face = face
                if self._is_stopped:
                    self.outcome = (None, asyncio.CancelledError())
                else:
                    self.outcome = (self._context.run(self._call), None)
            except BaseException as error:  # noqa: BLE001 - a body may raise anything
                self.outcome = (None, error)
        tell_loop(self._loop, self._tell)

    def stop(self, grace: float) -> None:
        """Tell the call to stop, and wait no longer than the grace. On the loop."""
        self._is_stopped = True
        if self.face is None:
            self._tell()  # no thread has taken it, and the one that does drops it
            return
        stop_thread(self._loop, self.face, self, "was cancelled", interrupt=True)
        self._loop.call_later(grace, self._tell)

    def _tell(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def in_thread(scope: Scope, body: Body[T]) -> T:
    """Call in a worker thread of a scope; a cancellation is passed on to it."""
    scheduler = scope.opened()
    return await in_pool(scheduler, scope, body, scheduler.pools.workers)


async def in_pool(
    scheduler: Any,
    scope: Scope,
    body: Body[T],
    pool: Callable[[], Any],
    share_of_grace: float = 1.0,
) -> T:
    """The same in a thread of another pool, which the scheduler has.

    Args:
        scheduler: Of the running loop, or of another one.
        scope: That of the run.
        body: The call.
        pool: Gives the pool.
        share_of_grace: How much of the grace the call may take once this is cancelled.
    """
    thread_call = ThreadCall(body.perform, body.name)

    def put(job: ThreadCall) -> None:
        pool().put(job)

    def leave(face: ThreadFace) -> None:
        leave_thread_behind(scope, face, thread_call)

    if scheduler.is_here():
        put(thread_call)
    else:
        scheduler.call(put, thread_call)
    grace = share_of_grace * scheduler.host.settings.cancel_grace_seconds
    interrupted = await outlast(
        lambda: asyncio.shield(body.over),
        is_over=body.over.done,
        when_cancelled=lambda: body.stop(grace),
    )
    outcome, face = body.outcome, body.face
    if outcome is None and face is not None:
        scheduler.call(leave, face)
    if interrupted is not None or outcome is None:
        raise interrupted or asyncio.CancelledError
    value, error = outcome
    if error is not None:
        raise error
    return cast("T", value)
