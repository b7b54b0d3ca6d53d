"""What the present code may ask of the flow run that it belongs to, itself or by its task.

``headrace.runtime.flow_run.name`` and so on; where no flow runs each is None or empty.
Environment variables override them, for tests: ``HEADRACE__RUNTIME__FLOW_RUN__NAME``.

Attributes:
    flow_name: The name of the flow.
    id: The id of the run.
    name: Its name.
    parameters: What each parameter of the flow's function got.
    run_count: How many attempts have begun, this one included.
    scheduled_start_time: When the run was made; where no flow runs, now.
    tags: Its tags, sorted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from headrace.context.facts import FLOW_RUN

__all__ = (
    "flow_name",
    "id",
    "name",
    "parameters",
    "run_count",
    "scheduled_start_time",
    "tags",
)

flow_name: str | None
id: str | None  # noqa: A001 - a name that users know
name: str | None
parameters: dict[str, Any]
run_count: int
scheduled_start_time: datetime
tags: list[str]


def __getattr__(name: str) -> Any:
    return getattr(FLOW_RUN, name)


def __dir__() -> list[str]:
    return list(__all__)
