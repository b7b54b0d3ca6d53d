"""What a run can be, what may follow, and how its result is read.

A `State` is a value: it is made once and replaced, never edited.
"""

from __future__ import annotations

from headrace.states.details import StateDetails, StoredData, in_hand
from headrace.states.kinds import ALLOWED, FINAL, StateType, is_allowed
from headrace.states.making import (
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Late,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
)
from headrace.states.outcomes import (
    StateGroup,
    aggregate,
    exception_to_crashed_state,
    exception_to_failed_state,
    format_exception,
    is_state,
    is_state_iterable,
    upstream_error,
)
from headrace.states.reading import get_state_exception
from headrace.states.state import State, get_state_result, raise_state_exception

__all__ = (
    "ALLOWED",
    "FINAL",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateDetails",
    "StateGroup",
    "StateType",
    "StoredData",
    "aggregate",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "format_exception",
    "get_state_exception",
    "get_state_result",
    "in_hand",
    "is_allowed",
    "is_state",
    "is_state_iterable",
    "raise_state_exception",
    "upstream_error",
)
