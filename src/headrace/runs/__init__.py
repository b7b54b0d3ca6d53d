"""What is recorded of runs: the records, and what users see of them."""

from __future__ import annotations

from headrace.runs.record import Rare, Record, Scoped
from headrace.runs.views import FlowRun, RunView, TaskRun, record_of

__all__ = (
    "FlowRun",
    "Rare",
    "Record",
    "RunView",
    "Scoped",
    "TaskRun",
    "record_of",
)
