"""Run Python functions as tasks: concurrently, with retries, limits and states."""

from __future__ import annotations

from headrace.annotations import allow_failure, quote, unmapped
from headrace.checks import check_cancelled
from headrace.events import Observer, StateChanged
from headrace.flows import Flow, flow
from headrace.futures import (
    Submission,
    TaskFuture,
    TaskFutures,
    as_completed,
    ref,
    wait,
)
from headrace.retries import exponential_backoff
from headrace.runtime import Runtime
from headrace.settings import Settings, temporary_settings
from headrace.states import State
from headrace.tasks import Task, task

__all__ = (
    "Flow",
    "Observer",
    "Runtime",
    "Settings",
    "State",
    "StateChanged",
    "Submission",
    "Task",
    "TaskFuture",
    "TaskFutures",
    "allow_failure",
    "as_completed",
    "check_cancelled",
    "exponential_backoff",
    "flow",
    "quote",
    "ref",
    "task",
    "temporary_settings",
    "unmapped",
    "wait",
)
