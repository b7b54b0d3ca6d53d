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

from typing import Any

from headrace.context.facts import TASK_RUN

__all__ = ("id", "name", "parameters", "run_count", "tags", "task_name")

id: str | None  # noqa: A001 - a name that users know
name: str | None
parameters: dict[str, Any]
run_count: int
tags: list[str]
task_name: str | None


def __getattr__(name: str) -> Any:
    return getattr(TASK_RUN, name)


def __dir__() -> list[str]:
    return list(__all__)
