"""Arguments of flows, checked against the annotations of the function by pydantic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

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
        self._adapters: dict[str, Any] | None = None
        parameters = binder.signature.parameters.values()
        if all(each.annotation is Parameter.empty for each in parameters):
            self._adapters = {}
            return
        # Late: pydantic takes longer to import than all else that headrace needs, and
        # many programs have no such flow. Not at the first call: that may be on a
        # loop, which the import would hold up.
        from headrace.adapters import adapters_of, converted  # noqa: PLC0415

        self._make, self._convert = adapters_of, converted

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments, converted.

        Raises:
            ParameterTypeError: Some do not fit their annotations.
        """
        if self._adapters is None:
            self._adapters = self._make(self._fn, self._binder.signature)
        if not self._adapters:
            return args, kwargs
        parameters = self._binder.parameters(args, kwargs)
        wrong = self._convert(self._adapters, parameters)
        if wrong:
            raise ParameterTypeError(
                f"{self._name} got arguments that do not fit its annotations: "
                f"{'; '.join(wrong)}. Give what {self._binder.signature} asks for, or "
                f"write @flow(validate_parameters=False)."
            )
        return self._binder.call_arguments(parameters)
