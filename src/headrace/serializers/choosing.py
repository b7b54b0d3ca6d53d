"""From what users name as a serializer, and from what is stored of one, to one."""

from __future__ import annotations

import json
from typing import Any, cast

from headrace._text import shown
from headrace.serializers.base import Serializer, known_types, serializer_class
from headrace.serializers.compression import SAFE_LIBRARIES

__all__ = ("is_harmless", "resolve_serializer", "serializer_from_spec")


def resolve_serializer(value: object) -> Serializer:
    """The serializer that was meant.

    Args:
        value: A `Serializer`, or the name of its type, such as ``"json"`` or
            ``"compressed/pickle"``.

    Raises:
        UnknownSerializer: There is none of that name.
        TypeError: It is neither.
    """
    if isinstance(value, Serializer):
        return value
    if isinstance(value, str):
        return serializer_class(value)(type=value)
    names = ", ".join(repr(name) for name in known_types())
    raise TypeError(
        f"{shown(value)} of type {type(value).__name__} is no serializer. Give one of "
        f"{names}, or an instance of a subclass of headrace.serializers.Serializer."
    )


def serializer_from_spec(spec: str) -> Serializer:
    """The serializer of a `Serializer.spec`. May import what it names.

    Raises:
        UnknownSerializer: Its class is not defined here.
        ValueError: It is no such text, or does not fit its class.
        TypeError: It is JSON of something else.
    """
    fields: dict[str, Any] = dict(json.loads(spec))
    return serializer_class(str(fields.get("type")))(**fields)


def is_harmless(spec: str) -> bool:
    """Whether a spec that anybody may have written can be followed.

    Nothing is imported to find out: it has to be plain JSON, perhaps compressed by a
    library that we know.
    """
    try:
        return _only_makes_data(json.loads(spec))
    except (ValueError, RecursionError):
        return False


def _only_makes_data(fields: Any) -> bool:
    if not isinstance(fields, dict):
        return False
    given = cast("dict[str, Any]", fields)
    match given.get("type"):
        case "json":
            return len(given) == 1
        case "compressed" | "compressed/json":
            library = given.get("compressionlib")
            return (
                isinstance(library, str)
                and library in SAFE_LIBRARIES
                and set(given) <= {"type", "serializer", "compressionlib"}
                and _only_makes_data(given.get("serializer"))
            )
        case _:
            return False
