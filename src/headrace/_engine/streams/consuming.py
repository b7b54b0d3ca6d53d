"""Who reads a stream: takes results, one after the other, and reads for more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, Final, NoReturn

from headrace._concurrency.bodies import (
    is_plain_code,
    shielded,
    this_face,
    unshielded,
)
from headrace._concurrency.holding import HELD, while_lent
from headrace._concurrency.lending import lent_while_awaited
from headrace._engine.streams.plans import Plan
from headrace._engine.streams.rows import Closing
from headrace._engine.streams.sources import close_plain
from headrace._engine.streams.streaming import Line
from headrace._engine.streams.waits import (
    Reader,
    await_change,
    await_end,
    block_for_change,
    block_for_end,
)
from headrace.exceptions import BlockedLoop, InternalError
from headrace.states import StateType, StoredData, in_hand

__all__ = ("Consumer",)

_COMPLETED: Final = StateType.COMPLETED

# A plain source that takes longer for a row is not asked for the next one while there
# is a result to hand on.
_SLOW_SECONDS: Final = 0.001

# As they are, these would end the loop as if nothing had happened.
_ENDS_LOOPS: Final = (StopIteration, StopAsyncIteration)

# Instead of a result, for one that is left out.
_NOTHING: Final = object()


class Consumer(Closing):
    """The reading side of a stream, without its public face.

    A line knows nothing of it: so one that was left is noticed, and ends the line.

    Args:
        plan: What the stream is to be.

    Attributes:
        failures: How many failures were handed on or left out so far.
    """

    __slots__ = (
        "__weakref__", "_ahead", "_is_busy", "_is_continued", "_is_ended", "_line",
        "_plan", "_thread", "failures",
    )  # fmt: skip

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._line: Line | None = None
        self._ahead: Any = ()  # of the line: where its runs are taken from, if here
        self._thread: int | None = None  # the one that reads
        self._is_busy = self._is_continued = self._is_ended = False
        self.failures = 0

    async def _anext(self) -> Any:
        if self._is_ended:
            raise StopAsyncIteration
        try:
            line = self._line or await self._abegin()
            self._refuse_elsewhere(line)
            is_plain = not line.rows.is_async

            def is_there() -> bool:
                return line.is_ready() or line.is_over or (is_plain and line.may_read())

            while True:
                run = line.pop()
                is_cut = is_plain and line.fill()
                if run is not None:
                    given = self._given(line, run)
                    if isinstance(given, StoredData):
                        return await given.aload()
                    if given is not _NOTHING:
                        return given
                elif line.is_over:
                    self._raise_end(line, StopAsyncIteration)
                elif is_cut:
                    await asyncio.sleep(0)
                elif not line.is_ready():
                    line.await_last()
                    with lent_while_awaited():
                        await _lent(await_change(line, is_there))
        finally:
            run = None
            del self

    async def _abegin(self) -> Line:
        await self._plan.await_sources()
        if self._line is not None:  # begun by another task meanwhile
            return self._line
        scope = self._plan.holder.scope
        scheduler = scope.opened()
        if not scheduler.is_here():
            way_around = scope.way_around_for_us()
            if way_around is not None:
                reason = "its runs need the loop that this code is blocking"
                raise BlockedLoop(
                    f"async for ... in {self._plan.name}", reason, way_around
                )
        line = self._line = self._plan.line(is_here=scheduler.is_here())
        self._thread = threading.get_ident()
        if line.rows.is_async:
            line.reader = Reader(line)
            line.reader.start()
        if line.is_here and not self._plan.return_state:
            last = line.last
            self._ahead = last.ahead if last.ordered else last.arrived
        return line

    async def _aclose(self) -> None:
        """See `Stream.aclose`."""
        line = self._line
        if line is not None:
            self._ahead = ()
            await _lent(await_end(line))
        elif not (self._is_ended or self._is_continued):
            self._is_ended = True
            await self._plan.aclose_sources()

    def _next(self) -> Any:
        if self._is_ended:
            raise StopIteration
        try:
            line = self._line or self._begin()
            self._refuse_elsewhere(line)

            def is_there() -> bool:
                return line.is_ready() or line.is_over or (is_plain and line.may_read())

            is_plain = not line.rows.is_async
            while True:
                if is_plain:
                    self._fill(line)
                run = line.pop()
                if run is not None:
                    given = self._given(line, run)
                    if given is not _NOTHING:
                        return in_hand(given)
                elif line.is_over:
                    self._raise_end(line, StopIteration)
                else:
                    block_for_change(line, is_there)
        finally:
            run = None
            del self

    def _fill(self, line: Line) -> None:
        """Read as long as there is room, but not on and on while a result waits."""
        while line.may_read():
            began = perf_counter()
            if this_face() is None:
                line.read_row()
            else:
                with unshielded():
                    line.read_row()
            if line.is_ready() and perf_counter() - began > _SLOW_SECONDS:
                return

    def _begin(self) -> Line:
        self._refuse_to_block()
        self._plan.block_for_sources()
        line = self._line = self._plan.line(is_here=False)
        self._thread = threading.get_ident()
        if line.rows.is_async:
            line.reader = Reader(line)
            line.scheduler.call(line.reader.start, None)
        return line

    def _close(self) -> None:
        """See `Stream.close`."""
        line = self._line
        if line is not None:
            self._refuse_to_block("close", "await stream.aclose()")
            self._close_generators(line)
            with shielded():
                block_for_end(line)
        elif not (self._is_ended or self._is_continued):
            self._is_ended = True
            self._plan.close_sources()

    # -- what both have in common --------------------------------------------------

    def _given(self, line: Line, run: Any) -> Any:
        """What is handed on for a run that has ended; `_NOTHING` if it is left out.

        Raises:
            Exception: What the run raised, if that is not to be borne.
        """
        plan = self._plan
        try:
            if run.phase is _COMPLETED:
                return run.state if plan.return_state else run.outcome
            self.failures += 1
            most = plan.max_failures
            if self.failures <= (most or 0) or (most is None and plan.return_state):
                state = run.state  # counts as being seen
                return state if plan.return_state else _NOTHING
            self._leave(line)
            self._raise_of(run)
        finally:
            del self, run

    def _raise_of(self, run: Any) -> NoReturn:
        most = self._plan.max_failures
        error = _error_of(run)
        try:
            if most:
                error.add_note(
                    f"{self._plan.name} has come to {self.failures} failures and was told "
                    f"to leave out max_failures={most} at the most."
                )
            raise _fit_for_loops(error, f"the run {run.name!r}")
        finally:
            # Its trace leads here; see `Stream.__anext__`.
            del self, run, error

    def _raise_end(self, line: Line, stop: type[Exception]) -> NoReturn:
        """There is nothing left: raise what ended the stream, or that it is over."""
        error, line.error = line.error, None
        self._ahead = ()
        if line.is_closed:
            self._close_generators(line)  # it was ended from outside
        else:
            line.finish()
        try:
            if error is None:
                raise stop
            raise _fit_for_loops(error, f"the source of {line.name}")
        finally:
            error = None
            del self, line

    def _leave(self, line: Line) -> None:
        """Have it closed soon; nothing here waits for that. In any thread."""
        self._ahead = ()
        self._close_generators(line)
        with contextlib.suppress(RuntimeError):  # the loop may have closed
            line.scheduler.call(line.close, None)

    def _close_generators(self, line: Line) -> None:
        """In plain code they are closed by the thread that ran them."""
        is_plain = not line.is_here and not line.rows.is_async
        if is_plain and self._thread == threading.get_ident():
            close_plain(line.rows, line.name)

    def _refuse_continued(self) -> None:
        if self._is_continued:
            raise RuntimeError(
                f"{self._plan.name} goes on in another stage. Read the stream that "
                f"then() gave."
            )

    def _refuse_elsewhere(self, line: Line) -> None:
        """Raise RuntimeError off the loop where `async for` has begun to read."""
        if line.is_here and not line.scheduler.is_here():
            raise RuntimeError(
                f"{self._plan.name} is being read on an event loop, and was asked for "
                f"a result elsewhere. Read it on that loop, with `async for`."
            )

    def _refuse_to_block(self, verb: str = "for", instead: str = "async for") -> None:
        """Raise BlockedLoop where plain code may not wait for the next result."""
        scope = self._plan.holder.scope
        what = (
            f"{self._plan.name}.{verb}()"
            if verb == "close"
            else (f"for ... in {self._plan.name}")
        )
        if not is_plain_code():
            reason = "its runs need the event loop that runs here"
            raise BlockedLoop(what, reason, instead)
        scheduler = scope.scheduler
        if scheduler is None:
            return
        way_around = scope.way_around_for_us()
        if way_around is not None or scheduler.thread_id == threading.get_ident():
            reason = "its runs need the loop that this code is blocking"
            raise BlockedLoop(what, reason, way_around or instead)

    def __del__(self) -> None:
        line: Line | None = getattr(self, "_line", None)
        if line is None:
            return
        if line.is_closed:
            self._close_generators(line)  # it was ended from outside
        else:
            self._leave(line)


async def _lent(wait: Coroutine[Any, Any, None]) -> None:
    """Wait, and lend the places of the run so long: runs of the stream may need them."""
    held = HELD.get()
    await (wait if held is None else while_lent(held, wait))


def _error_of(run: Any) -> BaseException:
    """What reading the value of a run raises that did not complete."""
    try:
        run.read(raise_on_failure=True)
    except BaseException as error:  # noqa: BLE001 - a body may have raised anything
        return error
    finally:
        del run
    raise InternalError("a run that completed was taken for one that failed")


def _fit_for_loops(error: BaseException, who: str) -> BaseException:
    """An error as a step of a loop may raise it: of another type if that would end it."""
    if not isinstance(error, _ENDS_LOOPS):
        return error
    wrapped = RuntimeError(f"{who} raised {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
