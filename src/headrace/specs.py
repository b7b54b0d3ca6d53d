"""What a task or flow was told to be: options that the engine reads, and no verbs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from headrace.parameters import Binder
from headrace.retries import NO_RETRY, RetryPolicy

__all__ = ("FlowSpec", "TaskSpec", "coroutine_form", "is_coroutine_callable", "named")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskSpec:
    """The options of a task, checked.

    Attributes:
        fn: The user's function, as given.
        call: What an attempt calls: ``fn``, or for coroutine code a coroutine
            function that gives its value.
        key: What makes it "the same task": module and qualified name.
        is_async: Whether bodies run on the event loop.
        policy: What was said of retries.
        retry: The same, or None when a failed attempt is final.
        timeout_seconds: Limit of one attempt; None for none.
        interrupt: Whether a plain body that must stop may be interrupted in its thread.
        owner: The public task object, for functions of the user that are given it.
    """

    fn: Callable[..., Any]
    call: Callable[..., Any]
    name: str
    key: str
    binder: Binder
    is_async: bool
    description: str | None = None
    tags: frozenset[str] = frozenset()
    version: str | None = None
    policy: RetryPolicy = NO_RETRY
    retry: RetryPolicy | None = None
    timeout_seconds: float | None = None
    interrupt: bool = True
    owner: Any = None

    def with_method(
        self, *, fn: Callable[..., Any], call: Callable[..., Any], binder: Binder
    ) -> TaskSpec:
        """The same options for a method bound to an instance."""
        return replace(self, fn=fn, call=call, binder=binder)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowSpec:
    """The options of a flow, checked; see `TaskSpec` for those of the same name."""

    fn: Callable[..., Any]
    call: Callable[..., Any]
    name: str
    key: str
    binder: Binder
    is_async: bool
    description: str | None = None
    version: str | None = None
    timeout_seconds: float | None = None

    def with_method(
        self, *, fn: Callable[..., Any], call: Callable[..., Any], binder: Binder
    ) -> FlowSpec:
        """See `TaskSpec.with_method`."""
        return replace(self, fn=fn, call=call, binder=binder)


def named(fn: Callable[..., Any]) -> Any:
    """What the name, key and description of a callable are taken from."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if hasattr(fn, "__qualname__") else type(fn)


def is_coroutine_callable(fn: Callable[..., Any]) -> bool:
    """Whether calling it makes something to await or to iterate on the loop.

    Looks through ``functools.partial``, ``__wrapped__`` and ``__call__``.
    """
    seen: set[int] = set()
    inner: Any = fn
    while id(inner) not in seen:
        seen.add(id(inner))
        if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
            return True
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif inspect.ismethod(inner):
            inner = inner.__func__
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif not inspect.isclass(inner) and not inspect.isroutine(inner):
            inner = type(inner).__call__
        else:
            return False
    return False


def coroutine_form(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that gives the value of a coroutine callable."""
    if inspect.iscoroutinefunction(fn):
        return fn
    return functools.partial(_value_of, fn)


async def _value_of(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    value = fn(*args, **kwargs)
    if inspect.isasyncgen(value):
        return [item async for item in value]
    return await value if inspect.isawaitable(value) else value
