"""The tasks that are alive, and the warning about two of one name.

Nothing here keeps a task, or its function, alive.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from headrace.callables import named
from headrace.definitions import Definition
from headrace.settings import current_settings

__all__ = ("get_instances", "register")

D = TypeVar("D", bound=Definition)


class _Name:
    """A name in a module, while tasks of that name are alive.

    Attributes:
        claims: By the id of their function, the claims to it.
    """

    __slots__ = ("__weakref__", "claims")

    def __init__(self) -> None:
        self.claims: WeakValueDictionary[int, _Claim] = WeakValueDictionary()


class _Claim:
    """That a function has tasks of a name. Held by these tasks, and by nobody else."""

    __slots__ = ("__weakref__", "fn", "name")

    def __init__(self, name: _Name, fn: Callable[..., Any]) -> None:
        self.name = name
        self.fn = fn


# Tasks hold their claims, and claims their names. So whatever many tasks there were, a
# new one is compared with one other function at the most, and what is left of those
# that died is nothing.
_TASKS: Final[WeakKeyDictionary[Definition, _Claim]] = WeakKeyDictionary()
_NAMES: Final[WeakValueDictionary[tuple[str, str], _Name]] = WeakValueDictionary()

# Re-entered when the collector runs meanwhile, and code of the user makes a task then.
_LOCK: Final = threading.RLock()


def get_instances(kind: type[D]) -> list[D]:
    """The tasks of a class that are alive, the earliest first.

    Those that were made by a decorator, the class, or ``with_options``; not what a
    method lookup or a copy of the object gave.
    """
    with _LOCK:
        return [made for made in _TASKS if isinstance(made, kind)]


def register(made: Definition) -> None:
    """Note a new task, and warn if it shares its name with another of its module.

    Not if that is of the same function, as a copy with other options is. The warning
    names the first line outside of headrace.
    """
    spec = made.spec
    module = getattr(named(spec.fn), "__module__", None) or "builtins"
    with _LOCK:
        name = _NAMES.get((module, spec.name))
        if name is None:
            name = _NAMES[module, spec.name] = _Name()
        fn = _function_of(spec.fn)
        claim = name.claims.get(id(fn))
        if claim is None:
            claim = name.claims[id(fn)] = _Claim(name, fn)
        _TASKS[made] = claim
        other = next((each for each in name.claims.values() if each is not claim), None)
    if other is not None and current_settings().warn_of_duplicate_names:
        _warn(spec.name, module, fn, other.fn)


def _function_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    # Every look-up of a method makes another object of the same function.
    return fn.__func__ if inspect.ismethod(fn) else fn


def _warn(
    name: str, module: str, fn: Callable[..., Any], other: Callable[..., Any]
) -> None:
    warnings.warn(
        f"the task {name!r} at {_place_of(fn)} conflicts with another task of that name "
        f"in {module}, at {_place_of(other)}: their runs cannot be told apart. Give one "
        f'of them a name of its own, @task(name="..."), or switch this warning off, '
        f"HEADRACE_WARN_OF_DUPLICATE_NAMES=0.",
        UserWarning,
        stacklevel=_level_of_the_user(),
    )


def _place_of(fn: Callable[..., Any]) -> str:
    """``FILE:LINE`` of a definition; "unknown" for what has no source."""
    inner = inspect.unwrap(named(fn))
    code = getattr(inner, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        file = inspect.getsourcefile(inner)
        return f"{file}:{inspect.getsourcelines(inner)[1]}"
    except (OSError, TypeError):
        return "unknown"


def _level_of_the_user() -> int:
    """The ``stacklevel`` of the first code that is not ours, as our caller counts."""
    level = 0
    frame = inspect.currentframe()
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
        level += 1
    return level


def _is_ours(module: str) -> bool:
    return module == "headrace" or module.startswith("headrace.")
