"""Arguments of flows, checked against the annotations of the function by pydantic."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from headrace.exceptions import ParameterTypeError
from headrace.parameters import Binder

__all__ = ("Validator",)


class Validator:
    """Checks and converts the arguments of one function.

    What it needs of pydantic is made at the first call, when all names in the
    annotations are known.

    Args:
        name: What messages call the flow.
        fn: Its function.
        binder: Of that function.
    """

    def __init__(self, name: str, fn: Callable[..., Any], binder: Binder) -> None:
        self._name = name
        self._fn = fn
        self._binder = binder
        self._adapters: dict[str, TypeAdapter[Any]] | None = None

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments, converted.

        Raises:
            ParameterTypeError: Some do not fit their annotations.
        """
        if self._adapters is None:
            self._adapters = self._made()
        if not self._adapters:
            return args, kwargs
        parameters = self._binder.parameters(args, kwargs)
        wrong: list[str] = []
        for name, adapter in self._adapters.items():
            try:
                parameters[name] = adapter.validate_python(parameters[name])
            except ValidationError as invalid:
                wrong += [_told(name, each) for each in invalid.errors()]
        if wrong:
            raise ParameterTypeError(
                f"{self._name} got arguments that do not fit its annotations: "
                f"{'; '.join(wrong)}. Give what {self._binder.signature} asks for, or "
                f"write @flow(validate_parameters=False)."
            )
        return self._binder.call_arguments(parameters)

    def _made(self) -> dict[str, TypeAdapter[Any]]:
        hints = _hints_of(self._fn)
        found: dict[str, TypeAdapter[Any]] = {}
        for name, parameter in self._binder.signature.parameters.items():
            hint: Any = hints.get(name, Any)
            if hint is Any or isinstance(hint, str):
                continue
            if parameter.kind is Parameter.VAR_POSITIONAL:
                hint = types.GenericAlias(tuple, (hint, ...))
            elif parameter.kind is Parameter.VAR_KEYWORD:
                hint = types.GenericAlias(dict, (str, hint))
            found[name] = _adapter(hint)
        return found


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
