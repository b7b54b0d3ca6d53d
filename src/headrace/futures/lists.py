"""What ``map()`` gives: a list of futures that can be waited for as a whole."""

from __future__ import annotations

import warnings
from abc import ABCMeta
from collections.abc import (
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from typing import Any, Final, Generic, Literal, NoReturn, Self, TypeVar, cast, overload

from headrace._concurrency.bodies import is_plain_code
from headrace.exceptions import UnreadyMap
from headrace.futures.admission import await_admission, has_to_wait
from headrace.futures.coroutine_future import AsyncTaskFuture
from headrace.futures.future import TaskFuture
from headrace.futures.stored import preload
from headrace.futures.submission import SUBMITS_IN_A_ROW
from headrace.futures.timeouts import checked_timeout
from headrace.futures.watching import (
    Watched,
    await_ends,
    block_for_ends,
    in_turns,
)
from headrace.states import FINAL, State, StateType

__all__ = (
    "AsyncTaskFutures",
    "FutureList",
    "TaskFutures",
    "TaskStates",
    "UnreadyTaskFutures",
    "gathered",
)

# Making a state takes some microseconds.
_STATES_IN_A_TURN: Final = 64

F = TypeVar("F", bound=TaskFuture[Any])
R = TypeVar("R")


class FutureList(list[F], Generic[F, R]):
    """What `TaskFutures` and `AsyncTaskFutures` have in common.

    A plain list. ``await futures`` gives the list itself, once all its runs are
    admitted; for the values, ``await futures.aresult()`` or
    ``await asyncio.gather(*futures)``.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Self]:
        if self and self[-1].rare is not None and any(map(has_to_wait, self)):
            yield from await_admission(self).__await__()
        if self and self[0].scope.is_sequential:
            yield from await_ends(self, None).__await__()
        elif len(self) >= SUBMITS_IN_A_ROW:
            # The map() call took its time already: let the event loop turn.
            yield
        return self

    @overload
    async def aresult(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> list[R]: ...
    @overload
    async def aresult(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> list[R | BaseException]: ...
    async def aresult(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> Any:
        """All values in order, for coroutine code.

        Args:
            timeout: Seconds to wait at the most for all of them; None for no limit.
            raise_on_failure: True raises what the first run to fail raised, without
                waiting for the others; False gives exceptions in their places.

        Raises:
            TimeoutError: Some did not end in time. They go on.
            Exception: What a task raised.
        """
        reader = _Reader(timeout, raise_on_failure=raise_on_failure)
        futures = tuple(self)
        del self
        try:
            await await_ends(
                futures, checked_timeout(timeout), stop_at_failure=raise_on_failure
            )
            reader.refuse_late(await in_turns(reader.name_if_late, futures))
            if futures and futures[0].scope.host.drops_results:
                await preload(futures)
            return await in_turns(reader.read, futures)
        finally:
            # What a task raised leads to this frame, and a future to what it raised.
            del futures

    async def astate(self, timeout: float | None = None) -> list[State[R] | None]:
        """All final states in order, for coroutine code; None for who is late."""
        await await_ends(self, checked_timeout(timeout))
        return await in_turns(_state_of, tuple(self), each=_STATES_IN_A_TURN)

    @overload
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> list[R]: ...
    @overload
    def result(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> list[R | BaseException]: ...
    def result(
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> Any:
        """All values in order; blocks. See `aresult` for arguments and errors.

        Raises:
            BlockedLoop: A run needs the loop of this very thread.
        """
        block_for_ends(
            self,
            checked_timeout(timeout),
            what="map(...).result()",
            instead="await futures.aresult()",
            stop_at_failure=raise_on_failure,
        )
        reader = _Reader(timeout, raise_on_failure=raise_on_failure)
        try:
            reader.refuse_late([*map(reader.name_if_late, self)])
            return [*map(reader.read, self)]
        finally:
            del self  # see `aresult`

    def wait(self, timeout: float | None = None) -> list[State[R] | None]:
        """All final states in order; blocks. None for a run that is late."""
        block_for_ends(
            self,
            checked_timeout(timeout),
            what="map(...).wait()",
            instead="await futures.astate()",
        )
        return [_state_of(future) for future in self]

    def cancel(self) -> int:
        """Cancel every run that has not ended; how many those were."""
        count = sum([future.phase not in FINAL for future in self])
        if count:
            # One message to the loop: for 100 000 runs as many would take 30 ms.
            scheduler = self[0].scope.scheduler
            if not self[0].post(scheduler.cancel_many, list(self)):
                for future in self:  # some may be of a loop that goes on
                    future.cancel()
        return count


class _Reader:
    """Reads the values of ended runs, as `FutureList.result` was asked to."""

    __slots__ = ("_raise", "_timeout")

    def __init__(self, timeout: float | None, *, raise_on_failure: bool) -> None:
        self._timeout = timeout
        self._raise = raise_on_failure

    def name_if_late(self, future: TaskFuture[Any]) -> str:
        """The name of a run that has not ended, else an empty text."""
        try:
            if not future.done():
                return future.name
            if self._raise and future.phase is not StateType.COMPLETED:
                future.read(raise_on_failure=True)
            return ""
        finally:
            del future  # see `FutureList.aresult`

    def refuse_late(self, names: list[str]) -> None:
        """Raise TimeoutError if there are such names."""
        late = list(filter(None, names))
        if late:
            raise TimeoutError(
                f"{len(late)} of {len(names)} runs did not end within {self._timeout} "
                f"seconds, {late[0]!r} the first; they go on. Wait again, or "
                f"call cancel() on the list to end them."
            )

    def read(self, future: TaskFuture[Any]) -> Any:
        """The value of a run, or its exception if that was asked for."""
        try:
            return future.read(raise_on_failure=self._raise)
        finally:
            del future  # see `FutureList.aresult`


def _state_of(future: TaskFuture[Any]) -> State[Any] | None:
    return future.state if future.done() else None


class TaskFutures(FutureList[TaskFuture[R], R], metaclass=ABCMeta):
    """The futures of one ``map()``, in the order of its inputs; see `FutureList`."""

    __slots__ = ()


class AsyncTaskFutures(FutureList[AsyncTaskFuture[R], R]):
    """The futures of a mapped coroutine task; see `headrace.futures.AsyncTaskFuture`."""

    __slots__ = ()

    @overload  # type: ignore[override]
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> Coroutine[Any, Any, list[R]]: ...
    @overload
    def result(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> Coroutine[Any, Any, list[R | BaseException]]: ...
    def result(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> Any:
        """``await futures.result()``, or blocking in plain code."""
        try:
            if is_plain_code():
                return super().result(timeout, raise_on_failure=raise_on_failure)
            return self.aresult(timeout, raise_on_failure=raise_on_failure)
        finally:
            del self  # see `FutureList.aresult`

    def wait(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        self, timeout: float | None = None
    ) -> Coroutine[Any, Any, list[State[R] | None]]:
        """``await futures.wait()``, or blocking in plain code."""
        if is_plain_code():
            return cast(
                "Coroutine[Any, Any, list[State[R] | None]]", super().wait(timeout)
            )
        return self.astate(timeout)


# For isinstance only; to type checkers their futures are of different kinds.
TaskFutures.register(AsyncTaskFutures)


class TaskStates(list[State[R]]):
    """The final states of the runs of one ``map()``, in the order of its inputs.

    ``await states`` gives the list itself, so that ``map(..., return_state=True)``
    reads alike in plain and in coroutine code.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self


class UnreadyTaskFutures(AsyncTaskFutures[R]):
    """The list of a map over a future that has not ended: how long is not known yet.

    Only awaiting it is possible, and gives the list, the same one each time.

    Args:
        task_name: For messages.
        pending: The futures that are mapped over.
        make: Makes the list, once they have ended.
    """

    __slots__ = ("_is_noticed", "_made", "_make", "_pending", "_task_name")

    def __init__(
        self,
        task_name: str,
        pending: Sequence[Watched],
        make: Callable[[], FutureList[Any, R]],
    ) -> None:
        super().__init__()
        self._task_name = task_name
        self._pending = pending
        self._make = make
        self._made: FutureList[Any, R] | None = None
        self._is_noticed = False  # awaited, or refused with that advice

    def __await__(self) -> Generator[Any, None, Any]:
        self._is_noticed = True
        if self._made is None:
            yield from await_ends(self._pending, None).__await__()
        if self._made is None:  # nor by another task meanwhile
            self._made = self._make()
        return self._made

    def __del__(self) -> None:
        if not self._is_noticed:
            warnings.warn(
                f"{self._task_name}.map(...) over a future was never awaited, so it "
                f"made no runs. Write `await {self._task_name}.map(...)`.",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise self._refusal()

    def _refusal(self) -> UnreadyMap:
        self._is_noticed = True
        return UnreadyMap(self._task_name)

    def __iter__(self) -> Iterator[Any]:
        self._refuse()

    def __len__(self) -> int:
        raise self._refusal()

    def __getitem__(self, index: Any) -> Any:
        self._refuse(index)

    def __contains__(self, item: object) -> bool:
        self._refuse(item)

    def __bool__(self) -> bool:
        raise self._refusal()

    def __repr__(self) -> str:
        return f"UnreadyTaskFutures({self._task_name!r})"

    def result(self, *_: Any, **__: Any) -> Any:
        """Not before the list has been awaited."""
        self._refuse()

    def wait(self, *_: Any, **__: Any) -> Any:
        """Not before the list has been awaited."""
        self._refuse()

    async def aresult(self, *args: Any, **kwargs: Any) -> Any:
        """All values in order, once the list is there."""
        return await (await self).aresult(*args, **kwargs)

    async def astate(self, timeout: float | None = None) -> list[State[R] | None]:
        """All final states in order, once the list is there."""
        futures: FutureList[Any, R] = await self
        return await futures.astate(timeout)

    def cancel(self) -> int:
        """Not before the list has been awaited."""
        self._refuse()

    def sort(self, *_: Any, **__: Any) -> None:
        """Not before the list has been awaited."""
        self._refuse()

    def __eq__(self, other: object) -> bool:
        self._refuse(other)

    def __ne__(self, other: object) -> bool:
        self._refuse(other)

    __hash__ = None  # type: ignore[assignment]

    # Writing to it would be lost, and comparing or copying it would see it empty.
    append = extend = insert = remove = pop = clear = index = count = _refuse
    reverse = copy = __add__ = __mul__ = __reversed__ = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    __radd__ = __rmul__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse


def gathered(futures: Iterable[Any], *, is_async: bool) -> FutureList[Any, Any]:
    """The list of futures that fits their kind of task."""
    return AsyncTaskFutures(futures) if is_async else TaskFutures(futures)
