"""From values to what JSON can write: numbers, texts, lists, and objects with texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, cast

from pydantic import BaseModel, PydanticSchemaGenerationError, TypeAdapter

from headrace.exceptions import SerializationError
from headrace.serializers.blame import class_of, named_type
from headrace.serializers.errors import can_be_rebuilt, stand_in
from headrace.serializers.kinds import DATA, KINDS, TAG, path_of
from headrace.serializers.sameness import parts_of

__all__ = ("Unfit", "json_object_encoder", "lowered")

_PLAIN: Final = frozenset({str, int, float, bool, type(None)})

Encoder = Callable[[Any], Any]


class Unfit(SerializationError):
    """What is wrong, on its way up to the whole value, gathering the path."""

    def __init__(self, part: Any, reason: str) -> None:
        super().__init__("json", named_type(part), "", reason)

    def error(self) -> SerializationError:
        """The error to show, without the classes of this module."""
        return SerializationError("json", self.type_name, self.path, self.reason)


def lowered(value: Any, encoder: Encoder | None) -> Any:
    """What stands for a value in JSON.

    Args:
        value: Any value; it is not changed, and shares no containers with the result.
        encoder: Makes what JSON has, or what we have a form for, of another value;
            raises TypeError if it cannot. None to refuse such values.

    Raises:
        Unfit: A part cannot be stored.
        RecursionError: It is nested too deeply, or holds itself.
    """
    kind = class_of(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return _lowered_list(value, encoder)
    if kind is dict and _is_plain_object(value):
        return _lowered_object(value, encoder)
    form = KINDS.get(kind)
    if form is not None:
        return {TAG: form.name, DATA: lowered(form.lower(value), encoder)}
    return _encoded(value, encoder)


def _lowered_list(values: list[Any], encoder: Encoder | None) -> list[Any]:
    index = 0
    made: list[Any] = [None] * len(values)
    try:
        for index, value in enumerate(values):
            made[index] = lowered(value, encoder)
    except Unfit as unfit:
        unfit.path = f"[{index}]{unfit.path}"
        raise
    return made


def _lowered_object(values: dict[str, Any], encoder: Encoder | None) -> dict[str, Any]:
    made: dict[str, Any] = {}
    key = ""
    try:
        for key, value in values.items():
            made[key] = lowered(value, encoder)
    except Unfit as unfit:
        unfit.path = f"[{key!r}]{unfit.path}"
        raise
    return made


def _is_plain_object(value: dict[Any, Any]) -> bool:
    # One with the tag would be read as a value of another type.
    return TAG not in value and all(type(key) is str for key in value)


def _encoded(value: Any, encoder: Encoder | None) -> Any:
    if encoder is None:
        raise Unfit(value, "JSON has no form for it, and there is no object_encoder")
    if encoder is json_object_encoder and isinstance(value, BaseException):
        return _lowered_exception(value)
    return _lowered_encoding(value, encoder)


def _lowered_exception(error: BaseException) -> Any:
    if can_be_rebuilt(error):
        try:
            return _lowered_encoding(error, json_object_encoder)
        except (Unfit, RecursionError):
            pass  # an argument or an attribute cannot be stored
    return _lowered_encoding(stand_in(error), json_object_encoder)


def _lowered_encoding(value: Any, encoder: Encoder) -> Any:
    try:
        made = encoder(value)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(". ")
        raise Unfit(value, reason) from error
    if isinstance(made, dict):
        # Its tags are meant.
        return _lowered_object(cast("dict[str, Any]", made), encoder)
    return lowered(made, encoder)


def json_object_encoder(obj: Any) -> dict[str, Any]:
    """What stands for a value that JSON has no form for: its class, and data.

    For pydantic models, dataclasses, enums, named tuples, exceptions, the common types of
    the standard library, and what else pydantic can write and validate.

    Raises:
        TypeError: It is none of these.
    """
    kind = class_of(obj)
    form = KINDS.get(kind)
    if form is not None:
        return {TAG: form.name, DATA: form.lower(obj)}
    if isinstance(obj, BaseException):
        args, state = parts_of(obj)
        return {TAG: _importable(obj), DATA: list(args), "state": dict(state)}
    made: dict[str, Any] = {TAG: _importable(obj), DATA: _data_of(obj)}
    if isinstance(obj, BaseModel):
        unset = set(type(obj).model_fields) - obj.model_fields_set
        if unset:
            made["unset"] = sorted(unset)
    return made


def _data_of(obj: Any) -> Any:
    if isinstance(obj, Enum):
        return obj.value
    if isinstance(obj, BaseModel):
        return {**obj.__dict__, **(obj.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(obj):
        return {f.name: getattr(obj, f.name) for f in dataclasses.fields(obj)}
    if hasattr(obj, "_fields") and hasattr(obj, "_make"):
        return list(obj)  # a named tuple
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(class_of(obj))
        return adapter.dump_python(obj, mode="json")
    except PydanticSchemaGenerationError:
        raise TypeError(
            f"JSON has no form for a {named_type(obj)}, nor has pydantic. Use the "
            f"serializer 'pickle', or an object_encoder."
        ) from None


def _importable(obj: Any) -> str:
    """The path of its class.

    Raises:
        TypeError: The class cannot be found by it.
    """
    kind = class_of(obj)
    if "<locals>" in kind.__qualname__:
        raise TypeError(
            f"the class {kind.__qualname__} is defined inside a function, where it "
            f"cannot be found again. Define it in the module."
        )
    return path_of(kind)
