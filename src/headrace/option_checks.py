"""Checks of single options: a value in the form that a spec keeps, or a clear error.

All raise TypeError for a wrong type, ValueError for a number that makes no sense.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from headrace.callables import named

__all__ = (
    "description_of",
    "flag_of",
    "key_of",
    "limit_of",
    "name_of_definition",
    "optional_flag_of",
    "seconds_of",
    "tags_of",
    "text_of",
)


def name_of_definition(fn: Callable[..., Any], given: object, noun: str) -> str:
    """The name given, else that of the function (KEY-01)."""
    if given is not None and not isinstance(given, str):
        raise TypeError(
            f"name={given!r} is no text. Give the {noun} a str, or leave it out for "
            f"the name of the function."
        )
    return given or str(named(fn).__name__)


def key_of(fn: Callable[..., Any]) -> str:
    """What makes it the same task: module and qualified name (KEY-02)."""
    inner = named(fn)
    return f"{getattr(inner, '__module__', None) or 'builtins'}.{inner.__qualname__}"


def description_of(name: str, fn: Callable[..., Any], given: object) -> str | None:
    """The description given, else the cleaned docstring."""
    text = text_of(name, "description", given)
    if text:
        return text
    inner = named(fn)
    # Not inherited: what getdoc() would find for a class without one is object's.
    return inspect.getdoc(inner) if getattr(inner, "__doc__", None) else None


def text_of(name: str, option: str, given: object) -> str | None:
    """A text, or None."""
    if given is None or isinstance(given, str):
        return given
    raise TypeError(f"{name}: {option}={given!r} is no text. Give a str, or None.")


def tags_of(name: str, given: Any) -> frozenset[str]:
    """Some tags; one text is one tag."""
    if given is None:
        return frozenset()
    if isinstance(given, str):
        return frozenset({given})
    try:
        tags: list[Any] = list(given)
    except TypeError:
        tags = [given]
    wrong = [tag for tag in tags if not isinstance(tag, str)]
    if wrong:
        raise TypeError(
            f'{name}: tags must be texts, not {wrong[0]!r}. Write tags=["a", "b"], '
            f'or tags="a" for one.'
        )
    return frozenset(tags)


def limit_of(name: str, given: object, option: str = "timeout_seconds") -> float | None:
    """Seconds above 0; None for no limit, and so is 0."""
    if given is None:
        return None
    text = (
        f"{name}: {option}={given!r} is no limit. Give a number of seconds "
        f"above 0, or None for no limit."
    )
    # `Real` and not float: numbers of other packages, such as numpy, are welcome.
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(text)
    seconds = float(given)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds or None


def seconds_of(name: str, given: object, option: str = "grace_seconds") -> float:
    """Seconds of at least 0."""
    text = (
        f"{name}: {option}={given!r} is no time to wait. Give a number of seconds of at "
        f"least 0."
    )
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(text)
    seconds = float(given)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def flag_of(name: str, option: str, given: object) -> bool:
    """True or False."""
    if not isinstance(given, bool):
        raise TypeError(f"{name}: {option}={given!r} must be True or False.")
    return given


def optional_flag_of(name: str, option: str, given: object) -> bool | None:
    """True, False, or None for what is said elsewhere."""
    return None if given is None else flag_of(name, option, given)
