"""Whether a value that was stored and read is the one that was stored."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any, cast

from pydantic import BaseModel

from headrace.exceptions import StoredException
from headrace.serializers.blame import class_of

__all__ = ("is_same", "parts_of")


def is_same(value: Any, read: Any) -> bool:
    """Whether two values have the same types throughout, and are equal.

    Not a number is the same as itself here, and 0.0 is not the same as -0.0. What stands
    for an exception that cannot be stored is as good as it.
    """
    kind = class_of(value)
    if kind is not type(read):
        return isinstance(value, BaseException) and type(read) is StoredException
    if kind in {float, complex, Decimal}:
        return repr(value) == repr(read)
    if isinstance(value, tuple) or kind is list:
        return _same_items(value, read)
    if kind is dict:
        return len(value) == len(read) and all(
            key in read and is_same(value[key], read[key]) for key in value
        )
    if isinstance(value, BaseException):
        return is_same(parts_of(value), parts_of(read))
    if isinstance(value, BaseModel):
        return _same_models(value, read)
    if dataclasses.is_dataclass(value):
        return all(
            is_same(getattr(value, field.name), getattr(read, field.name))
            for field in dataclasses.fields(value)
        )
    # By the class's own idea of it: without one no two objects are equal.
    return value is read or bool(value == read)


def parts_of(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an exception is made of: the arguments for its class, and its attributes.

    By its own word, which knows more than ``args``: the file of an ``OSError``.
    """
    reduced = error.__reduce__()
    if isinstance(reduced, tuple) and reduced[0] is type(error):
        args, state = reduced[1], dict[str, Any]()
        if len(reduced) > 2 and isinstance(reduced[2], dict):
            state = cast("dict[str, Any]", reduced[2])
        return args, state
    return error.args, vars(error)


def _same_items(value: Any, read: Any) -> bool:
    return len(value) == len(read) and all(map(is_same, value, read))


def _same_models(value: BaseModel, read: BaseModel) -> bool:
    return (
        is_same(value.__dict__, read.__dict__)
        and is_same(value.__pydantic_extra__, read.__pydantic_extra__)
        and is_same(value.__pydantic_private__, read.__pydantic_private__)
        and value.model_fields_set == read.model_fields_set
    )
