"""What a state holds beside its type, name and data."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace._values import Shown

__all__ = ("StateDetails", "StoredData", "in_hand", "seconds_of", "uuid_text")


@dataclass(slots=True, kw_only=True, repr=False)
class StateDetails(Shown):
    """What else is known of a state.

    Attributes:
        flow_run_id: The flow run it belongs to, as a UUID text.
        task_run_id: The task run it belongs to, as a UUID text.
        child_flow_run_id: The flow run that a task run stands for.
        scheduled_time: When a scheduled run is to start.
        cache_key: The key under which the result is cached.
        cache_expiration: Until when it is.
        refresh_cache: Whether the run ignored what was cached.
        untrackable_result: Whether the result is of a type too common for runs to be
            traced by it, such as a number or a text.
        pause_timeout: Until when a paused run may be resumed.
        pause_reschedule: Whether a paused run ends and is run again.
        pause_key: Names the pause, so that it is passed once.
    """

    flow_run_id: str | None = None
    task_run_id: str | None = None
    child_flow_run_id: str | None = None
    scheduled_time: datetime | None = None
    cache_key: str | None = None
    cache_expiration: datetime | None = None
    refresh_cache: bool | None = None
    untrackable_result: bool = False
    pause_timeout: datetime | None = None
    pause_reschedule: bool = False
    pause_key: str | None = None


class StoredData:
    """Stands in `State.data` for a value that is kept somewhere else."""

    __slots__ = ()

    def load(self) -> Any:
        """Read the value; may block for I/O.

        Raises:
            MissingResult: It is not there any more.
        """
        raise NotImplementedError

    async def aload(self) -> Any:
        """Read the value without blocking the event loop; raises as `load` does."""
        raise NotImplementedError

    async def preload(self) -> None:
        """Read the value without blocking the event loop, for the next `load`.

        If that fails, the next `load` does.
        """

    def __repr__(self) -> str:
        return "<stored>"


def in_hand(value: Any) -> Any:
    """A value itself, read if it is stored; may block for I/O then."""
    return value.load() if isinstance(value, StoredData) else value


def uuid_text(key: int) -> str:
    """A 128-bit id as people read it."""
    return str(uuid.UUID(int=key))


def seconds_of(moment: datetime, field: str) -> float:
    """An aware datetime in seconds since the epoch.

    Raises:
        ValueError: It has no time zone; `field` is what the message calls it.
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{field} {moment} has no time zone, so it names no moment. Write "
            f"datetime.now(timezone.utc), or give the time a tzinfo."
        )
    return moment.timestamp()
