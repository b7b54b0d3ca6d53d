"""Look-ups of facts by name, which the environment can override for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

__all__ = ("Facts", "fact")

Facts: TypeAlias = Mapping[str, tuple[Callable[[Any], Any], Callable[[], Any]]]

_PREFIX: Final = "HEADRACE__RUNTIME__"


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


# From the text of a variable to a value of the type that the real one has. Facts of
# other types are texts, or None.
_READERS: Final[Mapping[type, tuple[Callable[[str], Any], str]]] = {
    int: (int, "a whole number"),
    datetime: (_moment, "a time such as 2026-01-31T12:00:00+00:00"),
}


def fact(noun: str, facts: Facts, run: Any, name: str) -> Any:
    """One fact, or what a variable such as ``HEADRACE__RUNTIME__TASK_RUN__NAME`` says.

    Args:
        noun: Of what: ``"task_run"``.
        facts: Those that there are: how to read each from a run, and what makes its
            value where there is no run.
        run: The run of the present code, if there is one.
        name: The fact that is asked for.

    Raises:
        AttributeError: There is none of that name.
        ValueError: A variable overrides what a text cannot be, or is no such value.
    """
    variable = f"{_PREFIX}{noun.upper()}__{name.upper()}"
    text = os.environ.get(variable)
    if name in facts:
        read, default = facts[name]
        real = default() if run is None else read(run)
        return real if text is None else _read(variable, text, real)
    if text is not None:
        return text
    raise AttributeError(
        f"headrace.runtime.{noun} has no attribute {name!r}. There are: "
        f"{', '.join(sorted(facts))}. For one of your own set the variable {variable}."
    )


def _read(variable: str, text: str, real: object) -> Any:
    kind = type(real)
    if kind in {list, dict}:
        raise ValueError(
            f"{variable} cannot override a {kind.__name__}. Unset it, and call the code "
            f"that you test in a task or flow."
        )
    if kind not in _READERS:
        return text
    read, what = _READERS[kind]
    try:
        return read(text)
    except ValueError:
        raise ValueError(
            f"{variable} cannot be {text!r}. Set it to {what}, or unset it."
        ) from None
