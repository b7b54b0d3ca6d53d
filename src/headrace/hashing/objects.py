"""Objects of classes that are not known here: by class, and by what they hold.

Whatever could be different in another process, or is used up by looking at it, is
refused with the reason.
"""

from __future__ import annotations

import copyreg
import dataclasses
import functools
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, cast

from headrace.hashing.arrays import array_shape
from headrace.hashing.code import class_shape
from headrace.hashing.shapes import (
    AS_ELEMENTS,
    AS_PAIRS,
    Shape,
    Unstable,
    attributes,
    class_of,
    leaf,
    module_name,
    type_name,
)

__all__ = ("HOOK", "object_shape", "pairs")

# The method by which a class of the user's says what tells its objects apart.
HOOK: Final = "__task_hash__"

_PICKLE_PROTOCOL: Final = 4
_GETSTATE: Final[Any] = object.__getstate__
_TYPE_HASH: Final[Any] = type.__hash__
_NEW: Final[Callable[..., Any]] = cast("Any", copyreg).__newobj__
_NEW_EX: Final[Callable[..., Any]] = cast("Any", copyreg).__newobj_ex__

# What Python would otherwise say of these is less clear, or nothing.
_REFUSED: Final[Mapping[tuple[str, str], str]] = {
    ("_thread", "lock"): "a lock is something of this process",
    ("_thread", "RLock"): "a lock is something of this process",
    ("threading", "Thread"): "a thread is something of this process",
    ("concurrent.futures._base", "Future"): "a future has no content of its own yet",
    ("concurrent.futures._base", "Executor"): "a pool is something of this process",
    ("_asyncio", "Future"): "a future has no content of its own yet",
    ("asyncio.futures", "Future"): "a future has no content of its own yet",
    ("asyncio.events", "AbstractEventLoop"): "a loop is something of this process",
    ("_io", "_IOBase"): "an open file is something of this process",
    ("_socket", "socket"): "a socket is something of this process",
}
_IN_MEMORY: Final = frozenset({"BytesIO", "StringIO"})


def object_shape(value: Any) -> Shape | bytes:
    """The shape of any object.

    Raises:
        Unstable: It has none.
        Exception: What a method of its class raises.
    """
    # What it is, and not what its `__class__` says: that may be code of the user's.
    cls = class_of(value)
    if issubclass(cls, type):
        return class_shape(value)
    _refuse(cls)
    made = array_shape(value, cls)
    if made is not None:
        return made
    if issubclass(cls, Enum):
        return Shape(("enum", type_name(cls), value._name_), (value._value_,))
    if issubclass(cls, BaseException):
        state = {"args": value.args, "__dict__": _state_of(value)}
        return attributes(("exception", type_name(cls)), state)
    return _of_built_in(value, cls) or _of_model(value, cls) or _reduced(value, cls)


def _refuse(cls: Any) -> None:
    """Raises `Unstable` for what can be seen to have no lasting content."""
    for base in cls.__mro__:
        reason = _REFUSED.get((base.__module__, base.__name__))
        if reason is not None and cls.__name__ not in _IN_MEMORY:
            raise Unstable(reason)
    if issubclass(cls, types.CoroutineType | types.AsyncGeneratorType):
        raise Unstable("it can run only once, and nothing else tells what it would do")
    if hasattr(cls, "__next__") and cls.__name__ not in _IN_MEMORY:
        raise Unstable("an iterator is used up by looking at it. Give a list")


