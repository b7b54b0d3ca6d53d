"""Look-ups of facts by name, which the environment can override for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from headrace.context.run_contexts import present_flow_run, present_task_run

__all__ = ("FLOW_RUN", "TASK_RUN", "RunFacts")

_Facts: TypeAlias = Mapping[str, tuple[Callable[[Any], Any], Callable[[], Any]]]

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


class RunFacts:
    """The facts of the present run, as attributes.

    Args:
        noun: Of what: ``"task_run"``.
        facts: Those that there are: how to read each from a run, and what makes its
            value where there is no run.
        present: Gives the run of the present code, if there is one.
    """

    def __init__(self, noun: str, facts: _Facts, present: Callable[[], Any]) -> None:
        self._noun = noun
        self._facts = facts
        self._present = present

    def __getattr__(self, name: str) -> Any:
        """One fact, or what ``HEADRACE__RUNTIME__TASK_RUN__NAME`` or the like says.

        Raises:
            AttributeError: There is none of that name.
            ValueError: A variable overrides what a text cannot be, or is no such value.
        """
        variable = f"{_PREFIX}{self._noun.upper()}__{name.upper()}"
        text = os.environ.get(variable)
        if name in self._facts:
            read, default = self._facts[name]
            run = self._present()
            real = default() if run is None else read(run)
            return real if text is None else _read(variable, text, real)
        if text is not None:
            return text
        raise AttributeError(
            f"headrace.runtime.{self._noun} has no attribute {name!r}. There are: "
            f"{', '.join(sorted(self._facts))}. For one of your own set the variable "
            f"{variable}."
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


def _nothing() -> None:
    return None


_OF_BOTH: Final[_Facts] = {
    "id": (lambda run: run.id, _nothing),
    "name": (lambda run: run.name, _nothing),
    "parameters": (lambda run: run.parameters, dict),
    "run_count": (lambda run: run.run_count, int),
    "tags": (lambda run: sorted(run.tags), list),
}

TASK_RUN: Final = RunFacts(
    "task_run",
    {**_OF_BOTH, "task_name": (lambda run: run.task_name, _nothing)},
    present_task_run,
)
FLOW_RUN: Final = RunFacts(
    "flow_run",
    {
        **_OF_BOTH,
        "flow_name": (lambda run: run.flow_name, _nothing),
        "scheduled_start_time": (
            lambda run: run.expected_start_time,
            lambda: datetime.now(UTC),
        ),
    },
    present_flow_run,
)
