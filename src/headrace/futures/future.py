"""Handles of submitted runs: the future, the submission that gives it, the list of them.

Awaiting ``submit()`` gives the future; awaiting the future gives the value. The future
*is* the record of its run, so a run costs one object.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from abc import ABCMeta
from collections.abc import Callable, Generator
from typing import Any, Final, Generic, Literal, NoReturn, TypeVar, cast, overload
from uuid import UUID

from headrace._concurrency.current import holder_here
from headrace._concurrency.loops import is_asyncio_task
from headrace._text import one_line, shown
from headrace.futures.advice import (
    loop_closed,
    not_callable,
    too_late,
    unpicklable,
    warn_of_truth,
)
from headrace.futures.stored import preload
from headrace.futures.timeouts import checked_timeout
from headrace.futures.waiters import await_end, each_of, ended, with_one, without
from headrace.futures.watching import await_ends, block_for_ends
from headrace.runs import Record, TaskRun
from headrace.states import FINAL, State, StateType, StoredData, in_hand

__all__ = ("TaskFuture",)

log: Final = logging.getLogger("headrace.futures")

R_co = TypeVar("R_co", covariant=True)

_COMPLETED: Final = StateType.COMPLETED
_PENDING: Final = StateType.PENDING


class TaskFuture(Record, Generic[R_co], metaclass=ABCMeta):
    """One submitted run, and its outcome to be.

    ``await future`` gives the value or raises what the task raised, on any event loop.
    A wait that is cancelled or runs out of time leaves the run alone; `cancel` ends it.
    """

    __slots__ = (
        "__weakref__", "args", "context", "handle", "kwargs", "missing", "number",
        "seen", "spec", "upstreams", "waiters",
    )  # fmt: skip

    context: Any
    handle: Any
    missing: int
    seen: bool  # whether somebody was given the outcome
    upstreams: Any
    waiters: Any  # see `headrace.futures.waiters`

    # -- what it is --------------------------------------------------------------

    @property
    def key(self) -> UUID:
        """The identity of the submission: the id of its run."""
        return UUID(int=self.run_key())

    @property
    def task_run(self) -> TaskRun:
        """The record of the run."""
        return TaskRun(self)

    def view(self) -> TaskRun:
        """See `Record.view`."""
        return TaskRun(self)

    @property
    def state(self) -> State[R_co]:
        """The state the run is in. Once it is final, reading it counts as seeing it."""
        if self.phase in FINAL:
            self.see()
        return self.last_state

    @property
    def asynchronous(self) -> bool:
        """Whether `result` and `wait` are to be awaited in coroutine code."""
        return bool(self.spec.is_async)

    def done(self) -> bool:
        """Whether the run has its final state."""
        return self.phase in FINAL

    def get_state(self) -> State[R_co]:
        """The state the run is in; does not wait."""
        return self.state

    @property
    def is_plain_body(self) -> bool:
        """See `headrace.context.Holder.is_plain_body`."""
        return not self.spec.is_async

    def body_task(self) -> asyncio.Task[Any] | None:
        """See `Record.body_task`."""
        return self.handle if is_asyncio_task(self.handle) else None

    # -- waiting -----------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, R_co]:
        if self.phase not in FINAL:
            # As `await_end`, which makes one generator more.
            if self.handle is not None and self.phase is _PENDING:
                holder = holder_here(None)
                if holder is None or not holder.has_dependants:
                    yield
            if self.phase not in FINAL:
                yield from await_end(self)
        if self.phase is _COMPLETED:
            self.seen = True
            value: R_co = self.outcome
            if self.rare is not None and isinstance(value, StoredData):
                value = yield from value.aload().__await__()
            return value
        try:
            return cast("R_co", self.read(raise_on_failure=True))
        finally:
            # The trace of the error would lead to the run, which leads to the error.
            del self

    @overload
    async def aresult(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> R_co: ...
    @overload
    async def aresult(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> R_co | BaseException: ...
    async def aresult(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> R_co | BaseException:
        """The value of the run, for coroutine code and every kind of task.

        Args:
            timeout: Seconds to wait at the most; None for no limit.
            raise_on_failure: False gives the exception instead of raising it.

        Raises:
            TimeoutError: The run did not end in time. It goes on.
            CancelledRun: It was cancelled.
            UpstreamTaskError: It was held back by one of its inputs.
            Exception: What the task raised.
        """
        await self._end_here(checked_timeout(timeout))
        try:
            if self.rare is not None and self.phase in FINAL:
                await preload((self,))
            value = self._read_or_too_late(timeout, raise_on_failure=raise_on_failure)
            return cast("R_co", value)
        finally:
            del self

    async def astate(self, timeout: float | None = None) -> State[R_co] | None:
        """The final state, for coroutine code; None if the run did not end in time."""
        await self._end_here(checked_timeout(timeout))
        return self.state if self.phase in FINAL else None

    def value(self, timeout: float | None = None) -> R_co:
        """Block for the value; the form with the plain type for every kind of task.

        Raises:
            BlockedLoop: The run needs the loop of this very thread.
            TimeoutError: The run did not end in time. It goes on.
            Exception: As `aresult`.
        """
        self._block(checked_timeout(timeout), "value")
        try:
            return cast("R_co", self._read_or_too_late(timeout, raise_on_failure=True))
        finally:
            del self

    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> R_co: ...
    @overload
    def result(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> R_co | BaseException: ...
    def result(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> R_co | BaseException:
        """The value of the run; blocks until it has ended.

        The future of a coroutine task gives something to await instead, in coroutine
        code: ``await future.result()``.

        Args:
            timeout: Seconds to wait at the most; None for no limit.
            raise_on_failure: False gives the exception instead of raising it.

        Raises:
            BlockedLoop: The run needs the loop of this very thread.
            TimeoutError: The run did not end in time. It goes on.
            Exception: As `aresult`.
        """
        self._block(checked_timeout(timeout), "result")
        try:
            value = self._read_or_too_late(timeout, raise_on_failure=raise_on_failure)
            return cast("R_co", value)
        finally:
            del self

    def wait(self, timeout: float | None = None) -> State[R_co] | None:
        """The final state, or None if the run did not end in time; blocks as `result`."""
        self._block(checked_timeout(timeout), "wait")
        return self.state if self.phase in FINAL else None

    # -- acting ------------------------------------------------------------------

    def cancel(self) -> bool:
        """Ask the run to end as Cancelled. Any thread, any number of times.

        Returns:
            False if it had ended already.
        """
        if self.is_settled:
            return False
        scheduler = self.scope.scheduler
        if self.handle is not None and scheduler.is_here():
            scheduler.cancel(self)  # at once: before its first step, if that is to come
            return True
        return self.post(scheduler.cancel, self)

    def add_done_callback(self, fn: Callable[[TaskFuture[R_co]], object]) -> None:
        """Have ``fn(future)`` called once, on the loop thread, when the run has ended.

        Callbacks are called in the order they were added, each in the context it was
        added in. What one raises is logged.

        Raises:
            TypeError: ``fn`` cannot be called.
        """
        if not callable(fn):
            raise not_callable(fn)
        context = contextvars.copy_context()

        def call(run: TaskFuture[R_co]) -> None:
            try:
                context.run(fn, run)
            except BaseException:
                name = one_line(run.name)
                log.exception("callback %s of %s failed", shown(fn), name)

        self.watch(call, soon=True)

    # -- for the engine ----------------------------------------------------------

    def see(self) -> None:
        """Note that somebody was given the outcome."""
        if not self.seen:
            self.seen = True
            if self.phase is not _COMPLETED:
                self.scope.seen(self)

    def read(self, *, raise_on_failure: bool) -> Any:
        """The outcome of a run that has ended."""
        self.see()
        if self.phase is _COMPLETED:
            return in_hand(self.outcome)
        try:
            return self.last_state.result(raise_on_failure)
        finally:
            del self

    def lose(self) -> bool:
        """End the run as Crashed if its loop was closed, and nobody else can. Any thread.

        Returns:
            Whether it has ended, in whatever way.
        """
        if self.phase not in FINAL and self.scope.scheduler.loop.is_closed():
            self.end_lost(loop_closed(self.name))
            waiters, self.waiters = self.waiters, None
            for waiter in filter(callable, each_of(waiters)):
                waiter(self)
        return self.phase in FINAL

    def add_waiter(self, waiter: Any) -> None:
        """Wake a dependant, a loop's future or a callback at the end. On the loop."""
        if self.phase in FINAL:
            self.scope.scheduler.waker.wake_one(self, waiter)
        else:
            self.waiters = with_one(self.waiters, waiter)

    def watch(self, callback: Callable[[Any], object], *, soon: bool = False) -> None:
        """See `headrace.futures.watching.Watched.watch`."""
        scheduler = self.scope.scheduler
        if self.phase in FINAL and (not soon or scheduler.loop.is_closed()):
            callback(self)
        elif not soon and scheduler.is_here():
            self.add_waiter(callback)
        elif not self.post(self.add_waiter, callback):
            self.lose()
            callback(self)

    def unwatch(self, callback: Callable[[Any], object]) -> None:
        """See `headrace.futures.watching.Watched.unwatch`."""
        self.post(self._remove_waiter, callback)

    def post(self, call: Callable[[Any], object], item: Any) -> bool:
        """Have something done on the loop; False if that has closed meanwhile."""
        try:
            self.scope.scheduler.call(call, item)
        except RuntimeError:
            return False
        return True

    def would_block_its_loop(self) -> bool:
        """See `headrace.futures.watching.Watched.would_block_its_loop`."""
        return bool(self.scope.scheduler.thread_id == threading.get_ident())

    def way_around(self) -> str | None:
        """See `headrace.futures.watching.Watched.way_around`."""
        is_here = self.scope.scheduler.is_here()
        return None if is_here else self.scope.way_around_for_us()

    def _remove_waiter(self, waiter: Any) -> None:
        self.waiters = without(self.waiters, waiter)

    async def _end_here(self, timeout: float | None) -> None:
        if self.phase in FINAL:
            return
        if timeout is None:
            await ended(self)
        else:
            await await_ends([self], timeout)

    def _block(self, timeout: float | None, verb: str) -> None:
        if self.phase not in FINAL:
            what = f"{self.name}.{verb}()"
            # Not only `await future`: of what `submit()` gave, that is the future.
            instead = f"await future.{'astate' if verb == 'wait' else 'aresult'}()"
            block_for_ends([self], timeout, what=what, instead=instead)

    def _read_or_too_late(
        self, timeout: float | None, *, raise_on_failure: bool
    ) -> Any:
        if self.phase not in FINAL:
            raise too_late(self.name, timeout)
        try:
            return self.read(raise_on_failure=raise_on_failure)
        finally:
            del self

    # -- as an object ------------------------------------------------------------

    def __bool__(self) -> bool:
        warn_of_truth(self.name)
        return True

    def __reduce__(self) -> NoReturn:
        raise unpicklable(self.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
