"""Streams: runs that are made as their results are asked for, never many at once.

A `Line` is one stream: a row of stages, each with a task and a limit. What is read
becomes a run of the first; what a run of one stage gives becomes a run of the next; what
the last gives is handed on. So a consumer who is slow holds up the last stage, that the
one before, and so on to the source.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from time import perf_counter
from typing import Any

from headrace._concurrency.deadlines import DEADLINE, Group
from headrace._concurrency.slices import SLICE_SECONDS
from headrace._engine.coroutine_runs import trimmed
from headrace._engine.inputs import look_for_inputs
from headrace._engine.streams.rows import Row, Rows
from headrace._engine.streams.sources import close_plain
from headrace._engine.streams.stages import LOOK_AT_CLOCK_EVERY, Stage, StageOptions
from headrace.exceptions import CancelledRun, DeadlineExceeded, RunEnded
from headrace.futures import TaskFuture
from headrace.states import FINAL

__all__ = ("Line",)


class Line:
    """One stream, from its first step to its end.

    Made where the stream is read; but for that, and where said otherwise, on the loop of
    its scheduler.

    Args:
        holder: What the code belongs to that made the stream.
        context: That of its runs.
        options: Of each stage.
        rows: What is read, or None if nothing is.
        is_here: Whether the consumer is coroutine code on that loop. Else what is ready
            waits for it in ``out``.

    Attributes:
        out: Ended runs, on their way to a consumer elsewhere.
        error: What is raised after the last item; None if nothing is.
        is_exhausted: Whether nothing more will be read.
        is_closed: Whether nothing more will be handed on.
        is_stuck: Whether something waits for room that a consumer elsewhere may make.
        listeners: Called, on the loop, when something has changed.
        reader: Reads asynchronous sources; None if there are none.
    """

    __slots__ = (
        "_group", "_is_due", "_is_read_here", "_iterator", "_leftover", "_told", "context", "error", "first", "is_closed",
        "is_exhausted", "is_here", "is_stuck", "last", "listeners", "name", "out",
        "reader", "rows", "scheduler", "scope", "stages",
    )  # fmt: skip

    def __init__(
        self,
        holder: Any,
        context: Context,
        options: Sequence[StageOptions],
        rows: Rows,
        *,
        is_here: bool,
    ) -> None:
        self.scope = holder.scope
        self.scheduler = self.scope.admitting()
        self.context = context
        self.name = f"{options[0].spec.name}.stream()"
        self.is_here = is_here
        self.rows = rows
        self.stages = [Stage(self, each, holder, context) for each in options]
        self.first, self.last = self.stages[0], self.stages[-1]
        self.out: deque[TaskFuture[Any]] = deque()
        self.error: BaseException | None = None
        self.is_exhausted = self.is_closed = self.is_stuck = False
        self.listeners: set[Callable[[], object]] = set()
        self.reader: Any = None
        self._iterator: Iterator[Row] | None = None
        self._is_due = False
        self._is_read_here = not rows.is_async  # by the consumer itself
        self._leftover = 0
        self._told: list[Callable[[], object]] = []
        self.scope.streams.add(self)
        deadline = context.get(DEADLINE)
        self._group: Group | None = None
        if deadline is not None:
            self._group = deadline.group(self.scheduler)
            self._group.join([self], self._end_at_deadline)

    # -- for who reads: in its own thread -------------------------------------------

    def offer(self, row: Row) -> None:
        """Make a run of the first stage. There is room for it."""
        first = self.first
        first.taken += 1
        args, kwargs = self.rows.split(row)
        run = first.made(args, kwargs)
        if self.is_here:
            first.start(run)
        else:
            self._post(run)

    def _post(self, run: TaskFuture[Any]) -> None:
        take = self._take
        if not self.scope.is_sequential:
            try:
                # Now: later its owner may have changed what holds the futures.
                look_for_inputs(run, self.first.wait_for)
                take = self._take_looked
            except Exception:  # noqa: BLE001 - users' types may raise anything
                # The loop looks again, and fails this run alone if it has to.
                run.upstreams = None
        self.scheduler.call(take, run)

    def may_read(self) -> bool:
        """Whether another row may be read now; ends the reading if it is time to."""
        if self.is_exhausted or self.is_closed:
            return False
        if self.scope.on_idle is not None and self.scope.has_only_streams():
            # The body around has ended, and no run of it reads this.
            self.source_ended(self._ended_around())
            return False
        return self.first.taken - self.first.passed < self.first.limit

    def read_row(self) -> None:
        """Read one row of plain sources, and make a run of it."""
        if self._iterator is None:
            self._iterator = self.rows.read()
            is_single = self.is_here and self.first is self.last
            if is_single and self.first.may_exchange(self.rows):
                self.first.quick_rows = self._iterator
        try:
            row = next(self._iterator)
        except StopIteration:
            self.source_ended(None)
        except Exception as error:  # noqa: BLE001 - the user's source may raise anything
            self.source_ended(error)
        else:
            self.offer(row)

    def refill(self) -> None:
        """The consumer, who is here, has taken a run: read another row."""
        self.last.passed += 1
        if self._is_read_here and self.may_read():
            self.read_row()
        if self.first is not self.last:
            self.pump_soon()
        if self.listeners:
            self.tell()

    def await_last(self) -> None:
        """Have the consumer told when the last stage has something to hand on."""
        if self.is_here:
            self.last.arm()

    def fill(self) -> bool:
        """Read rows of plain sources as long as there is room and time.

        Returns:
            Whether the time was over first, so that the loop has to turn.
        """
        until = perf_counter() + SLICE_SECONDS
        count = 0
        while self.may_read():
            self.read_row()
            count += 1
            if not count % LOOK_AT_CLOCK_EVERY and perf_counter() > until:
                return True
        return False

    def source_ended(self, error: BaseException | None) -> None:
        """There are no more rows, or reading the next one raised."""
        self.error = None if error is None else trimmed(error)
        self.is_exhausted = True
        self.first.quick_rows = None

    def is_ready(self) -> bool:
        """Whether there is something to hand on."""
        return self.last.is_ready() if self.is_here else bool(self.out)

    def pop(self) -> TaskFuture[Any] | None:
        """The next run to hand on, if it is there."""
        if self.is_here:
            run = self.last.pop()
        else:
            run = self.out.popleft() if self.out else None
        if run is None:
            return None
        self.last.passed += 1
        if not self.is_here:
            if self.is_stuck:
                self.is_stuck = False
                self.scheduler.call(self._pump, None)
            return run
        if self.first is not self.last:
            self.pump_soon()
        if self.listeners:
            self.tell()
        return run

    @property
    def is_over(self) -> bool:
        """Whether everything that was read has been handed on."""
        # In this order: what is read is counted before that is said to be all.
        return self.is_closed or (
            self.is_exhausted and self.first.taken == self.last.passed
        )

    # -- on the loop ---------------------------------------------------------------

    def _take(self, run: TaskFuture[Any]) -> None:
        self._taken(self.first.start, run)

    def _take_looked(self, run: TaskFuture[Any]) -> None:
        self._taken(self.first.start_looked, run)

    def _taken(self, start: Callable[[Any], None], run: TaskFuture[Any]) -> None:
        start(run)
        if self.is_closed:
            self._give_up([run])

    def one_ended(self, stage: Stage) -> None:
        """A run may leave a stage."""
        if self.is_here and stage is self.last:
            self.tell()
        else:
            self.pump_soon()

    def pump_soon(self) -> None:
        """`pump` in the next turn of the loop, by when more may have ended."""
        if not self._is_due:
            self._is_due = True
            self.scheduler.loop.call_soon(self._pump, None)

    def _pump(self, _: object) -> None:
        """Hand on what can be, from the last stage to the first, and tell of it."""
        self._is_due = False
        if self.is_closed:
            return
        pairs = list(zip(self.stages[-2::-1], self.stages[:0:-1], strict=True))
        for before, stage in pairs:
            stage.draw(before)
        if not self.is_here:
            while (run := self.last.pop()) is not None:
                self.out.append(run)
            self.last.arm()
        for before, stage in pairs:
            if not before.is_ready():
                before.arm()
            elif stage.room:
                self.pump_soon()
            elif stage is self.last and not self.is_here:
                self.is_stuck = True
                if stage.room:  # made between the two looks
                    self.pump_soon()
        self.tell()

    def tell(self) -> None:
        """Something has changed: wake whoever waits for that."""
        for listener in tuple(self.listeners):
            listener()

    # -- the end -------------------------------------------------------------------

    def end(self) -> None:
        """What the stream belongs to ends: `close` it, and say so to who reads it."""
        if not self.is_closed:
            if self.error is None:
                self.error = self._ended_around()
            self.close()

    def _end_at_deadline(self, _: object) -> None:
        if not self.is_closed and self._group is not None:
            if self.error is None:
                seconds = self._group.deadline.seconds
                self.error = DeadlineExceeded(self.name, seconds)
            self.close()

    def _ended_around(self) -> BaseException:
        scope = self.scope
        if scope.is_cancelled:
            return CancelledRun(
                f"{self.name} has ended: its {scope.kind} {scope.name!r} was cancelled."
            )
        return RunEnded(scope.kind, scope.name)

    def close(self, _: object = None) -> None:
        """Cancel what goes on, and have the sources closed. Any number of times."""
        if self.is_closed:
            return
        self.is_closed = True
        self.first.quick_rows = None
        runs = [*self.out, *(run for stage in self.stages for run in stage.runs())]
        for stage in self.stages:
            stage.ahead.clear()
            stage.flying.clear()
            stage.arrived.clear()
        self.out.clear()
        if self.reader is not None:
            self._leftover += 1
            self.scope.open += 1
            self.reader.stop(self._reader_ended)
        elif self.is_here:
            close_plain(self.rows, self.name)
        self._leave_scope()
        self._give_up(runs)
        self.tell()

    def _leave_scope(self) -> None:
        self.scope.streams.discard(self)
        if self._group is not None:
            self._group.leave(self)

    def _give_up(self, runs: Sequence[TaskFuture[Any]]) -> None:
        """Cancel runs whose outcomes nobody will ask for."""
        left: list[TaskFuture[Any]] = []
        for run in runs:
            if run.phase in FINAL:
                run.see()
            else:
                run.seen = True
                left.append(run)
                run.add_waiter(self._one_left)
        self._leftover += len(left)
        if left:
            self.scheduler.cancel_many(left)

    def _one_left(self, _: object = None) -> None:
        self._leftover -= 1
        if not self._leftover:
            for tell in self._told:
                tell()
            self._told.clear()

    def _reader_ended(self) -> None:
        self.scope.open -= 1
        self._one_left()
        if self.scope.on_idle is not None:
            self.scope.check_idle()

    def finish(self) -> None:
        """All has been handed on, and nothing is read any more. For who reads."""
        # A reader may still have sources to close, which the scope waits for.
        leave = self._leave if self.reader is None else self.close
        if self.is_here:
            leave(None)
        else:
            with contextlib.suppress(RuntimeError):  # the loop may have closed
                self.scheduler.call(leave, None)

    def _leave(self, _: object) -> None:
        self.is_closed = True
        self.tell()
        self._leave_scope()
        if self.scope.on_idle is not None:
            self.scope.check_idle()

    def tell_when_over(self, tell: Callable[[], object]) -> None:
        """`close`, and have somebody told when nothing of it goes on any more."""
        self.close()
        if self._leftover:
            self._told.append(tell)
        else:
            tell()

    def count_open(self) -> int:
        """How many of its runs have not ended."""
        return sum(
            [run.phase not in FINAL for stage in self.stages for run in stage.runs()]
        )
