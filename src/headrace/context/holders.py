"""Which run or scope the present code belongs to, in threads made by hand too."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from headrace._concurrency.current import CURRENT
from headrace.callables import is_coroutine_callable

__all__ = ("CURRENT", "RETRIES_OFF", "Holder", "carry", "current")

P = ParamSpec("P")
T = TypeVar("T")

# Set by tests: what code starts is not retried; see `headrace.testing.no_retries`.
RETRIES_OFF: Final[ContextVar[bool]] = ContextVar("headrace_retries_off", default=False)


class Holder(Protocol):
    """What present code can belong to: a task run, a flow run, or a runtime."""

    @property
    def scope(self) -> Any:
        """Where runs that this code submits belong."""
        ...

    @property
    def is_plain_body(self) -> bool:
        """Whether the code is the plain body of a task or flow."""
        ...


def current() -> Any | None:
    """The holder of the present code, or None outside of everything."""
    return CURRENT.get(None)


def carry(fn: Callable[P, T]) -> Callable[P, T]:
    """A function that does the same and takes the present context along.

    For threads and executors made by hand, which start with no context variables:
    ``ThreadPoolExecutor().map(carry(fn), items)``. What it calls belongs to the run or
    runtime of the code that called `carry`, with its tags and settings. Many threads
    may call it at once; what one call sets in context variables ends with it.

    Raises:
        TypeError: ``fn`` cannot be called, or is a coroutine function.
    """
    if not callable(fn):
        raise TypeError(f"carry() takes a function, not {fn!r}.")
    if is_coroutine_callable(fn):
        raise TypeError(
            f"carry() takes a plain function, and {fn!r} is a coroutine function: "
            f"asyncio carries the context by itself, at create_task(). To start one from "
            f"a thread, carry the function that does so."
        )
    context = contextvars.copy_context()

    @functools.wraps(fn)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        # A copy for each call: no two threads may be in one context.
        return context.copy().run(fn, *args, **kwargs)

    return carried
