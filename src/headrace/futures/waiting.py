"""Waiting for several futures: ``wait`` and ``as_completed``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from time import monotonic
from typing import (
    Any,
    Final,
    Generic,
    NamedTuple,
    NoReturn,
    Self,
    TypeVar,
    cast,
    overload,
)

from headrace._concurrency.bodies import block_until, is_plain_code, shielded
from headrace._concurrency.holding import HELD, while_lent
from headrace._concurrency.lending import lent_while_awaited
from headrace._concurrency.loops import running_loop
from headrace.circles import begin_wait, end_wait
from headrace.futures.coroutine_future import AsyncTaskFuture
from headrace.futures.future import TaskFuture
from headrace.futures.submission import AsyncSubmission, Submission, future_in
from headrace.futures.timeouts import checked_timeout
from headrace.futures.watching import (
    TURN,
    await_ends,
    block_for_ends,
    forget_in_turns,
    in_turns,
    refuse_to_block,
    tell_loop,
)

__all__ = ("DoneAndNotDone", "as_completed", "wait")

_FUTURES: Final = frozenset({TaskFuture, AsyncTaskFuture})
_HANDLES: Final = _FUTURES | {Submission, AsyncSubmission}

R = TypeVar("R")
F = TypeVar("F", bound=TaskFuture[Any])


class DoneAndNotDone(NamedTuple, Generic[F]):
    """What `wait` gives. Awaiting it gives itself, so that it reads alike everywhere.

    Attributes:
        done: The futures whose runs have ended.
        not_done: The others; their runs go on.
    """

    done: set[F]
    not_done: set[F]

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


class _Wait(Generic[F]):
    """What `wait` gives in coroutine code: to be awaited, and for nothing else."""

    __slots__ = ("_given", "_timeout")

    def __init__(self, given: list[Any], timeout: float | None) -> None:
        self._given = given
        self._timeout = timeout

    def __await__(self) -> Generator[Any, None, DoneAndNotDone[F]]:
        return self._ended().__await__()

    async def _ended(self) -> DoneAndNotDone[F]:
        known: dict[F, None] = {}
        await in_turns(lambda value: known.setdefault(_future_of(value)), self._given)
        futures = list(known)
        await await_ends(futures, self._timeout)
        found = DoneAndNotDone[F](set(), set())

        def sort(future: F) -> None:
            (found.done if _is_done(future) else found.not_done).add(future)

        await in_turns(sort, futures)
        return found

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "headrace.wait(...) has to be awaited in coroutine code. Write "
            "`done, not_done = await headrace.wait(...)`."
        )


@overload
def wait(  # pyright: ignore[reportOverlappingOverload]
    futures: Iterable[AsyncTaskFuture[R] | AsyncSubmission[R]],
    timeout: float | None = None,
) -> DoneAndNotDone[AsyncTaskFuture[R]]: ...
@overload
def wait(
    futures: Iterable[TaskFuture[R] | Submission[R]], timeout: float | None = None
) -> DoneAndNotDone[TaskFuture[R]]: ...
def wait(futures: Iterable[Any], timeout: float | None = None) -> Any:
    """Wait until all futures are done, or the time is out.

    Blocks in plain code; in coroutine code write ``await headrace.wait(...)``. A
    failed run does not raise here.

    Args:
        futures: Any iterable of futures; each is counted once.
        timeout: Seconds to wait at the most; None for no limit.

    Returns:
        ``(done, not_done)``, two sets of futures; in coroutine code something to
        await for them.

    Raises:
        BlockedLoop: In plain code, a run needs the loop of this very thread.
        TypeError: Something in ``futures`` is not a future.
    """
    given = _given(futures, "wait")
    checked_timeout(timeout)
    if not is_plain_code():
        return _Wait[TaskFuture[Any]](given, timeout)
    wanted: list[TaskFuture[Any]] = _distinct(given)
    block_for_ends(
        wanted,
        timeout,
        what="headrace.wait(...)",
        instead="await headrace.wait(...)",
    )
    done = {future for future in wanted if _is_done(future)}
    return DoneAndNotDone(done, set(wanted) - done)


class as_completed(Generic[F]):
    """The futures in the order in which their runs end.

    Use it in ``for`` or in ``async for``. Being yielded counts as being seen.

    Args:
        futures: Any iterable of futures; each is yielded once.
        timeout: Seconds, counted from the first step, until TimeoutError is raised
            for those that are still missing; None for no limit.

    Raises:
        BlockedLoop: In ``for``, a run needs the loop of this very thread.
        TypeError: Something in ``futures`` is not a future.
    """

    @overload
    def __init__(
        self: as_completed[AsyncTaskFuture[R]],
        futures: Iterable[AsyncTaskFuture[R] | AsyncSubmission[R]],
        timeout: float | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: as_completed[TaskFuture[R]],
        futures: Iterable[TaskFuture[R] | Submission[R]],
        timeout: float | None = None,
    ) -> None: ...
    def __init__(self, futures: Iterable[Any], timeout: float | None = None) -> None:
        self._given = _given(futures, "as_completed")
        self._timeout = checked_timeout(timeout)

    def __iter__(self) -> Iterator[F]:
        futures: list[F] = _distinct(self._given)
        for future in futures:
            if not future.done():
                refuse_to_block(future, "for ... in as_completed()", "async for")
        until = None if self._timeout is None else monotonic() + self._timeout
        ended: _Ended[F] = _Ended(futures)
        for future in futures:
            future.watch(ended)
        try:
            for left in range(len(futures), 0, -1):
                if not ended.block(until):
                    raise _too_late(left, len(futures), self._timeout)
                yield _seen(ended.queue.popleft())
        finally:
            for future in futures:
                if not future.done():
                    future.unwatch(ended)

    def __aiter__(self) -> AsyncIterator[F]:
        return _InOrderOfEnding(self._given, self._timeout)


class _Ended(Generic[F]):
    """Where ended runs arrive, for one thread that blocks for the next."""

    __slots__ = ("_fire", "_missing", "queue")

    def __init__(self, futures: Iterable[F]) -> None:
        self._missing = set(futures)
        self.queue: deque[F] = deque()
        self._fire: Callable[[], None] | None = None

    def __call__(self, future: F) -> None:
        self._missing.discard(future)
        self.queue.append(future)
        if self._fire is not None:
            self._fire()

    def block(self, until: float | None) -> bool:
        """Block until one is there; False if the time ran out."""
        if self.queue:
            return True
        waiting = begin_wait(self._missing, is_any=True) if until is None else None
        try:
            with shielded():
                block_until(
                    self._subscribe,
                    None if until is None else until - monotonic(),
                    look=self._look,
                )
        finally:
            end_wait(waiting)
        return bool(self.queue)

    def _look(self) -> bool:
        """Whether one has ended, also by the end of its loop, which tells nobody."""
        for future in tuple(self._missing):
            if future.lose() and future in self._missing:
                self(future)
        return bool(self.queue)

    def _subscribe(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        if self.queue:
            fire()


class _Arrivals(Generic[F]):
    """Where ended runs arrive, for the tasks of one loop that wait for the next.

    The runs know it, and it knows nothing of the iteration it serves: so an iteration
    that was left is noticed, and takes this out of the runs that go on.
    """

    __slots__ = ("_loop", "queue", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue: deque[F] = deque()
        self.waiters: set[asyncio.Future[None]] = set()

    def __call__(self, future: F) -> None:
        self.queue.append(future)
        tell_loop(self._loop, self.wake)

    def wake(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class _InOrderOfEnding(AsyncIterator[F]):
    """The asynchronous half of `as_completed`; several tasks may share one."""

    def __init__(self, given: list[Any], timeout: float | None) -> None:
        self._given = given
        self._timeout = timeout
        self._left = 0  # nothing to take back, should the next line raise
        self._loop = asyncio.get_running_loop()
        self._until = None if timeout is None else self._loop.time() + timeout
        self._left = len(given)
        self._arrivals: _Arrivals[F] = _Arrivals(self._loop)
        self._known: dict[F, None] = {}
        self._missing: dict[F, None] = {}
        self._looked_at = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> F:
        arrivals = self._arrivals
        while self._looked_at < len(self._given):
            # The first of the tasks that share this; in turns, as there may be many.
            self._watch_some()
            if self._looked_at < len(self._given):
                await asyncio.sleep(0)
        while not arrivals.queue:
            if not self._left:
                raise StopAsyncIteration
            waiter = self._loop.create_future()
            arrivals.waiters.add(waiter)
            held = HELD.get()
            arrival = self._arrival(waiter)
            try:
                await (arrival if held is None else while_lent(held, arrival))
            except TimeoutError:
                if not arrivals.queue:
                    self._forget()
                    total = len(self._known)
                    raise _too_late(self._left, total, self._timeout) from None
            finally:
                arrivals.waiters.discard(waiter)
        self._left -= 1
        if not self._left:
            arrivals.wake()  # for nobody else will one come
        future = arrivals.queue.popleft()
        self._missing.pop(future, None)
        return _seen(future)

    async def _arrival(self, waiter: asyncio.Future[None]) -> None:
        waiting = (
            begin_wait(self._missing, is_any=True) if self._until is None else None
        )
        try:
            with lent_while_awaited():
                async with asyncio.timeout_at(self._until):
                    await waiter
        finally:
            end_wait(waiting)

    def _watch_some(self) -> None:
        start, self._looked_at = self._looked_at, self._looked_at + TURN
        given = self._given[start : self._looked_at]
        futures: list[F] = _distinct(given)
        new = [future for future in futures if future not in self._known]
        self._known.update(dict.fromkeys(new))
        self._missing.update(dict.fromkeys(new))
        for future in new:
            future.watch(self._arrivals)
        self._left -= len(given) - len(new)  # given before
        if not self._left:
            self._arrivals.wake()

    def _forget(self) -> None:
        futures = list(self._known)
        if running_loop() is self._loop:
            forget_in_turns(self._loop, futures, self._arrivals)
            return
        for future in futures:
            if not future.done():
                future.unwatch(self._arrivals)

    def __del__(self) -> None:
        if self._left:
            self._forget()


def _seen(future: F) -> F:
    future.see()
    return future


def _is_done(future: TaskFuture[Any]) -> bool:
    if not future.done():
        return False
    future.see()
    return True


def _too_late(left: int, total: int, timeout: float | None) -> TimeoutError:
    return TimeoutError(
        f"{left} of {total} futures were not done within {timeout} seconds; their runs "
        f"go on. Wait again, or call cancel() on them."
    )


def _given(values: Iterable[Any], verb: str) -> list[Any]:
    """What was given, as it is at this moment: futures and submissions alone."""
    if future_in(values) is not None:
        raise TypeError(
            f"headrace.{verb}() takes an iterable of futures and got one future. "
            f"Write {verb}([future])."
        )
    whole = cast("object", values)
    if not isinstance(whole, Iterable):
        raise TypeError(
            f"headrace.{verb}() takes an iterable of futures, not {whole!r}. Give it "
            f"what map() returned, or a list of what submit() did."
        )
    given = list(values)
    if not _HANDLES.issuperset(map(type, given)):  # five times as fast
        for value in given:
            if future_in(value) is None:
                raise TypeError(
                    f"headrace.{verb}() got {value!r}, which is not a future. Give it "
                    f"what submit() or map() returned."
                )
    return given


def _distinct(given: Iterable[Any]) -> list[Any]:
    """The futures in what was given, each once, in order."""
    return list(dict.fromkeys(map(_future_of, given)))


def _future_of(value: Any) -> Any:
    return value if type(value) in _FUTURES else future_in(value)
