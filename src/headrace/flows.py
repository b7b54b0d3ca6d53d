"""``@flow``: a function that is the scope of the runs it makes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from headrace._concurrency.bodies import is_plain_code
from headrace._engine import doors
from headrace._engine.submitting import materialised
from headrace.context import CURRENT
from headrace.definitions import Definition, FlowOptions, Option, flow_spec
from headrace.specs import FlowSpec
from headrace.states import State

__all__ = ("BoundFlow", "Flow", "flow")

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Flow(Definition, Generic[P, R]):
    """A function that runs as a flow: it ends when all runs made in it have ended.

    Args:
        fn: A function or coroutine function.
        name: See `headrace.definitions.FlowOptions`, as for all options.
        description: See there.
        version: See there.
        options: The other options, by keyword.

    Raises:
        TypeError, ValueError: As `headrace.tasks.Task`.
    """

    spec: FlowSpec

    fn = Option[Callable[..., Any]](lambda spec: spec.fn)
    name = Option[str](lambda spec: spec.name)
    description = Option[str | None](lambda spec: spec.description)
    version = Option[str | None](lambda spec: spec.version)
    timeout_seconds = Option[float | None](lambda spec: spec.timeout_seconds)

    def __init__(
        self,
        fn: Callable[P, R],
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        **options: Any,
    ) -> None:
        positional = {"name": name, "description": description, "version": version}
        given = {k: v for k, v in positional.items() if v is not None}
        unknown = set(options) - self._known_options()
        if unknown:
            raise TypeError(
                f"a flow has no option {min(unknown)!r}. There are: "
                f"{', '.join(sorted(self._known_options()))}."
            )
        super().__init__(fn, {**given, **options})

    def _make_spec(self, fn: Any, given: dict[str, Any], key: str | None) -> FlowSpec:
        return flow_spec(fn, cast("FlowOptions", given), key)

    def _known_options(self) -> frozenset[str]:
        return frozenset(FlowOptions.__annotations__)

    @property
    def isasync(self) -> bool:
        """Whether its body runs on the event loop."""
        return self.spec.is_async

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self: Flow[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self: Flow[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> State[T]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
    def __call__(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Run the flow and give what it returned, futures in it replaced by values.

        The body of a plain flow runs in this thread. A coroutine flow gives a
        coroutine and runs on the caller's loop; inside the plain body of a flow or
        task the call blocks for the value instead.

        A body that raised makes the run Failed. One that returned something is judged
        by the futures in it. One that returned None fails with the first failure that
        nobody was given.

        Args:
            *args: For the function; futures in them are awaited first.
            return_state: True gives the final state and never raises for a failed run.
            wait_for: Futures that must have completed before; only inside a flow, task
                or runtime.
            **kwargs: For the function.

        Raises:
            ParameterBindError: The arguments do not fit.
            UpstreamTaskError: A future among the inputs did not complete.
            ValueError: ``wait_for`` was given outside of everything.
        """
        holder, given = self._given_to_run(args, kwargs, wait_for)
        spec = self.spec
        if not spec.is_async:
            run = doors.call_plain_flow(holder, spec, given)
            return doors.outcome_of(
                run, return_state=return_state, is_inline=is_plain_code()
            )
        if doors.blocks_here(holder):
            run = doors.call_coroutine_flow(holder, spec, given)
            return doors.outcome_of(run, return_state=return_state)
        return doors.coroutine_of(
            lambda: doors.acall_flow(holder, spec, given), return_state=return_state
        )

    def _run(self, *args: Any, wait_for: Any = None, **kwargs: Any) -> Any:
        """Call it for the final state; see ``return_state=True``."""
        return self.__call__(*args, return_state=True, wait_for=wait_for, **kwargs)

    @overload
    async def acall(
        self: Flow[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def acall(self: Flow[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def acall(
        self: Flow[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    async def acall(
        self: Flow[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> State[T]: ...
    @overload
    async def acall(self, *args: Any, wait_for: Any, **kwargs: Any) -> Any: ...
    async def acall(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Run the flow without blocking the loop, plain or not, and give its value.

        The body of a plain flow runs in a worker thread of the present runtime.
        """
        holder, given = self._given_to_run(args, kwargs, wait_for)
        run = await doors.acall_flow(holder, self.spec, given)
        return doors.outcome_of(run, return_state=return_state)

    def _given_to_run(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
    ) -> tuple[Any, doors.Given]:
        self.spec.binder.check(args, kwargs)
        holder = CURRENT.get(None)
        if wait_for is not None and holder is None:
            raise ValueError(
                f"{self.spec.name}() got wait_for, but only flows run as subflows can "
                f"wait for dependencies: there is nothing before this one. Call it "
                f"inside a flow, or leave wait_for out."
            )
        return holder, (args, kwargs, materialised(wait_for))

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: Flow[Concatenate[Any, Q], T], instance: object, owner: type | None = None
    ) -> BoundFlow[Q, T]: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """As a function would: looked up on an instance, the flow is bound to it."""
        return self._looked_up(BoundFlow, instance, owner)


class BoundFlow(Flow[P, R]):
    """A flow that needs no instance any more; see `headrace.tasks.BoundTask`."""

    __self__: object

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """See `Flow.__get__`."""
        return self._looked_up(BoundFlow, instance, owner)


@overload
def flow(fn: staticmethod[P, R], /) -> BoundFlow[P, R]: ...
@overload
def flow(fn: classmethod[Any, P, R], /) -> BoundFlow[P, R]: ...
@overload
def flow(fn: Callable[P, R], /, **options: Unpack[FlowOptions]) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function: ``@flow``, ``@flow(timeout_seconds=60)``.

    Args:
        fn: The function.
        options: See `headrace.definitions.FlowOptions`.

    Raises:
        TypeError, ValueError: As `headrace.tasks.Task`.
    """
    if fn is None:
        return lambda function: _made(function, options)
    return _made(fn, options)


def _made(fn: Any, options: dict[str, Any]) -> Flow[Any, Any]:
    kind = BoundFlow if isinstance(fn, (staticmethod, classmethod)) else Flow
    return kind(fn, **options)
