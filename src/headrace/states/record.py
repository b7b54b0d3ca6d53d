"""One moment in the life of a run: what it says, and how it compares.

Only the time of a state that a user makes is read from the clock.
"""

from __future__ import annotations

import os
import reprlib
import threading
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from sys import getrefcount
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from headrace.exceptions import CancelledRun, UpstreamTaskError
from headrace.states.details import StateDetails, seconds_of, uuid_text
from headrace.states.kinds import FINAL, StateType

__all__ = ("OUR_REFERENCES", "StateRecord")

# Of values of these types many are equal, or one and the same, and no run is told by
# having been given one.
_COMMON: Final = frozenset({bool, int, float, complex, str, bytes, type(None)})

# What `StateRecord.fill_in` sets, and what is held for it.
_FILLING: Final = threading.Lock()
_FILLED_IN: Final = frozenset(
    {"_more", "at", "data", "flow_key", "message", "name", "run_key", "type"}
)

R_co = TypeVar("R_co", covariant=True)

_S = StateType


class _More:
    """The parts of a state that most states never have."""

    __slots__ = ("details", "id", "trace")

    def __init__(self, trace: TracebackType | None = None) -> None:
        self.trace = trace
        self.id: str | None = None
        self.details: StateDetails | None = None


# A plain slotted class with one positional constructor, because the engine makes
# three to five of these for each run. Treat instances as frozen all the same.
class StateRecord(Generic[R_co]):
    """What a `State` says, without the verbs that read its result.

    Users write ``State(type="FAILED", message="no rows")``, or better one of the
    functions `Completed`, `Failed` and so on. The engine writes
    ``State(type, name, at, data, message, run_key, flow_key)``.

    Args:
        type: A `StateType`, or its name.
        name: What a person reads, such as ``"TimedOut"``; by default the type,
            capitalised.
        at: When the state was entered, in seconds since the epoch (UTC); by default
            now.
        data: The value of a completed run, the exception of a failed one.
        message: One sentence for a person.
        run_key: The 128-bit id of the run whose state this is. None means that a
            user made the state.
        flow_key: The 128-bit id of the flow run it belongs to; equal to `run_key`
            in a state of a flow run.
        timestamp: What `at` says, as an aware datetime.
        state_details: See `StateDetails`; ids it lacks are filled in.
        id: The id of the state itself, as a UUID text; by default drawn when read.

    Raises:
        ValueError: For an unknown type, or a time without a time zone.
        TypeError: For an unknown keyword.
    """

    # `_run`: of a state that is made for hooks, what its unset slots are read of.
    __slots__ = (
        "_more", "_run", "at", "data", "flow_key", "message", "name", "run_key", "type",
    )  # fmt: skip

    type: StateType
    name: str
    at: float
    data: Any
    message: str | None
    run_key: int | None
    flow_key: int | None
    _run: Any

    def __init__(
        self,
        type: StateType | str,  # noqa: A002 - the name that users know
        name: str = "",
        at: float = 0.0,
        data: Any = None,
        message: str | None = None,
        run_key: int | None = None,
        flow_key: int | None = None,
        # By keyword only, in spirit: a `*` here costs a tenth of the whole.
        timestamp: datetime | None = None,
        state_details: StateDetails | None = None,
        id: str | uuid.UUID | None = None,  # noqa: A002 - the name that users know
    ) -> None:
        # Checked in `_complete`, which an engine's state does not need.
        self.type = type  # type: ignore[assignment] # pyright: ignore[reportAttributeAccessIssue]
        self.name = name
        self.at = at
        self.data = data
        self.message = message
        self.run_key = run_key
        self.flow_key = flow_key
        # The trace is kept as it was when the exception was first seen: each later
        # `raise` of it starts from there, and so does not make it longer.
        self._more: _More | None = (
            _More(data.__traceback__)
            if data is not None and isinstance(data, BaseException)
            else None
        )
        if run_key is None or state_details is not None:
            self._complete(timestamp, state_details, id)

    def _complete(
        self,
        timestamp: datetime | None,
        details: StateDetails | None,
        state_id: str | uuid.UUID | None,
    ) -> None:
        self.type = _checked_type(self.type)
        self.name = self.name or self.type.capitalize()
        if timestamp is not None:
            self.at = seconds_of(timestamp, "timestamp")
        elif not self.at:
            self.at = time.time()
        if details is None and self.type is _S.SCHEDULED:
            details = StateDetails()
        if details is not None:
            self._extra().details = self._completed_details(details)
        if state_id is not None:
            self._extra().id = str(state_id)

    def fill_in(self) -> None:
        """Set what hooks seldom read: not done for them when their run completed.

        Such a state leads to its run, which must not outlive the calls of the hooks if
        somebody keeps the state.
        """
        run = self._run
        if run is None:
            return
        at, run_key, flow_key = run.time_of_end(), run.run_key(), run.flow_key()
        with _FILLING:
            if self._run is None:
                return  # another thread was faster
            self.type, self.name, self.data = _S.COMPLETED, "Completed", run.outcome
            self.at = at
            self.message = self._more = None
            self.run_key, self.flow_key = run_key, flow_key
            self._run = None

    def _extra(self) -> _More:
        if self._more is None:
            self._more = _More()
        return self._more

    def _completed_details(self, given: StateDetails) -> StateDetails:
        """A copy of what was given, with the ids and times that it lacks."""
        details = replace(given)
        if details.scheduled_time is not None:
            seconds_of(details.scheduled_time, "state_details.scheduled_time")
        elif self.type is _S.SCHEDULED:
            details.scheduled_time = self.timestamp
        if self.flow_key is not None:
            details.flow_run_id = details.flow_run_id or uuid_text(self.flow_key)
        if self.run_key is not None and self.run_key != self.flow_key:
            details.task_run_id = details.task_run_id or uuid_text(self.run_key)
        if self.run_key is not None and self.type is _S.COMPLETED:
            details.untrackable_result = type(self.data) in _COMMON
        return details

    # -- What it is -----------------------------------------------------------

    @property
    def has_more(self) -> bool:
        """Whether its id or details were read or given, or it holds a trace."""
        return self._more is not None

    @property
    def id(self) -> str:
        """The id of this very state, as a UUID text; drawn when first read."""
        extra = self._extra()
        if extra.id is None:
            extra.id = uuid_text(int.from_bytes(os.urandom(16)))
        return extra.id

    @property
    def timestamp(self) -> datetime:
        """When the state was entered: `at` as an aware UTC datetime."""
        return datetime.fromtimestamp(self.at, UTC)

    @property
    def state_details(self) -> StateDetails:
        """What else is known; made when first read."""
        extra = self._extra()
        if extra.details is None:
            extra.details = self._completed_details(StateDetails())
        return extra.details

    @property
    def _given_details(self) -> StateDetails | None:
        return None if self._more is None else self._more.details

    def trace_of(self, error: BaseException) -> TracebackType | None:
        """The trace that `error` had when this state was made of it."""
        if error is self.data and self._more is not None:
            return self._more.trace
        return error.__traceback__

    @property
    def verdict_type(self) -> StateType:
        """What this state counts as in the verdict of a flow: its type.

        A run that was held back counts as what held it back: FAILED if that failed
        or crashed, else CANCELLED.
        """
        error = self.data
        if self.type is not _S.CANCELLED or not isinstance(error, UpstreamTaskError):
            return self.type
        cause: BaseException | None = error
        while isinstance(cause, UpstreamTaskError):
            if cause.verdict is not None:
                return StateType(cause.verdict)
            cause = cause.__cause__
        failed = cause is not None and not isinstance(cause, CancelledRun)
        return _S.FAILED if failed else _S.CANCELLED

    def is_scheduled(self) -> bool:
        """Whether the run is to start, or start again, at a later time."""
        return self.type is _S.SCHEDULED

    def is_pending(self) -> bool:
        """Whether the run waits for its inputs or for a slot."""
        return self.type is _S.PENDING

    def is_running(self) -> bool:
        """Whether the body is being run."""
        return self.type is _S.RUNNING

    def is_completed(self) -> bool:
        """Whether the run ended with a value."""
        return self.type is _S.COMPLETED

    def is_failed(self) -> bool:
        """Whether the run ended with an error of its body, or timed out."""
        return self.type is _S.FAILED

    def is_crashed(self) -> bool:
        """Whether the run was ended by something that is no ordinary error."""
        return self.type is _S.CRASHED

    def is_cancelled(self) -> bool:
        """Whether the run was cancelled or held back."""
        return self.type is _S.CANCELLED

    def is_cancelling(self) -> bool:
        """Whether the run was told to stop and has not ended yet."""
        return self.type is _S.CANCELLING

    def is_paused(self) -> bool:
        """Whether the run is paused."""
        return self.type is _S.PAUSED

    def is_final(self) -> bool:
        """Whether this is how the run ended: nothing follows."""
        return self.type in FINAL

    # -- How it compares and reads --------------------------------------------

    def __eq__(self, other: object) -> bool:
        return self._equals(other) if isinstance(other, StateRecord) else NotImplemented

    def _equals(self, other: Any) -> bool:
        return (
            self.at == other.at
            and self.type == other.type
            and self.name == other.name
            and self.message == other.message
            and self.state_details == other.state_details
            # By identity first, as containers do: for nan, and to save a comparison.
            and (self.data is other.data or bool(self.data == other.data))
        )

    def __hash__(self) -> int:
        return hash((self.run_key, self.flow_key, self.at, self.type))

    def __str__(self) -> str:
        parts = [repr(self.message)] if self.message else []
        if self.name.lower() != self.type.lower():
            parts.append(f"type={self.type}")
        return f"{self.name}({', '.join(parts)})"

    def __repr__(self) -> str:
        short = reprlib.Repr()
        short.maxother = short.maxstring = short.maxlong = 200
        result = short.repr(self.data)
        return (
            f"{self.name}(message={self.message!r}, type={self.type}, result={result})"
        )


def _count_our_references() -> int:
    make: Any = object.__new__
    state = make(StateRecord)
    run = [state]
    return getrefcount(state) if run else 0


# How many refer to a state that nobody keeps where these are counted: what holds it, a
# variable, and at times the call.
OUR_REFERENCES: Final = _count_our_references()


def _read_unset(self: StateRecord[Any], name: str) -> Any:
    """Called for slots that are unset, and for what is no attribute at all."""
    if name not in _FILLED_IN:
        raise AttributeError(f"a state has no attribute {name!r}")
    self.fill_in()
    return object.__getattribute__(self, name)


# Not in the class: to type checkers, every name would be an attribute then.
StateRecord.__getattr__ = _read_unset  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]


def _checked_type(given: StateType | str) -> StateType:
    try:
        return StateType(given)
    except ValueError:
        raise ValueError(
            f"{given!r} is no type of state. Use one of {', '.join(StateType)}; a "
            f"state of your own kind is one of these with another name: "
            f"State(type='COMPLETED', name='Skipped')."
        ) from None
