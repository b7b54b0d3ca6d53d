"""How a task was called, or defined, that cannot be."""

from __future__ import annotations

from typing import Final

from headrace.exceptions.base import HeadraceError, TextError

__all__ = (
    "HashError",
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "ParameterBindError",
    "ParameterTypeError",
    "ReservedArgumentError",
    "SignatureMismatchError",
)


class MappingLengthMismatch(HeadraceError):
    """The iterables of one ``map()`` or ``stream()`` call have different lengths.

    Args:
        task_name: The task.
        lengths: Parameter name to the length of what it was given; of an iterator as
            far as it was read.
        verb: The method.
    """

    def __init__(
        self, task_name: str, lengths: dict[str, int], verb: str = "map"
    ) -> None:
        super().__init__(task_name, lengths, verb)
        self.task_name = task_name
        self.lengths = lengths
        self.verb = verb

    def __str__(self) -> str:
        lengths = ", ".join(f"{name}: {size}" for name, size in self.lengths.items())
        return (
            f"{self.task_name}.{self.verb}() got iterables of different lengths: {lengths}. "
            f"Give them one length, and wrap a value that every run should get "
            f"whole in unmapped(...)."
        )


class MappingMissingIterable(HeadraceError):
    """No argument of a ``map()`` or ``stream()`` call can be iterated over.

    Args:
        task_name: The task.
        parameters: Parameter name to a short repr of its value.
        verb: The method.
    """

    def __init__(
        self, task_name: str, parameters: dict[str, str], verb: str = "map"
    ) -> None:
        super().__init__(task_name, parameters, verb)
        self.task_name = task_name
        self.parameters = parameters
        self.verb = verb

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return (
            f"{self.task_name}.{self.verb}({given}) got no iterable to {self.verb} over. "
            f"Pass at least one list or other iterable, or write "
            f"{self.task_name}.submit({given}) for a single run."
        )


class ParameterBindError(HeadraceError, TypeError):
    """The arguments of a call do not fit the function's signature.

    Args:
        task_name: The task or flow that was called.
        reason: What Python says of the mismatch.
        signature: The signature, as text.
        args: A short repr of the positional arguments, such as ``"(1, 2)"``.
        kwargs: A short repr of the keyword arguments, such as ``"{'x': 1}"``.
    """

    def __init__(
        self, task_name: str, reason: str, signature: str, args: str, kwargs: str
    ) -> None:
        super().__init__(task_name, reason, signature, args, kwargs)
        self.task_name = task_name
        self.reason = reason
        self.signature = signature
        self.given_args = args
        self.given_kwargs = kwargs

    def __str__(self) -> str:
        return (
            f"cannot call {self.task_name}: {self.reason}. It takes "
            f"{self.task_name}{self.signature}, and got args {self.given_args} and "
            f"kwargs {self.given_kwargs}."
        )


class SignatureMismatchError(HeadraceError, TypeError):
    """A set of parameters holds names that the function does not take.

    Args:
        name: The task or flow.
        expected: The parameter names that its function has.
        provided: The names it was given.
    """

    def __init__(
        self, name: str, expected: tuple[str, ...], provided: tuple[str, ...]
    ) -> None:
        super().__init__(name, expected, provided)
        self.name = name
        self.expected = expected
        self.provided = provided

    def __str__(self) -> str:
        return (
            f"{self.name} takes the parameters {list(self.expected)} and was given "
            f"{list(self.provided)}. Was its function replaced after the call was "
            f"bound? Make a new task of the new function instead."
        )


class ReservedArgumentError(HeadraceError, TypeError):
    """A function has a parameter with a name that the calls of a task use."""

    def __init__(self, task_name: str, parameter: str) -> None:
        super().__init__(task_name, parameter)
        self.task_name = task_name
        self.parameter = parameter

    def __str__(self) -> str:
        return (
            f"the function of {self.task_name} has a parameter named "
            f"{self.parameter!r}, which is reserved: every call of a task takes it. "
            f"Rename the parameter."
        )


class ParameterTypeError(TextError):
    """An argument does not have, and cannot be given, the type asked for."""


class InvalidNameError(TextError, ValueError):
    """A name has characters that cannot be used in it."""


class HashError(HeadraceError, TypeError):
    """A part of the arguments, or of the code, cannot be in a cache key.

    Args:
        path: Which part, such as ``"args['session'].lock"``.
        type_name: Its type.
        reason: Why it would not be the same in another process.
    """

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(path, type_name, reason)
        self.path = path
        self.type_name = type_name
        self.reason = reason

    def __str__(self) -> str:
        path = self.path
        if len(path) > _MOST_OF_A_PATH:
            path = f"{path[: _MOST_OF_A_PATH // 2]}...{path[-_MOST_OF_A_PATH // 2 :]}"
        if path.startswith("fn"):
            advice = "Use a key without the code of the task, such as INPUTS"
        else:
            advice = 'Leave that argument out of the key, as in INPUTS - "session"'
        return (
            f"{path}, of type {self.type_name}, cannot be in a cache key: "
            f"{self.reason}. {advice}, or give its class a method __task_hash__ that "
            f"returns what tells its objects apart."
        )


_MOST_OF_A_PATH: Final = 200
