"""The options of tasks and flows: what a decorator may be given, and the checks of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, TypedDict

from headrace.parameters import Binder, refuse_reserved
from headrace.retries import RetryDelay, RetryPolicy
from headrace.settings import current_settings
from headrace.specs import (
    FlowSpec,
    TaskSpec,
    coroutine_form,
    is_coroutine_callable,
    named,
)

__all__ = (
    "FlowOptions",
    "FlowRunOptions",
    "TaskOptions",
    "TaskRunOptions",
    "flow_spec",
    "task_spec",
    "with_settings",
)


class TaskRunOptions(TypedDict, total=False):
    """The options that `headrace.tasks.Task` takes by keyword only.

    Keys:
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

    retries: int | None
    retry_delay_seconds: RetryDelay | None
    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    timeout_seconds: float | None
    interrupt: bool


class TaskOptions(TaskRunOptions, total=False):
    """The options of a task; what is left out takes its default.

    Keys:
        name: By default the name of the function.
        description: By default its docstring.
        tags: Words to find runs by.
        version: Free text, copied to each run's record.
    """

    name: str | None
    description: str | None
    tags: str | Iterable[str] | None
    version: str | None


class FlowRunOptions(TypedDict, total=False):
    """The options that `headrace.flows.Flow` takes by keyword only.

    Keys:
        timeout_seconds: Limit of a run: its body and all that it submitted.
    """

    timeout_seconds: float | None


class FlowOptions(FlowRunOptions, total=False):
    """The options of a flow; see `TaskOptions` for those of the same name.

    Keys:
        name: By default the name of the function, with hyphens for underscores.
        description: By default its docstring.
        version: Free text.
    """

    name: str | None
    description: str | None
    version: str | None


# -- From options to specs ----------------------------------------------------


def task_spec(
    fn: Callable[..., Any], options: TaskOptions, owner: object, key: str | None
) -> TaskSpec:
    """The checked options of a task.

    Args:
        fn: Its function.
        options: As given.
        owner: The public task object.
        key: That of the task that this replaces; None for a new one.

    Raises:
        TypeError: Something has a wrong type; `ReservedArgumentError` for a parameter
            name that headrace uses itself.
        ValueError: A number makes no sense.
    """
    name = _name(fn, options.get("name"), "task")
    binder = Binder(fn, name)
    refuse_reserved(name, binder.signature)
    tags = _tags(name, options.get("tags"))
    policy = _policy(name, options)
    is_async = is_coroutine_callable(fn)
    return TaskSpec(
        fn=fn,
        call=coroutine_form(fn) if is_async else fn,
        name=name,
        key=key or _key(fn),
        binder=binder,
        is_async=is_async,
        description=_description(name, fn, options.get("description")),
        tags=tags,
        version=_text(name, "version", options.get("version")),
        policy=policy,
        retry=policy if policy.retries else None,
        timeout_seconds=_limit(name, options.get("timeout_seconds")),
        interrupt=_flag(name, "interrupt", options.get("interrupt", True)),
        owner=owner,
    )


def with_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a task, those that the current settings give filled in."""
    settled = dict(given)
    for option in ("retries", "retry_delay_seconds"):
        if settled.get(option) is None:
            settled[option] = getattr(current_settings(), f"task_default_{option}")
    return settled


def flow_spec(
    fn: Callable[..., Any], options: FlowOptions, key: str | None
) -> FlowSpec:
    """The checked options of a flow; raises as `task_spec`."""
    name = _name(fn, options.get("name"), "flow")
    if not options.get("name"):
        name = name.replace("_", "-")
    binder = Binder(fn, name)
    refuse_reserved(name, binder.signature)
    is_async = is_coroutine_callable(fn)
    return FlowSpec(
        fn=fn,
        call=coroutine_form(fn) if is_async else fn,
        name=name,
        key=key or _key(fn),
        binder=binder,
        is_async=is_async,
        description=_description(name, fn, options.get("description")),
        version=_text(name, "version", options.get("version")),
        timeout_seconds=_limit(name, options.get("timeout_seconds")),
    )


def _name(fn: Callable[..., Any], given: object, noun: str) -> str:
    if given is not None and not isinstance(given, str):
        raise TypeError(
            f"name={given!r} is no text. Give the {noun} a str, or leave it out for "
            f"the name of the function."
        )
    return given or str(named(fn).__name__)


def _key(fn: Callable[..., Any]) -> str:
    inner = named(fn)
    return f"{getattr(inner, '__module__', None) or 'builtins'}.{inner.__qualname__}"


def _description(name: str, fn: Callable[..., Any], given: object) -> str | None:
    text = _text(name, "description", given)
    if text:
        return text
    inner = named(fn)
    # Not inherited: what getdoc() would find for a class without one is object's.
    return inspect.getdoc(inner) if getattr(inner, "__doc__", None) else None


def _text(name: str, option: str, given: object) -> str | None:
    if given is None or isinstance(given, str):
        return given
    raise TypeError(f"{name}: {option}={given!r} is no text. Give a str, or None.")


def _tags(name: str, given: Any) -> frozenset[str]:
    if given is None:
        return frozenset()
    if isinstance(given, str):
        return frozenset({given})
    try:
        tags: list[Any] = list(given)
    except TypeError:
        tags = [given]
    wrong = [tag for tag in tags if not isinstance(tag, str)]
    if wrong:
        raise TypeError(
            f'{name}: tags must be texts, not {wrong[0]!r}. Write tags=["a", "b"], '
            f'or tags="a" for one.'
        )
    return frozenset(tags)


def _limit(name: str, given: object) -> float | None:
    if given is None:
        return None
    text = (
        f"{name}: timeout_seconds={given!r} is no limit. Give a number of seconds "
        f"above 0, or None for no limit."
    )
    # `Real` and not float: numbers of other packages, such as numpy, are welcome.
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(text)
    seconds = float(given)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds or None


def _flag(name: str, option: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{name}: {option}={given!r} must be True or False.")
    return given


def _policy(name: str, options: TaskOptions) -> RetryPolicy:
    settled = with_settings(options)
    return RetryPolicy.of(
        name,
        settled["retries"],
        settled["retry_delay_seconds"],
        options.get("retry_jitter_factor"),
        options.get("retry_condition_fn"),
    )
