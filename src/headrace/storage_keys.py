"""The keys that users give results: templates, checked early and filled in late."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from headrace._text import shown
from headrace.exceptions import InvalidStorageKey
from headrace.storage.keys import checked_key
from headrace.templates import fields_of, root_of

__all__ = ("check_storage_key", "filled_storage_key")

_ADVICE: Final = (
    "Use {parameters[name]}, {flow_run.name}, {task_run.name} and the like, and '{{' for "
    "a brace."
)
# An attribute of a run; or one argument, by its name.
_ALLOWED: Final = re.compile(r"(?:flow_run|task_run)\.[^\W_]|parameters\[")
_ARGUMENT: Final = re.compile(r"parameters\[([^\]]*)\]")


def check_storage_key(
    template: object, parameters: Collection[str] | None = None
) -> str:
    """A template for keys, such as ``"{flow_run.name}/{parameters[day]}.json"``.

    Args:
        template: What was given as ``result_storage_key``.
        parameters: The names of the parameters of the function; None if not known.

    Raises:
        TypeError: It is no text.
        InvalidStorageKey: It is malformed, or has a placeholder that will not be known,
            or cannot be a key whatever is filled in.
    """
    if not isinstance(template, str):
        raise TypeError(
            f"result_storage_key={shown(template)} of type {type(template).__name__} is "
            f"no text. Give a template such as '{{parameters[day]}}.json'."
        )
    try:
        fields = fields_of(template)
    except ValueError as malformed:
        raise InvalidStorageKey(
            f"result_storage_key={template!r} is no template: {malformed}. {_ADVICE}"
        ) from None
    for field in fields:
        _check_field(template, field, parameters)
    if not fields:
        checked_key(template.format())
    return template


def _check_field(template: str, field: str, parameters: Collection[str] | None) -> None:
    if not _ALLOWED.match(field):
        root = root_of(field)
        raise InvalidStorageKey(
            f"result_storage_key={template!r} has the placeholder {field!r}, and "
            f"{root!r} alone tells no key. {_ADVICE}"
        )
    argument = _ARGUMENT.match(field)
    if argument and parameters is not None and argument[1] not in parameters:
        raise InvalidStorageKey(
            f"result_storage_key={template!r} asks for the parameter {argument[1]!r}, "
            f"which the function does not have. It has: {', '.join(parameters)}."
        )


def filled_storage_key(
    template: str, *, parameters: Mapping[str, Any], flow_run: Any, task_run: Any
) -> str:
    """The key that a template gives for a run.

    Args:
        template: One that `check_storage_key` let through.
        parameters: The arguments of the run, by name.
        flow_run: Has the attributes of ``headrace.runtime.flow_run``.
        task_run: Has those of ``headrace.runtime.task_run``.

    Raises:
        InvalidStorageKey: Something is not there, cannot be written, or makes what is no
            key. What was raised is the ``__cause__``.
    """
    try:
        key = template.format(
            parameters=parameters, flow_run=flow_run, task_run=task_run
        )
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(". ")
        raise InvalidStorageKey(
            f"result_storage_key={template!r} cannot be filled in: {reason}. {_ADVICE}"
        ) from error
    return checked_key(key)
