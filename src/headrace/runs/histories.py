"""The states of a run: made when somebody looks, of a type and a few times."""

from __future__ import annotations

import threading
import weakref
from collections import deque
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
    settled: Any  # State[Any] | None
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
        return self.phase in FINAL or self.settled is not None

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
        with LOOKING:
            _note_look(self)
            if self.log is not None or self.phase not in FINAL:
                return self._caught_up()[-1]
            # Alone: most who look do so once, after the end, and ask for no history.
            state: State[Any] | None = self.settled
            if state is None:
                state = self.settled = self._final(self.phase, self.time_of_end())
            return state

    def entered(self) -> int:
        """How many states it has entered. On its loop, for what tells of them.

        Makes none of a run that does well: these are alike whenever they are made. To
        count one too few is no harm, as whoever changes a run has it told of after.
        """
        phase = self.phase  # read first: other threads write it last
        if phase is _PENDING:
            if not self.told:
                return 1
        elif self.rare is None:
            if phase is _COMPLETED:
                return self.attempts + 2
            if phase is _RUNNING and self.told <= self.attempts:
                return self.attempts + 1
        # It failed, may be attempted again, or its hooks are to be told how it ends.
        with LOOKING:
            return len(self._caught_up())

    def states_at(self, index: int) -> tuple[State[Any] | None, State[Any]]:
        """The state before the one at a place in its history, if any, and that one."""
        with LOOKING:
            log = self._caught_up()
            return (log[index - 1] if index else None), log[index]

    def forget_states(self) -> None:
        """Let go of its states, if it completed and nobody keeps or has named one.

        They are made anew, and alike, if somebody looks.
        """
        if self.phase is not _COMPLETED or self.rare is not None:
            return
        log = self.log
        if log is None:
            state = self.settled
            if state is None or getrefcount(state) != OUR_REFERENCES or state.has_more:
                return
            self.settled = None
            return
        if getrefcount(log) != OUR_REFERENCES:
            return  # another thread is about to take a state from it
        for state in log:
            if getrefcount(state) != OUR_REFERENCES or state.has_more:
                return
        self.log = None

    def wait_for_retry(self, message: str | None, data: object, due: float) -> None:
        """Enter AwaitingRetry: the one state that is written down at once."""
        details = StateDetails(scheduled_time=datetime.fromtimestamp(due, UTC))
        with LOOKING:
            log = self._caught_up()
            at = _after(log[-1], self.ended)
            log.append(
                self._made(_SCHEDULED, "AwaitingRetry", at, data, message, details)
            )
            self.phase = _SCHEDULED

    def _caught_up(self) -> list[State[Any]]:
        """The log with all that has happened since it was last looked at."""
        # Read once: the loop may go on while another thread looks.
        phase, log, settled = self.phase, self.log, self.settled
        if log is None:
            log = self.log = [self._made(_PENDING, "Pending", self.created)]
        last, is_first = log[-1], len(log) == 1
        has_begun = phase is not _PENDING and phase is not _SCHEDULED
        if has_begun and (is_first or last.type is _SCHEDULED):
            known = 0 if is_first else sum([each.type is _RUNNING for each in log])
            if known < self.attempts:
                name = self.name_of_retry if known else "Running"
                last = self._made(_RUNNING, name, _after(last, self.started))
                log.append(last)
        if (settled is not None or phase in FINAL) and last.type not in FINAL:
            if settled is None:
                settled = self._final(phase, _after(last, self.ended))
            else:
                settled.at = _after(last, settled.at)
            log.append(settled)
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
        key, log = self.ident, self.log
        if key is None:
            key = self.run_key()
        flow_key = log[0].flow_key if log else self.scope.flow_key()
        # By position: an argument by keyword would take three times as long.
        return State(kind, name, at, data, message, key, flow_key, None, details)

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


def _after(last: State[Any], at: float) -> float:
    """When a state is entered that follows another: later, whatever the clock says."""
    soonest = last.at + _TICK
    return at if at > soonest else soonest  # noqa: FURB136 - `max` takes 0.1 us more


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
