"""One stage of a stream: a task, and the few items that it holds.

A stage counts what it has taken and what has left it, and takes no more while the
difference is its limit. Its runs are not waited for one by one: there is a callback on
the one whose turn it is to leave.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Final

from headrace._concurrency.deadlines import DEADLINE
from headrace._concurrency.slices import SLICE_SECONDS
from headrace._engine.deadlines import bind, enlist
from headrace._engine.mapping import NO_KWARGS
from headrace._engine.streams.rows import Row, Rows
from headrace._engine.submitting import adopt, take_in_sequence
from headrace.annotations import is_mark, quote
from headrace.context import TAGS
from headrace.futures import AsyncTaskFuture, TaskFuture, future_in
from headrace.futures.gates import Shared
from headrace.futures.records import new_record
from headrace.futures.resolve import ATOMS
from headrace.runs.inputs import Links
from headrace.specs import TaskSpec
from headrace.states import FINAL, StateType, StoredData, is_state

__all__ = ("LOOK_AT_CLOCK_EVERY", "Stage", "StageOptions")

LOOK_AT_CLOCK_EVERY: Final = 16

_COMPLETED: Final = StateType.COMPLETED
_RUNS: Final = frozenset({TaskFuture, AsyncTaskFuture})


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class StageOptions:
    """What a stage was told to do, checked.

    Attributes:
        spec: Its task.
        limit: How many items it may hold.
        ordered: Whether they leave in the order in which they came.
        constants: What its task gets after the item, each looked into before; of the
            first stage nothing.
        named: The same by keyword.
    """

    spec: TaskSpec
    limit: int
    ordered: bool
    constants: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Stage:
    """One task of a stream, and the items that it holds.

    Attributes:
        taken: How many items it has taken.
        passed: How many have left it. Each number is written by one thread.
        ahead: If ordered, its runs in the order in which they leave.
        flying: If not, those that have not ended,
        arrived: and those that have, in the order in which they did.
        wait_for: What each run waits for besides its arguments.
        links: Which runs the whole arguments are of.
        quick_rows: What `exchange` reads from, where that is possible.
    """

    __slots__ = (
        "_admit", "_constants", "_context", "_deadline", "_holder", "_is_armed", "_is_in_task",
        "_is_opaque", "_is_wanted", "_line", "_named", "_numbers", "_on_end",
        "_scheduler", "_scope", "_spec", "_tags", "ahead", "arrived", "flying", "limit",
        "links", "ordered", "passed", "quick_rows", "taken", "wait_for",
    )  # fmt: skip

    def __init__(
        self, line: Any, options: StageOptions, holder: Any, context: Context
    ) -> None:
        self._line = line
        self._scope = scope = line.scope
        self._scheduler = line.scheduler
        self._spec = spec = options.spec
        self._context = context
        self._holder = holder
        self._is_in_task = type(holder) in _RUNS
        self._admit = line.scheduler.admit
        self._deadline = context.get(DEADLINE)
        self._tags: frozenset[str] = context.get(TAGS, frozenset())
        self._numbers = scope.counter(spec.key)
        self._constants = tuple(map(_bare, options.constants))
        self._named: Mapping[str, Any] = {
            name: _bare(value) for name, value in options.named.items()
        }
        self._is_opaque = not any(
            isinstance(value, Shared) or future_in(value) is not None or is_state(value)
            for value in (*self._constants, *self._named.values())
        )
        if not self._is_opaque:
            self._constants, self._named = options.constants, options.named
        self._is_armed = False
        self._is_wanted = True  # the next to come is to be armed
        self._on_end = self._ended  # made once
        self.limit = options.limit
        self.ordered = options.ordered
        self.taken = self.passed = 0
        self.ahead: deque[TaskFuture[Any]] = deque()
        self.flying: set[TaskFuture[Any]] = set()
        self.arrived: deque[TaskFuture[Any]] = deque()
        self.wait_for: Any = None
        self.links: Links | None = None
        self.quick_rows: Iterator[Row] | None = None
        if spec.log_prints:
            scope.look_at_prints()

    @property
    def room(self) -> int:
        """How many items it can take now."""
        return self.limit - self.taken + self.passed

    def runs(self) -> Iterator[TaskFuture[Any]]:
        """Those that it holds."""
        return itertools.chain(self.ahead, self.flying, self.arrived)

    # -- in ------------------------------------------------------------------------

    def made(self, args: Row, kwargs: Mapping[str, Any] = NO_KWARGS) -> TaskFuture[Any]:
        """A run of its task, not scheduled yet. In any thread."""
        run = new_record(
            self._scope,
            self._spec,
            args,
            kwargs,
            self._context,
            next(self._numbers),
            time(),
        )
        if self.links:
            run.links = self.links
        if self._tags:
            run.rarely().tags = self._tags
        if self._is_in_task:
            adopt(self._holder, run)
        if self._deadline is not None:
            bind(self._deadline, self._scheduler, [run])
        return run

    def exchange(self) -> bool:
        """A run has left, and a row takes its place; False to have the line do it.

        For speed, as this is done for each item: what the line does for a stage of any
        kind takes 0.5 us more. The two counts stay as they are, as only their
        difference matters.
        """
        if (
            self.quick_rows is None
            or self._is_wanted
            or self._scope.on_idle is not None
        ):
            return False
        for row in self.quick_rows:
            run = new_record(
                self._scope,
                self._spec,
                row,
                NO_KWARGS,
                self._context,
                next(self._numbers),
                time(),
            )
            self.ahead.append(run)
            if type(row[0]) in ATOMS:
                self._scope.open += 1
                self._admit(run)
            else:
                self._scheduler.take(run)
            return True
        self._line.source_ended(None)
        return False

    def may_exchange(self, rows: Rows) -> bool:
        """Whether `exchange` does all there is to do, if it is the only stage."""
        needs_more = self._tags or self._is_in_task or self.wait_for or self.links
        needs_more = needs_more or self._deadline is not None
        return (
            self.ordered
            and rows.width == 1
            and not needs_more
            and not self._scope.is_sequential
            and self._scheduler.announcer is None
        )

    def start(self, run: TaskFuture[Any]) -> None:
        """Hold a run and schedule it. On the loop, as all that follows."""
        self._hold(run)
        if self._scope.is_sequential:
            take_in_sequence(self._holder, self._scheduler, run, self.wait_for)
        else:
            self._scheduler.take(run, self.wait_for)
            enlist(self._scheduler, [run])

    def start_looked(self, run: TaskFuture[Any]) -> None:
        """The same for a run whose inputs were looked for in another thread."""
        self._hold(run)
        self._scheduler.take_looked((run,))
        enlist(self._scheduler, [run])

    def draw(self, before: Stage) -> bool:
        """Take what the stage before has ready, as far as there is room."""
        until = perf_counter() + SLICE_SECONDS
        count = 0
        while self.taken - self.passed < self.limit:
            run = before.pop()
            if run is None:
                break
            before.passed += 1
            self.taken += 1
            if run.phase is _COMPLETED:
                self._start_with(run)
            else:
                self._hold_ended(run)
            count += 1
            if not count % LOOK_AT_CLOCK_EVERY and perf_counter() > until:
                self._line.pump_soon()
                break
        return count > 0

    def _start_with(self, before: TaskFuture[Any]) -> None:
        """Start a run with the value of the one before."""
        value = before.outcome
        if isinstance(value, StoredData):
            value = before  # read where its runs wait for inputs
        run = self.made((value, *self._constants), self._named)
        run.links = before.run_key()
        if value is before:
            self.start(run)
            return
        if self._is_opaque and not self._scope.is_sequential:
            # What a run gave is passed on as it is (RES-15), and so are the constants:
            # there is nothing to look for.
            self._hold(run)
            self._scope.open += 1
            if self._scheduler.announcer is not None:
                self._scheduler.announce(run)
            self._scheduler.admit(run)
            enlist(self._scheduler, [run])
            return
        if type(value) not in ATOMS:
            run.args = (quote(value), *self._constants)
        self.start(run)

    def _hold(self, run: TaskFuture[Any]) -> None:
        if self.ordered:
            self.ahead.append(run)
            if self._is_wanted:
                self._is_wanted = False
                self.arm()
        else:
            self.flying.add(run)
            run.waiters = self._on_end

    def _hold_ended(self, run: TaskFuture[Any]) -> None:
        """Hold a run of an earlier stage that failed: it is handed on as it is."""
        (self.ahead if self.ordered else self.arrived).append(run)
        if self._is_wanted:
            self._is_wanted = False
            self._line.one_ended(self)

    # -- out -----------------------------------------------------------------------

    def pop(self) -> TaskFuture[Any] | None:
        """The run whose turn it is to leave, if that has ended."""
        if not self.ordered:
            return self.arrived.popleft() if self.arrived else None
        ahead = self.ahead
        return ahead.popleft() if ahead and ahead[0].phase in FINAL else None

    def is_ready(self) -> bool:
        """Whether there is one."""
        ahead = self.ahead
        return bool(self.arrived or (ahead and ahead[0].phase in FINAL))

    def arm(self) -> None:
        """Have the line told when the next run may leave, unless one may already."""
        ahead = self.ahead
        if self._is_armed:
            return
        if not ahead:
            self._is_wanted = True
        elif ahead[0].phase not in FINAL:
            self._is_armed = True
            ahead[0].add_waiter(self._head_ended)

    def _head_ended(self, _: object) -> None:
        self._is_armed = False
        self._line.one_ended(self)

    def _ended(self, run: TaskFuture[Any]) -> None:
        if run in self.flying:  # not so once the line has ended
            self.flying.remove(run)
            self.arrived.append(run)
            self._line.one_ended(self)


def _bare(value: object) -> Any:
    """A value that all runs are given, without the mark that there is nothing in it."""
    return value.value if is_mark(value) and isinstance(value, quote) else value
