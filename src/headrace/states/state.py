"""One moment in the life of a run, with the verbs that read it."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any, Literal, TypeVar, cast, overload

from headrace.states.details import StateDetails, StoredData
from headrace.states.reading import FAILING, error_to_raise, value_of
from headrace.states.record import StateRecord

__all__ = ("State", "get_state_result", "raise_state_exception")

R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class State(StateRecord[R_co]):
    """One moment in the life of a run, and its result once that is there.

    Built as `StateRecord` says: by keyword by users, by position by the engine.

    A state can be awaited and gives itself, so that ``return_state=True`` reads
    alike in plain and in coroutine code.
    """

    __slots__ = ()

    @overload
    def result(self, raise_on_failure: Literal[True] = True) -> R_co: ...
    @overload
    def result(self, raise_on_failure: bool) -> R_co | BaseException: ...
    def result(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """The value of the run. A plain call in every kind of code.

        Args:
            raise_on_failure: False gives the exception of a run that failed, was
                cancelled or crashed, and does not raise it.

        Raises:
            UnfinishedRun: The state is not final.
            PausedRun: It is paused.
            MissingResult: A user made this completed state without data, or the
                value was not kept.
            CrashedRun: The run was ended by an exception that is no `Exception`,
                such as `SystemExit`, which is the ``__cause__``.
        """
        data = self.data
        if isinstance(data, StoredData):
            data = data.load()
        error = error_to_raise(self, data, raise_on_failure)
        if error is None:
            value: R_co | BaseException = value_of(self, data)
            return value
        try:
            raise error
        finally:
            # The trace of the error holds this frame: let the frame not hold it.
            del self, data, error

    @overload
    async def aresult(self, raise_on_failure: Literal[True] = True) -> R_co: ...
    @overload
    async def aresult(self, raise_on_failure: bool) -> R_co | BaseException: ...
    async def aresult(self, raise_on_failure: bool = True) -> R_co | BaseException:
        """`result`, for coroutine code: reads a stored value without blocking."""
        data = self.data
        if isinstance(data, StoredData):
            data = await data.aload()
        error = error_to_raise(self, data, raise_on_failure)
        if error is None:
            value: R_co | BaseException = value_of(self, data)
            return value
        try:
            raise error
        finally:
            del self, data, error  # as in `result`

    def __await__(self) -> Generator[Any, None, State[R_co]]:
        yield from ()
        return self

    def copy(self, *, update: Mapping[str, Any] | None = None) -> State[Any]:
        """The same state as of now, with a new id.

        Args:
            update: Fields to replace: any keyword of the constructor.
        """
        given = {} if update is None else dict(update)
        given.setdefault("type", self.type)
        if given["type"] == self.type:
            given.setdefault("name", self.name)
        given.setdefault("state_details", self._given_details)
        if "timestamp" not in given:
            given.setdefault("at", time.time())
        for name in ("data", "message", "run_key", "flow_key"):
            given.setdefault(name, getattr(self, name))
        return State(**given)

    def without_data(self) -> State[Any]:
        """The same state, its data dropped, and with it the trace of an error."""
        if self.data is None:
            return self
        made = State[Any](
            self.type,
            self.name,
            self.at,
            None,
            self.message,
            self.run_key,
            self.flow_key,
            state_details=self._given_details,
        )
        if self._more is not None and self._more.id is not None:
            made._extra().id = self._more.id
        return made

    def adopted(
        self, at: float, run_key: int, flow_key: int | None = None
    ) -> State[R_co]:
        """The same state as one that the engine made: see `__init__`."""
        return State(
            self.type,
            self.name,
            at,
            self.data,
            self.message,
            run_key,
            flow_key,
            state_details=self._given_details,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the trace, which cannot be pickled.
        made_of = (self.type, self.name, self.at, self.data, self.message)
        extras = self._more and (self._more.details, self._more.id)
        return type(self), (*made_of, self.run_key, self.flow_key), extras

    def __setstate__(self, extras: tuple[StateDetails | None, str | None]) -> None:
        extra = self._extra()
        extra.details, extra.id = extras


def get_state_result(state: State[R], raise_on_failure: bool = True) -> R:
    """`State.result` as a function."""
    return cast("R", state.result(raise_on_failure))


def raise_state_exception(state: State[Any]) -> None:
    """Raise what a failed, crashed or cancelled state stands for; else do nothing.

    Raises:
        ValueError: It holds states, and none of them failed.
        TypeError: Its data is a value that cannot be seen as an exception.
    """
    if state.type in FAILING:
        state.result()
