"""What containers hold, and copies of containers that hold something else.

Only memory is looked at: no method of a user's class is called. So a search opens no
file, lists no bucket and reads no iterator, and a copy constructs and validates nothing
anew.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
from collections import OrderedDict, defaultdict, deque
from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MappingView,
    Sequence,
    Set as AbstractSet,
)
from types import MappingProxyType, MemberDescriptorType
from typing import Any, Final, Protocol

from headrace.annotations import BaseAnnotation, quote
from headrace.futures.lists import TaskFutures

__all__ = ("Container", "container_of", "is_model")


class Container(Protocol):
    """How objects of one type are looked into and copied."""

    def held(self, item: Any) -> Sequence[object]:
        """What one holds, in an order of its own."""
        ...

    def shell(self, item: Any) -> Any | None:
        """A copy to be filled, so that it may contain itself; None if there is none."""
        ...

    def filled(self, item: Any, shell: Any | None, held: Sequence[Any]) -> Any:
        """The copy, which holds something else in the places of what `held` gave."""
        ...


def _container_of(kind: type[Any]) -> Container | None:
    """How to look into the objects of a type; None if they are passed on as they are."""
    for base, container in _BUILT_IN.items():
        if issubclass(kind, base):
            return container
    if is_model(kind):
        return _MODEL
    if dataclasses.is_dataclass(kind) or issubclass(kind, _INTERFACES):
        return _ATTRIBUTES
    return None


def is_model(kind: type[Any]) -> bool:
    """Whether a type is that of a pydantic model."""
    return hasattr(kind, "__pydantic_core_schema__") and not dataclasses.is_dataclass(
        kind
    )


# -- containers of Python's own, and classes made of them ----------------------------


class _Items:
    """Lists, sets and deques."""

    def __init__(self, base: Any, extend: Callable[[Any, Iterable[Any]], None]) -> None:
        self._base = base
        self._extend = extend

    def held(self, item: Any) -> Sequence[Any]:
        whole: Sequence[Any] = item
        return whole if type(item) is list else [*self._base.__iter__(item)]

    def shell(self, item: Any) -> Any:
        if type(item) is list:
            return []
        made = self._base.__new__(type(item))
        if self._base is deque:
            _DEQUE.__init__(made, (), item.maxlen)
        return _with_attributes(made, item)

    def filled(self, item: Any, shell: Any, held: Sequence[Any]) -> Any:  # noqa: ARG002
        self._extend(shell, held)
        return shell


class _Results(_Items):
    """The futures of a map: of their values a plain list is made."""

    def held(self, item: Any) -> Sequence[Any]:
        len(item)  # refused by a map that is to be awaited first
        return [*_LIST.__iter__(item)]

    def shell(self, item: Any) -> Any:  # noqa: ARG002
        return []


class _Pairs:
    """Dicts: the keys, then the values."""

    def __init__(self, base: Any) -> None:
        self._base = base

    def held(self, item: Any) -> Sequence[Any]:
        return [*self._base.__iter__(item), *self._base.values(item)]

    def shell(self, item: Any) -> Any:
        if type(item) is dict:
            return {}
        made = self._base.__new__(type(item))
        if self._base is defaultdict:
            _GROUPS.__init__(made, item.default_factory)
        return _with_attributes(made, item)

    def filled(self, item: Any, shell: Any, held: Sequence[Any]) -> Any:  # noqa: ARG002
        put = self._base.__setitem__
        for key, value in _pairs(held):
            put(shell, key, value)
        return shell


class _Whole:
    """What can only be made with all it holds, and so never contains just itself."""

    def __init__(
        self,
        held: Callable[[Any], Sequence[Any]],
        make: Callable[[Any, Sequence[Any]], Any],
    ) -> None:
        self._held = held
        self._make = make

    def held(self, item: Any) -> Sequence[Any]:
        return self._held(item)

    def shell(self, item: Any) -> None:  # noqa: ARG002
        return None

    def filled(self, item: Any, shell: None, held: Sequence[Any]) -> Any:  # noqa: ARG002
        return self._make(item, held)


def _immutable(base: Any) -> _Whole:
    def make(item: Any, held: Sequence[Any]) -> Any:
        if type(item) is base:
            return base(held)
        # Not by its own class: a named tuple takes its items one by one.
        return _with_attributes(base.__new__(type(item), held), item)

    return _Whole(lambda item: [*base.__iter__(item)], make)


def _seen_through(look: Callable[[Any], Any]) -> _Whole:
    """What shows a mapping that it does not own."""
    # Its keys and values are left to the mapping, which may hold this very object.
    return _Whole(gc.get_referents, lambda _, held: look(*held))


def _view(name: str) -> _Whole:
    def look(owner: Any) -> Any:
        base = OrderedDict if isinstance(owner, OrderedDict) else dict
        return getattr(base, name)(owner)

    return _seen_through(look)


def _pairs(held: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    count = len(held) // 2
    return zip(held[:count], held[count:], strict=True)


def _marked(item: BaseAnnotation[Any]) -> Sequence[Any]:
    return () if isinstance(item, quote) else (item.value,)


# -- objects that are known by their attributes -----------------------------------------


class _Attributes:
    """Dataclasses, pydantic models, and classes that are a collection by interface."""

    def __init__(self, copied: Callable[[Any], Any], *, hidden: frozenset[str]) -> None:
        self._copied = copied
        self._hidden = hidden

    def held(self, item: Any) -> Sequence[Any]:
        return list(self._of(item).values())

    def shell(self, item: Any) -> Any:
        return self._copied(item)

    def filled(self, item: Any, shell: Any, held: Sequence[Any]) -> Any:
        for (name, old), new in zip(self._of(item).items(), held, strict=True):
            if new is not old:
                _set(shell, name, new)
        return shell

    def _of(self, item: Any) -> dict[str, Any]:
        found = _attributes(item)
        return {k: v for k, v in found.items() if k not in self._hidden}


def _attributes(item: Any) -> dict[str, Any]:
    """The attributes of an object, those in slots too; nothing is computed for it."""
    return {
        **_dict_of(item),
        **{slot.__name__: value for slot, value in _slotted(item)},
    }


def _dict_of(item: Any) -> dict[str, Any]:
    try:
        own: dict[str, Any] = object.__getattribute__(item, "__dict__")
    except AttributeError:
        return {}
    return own


def _slotted(item: object) -> Iterator[tuple[MemberDescriptorType, Any]]:
    for slot in _slots_of(type(item)):
        try:
            yield slot, slot.__get__(item)
        except AttributeError:
            continue  # nothing was put there yet


def _slots(kind: type[Any]) -> Sequence[MemberDescriptorType]:
    classes = [vars(cls) for cls in kind.__mro__ if "__slots__" in vars(cls)]
    return [
        slot
        for own in classes
        for slot in own.values()
        if isinstance(slot, MemberDescriptorType)
    ]


def _set(item: Any, name: str, value: Any) -> None:
    own = _dict_of(item)
    if name in own:
        own[name] = value
    else:
        # Works for frozen ones too.
        object.__setattr__(item, name, value)


def _with_attributes(made: Any, item: Any) -> Any:
    _dict_of(made).update(_dict_of(item))
    for slot, value in _slotted(item):
        slot.__set__(made, value)
    return made


def _bare_copy(item: object) -> Any:
    kind = type(item)
    try:
        made: Any = object.__new__(kind)
    except TypeError:
        # Made of a class in C, an exception say, which has more to be copied.
        return copy.copy(item)
    return _with_attributes(made, item)


# Made of interfaces, so tried after all that Python has itself.
_INTERFACES: Final = (Mapping, Sequence, AbstractSet, MappingView)

_ATTRIBUTES: Final = _Attributes(_bare_copy, hidden=frozenset())
_MODEL: Final = _Attributes(
    copy.copy,
    hidden=frozenset({"__pydantic_private__", "__pydantic_fields_set__"}),
)

# For checkers, list.extend is a method of lists of something unknown.
_LIST: Final[Any] = list
_SET: Final[Any] = set
_DEQUE: Final[Any] = deque
_GROUPS: Final[Any] = defaultdict
_EMPTY: Final[dict[Any, Any]] = {}

# In this order: the first that fits is taken.
_BUILT_IN: Final[Mapping[type[Any] | tuple[type[Any], ...], Container | None]] = {
    (str, bytes, bytearray, memoryview): None,
    TaskFutures: _Results(_LIST, _LIST.extend),
    list: _Items(_LIST, _LIST.extend),
    tuple: _immutable(tuple),
    OrderedDict: _Pairs(OrderedDict),
    defaultdict: _Pairs(defaultdict),
    dict: _Pairs(dict),
    set: _Items(_SET, _SET.update),
    frozenset: _immutable(frozenset),
    deque: _Items(_DEQUE, _DEQUE.extend),
    BaseAnnotation: _Whole(_marked, lambda item, held: item.rewrap(*held)),
    MappingProxyType: _seen_through(MappingProxyType),
    type(_EMPTY.keys()): _view("keys"),
    type(_EMPTY.values()): _view("values"),
    type(_EMPTY.items()): _view("items"),
}

# Of a type that was seen before it is known. For checkers, some types are not hashable.
_cached: Final[Any] = functools.lru_cache(maxsize=2048)
container_of: Final[Callable[[type[Any]], Container | None]] = _cached(_container_of)
_slots_of: Final[Callable[[type[Any]], Sequence[MemberDescriptorType]]] = _cached(
    _slots
)