def _of_model(value: Any, cls: Any) -> Shape | None:
    """A model of pydantic, by its fields: not by which of them were given."""
    if not (hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_fields")):
        return None
    held = value.__dict__
    fields = {name: held[name] for name in cls.model_fields if name in held}
    for more in ("__pydantic_extra__", "__pydantic_private__"):
        found = getattr(value, more, None)
        if found:
            fields[more] = found
    return attributes(("model", type_name(cls)), fields)


def pairs(items: Iterable[tuple[Any, Any]], tag: Any = "dict") -> Shape:
    """The shape of a dict, whose order is nothing."""
    return Shape(tag, [part for pair in items for part in pair], AS_PAIRS)


def _of_built_in(value: Any, cls: Any) -> Shape | None:
    """A built-in value whose class the user derived: its content, and attributes."""
    for base, content in _CONTENTS.items():
        if issubclass(cls, base):
            held = {"content": content(value)}
            state = _state_of(value)
            if state:
                held["__dict__"] = state
            if issubclass(cls, defaultdict):
                held["default_factory"] = value.default_factory
            shape = attributes((base.__name__, type_name(cls)), held)
            shape.names = ["" if name == ".content" else name for name in shape.names]
            return shape
    return None


# In this order: the first that fits is taken (an OrderedDict asks its keys for their
# hashes all the same, to walk over them). By the methods of the base, since those
# of the derived class may do anything. A new set or dict would ask its elements for
# their hashes.
_CONTENTS: Final[Mapping[type[Any], Callable[[Any], Any]]] = {
    OrderedDict: lambda value: tuple(OrderedDict[Any, Any].items(value)),
    dict: lambda value: pairs(dict[Any, Any].items(value)),
    list: lambda value: list(list[Any].__iter__(value)),
    tuple: lambda value: tuple(tuple[Any].__iter__(value)),
    set: lambda value: Shape("set", list(set[Any].__iter__(value)), AS_ELEMENTS),
    frozenset: lambda value: Shape(
        "frozenset", list(frozenset[Any].__iter__(value)), AS_ELEMENTS
    ),
    deque: lambda value: (value.maxlen, list(deque[Any].__iter__(value))),
    str: str.__str__,
    bytes: lambda value: memoryview(value).tobytes(),
    bytearray: lambda value: memoryview(value).tobytes(),
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
}


def _state_of(value: Any) -> dict[str, Any]:
    """The attributes that an object has itself, whatever its class says of pickling."""
    state = object.__getstate__(value)
    return _named(state) if state else {}


def _named(state: Any) -> dict[str, Any]:
    """By name, what `object.__getstate__` gives: attributes, and those in slots."""
    if type(state) is tuple:
        held, slots = cast("tuple[Any, Any]", state)
        return {**(held or {}), **slots}
    return dict(cast("dict[str, Any]", state))


def _reduced(value: Any, cls: Any) -> Shape | bytes:
    """By what would be pickled of it; a plain object by its attributes."""
    reduced = _reduce(value, cls)
    if isinstance(reduced, str):
        return leaf("global", module_name(value), reduced)
    parts_of: list[Any] = [*reduced, None, None, None]
    make, args, state, items, more = parts_of[:5]
    is_new = make is _NEW or make is _NEW_EX
    parts: dict[str, Any] = {}
    if state is not None:
        if is_new and cls.__getstate__ is _GETSTATE:
            parts = _own(_named(state), cls)
        elif is_new and _is_of_dataclass(cls):
            parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(cls)}
        else:
            parts["__getstate__()"] = state
    if items is not None:
        parts["items()"] = list(items)
    if more is not None:
        parts["pairs()"] = pairs(more)
    args = args[1:] if is_new else args
    if args:
        parts["__reduce__()"] = tuple(args)
    if any("__call__" in base.__dict__ for base in cls.__mro__):
        parts["__call__"] = cls.__call__
    maker = "" if is_new else f"{module_name(make)}.{_qualified(make)}"
    return attributes(("object", type_name(cls), maker), parts)


def _is_of_dataclass(cls: Any) -> bool:
    """Whether its way to be pickled was made for it: frozen, and with slots."""
    return getattr(cls.__getstate__, "__module__", None) == "dataclasses"


def _qualified(make: Any) -> str:
    return str(getattr(make, "__qualname__", type_name(type(make))))


def _reduce(value: Any, cls: Any) -> Any:
    reducer: Any = None
    # Asked only of classes whose own class is not a user's: it may hash as it likes.
    if type(cls).__hash__ is _TYPE_HASH:
        reducer = copyreg.dispatch_table.get(cls)
    if reducer is not None:
        return reducer(value)
    return value.__reduce_ex__(_PICKLE_PROTOCOL)


def _own(state: dict[str, Any], cls: Any) -> dict[str, Any]:
    """The attributes but for those that are computed from the others, and kept."""
    computed = {
        name
        for base in cls.__mro__
        for name, held in base.__dict__.items()
        if isinstance(held, functools.cached_property)
    }
    return {name: state[name] for name in state if name not in computed}
