"""Run Python functions as tasks: concurrently, with retries, limits and states."""

from __future__ import annotations

from headrace.annotations import allow_failure, quote, unmapped
from headrace.checks import check_cancelled
from headrace.context import carry, deadline, get_run_context, tags
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
from headrace.limits import Adaptive, Limit
from headrace.logging import get_run_logger
from headrace.programs import run
from headrace.retries import exponential_backoff
from headrace.runtime import Runtime
from headrace.settings import Settings, temporary_settings
from headrace.states import State
from headrace.tasks import Task, task, task_input_hash

__all__ = (
    "Adaptive",
    "Flow",
    "Limit",
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
    "carry",
    "check_cancelled",
    "deadline",
    "exponential_backoff",
    "flow",
    "get_run_context",
    "get_run_logger",
    "quote",
    "ref",
    "run",
    "tags",
    "task",
    "task_input_hash",
    "temporary_settings",
    "unmapped",
    "wait",
)
