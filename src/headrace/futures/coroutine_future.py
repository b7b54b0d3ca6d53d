"""The future of a coroutine task: to be awaited in coroutine code, also by its verbs."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Literal, TypeVar, cast, overload

from headrace._concurrency.bodies import is_plain_code
from headrace.futures.future import TaskFuture
from headrace.states import State

__all__ = ("AsyncTaskFuture",)

R_co = TypeVar("R_co", covariant=True)


class AsyncTaskFuture(TaskFuture[R_co]):
    """The future of a coroutine task: `result` and `wait` fit the code around.

    In coroutine code they give something to await. In plain code they block and give
    the value; their type cannot tell the two apart, so write `value` there.
    """

    __slots__ = ()

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
        """``await future.result()``, or blocking in plain code; see `TaskFuture`."""
        if is_plain_code():
            try:
                return super().result(timeout, raise_on_failure=raise_on_failure)
            finally:
                del self  # see `TaskFuture.__await__`
        return self.aresult(timeout, raise_on_failure=raise_on_failure)

    def wait(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        self, timeout: float | None = None
    ) -> Coroutine[Any, Any, State[R_co] | None]:
        """``await future.wait()``, or blocking in plain code; see `TaskFuture`."""
        if is_plain_code():
            return cast(
                "Coroutine[Any, Any, State[R_co] | None]", super().wait(timeout)
            )
        return self.astate(timeout)
