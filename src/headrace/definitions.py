"""From what a decorator is given to the options of a task or flow, checked."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypedDict, TypeVar, cast, overload

from headrace._types import NOT_SET
from headrace.parameters import Binder, refuse_reserved
from headrace.retries import RetryDelay, RetryPolicy
from headrace.settings import current_settings
from headrace.specs import (
    FlowSpec,
    TaskSpec,
    coroutine_form,
    is_coroutine_callable,
)

__all__ = (
    "Definition",
    "FlowOptions",
    "Option",
    "TaskOptions",
    "flow_spec",
    "function_of",
    "task_spec",
)

T = TypeVar("T")


class TaskOptions(TypedDict, total=False):
    """The options of a task; what is left out takes its default.

    Keys:
        name: By default the name of the function.
        description: By default its docstring.
        tags: Words to find runs by.
        version: Free text, copied to each run's record.
        retries: How many attempts may follow a failed one; by default as the setting
            ``task_default_retries`` says (0).
        retry_delay_seconds: Seconds between attempts: a number, a list with one for
            each retry (the last serves for the rest), or a function from the number of
            retries to either, such as ``exponential_backoff(2)``.
        retry_jitter_factor: How far delays may be stretched at random: 0.5 means by
            half.
        retry_condition_fn: ``(task, task_run, state) -> bool``, plain or coroutine:
            whether a failure is worth another attempt.
        timeout_seconds: Limit of each attempt.
        interrupt: Whether the body of a plain function that has to stop may be
            interrupted in its thread, by `headrace.exceptions.RunInterrupted`.
    """

    name: str | None
    description: str | None
    tags: str | Iterable[str] | None
    version: str | None
    retries: int | None
    retry_delay_seconds: RetryDelay | None
    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    timeout_seconds: float | None
    interrupt: bool


class FlowOptions(TypedDict, total=False):
    """The options of a flow; see `TaskOptions` for those of the same name.

    Keys:
        name: By default the name of the function, with hyphens for underscores.
        description: By default its docstring.
        version: Free text.
        timeout_seconds: Limit of a run: its body and all that it submitted.
    """

    name: str | None
    description: str | None
    version: str | None
    timeout_seconds: float | None


# -- Building specs -----------------------------------------------------------


def task_spec(
    fn: Any, options: TaskOptions, owner: object, key: str | None
) -> TaskSpec:
    """The checked options of a task.

    Raises:
        TypeError: Something has a wrong type; `ReservedArgumentError` for a parameter
            name that headrace uses itself.
        ValueError: A number makes no sense.
    """
    function = function_of(fn, "task", "@task")
    name = _name(function, options.get("name"), "task")
    binder = Binder(function, name)
    refuse_reserved(name, binder.signature)
    policy = _policy(name, options)
    limit = _limit(name, options.get("timeout_seconds"))
    is_async = is_coroutine_callable(function)
    return TaskSpec(
        fn=function,
        call=coroutine_form(function) if is_async else function,
        name=name,
        key=key or _key(function),
        binder=binder,
        is_async=is_async,
        description=_description(function, options.get("description")),
        tags=_tags(name, options.get("tags")),
        version=options.get("version"),
        policy=policy,
        retry=policy if policy.retries else None,
        timeout_seconds=limit,
        interrupt=_flag(name, "interrupt", options.get("interrupt", True)),
        owner=owner,
    )


def flow_spec(fn: Any, options: FlowOptions, key: str | None) -> FlowSpec:
    """The checked options of a flow; raises as `task_spec`."""
    function = function_of(fn, "flow", "@flow")
    name = _name(function, options.get("name"), "flow")
    if not options.get("name"):
        name = name.replace("_", "-")
    binder = Binder(function, name)
    refuse_reserved(name, binder.signature)
    is_async = is_coroutine_callable(function)
    return FlowSpec(
        fn=function,
        call=coroutine_form(function) if is_async else function,
        name=name,
        key=key or _key(function),
        binder=binder,
        is_async=is_async,
        description=_description(function, options.get("description")),
        version=options.get("version"),
        timeout_seconds=_limit(name, options.get("timeout_seconds")),
    )


def function_of(fn: Any, noun: str, decorator: str) -> Callable[..., Any]:
    """The callable in what was decorated: static and class methods are unwrapped.

    Raises:
        TypeError: It cannot be called, or is a task or flow already.
    """
    if isinstance(fn, (staticmethod, classmethod)):
        fn = cast("Callable[..., Any]", fn.__func__)
    if isinstance(fn, Definition):
        raise TypeError(
            f"{decorator} got {fn!r}, which is decorated already. For a copy with "
            f"other options write .with_options(...); for its function, .fn."
        )
    if not callable(fn):
        raise TypeError(
            f"fn must be callable, but {decorator} got {fn!r}. Decorate a function, "
            f"or write {noun}(some_function, ...)."
        )
    return cast("Callable[..., Any]", fn)


def _named(fn: Callable[..., Any]) -> Any:
    """What name, key and description are taken from."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if hasattr(fn, "__qualname__") else type(fn)


def _name(fn: Callable[..., Any], given: object, noun: str) -> str:
    if given is not None and not isinstance(given, str):
        raise TypeError(
            f"name={given!r} is no text. Give the {noun} a str, or leave it out for "
            f"the name of the function."
        )
    return given or str(_named(fn).__name__)


def _key(fn: Callable[..., Any]) -> str:
    named = _named(fn)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


def _description(fn: Callable[..., Any], given: str | None) -> str | None:
    if given:
        return given
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    return inspect.getdoc(inner) if getattr(inner, "__doc__", None) else None


