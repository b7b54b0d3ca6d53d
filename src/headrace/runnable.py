"""What tasks and flows can do alike: be called, here and now, for a value or a state."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Generic, Literal, ParamSpec, TypeVar, overload

from headrace._concurrency.current import holder_here
from headrace._engine.doors import Door, awaited, blocks_here, outcome_of
from headrace._engine.inputs_in_place import Given
from headrace._engine.whole_inputs import materialised
from headrace._types import Untold
from headrace.definitions import Option
from headrace.hookable import Hookable
from headrace.runs import Record
from headrace.states import State

__all__ = ("Doors", "Runnable", "result_option")

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


def result_option(name: str, default: Any = None) -> Callable[[Any], Any]:
    """Reads an option of results from a spec, as it was given; for an `Option`."""

    def read(spec: Any) -> Any:
        return (
            default if spec.results is None else spec.results.given.get(name, default)
        )

    return read


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Doors:
    """The ways into the engine; each takes the holder, the spec and what was given.

    Attributes:
        call_plain: Runs a plain body in this thread.
        call_coroutine: Runs a coroutine body on the loop, and blocks for its end.
        wait: Runs a coroutine body in place.
        acall: Runs a body of either kind without blocking the loop.
    """

    call_plain: Callable[[Any, Any, Given], Record]
    call_coroutine: Callable[[Any, Any, Given], Record]
    wait: Door
    acall: Door


class Runnable(Hookable, Generic[P, R_co]):
    """A task or a flow. Calling it runs it here, and gives what its function returned.

    A plain function runs in this thread. A coroutine function gives a coroutine,
    except inside the plain body of a flow or task: there the call blocks for the
    value. `acall` blocks nothing, for either kind of function.
    """

    _doors: ClassVar[Doors]

    name = Option[str](lambda spec: spec.name)
    description = Option[str | None](lambda spec: spec.description)
    version = Option[str | None](lambda spec: spec.version)
    retries = Option[int](lambda spec: spec.policy.retries)
    retry_delay_seconds = Option[Any](lambda spec: _shown_delay(spec.policy))
    timeout_seconds = Option[float | None](lambda spec: spec.timeout_seconds)
    log_prints = Option[bool | None](lambda spec: spec.log_prints)
    persist_result = Option[bool | None](result_option("persist_result"))
    result_storage = Option[Any](result_option("result_storage"))
    result_serializer = Option[Any](result_option("result_serializer"))
    cache_result_in_memory = Option[bool](
        result_option("cache_result_in_memory", default=True)
    )

    @property
    def fn(self) -> Callable[P, R_co]:
        """The bare function. Calling it makes no run."""
        fn: Callable[P, R_co] = self.spec.fn
        # What a test has stand for it says so. A bound method would pass that on.
        return fn if self._is_bound else getattr(fn, "headrace_fn", fn)

    @fn.setter
    def fn(self, fn: Callable[..., Any]) -> None:
        self.redefine({"fn": fn})

    @property
    def isasync(self) -> bool:
        """Whether its bodies run on the event loop."""
        return bool(self.spec.is_async)

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(
        self: Runnable[..., Untold],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[Any]: ...
    @overload
    def __call__(  # pyright: ignore[reportOverlappingOverload]
        self: Runnable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self: Runnable[..., T],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def __call__(
        self,
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> R_co: ...
    @overload
    def __call__(self, /, *args: Any, return_state: bool, **kwargs: Any) -> Any: ...
    def __call__(  # type: ignore[misc]
        self,
        /,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Run it here and give its value, or raise what it raised.

        Args:
            *args: For the function; futures in them are awaited first, and replaced by
                their values.
            return_state: True gives the final state and never raises for a failed run.
            wait_for: Futures, in any structure, that must have completed before.
            **kwargs: For the function.

        Raises:
            ParameterBindError: The arguments do not fit.
            UpstreamTaskError: A future among the inputs did not complete.
            BlockedLoop: The run may have to wait, and this thread's loop is needed.
                Write ``await it.acall(...)``.
            ValueError: ``wait_for`` was given to a flow outside of everything.
        """
        spec = self.spec
        spec.binder.check(args, kwargs)
        holder = holder_here(None)
        if wait_for is not None:
            wait_for = self._before(holder, wait_for)
        given = (args, kwargs, wait_for)
        try:
            if not spec.is_async:
                return outcome_of(
                    self._doors.call_plain(holder, spec, given),
                    return_state=return_state,
                    is_inline=True,
                )
            if blocks_here(holder):
                return outcome_of(
                    self._doors.call_coroutine(holder, spec, given),
                    return_state=return_state,
                )
            coro: Any = awaited(
                self._doors.wait, holder, spec, given, return_state=return_state
            )
            # What Python and asyncio call it, as when nobody has awaited it.
            coro.__qualname__ = spec.name
            return coro
        finally:
            del holder  # see `outcome_of`

    def _run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it for the final state; see ``return_state=True``."""
        return self(*args, return_state=True, **kwargs)

    @overload
    async def acall(  # type: ignore[overload-overlap]
        self: Runnable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def acall(
        self: Runnable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def acall(
        self: Runnable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    async def acall(
        self: Runnable[..., T],
        /,
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    async def acall(
        self: Runnable[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> T: ...
    @overload
    async def acall(
        self: Runnable[..., T],
        /,
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> T: ...
    async def acall(  # type: ignore[misc]
        self,
        /,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Run it without blocking the loop, plain or not, and give its value.

        A plain function runs in a worker thread of the present runtime. Cancelling the
        caller cancels the run. Arguments and errors are those of a call.
        """
        spec = self.spec
        spec.binder.check(args, kwargs)
        holder = holder_here(None)
        if wait_for is not None:
            wait_for = self._before(holder, wait_for)
        given = (args, kwargs, wait_for)
        try:
            return await awaited(
                self._doors.acall, holder, spec, given, return_state=return_state
            )
        finally:
            del holder  # see `outcome_of`

    def _before(self, holder: Any, wait_for: Any) -> Any:  # noqa: ARG002 - flows ask
        """What has to complete before a run that is called."""
        return materialised(wait_for)


def _shown_delay(policy: Any) -> Any:
    given = policy.retry_delay_seconds
    return given if isinstance(given, Real) else list(policy.delays)
