"""What ``task.stream(...)`` gives: results, and runs made as these are asked for."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast, overload

from headrace._concurrency.bodies import shielded, this_face
from headrace._engine.streams.consuming import Consumer
from headrace._engine.streams.plans import stage_of
from headrace.runnable import Runnable
from headrace.states import State, StateType, StoredData

__all__ = ("Stream",)

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

_COMPLETED: Final = StateType.COMPLETED


class Stream(Consumer, Generic[T_co]):
    """The results of ``task.stream(...)``, as an iterator for ``async for`` and ``for``.

    Nothing is read before the first result is asked for, and at most ``limit`` items
    ahead of the results. Leaving the loop early, also by an exception, cancels what goes
    on and closes the source; ``async with task.stream(...) as results:`` (or ``with``, in
    plain code) waits for that as well, as `aclose` and `close` do. A wait for a result
    that is cancelled or timed out leaves the stream alone.

    In coroutine code several tasks of one loop may read the same stream: each result goes
    to one of them.

    Attributes:
        failures: How many failures were handed on or, as ``max_failures`` allows, left
            out so far.
    """

    __slots__ = ()

    # -- more stages ---------------------------------------------------------------

    @overload
    def then(
        self: Stream[State[Any]],
        task: Runnable[..., Coroutine[Any, Any, U]],
        /,
        *constants: Any,
        limit: int | None = None,
        ordered: bool = True,
        **named: Any,
    ) -> Stream[State[U]]: ...
    @overload
    def then(
        self: Stream[State[Any]],
        task: Runnable[..., U],
        /,
        *constants: Any,
        limit: int | None = None,
        ordered: bool = True,
        **named: Any,
    ) -> Stream[State[U]]: ...
    @overload
    def then(
        self,
        task: Runnable[..., Coroutine[Any, Any, U]],
        /,
        *constants: Any,
        limit: int | None = None,
        ordered: bool = True,
        **named: Any,
    ) -> Stream[U]: ...
    @overload
    def then(
        self,
        task: Runnable[..., U],
        /,
        *constants: Any,
        limit: int | None = None,
        ordered: bool = True,
        **named: Any,
    ) -> Stream[U]: ...
    def then(
        self,
        task: Runnable[..., Any],
        /,
        *constants: Any,
        limit: int | None = None,
        ordered: bool = True,
        **named: Any,
    ) -> Any:
        """Give each result to another task as soon as it is there: one more stage.

        A stage that is full holds up the one before. What failed in a stage passes those
        after it, to be raised or given in its turn.

        Args:
            task: Gets the result as its first argument.
            *constants: Given to every run after that, as they are.
            limit: How many items the stage holds; as in ``task.stream()``.
            ordered: Whether they leave it in the order in which they came.
            **named: Given to every run by keyword.

        Returns:
            The stream of its results; this one cannot be read by itself any more.

        Raises:
            TypeError: ``task`` is no task, or an option has a wrong type.
            ValueError: The limit is not at least 1.
            ParameterBindError: The arguments do not fit.
            RuntimeError: This stream is being read, or goes on in another stage already.
        """
        self._refuse_continued()
        if self._line is not None:
            raise RuntimeError(
                f"{self._plan.name} is being read already, so it takes no other stage. "
                f"Call then() before the first result is asked for."
            )
        stage = stage_of(task, constants, named, limit=limit, ordered=ordered)
        longer: Stream[Any] = Stream(self._plan.with_stage(stage))
        self._is_continued = True
        return longer

    # -- coroutine code ------------------------------------------------------------

    def __aiter__(self) -> Self:
        self._refuse_continued()
        return self

    async def __anext__(self) -> T_co:
        ahead, line = self._ahead, self._line
        if ahead and ahead[0].phase is _COMPLETED and line is not None:
            run = ahead.popleft()
            try:
                if not line.first.exchange():
                    line.refill()
            except Exception as error:  # noqa: BLE001 - the user's source may raise anything
                line.source_ended(error)
                line.refill()
            value: T_co = run.outcome
            if run.rare is not None and isinstance(value, StoredData):
                value = await value.aload()
            return value
        try:
            return cast("T_co", await self._anext())
        finally:
            # The trace of an error holds this frame, and must not keep a stream that
            # was left because of it. The same below.
            del self

    async def aclose(self) -> None:
        """Cancel what goes on, close the source, and wait until all that has ended.

        Then the stream is over. May be called again.
        """
        await self._aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # -- plain code ----------------------------------------------------------------

    def __iter__(self) -> Self:
        self._refuse_continued()
        self._refuse_to_block()
        return self

    def __next__(self) -> T_co:
        if self._is_busy:
            raise RuntimeError(
                f"{self._plan.name} is being read by another thread just now. Let one "
                f"thread read it, or give each a stream of its own."
            )
        self._is_busy = True
        try:
            if this_face() is None:
                return cast("T_co", self._next())
            with shielded():
                return cast("T_co", self._next())
        finally:
            self._is_busy = False
            del self

    def close(self) -> None:
        """`aclose` for plain code: blocks until all has ended.

        Raises:
            BlockedLoop: In coroutine code.
        """
        self._close()

    def __enter__(self) -> Self:
        self._refuse_to_block()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self._plan.described}>"
