"""What ``submit()`` gives: a future already, and the wait for its admission."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import (
    Any,
    Final,
    Generic,
    Literal,
    NoReturn,
    TypeGuard,
    TypeVar,
    cast,
    overload,
)
from uuid import UUID

from headrace.annotations import BaseAnnotation
from headrace.futures.admission import await_admission, has_to_wait
from headrace.futures.advice import warn_of_truth
from headrace.futures.coroutine_future import AsyncTaskFuture
from headrace.futures.future import TaskFuture
from headrace.futures.watching import await_ends
from headrace.runs import TaskRun
from headrace.states import State

__all__ = ("SUBMITS_IN_A_ROW", "AsyncSubmission", "Submission", "future_in", "ref")

# How many submissions may be awaited without a turn of the loop.
SUBMITS_IN_A_ROW: Final = 100

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Submission(Generic[R_co]):
    """A run that has been scheduled.

    ``await submission`` waits for admission and gives the `TaskFuture`, the same one
    each time. Everything a future can do, a submission can do too, and it is accepted
    wherever a future is; only awaiting differs.
    """

    __slots__ = ("future",)

    def __init__(self, future: TaskFuture[R_co]) -> None:
        self.future = future

    def __await__(self) -> Generator[Any, None, TaskFuture[R_co]]:
        future = self.future
        scope = future.scope
        scheduler = scope.scheduler
        if future.rare is not None and has_to_wait(future):
            yield from await_admission([future]).__await__()
        if scope.is_sequential:
            yield from await_ends([future], None).__await__()
        scheduler.submits_in_a_row += 1
        if scheduler.submits_in_a_row > SUBMITS_IN_A_ROW and scheduler.is_here():
            # Code that submits in a loop lets the event loop turn now and then.
            scheduler.submits_in_a_row = 0
            yield
        return future

    @property
    def name(self) -> str:
        """See `TaskFuture.name`."""
        return self.future.name

    @property
    def key(self) -> UUID:
        """See `TaskFuture.key`."""
        return self.future.key

    @property
    def id(self) -> str:
        """See `TaskFuture.id`."""
        return self.future.id

    @property
    def task_run(self) -> TaskRun:
        """See `TaskFuture.task_run`."""
        return self.future.task_run

    @property
    def state(self) -> State[R_co]:
        """See `TaskFuture.state`."""
        return self.future.state

    @property
    def history(self) -> list[State[Any]]:
        """See `TaskFuture.history`."""
        return self.future.history

    @property
    def asynchronous(self) -> bool:
        """See `TaskFuture.asynchronous`."""
        return self.future.asynchronous

    def done(self) -> bool:
        """See `TaskFuture.done`."""
        return self.future.done()

    def get_state(self) -> State[R_co]:
        """See `TaskFuture.get_state`."""
        return self.future.state

    def cancel(self) -> bool:
        """See `TaskFuture.cancel`."""
        return self.future.cancel()

    def add_done_callback(self, fn: Callable[[TaskFuture[R_co]], object]) -> None:
        """See `TaskFuture.add_done_callback`."""
        self.future.add_done_callback(fn)

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
        """See `TaskFuture.aresult`."""
        try:
            return await self.future.aresult(timeout, raise_on_failure=raise_on_failure)
        finally:
            del self  # see `TaskFuture.__await__`; the same below

    async def astate(self, timeout: float | None = None) -> State[R_co] | None:
        """See `TaskFuture.astate`."""
        return await self.future.astate(timeout)

    def value(self, timeout: float | None = None) -> R_co:
        """See `TaskFuture.value`."""
        try:
            return self.future.value(timeout)
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
        """See `TaskFuture.result`."""
        try:
            return self.future.result(timeout, raise_on_failure=raise_on_failure)
        finally:
            del self

    def wait(self, timeout: float | None = None) -> State[R_co] | None:
        """See `TaskFuture.wait`."""
        return self.future.wait(timeout)

    def __eq__(self, other: object) -> bool:
        if _is_submission(other):
            return self.future is other.future
        return self.future is other

    def __hash__(self) -> int:
        return hash(self.future)

    def __bool__(self) -> bool:
        warn_of_truth(self.name)
        return True

    def __reduce__(self) -> NoReturn:
        self.future.__reduce__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class AsyncSubmission(Submission[R_co]):
    """The submission of a coroutine task; see `AsyncTaskFuture`."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, AsyncTaskFuture[R_co]]:
        return cast("Generator[Any, None, AsyncTaskFuture[R_co]]", super().__await__())

    @overload  # type: ignore[override]
    def result(
        self, timeout: float | None = None, raise_on_failure: Literal[True] = True
    ) -> Coroutine[Any, Any, R_co]: ...
    @overload
    def result(
        self, timeout: float | None = None, *, raise_on_failure: bool
    ) -> Coroutine[Any, Any, R_co | BaseException]: ...
    def result(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, timeout: float | None = None, raise_on_failure: bool = True
    ) -> Any:
        """See `AsyncTaskFuture.result`."""
        try:
            return self.future.result(timeout, raise_on_failure=raise_on_failure)
        finally:
            del self

    def wait(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        self, timeout: float | None = None
    ) -> Coroutine[Any, Any, State[R_co] | None]:
        """See `AsyncTaskFuture.wait`."""
        return cast(
            "Coroutine[Any, Any, State[R_co] | None]", self.future.wait(timeout)
        )


def _is_submission(value: object) -> TypeGuard[Submission[Any]]:
    """Whether a value is what ``submit()`` gave, not yet awaited."""
    return isinstance(value, Submission)


# For isinstance only; to type checkers the two are unrelated, so that awaiting the
# wrong one is an error.
TaskFuture.register(Submission)
AsyncTaskFuture.register(AsyncSubmission)


def future_in(value: object) -> TaskFuture[Any] | None:
    """The future that a value is, or stands for; None if it is something else."""
    if _is_submission(value):
        return value.future
    return (
        cast("TaskFuture[Any]", value) if issubclass(type(value), TaskFuture) else None
    )


@overload
def ref(future: BaseAnnotation[TaskFuture[T] | Submission[T]]) -> T: ...
@overload
def ref(
    future: BaseAnnotation[Iterable[TaskFuture[T] | Submission[T]]],
) -> list[T]: ...
@overload
def ref(future: TaskFuture[T] | Submission[T]) -> T: ...
@overload
def ref(future: Iterable[TaskFuture[T] | Submission[T]]) -> list[T]: ...
def ref(future: Any) -> Any:
    """A future as an argument, typed as its value; at run time the future itself.

    Optional: ``add.submit(ref(f), 1)`` is ``add.submit(f, 1)`` that type checkers
    accept. A list of futures, such as ``map()`` gives, is typed as a list of values.
    Marks may be around them: ``ref(allow_failure(f))``.
    """
    return future


# The very same, where it is not a matter of types: the call in it takes 0.1 us.
_QUICKER: Final[Any] = Submission
setattr(AsyncSubmission, "__await__", _QUICKER.__await__)  # noqa: B010
