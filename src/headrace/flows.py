"""``@flow``: a function that is the scope of the runs it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import (
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from headrace._engine import doors
from headrace._types import HasFn, Untold
from headrace.definitions import Option, is_method_object
from headrace.options import FlowOptions, FlowRunOptions, flow_spec, with_settings
from headrace.runnable import Doors, Runnable
from headrace.specs import FlowSpec
from headrace.task_runners import ConcurrentTaskRunner

__all__ = ("BoundFlow", "Flow", "FlowDecorator", "flow")

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")


class Flow(Runnable[P, R_co]):
    """A function that runs as a flow: it ends when all runs made in it have ended.

    A call gives what the function returned, futures in it replaced by their values.
    The body of a plain flow runs in this thread; a coroutine flow runs on the caller's
    loop. A body that raised makes the run Failed. One that returned something is
    judged by the futures in it. One that returned None fails with the first failure
    that nobody was given.

    Args:
        fn: A function or coroutine function.
        name: See `headrace.options.FlowOptions`, as for all options.
        description: See there.
        version: See there.
        options: The other options, by keyword.

    Raises:
        TypeError, ValueError: As `headrace.tasks.Task`.
    """

    spec: FlowSpec
    _noun = "flow"
    _known = frozenset(FlowOptions.__annotations__)
    _doors = Doors(
        call_plain=doors.call_plain_flow,
        call_coroutine=doors.call_coroutine_flow,
        wait=doors.acall_flow,
        acall=doors.acall_flow,
    )

    flow_run_name = Option[Any](lambda spec: spec.run_name and spec.run_name.given)
    validate_parameters = Option[bool](lambda spec: spec.validator is not None)
    task_runner = Option[Any](lambda spec: spec.task_runner or ConcurrentTaskRunner())

    def __init__(
        self,
        fn: Callable[P, R_co],
        name: str | None = None,
        description: str | None = None,
        version: str | None = None,
        **options: Unpack[FlowRunOptions],
    ) -> None:
        texts = {"name": name, "description": description, "version": version}
        given = {k: v for k, v in texts.items() if v is not None}
        super().__init__(fn, {**given, **options})

    def _make_spec(
        self, fn: Callable[..., Any], given: dict[str, Any], key: str | None
    ) -> FlowSpec:
        return flow_spec(fn, cast("FlowOptions", given), self, key)

    def _settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return with_settings(given, "flow")

    def with_options(self, **changes: Unpack[FlowOptions]) -> Self:
        """A copy with other options; those not named stay as they are.

        Raises:
            TypeError: There is no such option, or its value has a wrong type.
            ValueError: A number makes no sense.
        """
        return self._with_options(changes)

    def _before(self, holder: Any, wait_for: Any) -> Any:
        if holder is None:
            raise ValueError(
                f"{self.spec.name}() got wait_for, but only flows run as subflows can "
                f"wait for dependencies: there is nothing before this one. Call it "
                f"inside a flow, or leave wait_for out."
            )
        return super()._before(holder, wait_for)

    # The first parameter tells what it is: of anything at all, a static method's; of
    # the class, a class method's; of an instance, a method's.
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[Untold, Q], T]], instance: object, owner: type
    ) -> Flow[P, R_co]: ...
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[type[S], Q], T]],
        instance: S | None,
        owner: type[S],
    ) -> BoundFlow[Q, T]: ...
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[S, Q], T]], instance: S, owner: type
    ) -> BoundFlow[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a function would: looked up on an instance, the flow is bound to it."""
        return self._looked_up(BoundFlow, instance, owner)


class BoundFlow(Flow[P, R_co]):
    """A flow that needs no instance any more; see `headrace.tasks.BoundTask`."""

    __self__: object


class FlowDecorator(Protocol):
    """What ``flow(...)`` gives: makes a flow of a function."""

    @overload
    def __call__(self, fn: staticmethod[P, T], /) -> BoundFlow[P, T]: ...
    @overload
    def __call__(self, fn: classmethod[Any, P, T], /) -> BoundFlow[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Flow[P, T]: ...


@overload
def flow(
    fn: staticmethod[P, T], /, **options: Unpack[FlowOptions]
) -> BoundFlow[P, T]: ...
@overload
def flow(
    fn: classmethod[Any, P, T], /, **options: Unpack[FlowOptions]
) -> BoundFlow[P, T]: ...
@overload
def flow(fn: Callable[P, T], /, **options: Unpack[FlowOptions]) -> Flow[P, T]: ...
@overload
def flow(fn: None = None, /, **options: Unpack[FlowOptions]) -> FlowDecorator: ...
def flow(fn: Any = None, /, **options: Any) -> Any:
    """Make a flow of a function: ``@flow``, ``@flow(timeout_seconds=60)``.

    Args:
        fn: The function.
        options: See `headrace.options.FlowOptions`.

    Raises:
        TypeError, ValueError: As `headrace.tasks.Task`.
    """

    def made(fn: Any) -> Flow[Any, Any]:
        kind: Any = BoundFlow if is_method_object(fn) else Flow
        flow: Flow[Any, Any] = kind(fn, **options)
        return flow

    return made if fn is None else made(fn)
