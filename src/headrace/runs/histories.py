"""The states of a run: made when somebody looks, of a type and a few times."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from sys import getrefcount
from time import time
from typing import Any, Final

from headrace.exceptions import UpstreamTaskError
from headrace.runs.rare import Rare
from headrace.states import FINAL, State, StateDetails, StateType, format_exception
from headrace.states.outcomes import safe_text
from headrace.states.record import OUR_REFERENCES

__all__ = ("LOOKING", "History")

_PENDING: Final = StateType.PENDING
_SCHEDULED: Final = StateType.SCHEDULED
_RUNNING: Final = StateType.RUNNING
_COMPLETED: Final = StateType.COMPLETED
_CANCELLED: Final = StateType.CANCELLED
_TITLES: Final = {kind: kind.value.title() for kind in StateType}

# What lies at least between two states of a run, whatever the clock says. A little over
# the microsecond that datetimes tell apart, as a float near now is up to 0.24 us off.
_TICK: Final = 1.5e-6

# Held only to make states that somebody asked for, never on the way of a run.
# Re-entered when making a state draws the id of the flow run.
LOOKING: Final = threading.RLock()


# The runs whose states were looked at last, of which a caller may still hold a list.
_LOOKED_AT: Final[deque[weakref.ref[Any]]] = deque()
_STILL_IN_USE: Final = 4


class History:
    """The part of a record that tells what states its run was in.

    Attributes:
        settled: Its final state, while hooks are told of it, or if only that was looked
            at.
        told: Of how many states the observers were told.
    """

    __slots__ = (
        "attempts", "created", "ended", "ident", "log", "outcome", "phase", "rare",
        "scope", "settled", "started", "told",
    )  # fmt: skip

    scope: Any
    phase: StateType
    created: float
    started: float
    ended: float
    attempts: int
    outcome: Any
    log: list[State[Any]] | None
    settled: State[Any]
    told: int
    ident: int | None
    rare: Rare | None

    def run_key(self) -> int:
        """The id as a number."""
        key = self.ident
        if key is None:
            with LOOKING:
                key = self.ident
                if key is None:
                    key = self.ident = self.scope.new_key()
        return key

    def settle(self, phase: StateType, outcome: object) -> State[Any]:
        """Decide the final state, which the hooks are told of before anybody else.

        The run is over for others when its phase is final too.
        """
        self.run_key()
        with LOOKING:
            self.outcome = outcome
            self.ended = time()
            self.settled = state = self._final(phase, self.time_of_end())
        return state

    def time_of_end(self) -> float:
        """When it entered its final state, unless it was attempted more than once."""
        last = self.created
        if self.attempts:
            last = max(self.started, last + _TICK)
        return max(self.ended, last + _TICK)

    @property
    def is_settled(self) -> bool:
        """Whether its final state is decided; its hooks may still be running."""
        return self.phase in FINAL or getattr(self, "settled", None) is not None

    def end_lost(self, error: BaseException) -> None:
        """Enter Crashed in place of the loop that was to end the run, and is closed."""
        with LOOKING:
            if not self.is_settled:
                self.outcome = error
                self.ended = time()
                self.phase = StateType.CRASHED
            elif self.phase not in FINAL:
                self.phase = self.settled.type

    # -- states ------------------------------------------------------------------

    @property
    def history(self) -> list[State[Any]]:
        """Every state so far, in order; the same objects at every look."""
        self.run_key()
        with LOOKING:
            _note_look(self)
            return list(self._caught_up())

    @property
    def state_name(self) -> str:
        """The name of the state it is in; makes no state."""
        phase, log = self.phase, self.log
        if phase in FINAL:
            return self.name_of_end(phase)
        if phase is _RUNNING:
            return self.name_of_retry if self.attempts > 1 else "Running"
        return log[-1].name if phase is _SCHEDULED and log else "Pending"

    @property
    def last_state(self) -> State[Any]:
        """The state it is in."""
        log = self.log
        if log is not None and log[-1].type in FINAL:
            return log[-1]
        self.run_key()
        with LOOKING:
            _note_look(self)
            if self.log is not None or self.phase not in FINAL:
                return self._caught_up()[-1]
            # Alone: most who look do so once, after the end, and ask for no history.
            state: State[Any] | None = getattr(self, "settled", None)
            if state is None:
                state = self.settled = self._final(self.phase, self.time_of_end())
            return state

    def news(self) -> tuple[State[Any] | None, Sequence[State[Any]]]:
        """The states entered since this was last called, and the one before those."""
        with LOOKING:
            if self.ident is None:
                self.ident = self.scope.new_key()
            log = self.log
            told = getattr(self, "told", 0)
            if told and log is None:
                return None, ()  # all was told: see `forget_states`
            before = log[told - 1] if told and log else None
            if self.rare is None and (log is None or told == len(log)):
                after = self._next(before)
                if after is not None:
                    if log is None:
                        self.log = [after]
                    else:
                        log.append(after)
                    self.told = told + 1
                    return before, (after,)
            log = self._caught_up()
            self.told = len(log)
            return before, log[told:]

    def _next(self, last: State[Any] | None) -> State[Any] | None:
        """The state after one, if these are the states of most runs: a part of `news`."""
        phase = self.phase
        if last is None:
            if phase is not _PENDING or getattr(self, "settled", None) is not None:
                return None
            key = self.scope.flow_key()
            return State(phase, "Pending", self.created, None, None, self.ident, key)
        if phase is _RUNNING and last.type is _PENDING and self.attempts == 1:
            name, at, data = "Running", self.started, None
        elif phase is _COMPLETED and last.type is _RUNNING:
            if getattr(self, "settled", None) is not None:
                return None
            name, at, data = "Completed", self.ended, self.outcome
        else:
            return None
        soonest = last.at + _TICK
        if at < soonest:
            at = soonest
        return State(phase, name, at, data, None, self.ident, self.scope.flow_key())

    def forget_states(self) -> None:
        """Let go of its states, if it completed and nobody keeps or has named one.

        They are made anew, and alike, if somebody looks.
        """
        if self.phase is not _COMPLETED or self.rare is not None:
            return
        log = self.log
        if log is None:
            state: State[Any] | None = getattr(self, "settled", None)
            if state is None or getrefcount(state) != OUR_REFERENCES or state.has_more:
                return
            del self.settled
            return
        if getrefcount(log) != OUR_REFERENCES:
            return  # another thread is about to take a state from it
        for state in log:
            if getrefcount(state) != OUR_REFERENCES or state.has_more:
                return
        self.log = None

    def wait_for_retry(self, message: str | None, data: object, due: float) -> None:
        """Enter AwaitingRetry: the one state that is written down at once."""
        self.run_key()
        details = StateDetails(scheduled_time=datetime.fromtimestamp(due, UTC))
        with LOOKING:
            log = self._caught_up()
            at = max(self.ended, log[-1].at + _TICK)
            log.append(
                self._made(_SCHEDULED, "AwaitingRetry", at, data, message, details)
            )
            self.phase = _SCHEDULED

    def _caught_up(self) -> list[State[Any]]:
        """The log with all that has happened since it was last looked at."""
        # Read once: the loop may go on while another thread looks.
        phase, log = self.phase, self.log
        if log is None:
            log = self.log = [self._made(_PENDING, "Pending", self.created)]
        settled: State[Any] | None = getattr(self, "settled", None)
        last = log[-1]
        if phase is _PENDING or phase is _SCHEDULED:
            if settled is None:
                return log
        elif last.type is _PENDING or last.type is _SCHEDULED:
            attempts = len(log) > 1 and sum([each.type is _RUNNING for each in log])
            if attempts < self.attempts:
                at = max(self.started, last.at + _TICK)
                name = self.name_of_retry if attempts else "Running"
                last = self._made(_RUNNING, name, at)
                log.append(last)
        if last.type in FINAL:
            return log
        if settled is not None:
            settled.at = max(settled.at, last.at + _TICK)
            log.append(settled)
        elif phase in FINAL:
            log.append(self._final(phase, max(self.ended, last.at + _TICK)))
        return log

    def _final(self, phase: StateType, at: float) -> State[Any]:
        name, message = self.name_of_end(phase), self.message_of_end(phase)
        if self.rare is None:
            return self._made(phase, name, at, self.outcome, message)
        result = self.rare.result
        details = None if result is None else result.details()
        return self._made(phase, name, at, self.outcome, message, details)

    def name_of_end(self, phase: StateType) -> str:
        """The name of its final state, which is of this type."""
        if self.rare is not None and self.rare.name is not None:
            return self.rare.name
        if phase is _CANCELLED and isinstance(self.outcome, UpstreamTaskError):
            return "NotReady"
        return _TITLES[phase]

    def message_of_end(self, phase: StateType) -> str | None:
        """The message of its final state, which is of this type."""
        if self.rare is not None and self.rare.message is not None:
            return self.rare.message
        if phase is _COMPLETED or not isinstance(self.outcome, BaseException):
            return None
        return self._describe(self.outcome, phase)

    def _made(
        self,
        kind: StateType,
        name: str,
        at: float,
        data: object = None,
        message: str | None = None,
        details: StateDetails | None = None,
    ) -> State[Any]:
        flow_key = self.scope.flow_key()
        # By position: an argument by keyword would take three times as long.
        return State(kind, name, at, data, message, self.ident, flow_key, None, details)

    @property
    def name_of_retry(self) -> str:
        """The name of Running in attempts after the first."""
        return "Retrying"

    def _describe(self, error: BaseException, phase: StateType) -> str:
        """The message of the state that an error ends in."""
        if phase is StateType.FAILED:
            return self.failure_text(error)
        return safe_text(error) or type(error).__name__

    def failure_text(self, error: BaseException) -> str:
        """The message of an attempt that an error failed."""
        return f"Task run encountered an exception {format_exception(error)}"

    # -- times -------------------------------------------------------------------

    @property
    def start_time(self) -> float | None:
        """When its first attempt began."""
        return next((s.at for s in self.history if s.type is _RUNNING), None)

    @property
    def end_time(self) -> float | None:
        """When it got its final state."""
        state = self.last_state
        return state.at if state.type in FINAL else None

    @property
    def total_run_seconds(self) -> float:
        """Seconds spent in Running, over all attempts."""
        steps = pairwise(self.history)
        return sum(after.at - at.at for at, after in steps if at.type is _RUNNING)


def _note_look(run: History) -> None:
    """Somebody looks at the states of a run, and at those of others no more, it seems.

    So what is read of many runs, one after the other, does not pile up.
    """
    if _LOOKED_AT and _LOOKED_AT[-1]() is run:
        return
    try:
        _LOOKED_AT.append(weakref.ref(run))
    except TypeError:
        return  # what stays of a run that is gone
    if len(_LOOKED_AT) > _STILL_IN_USE:
        before = _LOOKED_AT.popleft()()
        if before is not None:
            before.forget_states()
