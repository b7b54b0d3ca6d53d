"""Exceptions: made again from their arguments and attributes, or told of as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace._text import shown
from headrace.exceptions import StoredException
from headrace.serializers.blame import named_type
from headrace.serializers.sameness import is_same, parts_of

__all__ = ("can_be_rebuilt", "rebuilt", "stand_in")


def rebuilt(
    cls: type[BaseException], args: tuple[Any, ...], state: Mapping[str, Any]
) -> BaseException:
    """An exception of this class with these arguments and attributes.

    What calling the class makes is taken if it has these arguments: that fills in what
    classes of the interpreter keep outside of their attributes. Else it is made without,
    since ``__init__`` may take other things than what it passes on.
    """
    error = _called(cls, args)
    if error is None or not is_same(parts_of(error)[0], args):
        error = cls.__new__(cls, *args)
        error.args = args
    vars(error).clear()
    BaseException.__setstate__(error, dict(state))
    return error


def _called(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException | None:
    try:
        error = cls(*args)
    except Exception:  # noqa: BLE001 - the `__init__` of the user's class
        return None
    # A class may make an instance of another one.
    return error if type(error) is cls else None


def can_be_rebuilt(error: BaseException) -> bool:
    """Whether `rebuilt` makes the same of its parts."""
    try:
        return is_same(error, rebuilt(type(error), *parts_of(error)))
    except Exception:  # noqa: BLE001 - methods of the user's classes
        return False


def stand_in(error: BaseException) -> StoredException:
    """What is stored for an exception that cannot be stored itself."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a method of the user's class
        text = shown(error)
    return StoredException(named_type(error), text)
