"""How runs are called: a template or a function of the user that gives the name."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from headrace.callables import is_coroutine_callable, name_of
from headrace.templates import fields_of, root_of

__all__ = ("RunName", "checked_name")


@dataclass(slots=True, eq=False, repr=False)
class RunName:
    """What ``task_run_name`` or ``flow_run_name`` was given as.

    Attributes:
        option: The name of the option, for messages.
        template: A text for `str.format`, or None.
        fn: A function that gives the name, or None.
        takes_parameters: Whether the function is given ``parameters=``.
        is_async: Whether it gives the name to somebody who awaits it.
    """

    option: str
    template: str | None
    fn: Callable[..., Any] | None = None
    takes_parameters: bool = False
    is_async: bool = False

    @classmethod
    def of(
        cls, name: str, option: str, given: object, signature: Signature
    ) -> RunName | None:
        """Check what was given as the option; None if it says nothing.

        Args:
            name: What messages call the task or flow.
            option: "task_run_name" or "flow_run_name".
            given: A template, a function, or None.
            signature: That of the function whose runs are named.

        Raises:
            TypeError: It is neither text nor function, or the function asks for
                arguments that it will not get.
            ValueError: The template is malformed, or has a placeholder that is no
                parameter (RNAME-06).
        """
        if given is None or given == "":
            return None
        if isinstance(given, str):
            _check_template(name, option, given, signature)
            return cls(option, given)
        if not callable(given):
            raise TypeError(
                f"{name}: {option} must be a template such as 'load-{{date}}' or a "
                f"function that gives the name, not {given!r} of type "
                f"{type(given).__name__}."
            )
        takes = _takes_parameters(name, option, given)
        return cls(option, None, given, takes, is_coroutine_callable(given))

    @property
    def given(self) -> Any:
        """The option as it was given."""
        return self.template if self.fn is None else self.fn

    def name_from(self, parameters: Mapping[str, Any]) -> str | Awaitable[Any]:
        """The name of a run; of an asynchronous function, what gives it.

        Pass what is awaited through `checked_name`.

        Raises:
            TypeError: The function returned something else.
            Exception: What the function, or formatting a value, raised.
        """
        if self.fn is None:
            return str(self.template).format(**parameters)
        if self.takes_parameters:
            found = self.fn(parameters=dict(parameters))
        else:
            found = self.fn()
        if self.is_async or inspect.isawaitable(found):
            waiting: Awaitable[Any] = found
            return waiting
        return checked_name(self, found)


def checked_name(how: RunName, found: object) -> str:
    """The name that a function gave.

    Raises:
        TypeError: It is no text.
    """
    if isinstance(found, str):
        return found
    raise TypeError(
        f"the function {name_of(how.given)} given as {how.option} returned {found!r} of "
        f"type {type(found).__name__}, but a string is required. Return a str."
    )


def _check_template(name: str, option: str, text: str, signature: Signature) -> None:
    advice = (
        f"Use the parameters in {signature}, as in '{{name}}', and '{{{{' for a brace."
    )
    try:
        fields = fields_of(text)
    except ValueError as malformed:
        raise ValueError(
            f"{name}: {option}={text!r} is no template: {malformed}. {advice}"
        ) from None
    for field in fields:
        if root_of(field) not in signature.parameters:
            raise ValueError(
                f"{name}: {option}={text!r} has the placeholder {field!r}, which is no "
                f"parameter of the function. {advice}"
            )


def _takes_parameters(name: str, option: str, fn: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(fn).parameters
    except ValueError:
        return False  # a builtin that does not tell its signature
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    for other in parameters.values():
        needed = other.default is Parameter.empty and other.kind not in variadic
        if needed and other.name != "parameters":
            raise TypeError(
                f"{name}: the function {name_of(fn)} given as {option} asks for "
                f"{other.name!r}. It is called without arguments, or with a dict of the "
                f"run's arguments if it has a parameter called 'parameters'."
            )
    found = parameters.get("parameters")
    return found is not None and found.kind is not Parameter.POSITIONAL_ONLY
