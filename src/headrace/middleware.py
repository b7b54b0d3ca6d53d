"""What users want around each attempt: kept and checked, not called here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

from headrace.callables import is_coroutine_callable, name_of

__all__ = ("AROUND_NOTHING", "Around", "Middleware", "middleware_of", "sorted_by_kind")

# ``middleware(run, call_next)``: the view of the run, and what calls the body.
Middleware: TypeAlias = Callable[[Any, Callable[[], Any]], Any]

# Those for coroutine tasks, and those for plain ones.
Around: TypeAlias = tuple[tuple[Middleware, ...], tuple[Middleware, ...]]

AROUND_NOTHING: Final[Around] = ((), ())


def middleware_of(
    name: str, given: object, *, is_async: bool
) -> tuple[Middleware, ...]:
    """The middleware of a task.

    Args:
        name: What messages call the task.
        given: The option; None for none.
        is_async: Whether it is a coroutine task.

    Raises:
        TypeError: These are no functions, or none of the kind of the task.
    """
    found = _listed(f"{name}: middleware=", given)
    for each in found:
        if is_coroutine_callable(each) != is_async:
            kind, do = ("coroutine", "async def") if is_async else ("plain", "def")
            raise TypeError(
                f"{name}: {name_of(each)!r} cannot go around a {kind} task, as it is "
                f"{'no' if is_async else 'a'} coroutine function. Write `{do} "
                f"{name_of(each)}(run, call_next):`."
            )
    return found


def sorted_by_kind(given: object) -> Around:
    """The middleware of a runtime: each goes around tasks of its own kind.

    Raises:
        TypeError: These are no functions.
    """
    found = _listed("Runtime(middleware=...): ", given)
    coroutine = tuple(each for each in found if is_coroutine_callable(each))
    plain = tuple(each for each in found if not is_coroutine_callable(each))
    return (coroutine, plain) if found else AROUND_NOTHING


def _listed(where: str, given: object) -> tuple[Middleware, ...]:
    if given is None:
        return ()
    advice = "Give it a list of functions, each called as fn(run, call_next)."
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{where}{given!r} is no list. {advice}")
    found = tuple(cast("Iterable[object]", given))
    for each in found:
        if not callable(each):
            raise TypeError(f"{where}{each!r} cannot be called. {advice}")
    return cast("tuple[Middleware, ...]", found)
