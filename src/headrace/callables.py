"""What a callable is: its name, and whether calling it gives something to await."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

__all__ = (
    "check_takes",
    "coroutine_form",
    "is_coroutine_callable",
    "is_of_module",
    "misfit",
    "name_of",
    "named",
)


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


def is_of_module(fn: Callable[..., Any]) -> bool:
    """Whether it was defined once, in a module or class, and carries no other values.

    Not so one that a function defined, whose variables it may hold, and no method that
    is bound to an object.
    """
    return (
        isinstance(fn, types.FunctionType)
        and fn.__closure__ is None
        and "<locals>" not in fn.__qualname__
    )


def misfit(fn: Callable[..., Any], count: int) -> str | None:
    """Why it cannot be called with so many arguments by position.

    None if it can, or, as a builtin may, does not tell its signature.
    """
    try:
        inspect.signature(fn).bind(*[None] * count)
    except ValueError:
        return None
    except TypeError as error:
        return str(error)
    return None


def check_takes(fn: Callable[..., Any], count: int, what: str, advice: str) -> None:
    """Refuse a function of the user's that cannot be called as it will be.

    Args:
        fn: The function.
        count: How many arguments it gets, by position: 1 to 3.
        what: What messages call it, as in ``"load: the cache_key_fn"``.
        advice: How it is called.

    Raises:
        TypeError: It takes others.
    """
    reason = misfit(fn, count)
    if reason is not None:
        arguments = ("one argument", "two arguments", "three arguments")[count - 1]
        raise TypeError(
            f"{what} {name_of(fn)} cannot be called with {arguments} ({reason}). {advice}"
        )


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


def name_of(fn: Callable[..., Any]) -> str:
    """What messages call it, also where it has no name of its own (HOOK-08)."""
    return str(getattr(named(fn), "__name__", None) or type(fn).__name__)
