"""What stays of runs that have ended: facts and texts, never values.

A run may have returned a gigabyte, and its error holds every frame that it passed. So
what is kept of it is a record of its own, with the text of the error; or the future of
the run itself, if that is as light.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, cast
from uuid import UUID

from headrace.exceptions import MissingResult
from headrace.runs.inputs import RunInput, task_inputs
from headrace.runs.record import Rare, Record
from headrace.runs.views import FlowRun, TaskRun
from headrace.specs import facts_of
from headrace.states import FINAL, StateType, StoredData

__all__ = (
    "LIGHT",
    "NOT_KEPT",
    "TRIM_AFTER",
    "EndedFlowRun",
    "EndedRun",
    "RunLog",
    "ScopeFacts",
    "is_light",
)

# Types of outcomes that are kept as they are. And texts of so many characters.
LIGHT: Final = frozenset({int, float, bool, type(None)})

_SHORT: Final = 200

# How many runs may be added before the oldest are dropped. One by one, each would be
# fetched from memory by itself, which takes 0.1 us of the 4 that a run takes.
TRIM_AFTER: Final = 512

_COMPLETED: Final = StateType.COMPLETED


class _NotKept(StoredData):
    """Stands for the value of a run in a record that outlived its future."""

    __slots__ = ()

    def load(self) -> Any:
        """Say why there is nothing to read.

        Raises:
            MissingResult: In every case.
        """
        raise MissingResult(
            "The value of this run was not kept: `runtime.runs` keeps states and "
            "messages, no values. Hold on to the future of a run whose value is wanted "
            "later."
        )

    async def aload(self) -> Any:
        """See `load`."""
        return self.load()

    def __repr__(self) -> str:
        return "<not kept>"


NOT_KEPT: Final = _NotKept()


class ScopeFacts:
    """Where runs belonged, when their scope need not be any more: see `Scoped`."""

    __slots__ = ("_flow_key",)

    def __init__(self, flow_key: int | None) -> None:
        self._flow_key = flow_key

    @property
    def id(self) -> str | None:
        """The id of the flow run, if there was one."""
        key = self._flow_key
        return None if key is None else str(UUID(int=key))

    def flow_key(self) -> int | None:
        """The id of that flow run as a number."""
        return self._flow_key


class EndedRun(Record):
    """The record of a task run that has ended, without arguments, value and error.

    Made when the run is about to enter its final state. Holds neither the scope nor
    the function of the run, and with these no loop and nothing of the user's.

    Args:
        run: The run.
        phase: The type of its final state.
        is_brief: Whether to drop all states but the final one.
    """

    __slots__ = ("_whole", "number", "spec")

    def __init__(self, run: Any, phase: StateType, *, is_brief: bool) -> None:
        outcome, rare, log = run.outcome, run.rare, run.log
        self._whole: weakref.ref[Record] = weakref.ref(run)
        self.scope = run.scope.facts()
        self.spec = run.spec.facts or facts_of(run.spec)
        self.number, self.links = run.number, run.links
        self.ident = run.run_key()
        self.created, self.ended = run.created, run.ended
        self.attempts = run.attempts
        if run.attempts:
            self.started = run.started
        self.phase = phase
        self.outcome = self.rare = self.log = self.settled = None
        if phase is _COMPLETED:
            self.outcome = outcome if is_light(outcome) else NOT_KEPT
        if rare is not None or phase is not _COMPLETED:
            self.rare = _rare_of(run, phase)
        if log is not None and not is_brief:
            # The final one is made anew, of what was kept.
            self.log = [s.without_data() for s in log if s.type not in FINAL]

    def whole(self) -> Record:
        """The run itself while somebody holds it, else this."""
        run = self._whole()
        return self if run is None else run

    def view(self) -> TaskRun | FlowRun:
        """See `Record.view`."""
        return TaskRun(self)

    def parameters(self) -> dict[str, Any]:
        """See `Record.parameters`: it has ended."""
        return {}

    def inputs(self) -> dict[str, list[RunInput]]:
        """See `Record.inputs`."""
        return task_inputs(self.spec.names, self.links)


class EndedFlowRun(EndedRun):
    """The same of a flow run; it belongs to another scope than its own runs."""

    __slots__ = ("_home", "_name_of_retry")

    def __init__(self, run: Any, phase: StateType, *, is_brief: bool) -> None:
        super().__init__(run, phase, is_brief=is_brief)
        home = run.home()
        self._home = None if home is None else home.facts()
        self._name_of_retry: str = run.name_of_retry

    @property
    def is_flow(self) -> bool:
        """See `Record.is_flow`."""
        return True

    @property
    def name_of_retry(self) -> str:
        """See `Record.name_of_retry`."""
        return self._name_of_retry

    def home(self) -> Any | None:
        """See `Record.home`."""
        return self._home

    def view(self) -> FlowRun:
        """See `Record.view`."""
        return FlowRun(self)


def is_light(outcome: object) -> bool:
    """Whether an outcome is kept as it is: a number, None, a short text."""
    kind = type(outcome)
    return kind in LIGHT or (kind is str and len(cast("str", outcome)) <= _SHORT)


def _rare_of(run: Any, phase: StateType) -> Rare:
    rare = Rare() if run.rare is None else run.rare.of_ended()
    rare.name, rare.message = run.name_of_end(phase), run.message_of_end(phase)
    return rare


def _ended(run: Record, phase: StateType, *, is_brief: bool) -> EndedRun:
    kind = EndedFlowRun if run.is_flow else EndedRun
    return kind(run, phase, is_brief=is_brief)


class RunLog:
    """The runs of one runtime that have ended, the latest of them.

    Written in the threads in which runs end, read in any.

    Args:
        most: How many are kept.
        is_brief: Whether of each only the last state is.
        before: Those to begin with.

    Attributes:
        ended: Futures and what is kept of others, in the order of their ends.
        append: Adds one, as it is. Follow with `trim`, now or some runs later.
    """

    __slots__ = ("_most", "append", "ended", "is_brief")

    def __init__(
        self, most: int, *, is_brief: bool, before: Iterable[Record] = ()
    ) -> None:
        self.is_brief = is_brief
        self._most = most
        self.ended: deque[Record] = deque(before)
        self.append: Callable[[Record], None] = self.ended.append

    def trim(self) -> None:
        """Drop the oldest, if there are too many."""
        ended, most = self.ended, self._most
        try:  # `suppress` would take 0.2 us, for each run once the log is full
            while len(ended) > most:
                ended.popleft()
        except IndexError:
            pass  # two threads were here at once

    def latest(self) -> list[Record]:
        """As many as are to be kept."""
        ended = list(self.ended)
        return ended[max(len(ended) - self._most, 0) :]

    def note(self, run: Record, phase: StateType) -> None:
        """Keep a light record of a run that is about to enter its final state."""
        self.append(_ended(run, phase, is_brief=self.is_brief))
        self.trim()

    def detached(self) -> list[Record]:
        """All of them, without futures: these lead to the loop that ran them."""
        return [
            run
            if isinstance(run, EndedRun)
            else _ended(run, run.phase, is_brief=self.is_brief)
            for run in self.latest()
        ]
