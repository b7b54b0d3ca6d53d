"""From what JSON read back to values; the way back of `lowering`."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Final, cast

from pydantic import BaseModel, TypeAdapter

from headrace.serializers.blame import class_of
from headrace.serializers.errors import rebuilt
from headrace.serializers.kinds import DATA, KINDS_BY_NAME, TAG

__all__ = ("json_object_decoder", "lifted")

_TAG_AND_DATA: Final = 2

Decoder = Callable[[dict[str, Any]], Any]


def lifted(tree: Any, decoder: Decoder | None) -> Any:
    """The value that a tree stands for.

    Args:
        tree: What JSON read. It is used up.
        decoder: Makes a value of an object with texts as keys, its parts made before, or
            gives the object as it is. None for no other types.

    Raises:
        Exception: Whatever making a value of wrong data raises.
    """
    kind = class_of(tree)
    if kind is list:
        return [lifted(item, decoder) for item in tree]
    if kind is not dict:
        return tree
    made = {key: lifted(value, decoder) for key, value in tree.items()}
    name = made.get(TAG)
    if isinstance(name, str) and name in KINDS_BY_NAME and len(made) == _TAG_AND_DATA:
        return KINDS_BY_NAME[name].lift(made[DATA])
    return made if decoder is None else decoder(made)


def json_object_decoder(
    result: dict[str, Any], allow_imports: Collection[str] = ()
) -> Any:
    """The value that `json_object_encoder` wrote; other objects as they are.

    Args:
        result: What was read, its parts being values already.
        allow_imports: Modules that may be imported to find a class, with all below them.
            Others have to be imported already: reading runs no code that is not loaded.

    Raises:
        TypeError: The class is none of those that are written so.
        ImportError: The class is not there, or may not be imported.
        ValueError: Its data are not those of this class.
    """
    name = result.get(TAG)
    if not isinstance(name, str) or DATA not in result:
        return result
    form = KINDS_BY_NAME.get(name)
    if form is not None:
        return form.lift(result[DATA])
    return _made(_class_of(name, allow_imports), result)


def _class_of(name: str, allow_imports: Collection[str]) -> type[Any]:
    module_name, _, path = name.rpartition(":")
    module_name = module_name or "builtins"
    module = sys.modules.get(module_name)
    if module is None and _is_allowed(module_name, allow_imports):
        module = importlib.import_module(module_name)
    if module is None:
        raise ImportError(
            f"the class {name!r} is in the module {module_name!r}, which is not "
            f"imported here, and reading results imports nothing. Import it first, or "
            f"write JSONSerializer(allow_imports=[{module_name!r}])."
        )
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        return cast("type[Any]", found)
    raise ImportError(
        f"there is no class {name!r} here any more. Define it again, or drop what was "
        f"stored."
    )


def _is_allowed(module: str, allowed: Collection[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


def _made(cls: type[Any], result: dict[str, Any]) -> Any:
    data = result[DATA]
    if issubclass(cls, BaseException):
        return rebuilt(cls, tuple(data), result["state"])
    if issubclass(cls, Enum):
        return cls(data)
    if issubclass(cls, BaseModel):
        return _model(cls, data, result.get("unset", ()))
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, data)
    if hasattr(cls, "_fields") and hasattr(cls, "_make"):
        return cls(*data)  # a named tuple
    adapter: TypeAdapter[Any] = TypeAdapter(cls)
    return adapter.validate_python(data)


def _model(
    cls: type[BaseModel], data: dict[str, Any], unset: Collection[str]
) -> BaseModel:
    """A model, validated; its fields go in by the names that it takes."""
    by_alias = not cls.model_config.get("populate_by_name")
    named: dict[str, Any] = {}
    for name, value in data.items():
        field = cls.model_fields.get(name)
        alias = field.validation_alias if field is not None and by_alias else None
        named[alias if isinstance(alias, str) else name] = value
    model = cls.model_validate(named)
    model.model_fields_set.difference_update(unset)
    return model


def _dataclass(cls: type[Any], data: dict[str, Any]) -> Any:
    given = {f.name for f in dataclasses.fields(cls) if f.init}
    made = cls(**{name: value for name, value in data.items() if name in given})
    for name in data.keys() - given:
        object.__setattr__(made, name, data[name])
    return made
