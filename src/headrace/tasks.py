"""``@task``: what users decorate, call, submit and map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
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
from headrace.cache_explanations import CacheExplanation, explain_cache
from headrace.cache_keys import task_input_hash
from headrace.definitions import Option, is_method_object
from headrace.limits import Limit
from headrace.middleware import Middleware
from headrace.options import TaskOptions, TaskRunOptions, task_spec, with_settings
from headrace.registry import register
from headrace.retries import exponential_backoff
from headrace.runnable import Doors, result_option
from headrace.schedulable import Schedulable
from headrace.specs import TaskSpec

__all__ = (
    "BoundTask",
    "Task",
    "TaskDecorator",
    "exponential_backoff",
    "task",
    "task_input_hash",
)

P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")


class Task(Schedulable[P, R_co]):
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
    task_run_name = Option[Any](lambda spec: spec.run_name and spec.run_name.given)
    retry_jitter_factor = Option[float | None](lambda spec: spec.policy.jitter_factor)
    retry_condition_fn = Option[Any](lambda spec: spec.policy.condition)
    concurrency_limit = Option[Limit | None](lambda spec: spec.limit)
    interrupt = Option[bool](lambda spec: spec.interrupt)
    result_storage_key = Option[str | None](result_option("result_storage_key"))
    cache_key_fn = Option[Any](result_option("cache_key_fn"))
    cache_expiration = Option[timedelta | None](result_option("cache_expiration"))
    refresh_cache = Option[bool | None](result_option("refresh_cache"))
    middleware = Option[list[Middleware]](lambda spec: list(spec.middleware))

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
        register(self)

    def _make_spec(
        self, fn: Callable[..., Any], given: dict[str, Any], key: str | None
    ) -> TaskSpec:
        return task_spec(fn, cast("TaskOptions", given), self, key)

    def _settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return with_settings(given, "task")

    def with_options(self, **changes: Unpack[TaskOptions]) -> Self:
        """A copy with other options; those not named stay as they are.

        Raises:
            TypeError: There is no such option, or its value has a wrong type.
            ValueError: A number makes no sense.
        """
        return self._with_options(changes)

    def explain_cache(self, /, *args: Any, **kwargs: Any) -> CacheExplanation:
        """Tell what the cache key of a run with these arguments is made of.

        Prints it: each part with a digest, whether a run with this key is cached, and,
        if not, which parts differ from the run of this task that was cached last.

        Returns:
            The same, to be looked at by code.

        Raises:
            ParameterBindError: The arguments do not fit.
            ValueError: The task caches nothing.
            TypeError: Its key function is a coroutine function.
        """
        return explain_cache(self.spec, args, kwargs)

    @property
    def task_key(self) -> str:
        """What makes it the same task: the module and qualified name of its function."""
        return self.spec.key

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
