"""What is recorded of one run, from its making to its final state.

A record is written by the engine and read by anyone. To be cheap it holds a type and
a few times; its states are made when somebody looks.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import pairwise
from time import time
from typing import Any, Final, Protocol
from uuid import UUID

from headrace.exceptions import ParameterBindError, UpstreamTaskError
from headrace.runs.inputs import Links, RunInput, task_inputs
from headrace.runs.rare import Rare
from headrace.states import FINAL, State, StateDetails, StateType, format_exception
from headrace.states.outcomes import safe_text

__all__ = ("Rare", "Record", "Scoped")

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
_LOOKING: Final = threading.RLock()


class Scoped(Protocol):
    """What a record needs to know of where it belongs."""

    @property
    def id(self) -> str | None:
        """The id of the flow run around, if there is one."""
        ...

    def new_key(self) -> int:
        """A fresh 128-bit identifier."""
        ...

    def flow_key(self) -> int | None:
        """The id of that flow run as a number."""
        ...


class Record:
    """The facts of one run. Slots that mean nothing yet are unset.

    Attributes:
        links: Which runs its arguments come from; see `headrace.runs.inputs`.
    """

    __slots__ = (
        "attempts", "created", "ended", "ident", "links", "log", "outcome", "phase",
        "rare", "scope", "settled", "started", "told",
    )  # fmt: skip

    # Whether some run may wait for its end: of flow runs, those in a task alone.
    has_dependants: bool = True
    spec: Any
    args: tuple[Any, ...]
    kwargs: Any
    number: int
    scope: Any
    links: Links | None
    phase: StateType
    created: float
    started: float
    ended: float
    attempts: int
    outcome: Any
    log: list[State[Any]] | None
    settled: State[Any]  # its final state, while hooks are told of it
    told: int  # states of which the observers were told
    ident: int | None
    rare: Rare | None

    @property
    def name(self) -> str:
        """The name of the run: the one it was given, else ``<name>-<number>``."""
        rare = self.rare
        if rare is not None and rare.title is not None:
            return rare.title
        return f"{self.spec.name}-{self.number}"

    @property
    def tags(self) -> frozenset[str]:
        """The tags that the run was made with, beside those of its task."""
        rare = self.rare
        return frozenset() if rare is None else rare.tags

    def parameters(self) -> dict[str, Any]:
        """What each parameter of its function gets; nothing once it has ended."""
        try:
            found: dict[str, Any] = self.spec.binder.parameters(self.args, self.kwargs)
        except ParameterBindError:
            return {}  # it lets go of its arguments when it ends
        return {} if self.phase in FINAL else found

    @property
    def is_flow(self) -> bool:
        """Whether it is the run of a flow."""
        return False

    def inputs(self) -> dict[str, list[RunInput]]:
        """For each parameter of its function the runs that its argument comes from."""
        return task_inputs(self.spec.binder.names, self.links)

    @property
    def id(self) -> str:
        """A UUID, drawn when first asked for."""
        return str(UUID(int=self.run_key()))

    def run_key(self) -> int:
        """The id as a number."""
        key = self.ident
        if key is None:
            with _LOOKING:
                key = self.ident
                if key is None:
                    key = self.ident = self.scope.new_key()
        return key

    def parent_key(self) -> int | None:
        """The id of the run whose body made it, as a number."""
        rare = self.rare
        if rare is not None:
            parent = rare.parent  # read once: it is let go of when the run ends
            if parent is not None:
                key: int = parent.run_key()
                return key
            if rare.parent_key is not None:
                return rare.parent_key
        return self.flow_key()

    def flow_key(self) -> int | None:
        """The id of the flow run around it, as a number."""
        home = self.home()
        key: int | None = None if home is None else home.flow_key()
        return key

    def view(self) -> Any:
        """What observers and hooks are given for this run."""
        return self

    def rarely(self) -> Rare:
        """The part of the record that few runs need, made now if need be."""
        rare = self.rare
        if rare is None:
            # Two threads may be here at once, and one of two would be lost.
            with _LOOKING:
                rare = self.rare
                if rare is None:
                    rare = self.rare = Rare()
        return rare

    def settle(self, phase: StateType, outcome: object) -> State[Any]:
        """Decide the final state, which the hooks are told of before anybody else.

        The run is over for others when its phase is final too.
        """
        self.run_key()
        with _LOOKING:
            self.outcome = outcome
            self.ended = time()
            self.settled = state = self._final(phase, self.time_of_end())
        return state

    def time_of_end(self) -> float:
        """When it ended, which is after it began."""
        return max(self.ended, getattr(self, "started", 0.0) + _TICK)

    @property
    def is_settled(self) -> bool:
        """Whether its final state is decided; its hooks may still be running."""
        return self.phase in FINAL or getattr(self, "settled", None) is not None

    def end_lost(self, error: BaseException) -> None:
        """Enter Crashed in place of the loop that was to end the run, and is closed."""
        with _LOOKING:
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
        with _LOOKING:
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
        if self.log is not None and self.log[-1].type in FINAL:
            return self.log[-1]
        self.run_key()
        with _LOOKING:
            return self._caught_up()[-1]

    def news(self) -> tuple[State[Any] | None, list[State[Any]]]:
        """The states entered since this was last called, and the one before those."""
        self.run_key()
        told: int = getattr(self, "told", 0)
        with _LOOKING:
            news = self._caught_up()[told:]
            before = self.log[told - 1] if told and self.log else None
        self.told = told + len(news)
        return before, news

    def wait_for_retry(self, message: str | None, data: object, due: float) -> None:
        """Enter AwaitingRetry: the one state that is written down at once."""
        self.run_key()
        details = StateDetails(scheduled_time=datetime.fromtimestamp(due, UTC))
        with _LOOKING:
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
            attempts = sum(state.type is _RUNNING for state in log)
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
        result = None if self.rare is None else self.rare.result
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
        return State(
            kind, name, at, data, message, self.ident, flow_key, state_details=details
        )

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

    def inner_scope(self) -> Any | None:
        """The scope of a flow run."""
        return None

    def home(self) -> Any | None:
        """The scope that the run itself belongs to."""
        return self.scope

    def set_body(self, task: Any) -> None:
        """Note the asyncio task that was made for its body."""

    def body_task(self) -> Any | None:
        """The asyncio task in which its body runs in place."""
        return None

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
