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

from headrace.annotations import BaseAnnotation, allow_failure, is_mark, quote
from headrace.exceptions import HeadraceError
from headrace.futures import (
    AsyncSubmission,
    AsyncTaskFuture,
    Submission,
    TaskFuture,
)
from headrace.states import State, StateType, is_state

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
_FILLABLE: Final = (MutableSequence, MutableSet, set, deque)


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
    # The usual way to pass a future: as a whole argument.
    if type(value) in _SUBMISSIONS and not allowed:
        required.append(cast("Submission[Any]", value).future)
        return
    seen: set[tuple[int, bool]] = set()
    stack: list[tuple[object, bool]] = [(value, allowed)]
    while stack:
        item, is_allowed = stack.pop()
        kind = type(item)
        if kind in ATOMS:
            continue
        if kind in _SUBMISSIONS:
            item = cast("Submission[Any]", item).future
            kind = type(item)
        # Not compared by value: user objects may have an __eq__ of any kind.
        if (id(item), is_allowed) in seen:
            continue
        seen.add((id(item), is_allowed))
        if kind in _FUTURES or kind is State:
            (tolerated if is_allowed else required).append(cast("Source", item))
        else:
            allows = is_allowed or isinstance(item, allow_failure)
            for child in _children(item, kind):
                if type(child) not in ATOMS:
                    stack.append((child, allows))  # noqa: PERF401 - most are atoms


def _children(item: Any, kind: type) -> Iterable[Any]:
    """What a container or mark holds; nothing for anything else."""
    if kind is list or kind is tuple:
        # Most lists hold plain data: told by the types of the items, at C speed.
        return () if ATOMS.issuperset(map(type, item)) else item
    looks = _looks_inside(kind)
    return looks(item) if looks is not None else ()


@functools.lru_cache(maxsize=2048)
def _looks_inside(kind: type[object]) -> Callable[[Any], Iterable[Any]] | None:
    """How to list what objects of a type hold, or None if they are left alone."""
    if issubclass(kind, (*_CONTAINERS, MutableSequence, MutableSet)):
        return None if issubclass(kind, bytearray) else list
    if issubclass(kind, (dict, MappingProxyType, MutableMapping)):
        return _keys_and_values
    if issubclass(kind, BaseAnnotation):
        return None if issubclass(kind, quote) else _marked_value
    if dataclasses.is_dataclass(kind):
        return _field_values
    if hasattr(kind, "__pydantic_fields__"):
        return _model_values
    return None


def _marked_value(item: Any) -> tuple[Any]:
    return (item.value,)


def _keys_and_values(item: Mapping[Any, Any]) -> list[Any]:
    return [*item.keys(), *item.values()]


def _field_values(item: Any) -> list[Any]:
    names = [field.name for field in dataclasses.fields(item)]
    return [getattr(item, name) for name in names if hasattr(item, name)]


def _model_values(item: Any) -> list[Any]:
    return [*item.__dict__.values(), *_extra_of(item).values()]


def _extra_of(model: object) -> dict[str, Any]:
    """The fields of a pydantic instance that its class does not declare."""
    extra = getattr(model, "__pydantic_extra__", None)
    return {} if extra is None else extra


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
    if type(value) in ATOMS:
        return value
    if type(value) in _FUTURES:
        return data_of(value)
    if type(value) in _SUBMISSIONS:
        return data_of(value.future)
    try:
        return _Rebuild(value, is_returned=is_returned).of(value, allowed=False)
    except HeadraceError:
        raise
    except Exception as error:
        raise HeadraceError(
            f"failed to put the results of upstream runs into an argument of type "
            f"{type(value).__name__}: {type(error).__name__}: {error}. Wrap it in quote(...) "
            f"to pass it as it is."
        ) from error


class _Rebuild:
    """Copies of the containers that lead to something to replace, each made once."""

    def __init__(self, value: Any, *, is_returned: bool) -> None:
        self._is_returned = is_returned
        self._dirty = _ways_to_replace(value)
        self._made: dict[tuple[int, bool], Any] = {}

    def of(self, item: Any, *, allowed: bool) -> Any:
        if type(item) in _SUBMISSIONS:
            return data_of(item.future)
        if type(item) in _FUTURES:
            return data_of(item)
        if id(item) not in self._dirty:
            return item
        if is_state(item):
            return item if self._is_returned else data_of(item)
        if is_mark(item):
            return self._of_mark(item, allowed=allowed)
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

        if _is_a(item, (tuple, frozenset)):
            kind = _class_of(item)
            make = getattr(kind, "_make", kind)  # named tuples
            return make([new(child) for child in item])
        if _is_a(item, MappingProxyType):
            return MappingProxyType({new(k): new(v) for k, v in item.items()})
        # The rest can be filled after it is made, so it may contain itself.
        made = self._made[key] = copy.copy(item)
        if _is_a(item, _FILLABLE):
            _fill(made, list(item), new)
        elif _is_a(item, MutableMapping):
            pairs = list(item.items())
            made.clear()
            for k, v in pairs:
                made[new(k)] = new(v)
        elif dataclasses.is_dataclass(item):
            _replace_fields(item, made, new)
        else:
            _replace_in_model(item, made, new)
        return made


def _is_a(item: object, kinds: type[Any] | tuple[type[Any], ...]) -> bool:
    # For checkers, isinstance() makes of an Any a container of something unknown.
    return isinstance(item, kinds)


def _class_of(item: object) -> Any:
    return type(item)


def _fill(made: Any, children: list[Any], new: Callable[[Any], Any]) -> None:
    made.clear()
    rebuilt = [new(child) for child in children]
    if hasattr(made, "update"):
        made.update(rebuilt)
    elif hasattr(made, "extend"):
        made.extend(rebuilt)
    else:
        for child in rebuilt:
            made.add(child)


# A dataclass or pydantic instance is neither constructed nor validated anew.


def _replace_fields(item: Any, made: Any, new: Callable[[Any], Any]) -> None:
    for field in dataclasses.fields(item):
        if hasattr(item, field.name):
            # Works for frozen ones too.
            object.__setattr__(made, field.name, new(getattr(item, field.name)))


def _replace_in_model(item: Any, made: Any, new: Callable[[Any], Any]) -> None:
    for name, child in item.__dict__.items():
        made.__dict__[name] = new(child)
    for name, child in _extra_of(item).items():
        made.__pydantic_extra__[name] = new(child)


def _ways_to_replace(value: Any) -> set[int]:
    """The ids of all containers from which a future, state or mark can be reached."""
    parents: dict[int, list[int]] = {}
    ends: list[int] = []
    visited: set[int] = set()
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if id(item) in visited:
            continue
        visited.add(id(item))
        kind = type(item)
        if kind in _FUTURES or kind in _SUBMISSIONS or kind is State:
            ends.append(id(item))
            continue
        if is_mark(item):
            ends.append(id(item))
        for child in _children(item, kind):
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
