"""Values checked against annotations, and converted, by pydantic.

A module of its own, as it is imported late: see `headrace.validation`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

__all__ = ("adapters_of", "converted")

# pydantic looks for its plugins, on the disk, when the first of these is made. Now, and
# not at the first call of a flow: that may be on a loop.
TypeAdapter(int)


def adapters_of(fn: Callable[..., Any], signature: Signature) -> dict[str, Any]:
    """A checker for each parameter that has an annotation, by its name.

    Args:
        fn: A function all names in whose annotations are known by now.
        signature: Its signature.
    """
    hints = _hints_of(fn)
    found: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        hint: Any = hints.get(name, Any)
        if hint is Any or isinstance(hint, str):
            continue
        if parameter.kind is Parameter.VAR_POSITIONAL:
            hint = types.GenericAlias(tuple, (hint, ...))
        elif parameter.kind is Parameter.VAR_KEYWORD:
            hint = types.GenericAlias(dict, (str, hint))
        found[name] = _adapter(hint)
    return found


def converted(adapters: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """Convert parameters where they are; what is wrong with some of them, in words.

    Args:
        adapters: What `adapters_of` gave.
        parameters: Name to value; those that fit are replaced.
    """
    wrong: list[str] = []
    for name, adapter in adapters.items():
        try:
            parameters[name] = adapter.validate_python(parameters[name])
        except ValidationError as invalid:
            wrong += [_told(name, each) for each in invalid.errors()]
    return wrong


def _hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    inner = inspect.unwrap(getattr(fn, "func", fn))
    try:
        return typing.get_type_hints(inner, include_extras=True)
    except Exception:  # noqa: BLE001 - a name may be known to type checkers only
        found = getattr(inner, "__annotations__", {})
        return {name: hint for name, hint in found.items() if not isinstance(hint, str)}


def _adapter(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return TypeAdapter(hint)  # a model, which has a config of its own


def _told(name: str, error: Any) -> str:
    where = "".join(f"[{part!r}]" for part in error["loc"])
    return f"{name}{where}={error['input']!r}: {error['msg']}"
