"""``@task``: what users decorate, call, submit and map."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import (
    Any,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from headrace._concurrency.bodies import is_plain_code, shielded, this_face
from headrace._engine import doors, submitting
from headrace._types import HasFn, Untold
from headrace.context import CURRENT
from headrace.definitions import Option, is_method_object
from headrace.exceptions import ParameterBindError, SubmitOutsideRun
from headrace.futures import (
    AsyncSubmission,
    AsyncTaskFutures,
    Submission,
    TaskFuture,
    TaskFutures,
    TaskStates,
)
from headrace.futures.lists import FutureList
from headrace.options import TaskOptions, TaskRunOptions, task_spec
from headrace.runnable import Doors, Runnable
from headrace.specs import TaskSpec
from headrace.states import State

__all__ = ("BoundTask", "Task", "TaskDecorator", "task")

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")

# Of every kind of future: those of coroutine tasks give something to await.
_block_for_state: Final = TaskFuture[Any].wait
_block_for_states: Final = FutureList[Any, Any].wait


class Task(Runnable[P, R_co]):
    """A function that runs as a task: with states, retries, a time limit.

    Call it, and it runs here and now and gives its value (for a coroutine function,
    something to await). `submit` schedules a run and gives its future; `map` one run
    for each element. ``task.fn`` is the bare function.

    Args:
        fn: A function, coroutine function, generator function, method, class or any
            other callable.
        name: See `headrace.options.TaskOptions`, as for all options.
        description: See there.
        tags: See there.
        version: See there.
        options: The other options, by keyword.

    Raises:
        TypeError: ``fn`` cannot be called, takes a parameter called ``return_state``
            or ``wait_for``, or an option has a wrong type.
        ValueError: A number makes no sense.
    """

    spec: TaskSpec
    _noun = "task"
    _known = frozenset(TaskOptions.__annotations__)
    _doors = Doors(
        call_plain=doors.call_plain_task,
        call_coroutine=doors.call_coroutine_task,
        wait=doors.await_task,
        acall=doors.acall_task,
    )

    tags = Option[set[str]](lambda spec: set(spec.tags))
    retries = Option[int](lambda spec: spec.policy.retries)
    retry_delay_seconds = Option[Any](lambda spec: _shown_delay(spec.policy))
    retry_jitter_factor = Option[float | None](lambda spec: spec.policy.jitter_factor)
    retry_condition_fn = Option[Any](lambda spec: spec.policy.condition)
    interrupt = Option[bool](lambda spec: spec.interrupt)

    def __init__(
        self,
        fn: Callable[P, R_co],
        name: str | None = None,
        description: str | None = None,
        tags: str | Iterable[str] | None = None,
        version: str | None = None,
        **options: Unpack[TaskRunOptions],
    ) -> None:
        texts = {
            "name": name,
            "description": description,
            "tags": tags,
            "version": version,
        }
        given = {k: v for k, v in texts.items() if v is not None}
        super().__init__(fn, {**given, **options})

    def _make_spec(
        self, fn: Callable[..., Any], given: dict[str, Any], key: str | None
    ) -> TaskSpec:
        return task_spec(fn, cast("TaskOptions", given), self, key)

    def with_options(self, **changes: Unpack[TaskOptions]) -> Self:
        """A copy with other options; those not named stay as they are.

        Raises:
            TypeError: There is no such option, or its value has a wrong type.
            ValueError: A number makes no sense.
        """
        return self._with_options(changes)

    @property
    def task_key(self) -> str:
        """What makes it the same task: the module and qualified name of its function."""
        return self.spec.key

    # -- submitting --------------------------------------------------------------

    @overload
    def submit(  # type: ignore[overload-overlap]
        self: Task[P, Untold], *args: P.args, **kwargs: P.kwargs
    ) -> Submission[Any]: ...
    @overload
    def submit(  # type: ignore[overload-overlap]
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Task[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Submission[T]: ...
    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    def submit(
        self: Task[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> State[T]: ...
    @overload
    def submit(
        self: Task[..., Untold],
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Submission[Any]: ...
    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Task[..., T],
        *args: Any,
        wait_for: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> Submission[T]: ...
    def submit(  # type: ignore[misc]
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Schedule a run at once, and give its submission: a future already.

        ``await task.submit(...)`` gives the `TaskFuture`; awaiting that gives the value.

        Args:
            *args: For the function; futures in them become dependencies.
            return_state: True gives the final state instead: blocks for it in plain
                code, and gives something to await in coroutine code.
            wait_for: Futures, in any structure, that must have completed before.
            **kwargs: For the function.

        Raises:
            ParameterBindError: The arguments do not fit. No run was made.
            SubmitOutsideRun: The code belongs to no flow, task or runtime.
            RunEnded: The flow run or runtime that it belongs to has ended.
        """
        spec = self.spec
        self._check(args, kwargs)
        holder = CURRENT.get(None)
        if holder is None:
            raise SubmitOutsideRun(spec.name, "submit")
        if this_face() is None:
            run = submitting.submit_run(holder, spec, args, kwargs, wait_for)
        else:
            with shielded():
                run = submitting.submit_run(holder, spec, args, kwargs, wait_for)
        if return_state:
            return _block_for_state(run) if is_plain_code() else run.astate()
        return AsyncSubmission(run) if spec.is_async else Submission(run)

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> TaskStates[T]: ...
    @overload
    def map(
        self: Task[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
    ) -> TaskStates[T]: ...
    @overload
    def map(
        self: Task[..., Untold],
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> TaskFutures[Any]: ...
    @overload
    def map(  # pyright: ignore[reportOverlappingOverload]
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncTaskFutures[T]: ...
    @overload
    def map(
        self: Task[..., T],
        *args: Any,
        return_state: Literal[False] = False,
        **kwargs: Any,
    ) -> TaskFutures[T]: ...
    def map(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Schedule one run for each element of the iterables given.

        Iterables are split and must have the same length; strings, bytes, open files,
        pydantic models, data frames and ``unmapped(...)`` values go to every run
        whole. A future given as a whole argument is awaited first and its data split;
        in coroutine code ``await task.map(...)`` then, as the length is not known.

        Args:
            *args: For the function.
            return_state: True gives the list of final states instead; see `submit`.
            wait_for: Futures that must have completed before each run.
            **kwargs: For the function.

        Returns:
            The futures, a list in the order of the elements.

        Raises:
            MappingMissingIterable: No argument can be split.
            MappingLengthMismatch: The lengths differ.
            UpstreamTaskError: A future given as a whole argument did not complete.
            ParameterBindError, SubmitOutsideRun, RunEnded: As `submit`.
        """
        spec = self.spec
        self._check(args, kwargs)
        holder = CURRENT.get(None)
        if holder is None:
            raise SubmitOutsideRun(spec.name, "map")
        in_coroutine_code = not is_plain_code()
        if in_coroutine_code and submitting.has_pending(args, kwargs):
            futures = submitting.unready_map(holder, spec, args, kwargs, wait_for)
        elif this_face() is None:
            futures = submitting.map_runs(holder, spec, args, kwargs, wait_for)
        else:
            with shielded():
                futures = submitting.map_runs(holder, spec, args, kwargs, wait_for)
        if return_state:
            if in_coroutine_code:
                return _states_of(futures)
            return TaskStates[Any](cast("list[State[Any]]", _block_for_states(futures)))
        return futures

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self.spec.binder.check(args, kwargs)
        except ParameterBindError as error:
            names = list(self.spec.binder.signature.parameters)
            if names[:1] == ["cls"]:
                error.add_note(
                    "If this is a class method: put @task above @classmethod; in the "
                    "other order only plain calls know their class on Python 3.13."
                )
            raise

    # -- as a method ---------------------------------------------------------------

    # The first parameter tells what it is: of anything at all, a static method's; of
    # the class, a class method's; of an instance, a method's.
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[Untold, Q], T]], instance: object, owner: type
    ) -> Task[P, R_co]: ...
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[type[S], Q], T]],
        instance: S | None,
        owner: type[S],
    ) -> BoundTask[Q, T]: ...
    @overload
    def __get__(
        self: HasFn[Callable[Concatenate[S, Q], T]], instance: S, owner: type
    ) -> BoundTask[Q, T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Self: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a function would: looked up on an instance, the task is bound to it."""
        return self._looked_up(BoundTask, instance, owner)


class BoundTask(Task[P, R_co]):
    """A task that needs no instance any more.

    A method looked up on one, or a static or class method.
    """

    __self__: object


async def _states_of(futures: FutureList[Any, Any]) -> TaskStates[Any]:
    return TaskStates(cast("list[State[Any]]", await futures.astate()))


def _shown_delay(policy: Any) -> Any:
    given = policy.retry_delay_seconds
    if isinstance(given, (int, float)):
        return given
    return list(policy.delays)


class TaskDecorator(Protocol):
    """What ``task(...)`` gives: makes a task of a function."""

    @overload
    def __call__(self, fn: staticmethod[P, T], /) -> BoundTask[P, T]: ...
    @overload
    def __call__(self, fn: classmethod[Any, P, T], /) -> BoundTask[P, T]: ...
    @overload
    def __call__(self, fn: Callable[P, T], /) -> Task[P, T]: ...


@overload
def task(
    fn: staticmethod[P, T], /, **options: Unpack[TaskOptions]
) -> BoundTask[P, T]: ...
@overload
def task(
    fn: classmethod[Any, P, T], /, **options: Unpack[TaskOptions]
) -> BoundTask[P, T]: ...
@overload
def task(fn: Callable[P, T], /, **options: Unpack[TaskOptions]) -> Task[P, T]: ...
@overload
def task(fn: None = None, /, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function: ``@task``, ``@task(retries=3)``, ``task(fn, ...)``.

    Args:
        fn: The function.
        options: See `headrace.options.TaskOptions`.

    Raises:
        TypeError, ValueError: See `Task`.
    """

    def made(fn: Any) -> Task[Any, Any]:
        kind: Any = BoundTask if is_method_object(fn) else Task
        task: Task[Any, Any] = kind(fn, **options)
        return task

    return made if fn is None else made(fn)
