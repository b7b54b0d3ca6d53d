"""What the present code may ask of the task run that it belongs to.

``headrace.runtime.task_run.name`` and so on; where no task runs each is None or empty.
Environment variables override them, for tests: ``HEADRACE__RUNTIME__TASK_RUN__NAME``.

Attributes:
    id: The id of the run.
    name: Its name.
    parameters: What each parameter of the task's function got.
    run_count: How many attempts have begun, this one included.
    tags: Its tags, sorted.
    task_name: The name of the task.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.context import present_task_run
from headrace.runtime.facts import Facts, fact

__all__ = ("id", "name", "parameters", "run_count", "tags", "task_name")

id: str | None  # noqa: A001 - a name that users know
name: str | None
parameters: dict[str, Any]
run_count: int
tags: list[str]
task_name: str | None


def _nothing() -> None:
    return None


_FACTS: Final[Facts] = {
    "id": (lambda run: run.id, _nothing),
    "name": (lambda run: run.name, _nothing),
    "parameters": (lambda run: run.parameters, dict),
    "run_count": (lambda run: run.run_count, int),
    "tags": (lambda run: sorted(run.tags), list),
    "task_name": (lambda run: run.task_name, _nothing),
}


def __getattr__(name: str) -> Any:
    return fact("task_run", _FACTS, present_task_run(), name)


def __dir__() -> list[str]:
    return list(__all__)