def _tags(name: str, given: object) -> frozenset[str]:
    if given is None:
        return frozenset()
    if isinstance(given, str):
        return frozenset({given})
    tags = (
        list(cast("Iterable[Any]", given)) if isinstance(given, Iterable) else [given]
    )
    wrong = [tag for tag in tags if not isinstance(tag, str)]
    if wrong:
        raise TypeError(
            f'{name}: tags must be texts, not {wrong[0]!r}. Write tags=["a", "b"], '
            f'or tags="a" for one.'
        )
    return frozenset(tags)


def _limit(name: str, given: object) -> float | None:
    if given is None or (given == 0 and not isinstance(given, bool)):
        return None
    if (
        isinstance(given, bool)
        or not isinstance(given, (int, float))
        or not 0 < given < float("inf")
    ):
        error = ValueError if isinstance(given, (int, float)) else TypeError
        raise error(
            f"{name}: timeout_seconds={given!r} is no limit. Give a number of seconds "
            f"above 0, or None for no limit."
        )
    return float(given)


def _flag(name: str, option: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{name}: {option}={given!r} must be True or False.")
    return given


def _policy(name: str, options: TaskOptions) -> RetryPolicy:
    retries = options.get("retries")
    delay = options.get("retry_delay_seconds")
    if retries is None or delay is None:
        settings = current_settings()
        retries = settings.task_default_retries if retries is None else retries
        if delay is None:
            delay = settings.task_default_retry_delay_seconds
    return RetryPolicy.of(
        name,
        retries,
        delay,
        options.get("retry_jitter_factor"),
        options.get("retry_condition_fn"),
    )


# -- What tasks and flows have in common -----------------------------------------


class Option(Generic[T]):
    """An option as an attribute: read from the spec, checked when assigned."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Definition, owner: type) -> T: ...
    def __get__(self, instance: Definition | None, owner: type) -> T | Self:
        return self if instance is None else self._read(instance.spec)

    def __set__(self, instance: Definition, value: Any) -> None:
        instance.redefine({self._name: value})


class Definition:
    """A decorated function: it carries the function's metadata and its options."""

    spec: Any
    _given: dict[str, Any]
    _fn: Any

    def __init__(self, fn: Any, given: dict[str, Any]) -> None:
        self._fn = fn
        self._given = given
        self.spec = self._make_spec(fn, given, None)
        inner = self.spec.fn
        # Not into __dict__ of the wrapped: a callable object's attributes are its own.
        updated = ("__dict__",) if inspect.isroutine(inner) else ()
        functools.update_wrapper(self, inner, updated=updated)

    def _make_spec(self, fn: Any, given: dict[str, Any], key: str | None) -> Any:
        raise NotImplementedError

    def redefine(self, changes: dict[str, Any]) -> None:
        """Change options in place; the new ones are checked like the first."""
        fn = changes.pop("fn", self._fn)
        given = {**self._given, **changes}
        self.spec = self._make_spec(fn, given, self.spec.key)
        self._fn, self._given = fn, given
        vars(self).pop("_method_binder", None)
        if self._is_bound:
            self.spec = self._spec_bound_to(vars(self)["__self__"])

    def with_options(self, **changes: Any) -> Self:
        """A copy with other options; those not named stay as they are.

        Raises:
            TypeError: There is no such option, or its value has a wrong type.
            ValueError: A number makes no sense.
        """
        known = self._known_options()
        for name in changes:
            if name not in known:
                raise TypeError(
                    f"{self.spec.name}.with_options() has no option {name!r}. There "
                    f"are: {', '.join(sorted(known))}."
                )
        changes = {k: v for k, v in changes.items() if v is not NOT_SET}
        copy = type(self)(self._fn, **{**self._given, **changes})
        if self._is_bound:
            bound: Self = copy.bound_to(type(self), vars(self)["__self__"])
            return bound
        return copy

    def _known_options(self) -> frozenset[str]:
        raise NotImplementedError

    # -- as a method ---------------------------------------------------------------

    def bound_to(self, kind: type[Any], instance: object) -> Any:
        """A copy whose function is a method of an instance or class."""
        bound = object.__new__(kind)
        spec = self._spec_bound_to(instance)
        bound.__dict__.update(vars(self), __self__=instance, spec=spec)
        return bound

    def _looked_up(
        self, kind: type[Any], instance: object | None, owner: type | None
    ) -> Any:
        """What a look-up on an instance or class gives: itself, or a bound copy."""
        if self._is_bound:
            return self
        if isinstance(self._fn, classmethod):
            return self.bound_to(kind, owner if owner is not None else type(instance))
        if instance is None or not inspect.isfunction(self._fn):
            return self
        return self.bound_to(kind, instance)

    @property
    def _is_bound(self) -> bool:
        return "__self__" in vars(self)

    def _spec_bound_to(self, instance: object) -> Any:
        spec = self.spec
        method = types.MethodType(spec.fn, instance)
        return spec.with_method(
            fn=method,
            call=coroutine_form(method) if spec.is_async else method,
            binder=self._method_binder,
        )

    @functools.cached_property
    def _method_binder(self) -> Binder:
        # Of any instance: what is left of the signature is the same for all.
        return Binder(types.MethodType(self.spec.fn, object()), self.spec.name)

    def __copy__(self) -> Self:
        return self.with_options()

    def __repr__(self) -> str:
        spec = self.spec
        kind = "coroutine" if spec.is_async else "plain"
        return f"<{type(self).__name__} {spec.name!r} ({kind}) of {spec.key}>"
