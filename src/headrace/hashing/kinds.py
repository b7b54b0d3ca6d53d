"""Which shape a value has, by its type."""

from __future__ import annotations

import re
import types
from collections import deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Final, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from headrace._text import shown
from headrace.hashing.code import CALLABLES
from headrace.hashing.objects import HOOK, object_shape, pairs
from headrace.hashing.shapes import (
    AS_ELEMENTS,
    PRIMITIVES,
    Shape,
    Unstable,
    attributes,
    class_of,
    leaf,
    type_name,
)

__all__ = ("register_hasher", "shape_of")

T = TypeVar("T")

Maker = Callable[[Any], Shape | bytes]


def shape_of(value: Any) -> Shape | bytes:
    """How a value is taken apart; the whole encoding if it has no parts.

    Raises:
        Unstable: It cannot be: it would not be the same in another process.
        Exception: What a method of its class raises.
    """
    cls = class_of(value)
    known = _KNOWN.get(id(cls))
    if known is not None:
        return known(value)
    for base in cls.__mro__:
        registered = _REGISTERED.get(id(base))
        if registered is not None:
            return Shape(("registered", type_name(cls)), (registered[1](value),))
        # Looked up as other special methods are: past the object and its own class.
        if HOOK in base.__dict__:
            told = getattr(cls, HOOK)(value)
            return Shape(("hook", type_name(cls)), (told,))
    if issubclass(cls, PurePath):
        return leaf("path", type_name(cls), str(value))
    return object_shape(value)


def register_hasher(cls: type[T], content: Callable[[T], Any]) -> None:
    """Say what tells the objects of a class apart, where that is not your own class.

    In a class of your own define ``__task_hash__`` instead. What was said last holds,
    for derived classes too.

    Args:
        cls: The class.
        content: From an object to a value that can be hashed, such as a tuple of
            texts and numbers.

    Raises:
        TypeError: ``cls`` is no class, or ``content`` no function.
        ValueError: The class is a built-in one whose content is known.
    """
    if not isinstance(cast("object", cls), type):
        raise TypeError(
            f"register_hasher() takes a class, not {shown(cls)}. Write "
            f"register_hasher(Client, lambda client: client.url)."
        )
    if not callable(cast("object", content)):
        raise TypeError(
            f"register_hasher({cls.__name__}, ...) takes a function of an object, not "
            f"{shown(content)}. Write lambda client: client.url."
        )
    if id(cls) in _KNOWN or id(cls) in PRIMITIVES or cls is object:
        raise ValueError(
            f"register_hasher({cls.__name__}, ...): what a {cls.__name__} holds is "
            f"known, and is the same for all. Derive a class from it, and register that."
        )
    _REGISTERED[id(cls)] = cls, content


# By id, with the class itself so that it stays alive. Users add to it, once for a
# process, as they do to `copyreg`.
_REGISTERED: Final[dict[int, tuple[type[Any], Callable[[Any], Any]]]] = {}


def _bounds(value: Any) -> Shape:
    return Shape(type_name(type(value)), (value.start, value.stop, value.step))


def _memoryview(view: memoryview) -> bytes:
    return leaf("memoryview", view.format, view.shape, view.tobytes())


def _moment(moment: Any) -> Shape:
    # As they are pickled, but with the bytes that hold the time as an argument.
    content, *zone = moment.__reduce_ex__(4)[1]
    return Shape((type_name(type(moment)), content), zone)


def _zone(zone: timezone) -> bytes:
    offset = zone.utcoffset(None)
    return leaf("timezone", offset.days, offset.seconds, zone.tzname(None))


def _zone_info(zone: ZoneInfo) -> bytes:
    if zone.key is None:  # pyright: ignore[reportUnnecessaryComparison] - of a file
        raise Unstable("a time zone read from a file has no name. Give its key")
    return leaf("zone", zone.key)


def _namespace(value: Any) -> Shape:
    return attributes("namespace", {**vars(value)})


def _pattern(pattern: re.Pattern[Any]) -> Shape:
    return Shape(("pattern", pattern.flags), (pattern.pattern,))


_EXACT: Final[Mapping[Any, Maker]] = {
    list: lambda value: Shape("list", [*value]),
    tuple: lambda value: Shape("tuple", [*value]),
    dict: lambda value: pairs(value.items()),
    types.MappingProxyType: lambda value: Shape("proxy", (pairs(value.items()),)),
    set: lambda value: Shape("set", tuple(value), AS_ELEMENTS),
    frozenset: lambda value: Shape("frozenset", tuple(value), AS_ELEMENTS),
    deque: lambda value: Shape(("deque", value.maxlen), tuple(value)),
    bytearray: lambda value: leaf("bytearray", bytes(value)),
    memoryview: _memoryview,
    range: _bounds,
    slice: _bounds,
    type(NotImplemented): lambda _: leaf("NotImplemented"),
    Decimal: lambda value: leaf("decimal", str(value)),
    Fraction: lambda value: leaf("fraction", value.numerator, value.denominator),
    UUID: lambda value: leaf("uuid", value.int),
    date: lambda value: leaf("date", value.toordinal()),
    datetime: _moment,
    time: _moment,
    timedelta: lambda value: leaf(
        "timedelta", value.days, value.seconds, value.microseconds
    ),
    timezone: _zone,
    ZoneInfo: _zone_info,
    re.Pattern: _pattern,
    types.ModuleType: lambda value: leaf("module", value.__name__),
    types.SimpleNamespace: _namespace,
    **CALLABLES,
}

# By id: the class of a class may be the user's, and hash as it likes.
_KNOWN: Final[Mapping[int, Maker]] = {id(cls): make for cls, make in _EXACT.items()}
