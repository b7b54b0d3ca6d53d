"""The states that users make and return: one function for each kind."""

# ruff: noqa: N802 - the functions are named as the states they make

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack

from headrace.states.details import StateDetails, seconds_of
from headrace.states.kinds import StateType
from headrace.states.state import State

__all__ = (
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
    "StateFields",
)

_S = StateType


class StateFields(TypedDict, total=False):
    """What every function here takes, by keyword: see `State`."""

    name: str
    message: str | None
    data: Any
    timestamp: datetime
    state_details: StateDetails


def Completed(**fields: Unpack[StateFields]) -> State[Any]:
    """The run ended well; ``data`` is its value."""
    return State(_S.COMPLETED, **fields)


def Failed(**fields: Unpack[StateFields]) -> State[Any]:
    """The run failed; ``data`` is the exception, or a text that says why."""
    return State(_S.FAILED, **fields)


def Crashed(**fields: Unpack[StateFields]) -> State[Any]:
    """The run was ended by something outside of its body's own doing."""
    return State(_S.CRASHED, **fields)


def Cancelled(**fields: Unpack[StateFields]) -> State[Any]:
    """The run was called off."""
    return State(_S.CANCELLED, **fields)


def Cancelling(**fields: Unpack[StateFields]) -> State[Any]:
    """The run was told to stop and has not ended yet."""
    return State(_S.CANCELLING, **fields)


def Pending(**fields: Unpack[StateFields]) -> State[Any]:
    """The run waits for its inputs or for a slot."""
    return State(_S.PENDING, **fields)


def Running(**fields: Unpack[StateFields]) -> State[Any]:
    """The body is being run."""
    return State(_S.RUNNING, **fields)


def Retrying(**fields: Unpack[StateFields]) -> State[Any]:
    """The body is being run again."""
    fields.setdefault("name", "Retrying")
    return State(_S.RUNNING, **fields)


def Scheduled(
    *, scheduled_time: datetime | None = None, **fields: Unpack[StateFields]
) -> State[Any]:
    """The run is to start at a later time.

    Args:
        scheduled_time: When, with a time zone; by default now.
        fields: See `StateFields`.

    Raises:
        ValueError: The time is given twice, or has no time zone.
    """
    details = fields.get("state_details") or StateDetails()
    if scheduled_time is not None:
        if details.scheduled_time is not None:
            raise ValueError(
                "the time was given twice, as scheduled_time and in state_details. "
                "Give it once."
            )
        fields["state_details"] = replace(details, scheduled_time=scheduled_time)
    return State(_S.SCHEDULED, **fields)


def AwaitingRetry(
    *, scheduled_time: datetime | None = None, **fields: Unpack[StateFields]
) -> State[Any]:
    """The run is to be tried again; takes and raises what `Scheduled` does."""
    fields.setdefault("name", "AwaitingRetry")
    return Scheduled(scheduled_time=scheduled_time, **fields)


def Late(
    *, scheduled_time: datetime | None = None, **fields: Unpack[StateFields]
) -> State[Any]:
    """The time to start is past; takes and raises what `Scheduled` does."""
    fields.setdefault("name", "Late")
    return Scheduled(scheduled_time=scheduled_time, **fields)


def Paused(
    *,
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    reschedule: bool = False,
    pause_key: str | None = None,
    **fields: Unpack[StateFields],
) -> State[Any]:
    """The run waits until somebody lets it go on.

    Args:
        timeout_seconds: How long it waits.
        pause_expiration_time: Until when it waits, with a time zone.
        reschedule: Whether the run ends meanwhile, and is run again.
        pause_key: Names the pause, so that it is passed once.
        fields: See `StateFields`.

    Raises:
        ValueError: Both a length and an end were given, or the end has no time zone.
    """
    if timeout_seconds is not None and pause_expiration_time is not None:
        raise ValueError(
            "timeout_seconds and pause_expiration_time both say when the pause ends. "
            "Give one of them."
        )
    if timeout_seconds is not None:
        pause_expiration_time = datetime.now(UTC) + timedelta(seconds=timeout_seconds)
    if pause_expiration_time is not None:
        seconds_of(pause_expiration_time, "pause_expiration_time")
    fields["state_details"] = replace(
        fields.get("state_details") or StateDetails(),
        pause_timeout=pause_expiration_time,
        pause_reschedule=reschedule,
        pause_key=pause_key,
    )
    return State(_S.PAUSED, **fields)
