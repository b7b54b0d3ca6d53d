"""Find the futures and states among the inputs of a run; later, put values there.

Containers are copied only along the paths that lead to a future or state, so that
everything else reaches the body as the very object that was given. No iterator is ever
consumed, and a container may contain itself.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections import deque
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
)
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from headrace.annotations import BaseAnnotation, allow_failure, quote
from headrace.exceptions import HeadraceError
from headrace.futures import (
    AsyncSubmission,
    AsyncTaskFuture,
    Submission,
    TaskFuture,
)
from headrace.states import State, StateType

__all__ = ("ATOMS", "Source", "Sources", "find", "substitute")

Source: TypeAlias = "TaskFuture[Any] | State[Any]"
Sources: TypeAlias = "list[TaskFuture[Any] | State[Any]]"

# Types that hold nothing. The usual arguments, so that most need no further look.
ATOMS: Final = frozenset(
    {int, str, float, bytes, bool, type(None), complex, bytearray, type, range}
)
_FUTURES: Final = frozenset({TaskFuture, AsyncTaskFuture})
_SUBMISSIONS: Final = frozenset({Submission, AsyncSubmission})
_CONTAINERS: Final = (list, tuple, set, frozenset, deque)


def find(
    value: object, required: Sources, tolerated: Sources, *, allowed: bool = False
) -> None:
    """Collect every future and state in a value, each once.

    Args:
        value: Any structure.
        required: Is extended by those that must complete.
        tolerated: Is extended by those inside an ``allow_failure``.
        allowed: Whether the whole value is inside one.
    """
    seen: set[tuple[int, bool]] = set()
    stack: list[tuple[Any, bool]] = [(value, allowed)]
    while stack:
        item, is_allowed = stack.pop()
        kind = type(item)
        if kind in ATOMS:
            continue
        if kind in _SUBMISSIONS:
            item, kind = item.future, TaskFuture
        # Not compared by value: user objects may have an __eq__ of any kind.
        if (id(item), is_allowed) in seen:
            continue
        seen.add((id(item), is_allowed))
        if kind in _FUTURES or kind is State:
            (tolerated if is_allowed else required).append(item)
        elif isinstance(item, BaseAnnotation):
            if not isinstance(item, quote):
                inner = cast("BaseAnnotation[Any]", item).value
                stack.append((inner, is_allowed or isinstance(item, allow_failure)))
        else:
            for child in _children(item, kind):
                if type(child) not in ATOMS:
                    stack.append((child, is_allowed))


def _children(item: Any, kind: type) -> Iterable[Any]:
    """What a container holds; nothing for anything else."""
    if kind is list or kind is tuple:
        # Most lists hold plain data: told by the types of the items, at C speed.
        return () if ATOMS.issuperset(map(type, item)) else item
    looks = _looks_inside(kind)
    return looks(item) if looks is not None else ()


@functools.lru_cache(maxsize=2048)
def _looks_inside(kind: type) -> Callable[[Any], Iterable[Any]] | None:
    """How to list what objects of a type hold, or None if they are left alone."""
    if issubclass(kind, (*_CONTAINERS, MutableSequence, MutableSet)):
        return None if issubclass(kind, bytearray) else list
    if issubclass(kind, (dict, MappingProxyType, MutableMapping)):
        return _keys_and_values
    if dataclasses.is_dataclass(kind):
        return _field_values
    if hasattr(kind, "__pydantic_fields__"):
        return _model_values
    return None


def _keys_and_values(item: Mapping[Any, Any]) -> list[Any]:
    return [*item.keys(), *item.values()]


def _field_values(item: Any) -> list[Any]:
    names = [field.name for field in dataclasses.fields(item)]
    return [getattr(item, name) for name in names if hasattr(item, name)]


def _model_values(item: Any) -> list[Any]:
    extra: dict[str, Any] = getattr(item, "__pydantic_extra__", None) or {}
    return [*vars(item).values(), *extra.values()]


def substitute(value: Any, *, is_returned: bool = False) -> Any:
    """The value with every future and state replaced by its data, marks removed.

    All of them have ended. Inside an ``allow_failure`` the exception of one that did
    not complete takes its place.

    Args:
        value: An input of a run.
        is_returned: It is the value of a flow instead: marks and states in it are
            kept, only futures are replaced (ANN-09, FINAL-06).

    Raises:
        HeadraceError: A copy could not be made, chained to the reason.
    """
    kind = type(value)
    if kind in ATOMS:
        return value
    try:
        return _Rebuild(value, is_returned=is_returned).of(value, allowed=False)
    except HeadraceError:
        raise
    except Exception as error:
        raise HeadraceError(
            f"failed to put the results of upstream runs into an argument of type "
            f"{kind.__name__}: {type(error).__name__}: {error}. Wrap it in quote(...) "
            f"to pass it as it is."
        ) from error


class _Rebuild:
    """Copies of the containers that lead to something to replace, each made once."""

    def __init__(self, value: Any, *, is_returned: bool) -> None:
        self._is_returned = is_returned
        self._dirty = _ways_to_replace(value)
        self._made: dict[tuple[int, bool], Any] = {}

    def of(self, item: Any, *, allowed: bool) -> Any:
        kind = type(item)
        if kind in _SUBMISSIONS:
            item, kind = item.future, TaskFuture
        if kind in _FUTURES:
            return data_of(item)
        if id(item) not in self._dirty:
            return item
        if kind is State:
            return item if self._is_returned else data_of(item)
        if isinstance(item, BaseAnnotation):
            return self._of_mark(cast("BaseAnnotation[Any]", item), allowed=allowed)
        key = (id(item), allowed)
        if key not in self._made:
            self._made[key] = self._copy(item, key, allowed=allowed)
        return self._made[key]

    def _of_mark(self, mark: BaseAnnotation[Any], *, allowed: bool) -> Any:
        if isinstance(mark, quote):
            return mark if self._is_returned else mark.value
        allowed = allowed or isinstance(mark, allow_failure)
        inner = self.of(mark.value, allowed=allowed)
        return mark.rewrap(inner) if self._is_returned else inner

    def _copy(self, item: Any, key: tuple[int, bool], *, allowed: bool) -> Any:
        def new(child: Any) -> Any:
            return self.of(child, allowed=allowed)

        if isinstance(item, tuple):
            rebuilt = [new(child) for child in cast("tuple[Any, ...]", item)]
            make = getattr(type(item), "_make", type(item))  # named tuples
            return make(rebuilt)
        if isinstance(item, frozenset):
            return type(item)(new(child) for child in cast("frozenset[Any]", item))
        if isinstance(item, MappingProxyType):
            pairs = cast("Mapping[Any, Any]", item).items()
            return MappingProxyType({new(k): new(v) for k, v in pairs})
        # The rest can be filled after it is made, so it may contain itself.
        made = self._made[key] = copy.copy(item)
        if isinstance(item, (MutableSequence, MutableSet, set, deque)):
            children = list(cast("Iterable[Any]", item))
            made.clear()
            fill = made.update if hasattr(made, "update") else None
            if fill is None and hasattr(made, "extend"):
                fill = made.extend
            rebuilt = [new(child) for child in children]
            if fill is not None:
                fill(rebuilt)
            else:
                for child in rebuilt:
                    made.add(child)
        elif isinstance(item, MutableMapping):
            pairs = list(cast("Mapping[Any, Any]", item).items())
            made.clear()
            for k, v in pairs:
                made[new(k)] = new(v)
        else:
            return self._with_fields(item, made, new)
        return made

    def _with_fields(self, item: Any, made: Any, new: Callable[[Any], Any]) -> Any:
        """A dataclass or pydantic instance; neither is constructed or validated anew."""
        if not dataclasses.is_dataclass(item):
            for name, child in vars(item).items():
                made.__dict__[name] = new(child)
            extra = getattr(item, "__pydantic_extra__", None)
            if extra:
                for name, child in extra.items():
                    made.__pydantic_extra__[name] = new(child)
            return made
        for field in dataclasses.fields(item):
            if hasattr(item, field.name):
                # Works for frozen ones too.
                object.__setattr__(made, field.name, new(getattr(item, field.name)))
        return made


def _ways_to_replace(value: Any) -> set[int]:
    """The ids of all containers from which a future, state or mark can be reached."""
    parents: dict[int, list[int]] = {}
    ends: list[int] = []
    visited: set[int] = set()
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if id(item) in visited:
            continue
        visited.add(id(item))
        kind = type(item)
        if kind in _FUTURES or kind in _SUBMISSIONS or kind is State:
            ends.append(id(item))
            continue
        if isinstance(item, BaseAnnotation):
            ends.append(id(item))
            if isinstance(item, quote):
                continue
            children: Iterable[Any] = (cast("BaseAnnotation[Any]", item).value,)
        else:
            children = _children(item, kind)
        for child in children:
            if type(child) not in ATOMS:
                parents.setdefault(id(child), []).append(id(item))
                stack.append(child)
    dirty: set[int] = set()
    while ends:
        ident = ends.pop()
        if ident not in dirty:
            dirty.add(ident)
            ends.extend(parents.get(ident, ()))
    return dirty


def data_of(source: Source) -> Any:
    """What takes the place of a future or state: its data, as it is."""
    if isinstance(source, State):
        if source.type is StateType.COMPLETED:
            return source.data
        return source.result(raise_on_failure=False)
    if source.phase is StateType.COMPLETED:
        return source.outcome
    return source.last_state.result(raise_on_failure=False)
