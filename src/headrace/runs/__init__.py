"""What is recorded of runs: the records, and what users see of them."""

from __future__ import annotations

from headrace.runs.drained import Drained
from headrace.runs.ended import EndedRun, RunLog, ScopeFacts
from headrace.runs.inputs import RunInput
from headrace.runs.kept_results import RunResult, result_of
from headrace.runs.look_up import Runs
from headrace.runs.record import Rare, Record, Scoped
from headrace.runs.snapshots import RunSnapshot, RuntimeSnapshot
from headrace.runs.views import FlowRun, RunView, TaskRun, record_of

__all__ = (
    "Drained",
    "EndedRun",
    "FlowRun",
    "Rare",
    "Record",
    "RunInput",
    "RunLog",
    "RunResult",
    "RunSnapshot",
    "RunView",
    "Runs",
    "RuntimeSnapshot",
    "ScopeFacts",
    "Scoped",
    "TaskRun",
    "record_of",
    "result_of",
)
