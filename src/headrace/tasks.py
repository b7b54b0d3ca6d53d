"""``@task``: what users decorate, call, submit and map."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
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

from headrace._concurrency.bodies import is_plain_code, shielded, this_face
from headrace._engine import doors, submitting
from headrace.context import CURRENT
from headrace.definitions import Definition, Option, TaskOptions, task_spec
from headrace.exceptions import ParameterBindError, SubmitOutsideRun
from headrace.futures import (
    AsyncSubmission,
    AsyncTaskFutures,
    Submission,
    TaskFuture,
    TaskFutures,
)
from headrace.specs import TaskSpec
from headrace.states import State

__all__ = ("BoundTask", "Task", "task")

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Task(Definition, Generic[P, R]):
    """A function that runs as a task: with states, retries, a time limit.

    Call it, and it runs here and now and gives its value (for a coroutine function,
    something to await). `submit` schedules a run and gives its future; `map` one run
    for each element. ``task.fn`` is the bare function.

    Args:
        fn: A function, coroutine function, generator function, method, class or any
            other callable.
        name: See `headrace.definitions.TaskOptions`, as for all options.
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

    fn = Option[Callable[..., Any]](lambda spec: spec.fn)
    name = Option[str](lambda spec: spec.name)
    description = Option[str | None](lambda spec: spec.description)
    tags = Option[set[str]](lambda spec: set(spec.tags))
    version = Option[str | None](lambda spec: spec.version)
    retries = Option[int](lambda spec: spec.policy.retries)
    retry_delay_seconds = Option[Any](lambda spec: _shown_delay(spec.policy))
    retry_jitter_factor = Option[float | None](lambda spec: spec.policy.jitter_factor)
    retry_condition_fn = Option[Any](lambda spec: spec.policy.condition)
    timeout_seconds = Option[float | None](lambda spec: spec.timeout_seconds)
    interrupt = Option[bool](lambda spec: spec.interrupt)

    def __init__(
        self,
        fn: Callable[P, R],
        name: str | None = None,
        description: str | None = None,
        tags: str | Iterable[str] | None = None,
        version: str | None = None,
        **options: Any,
    ) -> None:
        positional = {
            "name": name,
            "description": description,
            "tags": tags,
            "version": version,
        }
        given = {k: v for k, v in positional.items() if v is not None}
        unknown = set(options) - self._known_options()
        if unknown:
            raise TypeError(
                f"a task has no option {min(unknown)!r}. There are: "
                f"{', '.join(sorted(self._known_options()))}."
            )
        super().__init__(fn, {**given, **options})

    def _make_spec(self, fn: Any, given: dict[str, Any], key: str | None) -> TaskSpec:
        return task_spec(fn, cast("TaskOptions", given), self, key)

    def _known_options(self) -> frozenset[str]:
        return frozenset(TaskOptions.__annotations__)

    @property
    def isasync(self) -> bool:
        """Whether its bodies run on the event loop."""
        return self.spec.is_async

    @property
    def task_key(self) -> str:
        """What makes it the same task: the module and qualified name of its function."""
        return self.spec.key

    # -- calling -----------------------------------------------------------------

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self: Task[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
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
        """Run the task here and give its value, or raise what it raised.

        A plain task runs in this thread. A coroutine task gives a coroutine, except
        inside the plain body of a flow or task: there the call blocks for the value.

        Args:
            *args: For the function; futures in them are replaced by their values.
            return_state: True gives the final state and never raises for a failed run.
            wait_for: Futures, in any structure, that must have completed before.
            **kwargs: For the function.

        Raises:
            ParameterBindError: The arguments do not fit.
            UpstreamTaskError: A future among the inputs did not complete.
            BlockedLoop: The run may have to wait, and this thread's loop is needed.
                Write ``await task.acall(...)``.
        """
        spec = self.spec
        spec.binder.check(args, kwargs)
        holder = CURRENT.get(None)
        given = (args, kwargs, submitting.materialised(wait_for))
        if not spec.is_async:
            run = doors.call_plain_task(holder, spec, given)
            return doors.outcome_of(
                run, return_state=return_state, is_inline=is_plain_code()
            )
        if doors.blocks_here(holder):
            run = doors.call_coroutine_task(holder, spec, given)
            return doors.outcome_of(run, return_state=return_state)
        return doors.coroutine_of(
            lambda: doors.await_task(holder, spec, given), return_state=return_state
        )

    def _run(self, *args: Any, wait_for: Any = None, **kwargs: Any) -> Any:
        """Call it for the final state; see ``return_state=True``."""
        return self.__call__(*args, return_state=True, wait_for=wait_for, **kwargs)

    @overload
    async def acall(
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def acall(self: Task[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def acall(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        return_state: Literal[True],
        **kwargs: Any,
    ) -> State[T]: ...
    @overload
    async def acall(
        self: Task[..., T], *args: Any, return_state: Literal[True], **kwargs: Any
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
        """Run the task without blocking the loop, plain or not, and give its value.

        A plain function runs in a worker thread. Cancelling the caller cancels the run.
        Arguments and errors are those of a call.
        """
        self.spec.binder.check(args, kwargs)
        given = (args, kwargs, submitting.materialised(wait_for))
        run = await doors.acall_task(CURRENT.get(None), self.spec, given)
        return doors.outcome_of(run, return_state=return_state)

    # -- submitting --------------------------------------------------------------

    @overload
    def submit(
        self: Task[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Task[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Submission[T]: ...
    @overload
    def submit(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> Any: ...
    @overload
    def submit(
        self: Task[..., Coroutine[Any, Any, T]],
        *args: Any,
        wait_for: Any,
        **kwargs: Any,
    ) -> AsyncSubmission[T]: ...
    @overload
    def submit(
        self: Task[..., T], *args: Any, wait_for: Any, **kwargs: Any
    ) -> Submission[T]: ...
    def submit(
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
            return TaskFuture.wait(run) if is_plain_code() else run.astate()
        return AsyncSubmission(run) if spec.is_async else Submission(run)

    @overload
    def map(
        self: Task[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> AsyncTaskFutures[T]: ...
    @overload
    def map(self: Task[..., T], *args: Any, **kwargs: Any) -> TaskFutures[T]: ...
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
            return futures.astate() if in_coroutine_code else TaskFutures.wait(futures)
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

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, Q], T], instance: object, owner: type | None = None
    ) -> BoundTask[Q, T]: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """As a function would: looked up on an instance, the task is bound to it."""
        return self._looked_up(BoundTask, instance, owner)


class BoundTask(Task[P, R]):
    """A task that needs no instance any more: a method looked up on one, or a static
    or class method.
    """

    __self__: object

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        """See `Task.__get__`."""
        return self._looked_up(BoundTask, instance, owner)


def _shown_delay(policy: Any) -> Any:
    given = policy.retry_delay_seconds
    if isinstance(given, (int, float)):
        return given
    return list(policy.delays)


@overload
def task(fn: staticmethod[P, R], /) -> BoundTask[P, R]: ...
@overload
def task(fn: classmethod[Any, P, R], /) -> BoundTask[P, R]: ...
@overload
def task(fn: Callable[P, R], /, **options: Unpack[TaskOptions]) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a function: ``@task``, ``@task(retries=3)``, ``task(fn, ...)``.

    Args:
        fn: The function.
        options: See `headrace.definitions.TaskOptions`.

    Raises:
        TypeError, ValueError: See `Task`.
    """
    if fn is None:
        return lambda function: _made(function, options)
    return _made(fn, options)


def _made(fn: Any, options: dict[str, Any]) -> Task[Any, Any]:
    kind = BoundTask if isinstance(fn, (staticmethod, classmethod)) else Task
    return kind(fn, **options)
