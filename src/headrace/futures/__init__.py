"""Handles of submitted runs, and how to wait for them."""

from __future__ import annotations

from headrace.futures.coroutine_future import AsyncTaskFuture
from headrace.futures.future import TaskFuture
from headrace.futures.lists import AsyncTaskFutures, TaskFutures, TaskStates
from headrace.futures.replacing import (
    resolve_futures_to_data,
    resolve_futures_to_states,
)
from headrace.futures.submission import AsyncSubmission, Submission, future_in, ref
from headrace.futures.waiting import DoneAndNotDone, as_completed, wait

__all__ = (
    "AsyncSubmission",
    "AsyncTaskFuture",
    "AsyncTaskFutures",
    "DoneAndNotDone",
    "PrefectFuture",
    "Submission",
    "TaskFuture",
    "TaskFutures",
    "TaskStates",
    "as_completed",
    "future_in",
    "ref",
    "resolve_futures_to_data",
    "resolve_futures_to_states",
    "wait",
)

# The name that users of Prefect know.
PrefectFuture = TaskFuture
