"""Waiting for many runs at once, by callbacks and without a task for each."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from headrace._concurrency.bodies import block_until, shielded
from headrace._concurrency.holding import HELD, while_lent
from headrace._concurrency.lending import lent_while_awaited
from headrace.circles import begin_wait, end_wait
from headrace.exceptions import BlockedLoop
from headrace.states import StateType

__all__ = (
    "TURN",
    "Watched",
    "await_ends",
    "block_for_ends",
    "ends_of",
    "forget_in_turns",
    "in_turns",
    "refuse_to_block",
    "settle",
    "tell_loop",
)


class Watched(Protocol):
    """What can be waited for: a run."""

    scope: Any

    @property
    def phase(self) -> StateType:
        """The type of the state it is in."""
        ...

    @property
    def name(self) -> str:
        """The name of the run."""
        ...

    def done(self) -> bool:
        """Whether it has its final state."""
        ...

    def watch(self, callback: Callable[[Any], object]) -> None:
        """Call back once, on the loop thread of the run, when it has ended."""
        ...

    def lose(self) -> bool:
        """End it if its loop was closed, which tells nobody; whether it has ended."""
        ...

    def unwatch(self, callback: Callable[[Any], object]) -> None:
        """Call back no more, if it is not too late."""
        ...

    def would_block_its_loop(self) -> bool:
        """Whether blocking this thread would keep the run from going on."""
        ...

    def way_around(self) -> str | None:
        """What to await in place of the present code, if that holds up the run."""
        ...


T = TypeVar("T")
U = TypeVar("U")
Ts = TypeVarTuple("Ts")

_LOOK_EVERY: Final = 0.5

# So many runs are looked at between two turns of the event loop: 0.2 milliseconds.
TURN: Final = 512


class _Ends:
    """Counts runs as they end, and fires once enough have.

    Runs of several loops may end at the same moment, so what is shared is a deque,
    and firing twice is harmless.
    """

    __slots__ = ("_enough", "_fire", "_stop_at_failure", "ended")

    def __init__(
        self, enough: int, fire: Callable[[], object], *, stop_at_failure: bool
    ) -> None:
        self._enough = enough
        self._fire = fire
        self._stop_at_failure = stop_at_failure
        self.ended: deque[Any] = deque()

    def __call__(self, run: Watched) -> None:
        self.ended.append(run)
        if len(self.ended) >= self._enough or (
            self._stop_at_failure and run.phase is not StateType.COMPLETED
        ):
            self._fire()


def ends_of(
    runs: Iterable[Watched],
    enough: int,
    fire: Callable[[], object],
    *,
    stop_at_failure: bool = False,
) -> _Ends:
    """Have ``fire()`` called, on some loop thread, when enough runs have ended."""
    ends = _Ends(enough, fire, stop_at_failure=stop_at_failure)
    for run in runs:
        run.watch(ends)
    return ends


def refuse_to_block(run: Watched, what: str, instead: str) -> None:
    """Raise BlockedLoop if blocking here would keep the run from going on."""
    way_around = run.way_around()
    if way_around is not None or run.would_block_its_loop():
        reason = f"the run {run.name!r} is not done"
        raise BlockedLoop(what, reason, way_around or instead)


def _refuse_to_wait(runs: Iterable[Watched]) -> None:
    """Raise BlockedLoop if the present code holds up the loop of a run."""
    scope: Any = None
    for run in runs:
        if run.scope is not scope:
            scope = run.scope
            if (way_around := run.way_around()) is not None:
                reason = f"the run {run.name!r} is not done"
                raise BlockedLoop(f"await {run.name}", reason, way_around)


def block_for_ends(
    runs: Sequence[Watched],
    timeout: float | None,
    *,
    what: str,
    instead: str,
    stop_at_failure: bool = False,
) -> None:
    """Block until the runs have ended, or the time is out.

    Raises:
        BlockedLoop: One of them needs the loop of this very thread.
        ForkedRuntime: They belong to the parent of this process.
        DeadlockError: One of them waits for the body that this is in.
    """
    open_runs = [run for run in runs if not run.done() and not run.lose()]
    if not open_runs or (stop_at_failure and _any_failed(runs)):
        return
    open_runs[0].scope.host.refuse_fork()
    # One of each scope, the first: the others of it are no different.
    for run in {run.scope: run for run in reversed(open_runs)}.values():
        refuse_to_block(run, what, instead)
    ends: list[_Ends] = []
    waiting = begin_wait(open_runs) if timeout is None else None
    with shielded():
        try:
            block_until(
                lambda fire: ends.append(
                    ends_of(
                        open_runs,
                        len(open_runs),
                        fire,
                        stop_at_failure=stop_at_failure,
                    )
                ),
                timeout,
                look=lambda: _have_ended(open_runs),
            )
        finally:
            end_wait(waiting)
            _forget(open_runs, ends)


async def await_ends(
    runs: Sequence[Watched],
    timeout: float | None,
    *,
    stop_at_failure: bool = False,
) -> None:
    """Wait until the runs have ended, or the time is out.

    Raises:
        BlockedLoop: One of them needs a loop that the present code is blocking.
        DeadlockError: One of them waits for the body that this is in.
    """
    waiting = begin_wait(runs) if timeout is None else None
    held = HELD.get()
    try:
        if held is None:
            await _await_ends(runs, timeout, stop_at_failure=stop_at_failure)
        elif any(not run.done() for run in runs):
            wait = _await_ends(runs, timeout, stop_at_failure=stop_at_failure)
            await while_lent(held, wait)
    finally:
        end_wait(waiting)


async def _await_ends(
    runs: Sequence[Watched], timeout: float | None, *, stop_at_failure: bool
) -> None:
    if len(runs) > TURN:
        await _await_many(tuple(runs), timeout, stop_at_failure=stop_at_failure)
        return
    open_runs = [run for run in runs if not run.done()]
    if not open_runs or (stop_at_failure and _any_failed(runs)):
        return
    _refuse_to_wait(open_runs)
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    ends = ends_of(
        open_runs,
        len(open_runs),
        lambda: tell_loop(loop, settle, waiter),
        stop_at_failure=stop_at_failure,
    )
    look = _Look(loop, _loops_of(open_runs), open_runs, waiter)
    try:
        with lent_while_awaited():
            async with asyncio.timeout(timeout):
                await waiter
    except TimeoutError:
        return
    finally:
        look.end()
        _forget(open_runs, [ends])


class _Look:
    """Looks, twice a second, whether the loop of a run that is awaited was closed.

    Such a loop tells nobody. There is nothing to look at if that loop is the own.
    """

    __slots__ = ("_loop", "_others", "_runs", "_timer", "_waiter")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        loops: set[asyncio.AbstractEventLoop],
        runs: Sequence[Watched],
        waiter: asyncio.Future[None],
    ) -> None:
        self._loop = loop
        self._others = loops - {loop}
        self._runs = runs
        self._waiter = waiter
        self._timer: asyncio.TimerHandle | None = None
        if self._others:
            self._set()

    def _set(self) -> None:
        self._timer = self._loop.call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        if any(loop.is_closed() for loop in self._others) and _have_ended(self._runs):
            # Those that had no time to be told of this wait do not tell it either.
            settle(self._waiter)
        else:
            self._set()

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


def _loops_of(runs: Iterable[Watched]) -> set[asyncio.AbstractEventLoop]:
    return {scope.scheduler.loop for scope in {run.scope for run in runs}}


async def _await_many(
    runs: Sequence[Watched], timeout: float | None, *, stop_at_failure: bool
) -> None:
    """`await_ends` for so many runs that the loop has to turn between them."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    ends = _Ends(
        len(runs),
        lambda: tell_loop(loop, settle, waiter),
        stop_at_failure=stop_at_failure,
    )
    loops: set[asyncio.AbstractEventLoop] = set()
    try:
        async with asyncio.timeout(timeout):
            for start in range(0, len(runs), TURN):
                open_runs: list[Watched] = []
                for run in runs[start : start + TURN]:
                    if run.done():
                        ends(run)
                    else:
                        open_runs.append(run)
                _refuse_to_wait(open_runs)
                loops |= _loops_of(open_runs)
                for run in open_runs:
                    run.watch(ends)
                await asyncio.sleep(0)
                if waiter.done():
                    return
            look = _Look(loop, loops, runs, waiter)
            try:
                with lent_while_awaited():
                    await waiter
            finally:
                look.end()
    except TimeoutError:
        return
    finally:
        if len(ends.ended) < len(runs):
            forget_in_turns(loop, runs, ends)


@types.coroutine
def in_turns(
    function: Callable[[T], U], items: Sequence[T], each: int = TURN
) -> Generator[None, None, list[U]]:
    """What a function gives for each item; the loop turns after so many of them."""
    found: list[U] = []
    try:
        for start in range(0, len(items), each):
            if start:
                yield
            found += map(function, items[start : start + each])
        return found
    finally:
        del items  # what the function raises leads here, and an item may lead to that


def settle(waiter: asyncio.Future[None]) -> None:
    """Wake who awaits a future of asyncio, unless somebody has. On its loop."""
    if not waiter.done():
        waiter.set_result(None)


def tell_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[*Ts], object], *args: *Ts
) -> None:
    """Have something called on a loop, unless it has closed. From any thread.

    Who waited there is gone then; a run that ends must not fail for that.
    """
    try:
        loop.call_soon_threadsafe(call, *args)
    except RuntimeError:
        return


def _have_ended(runs: Iterable[Watched]) -> bool:
    """Whether all have ended, those whose loop was closed included."""
    ended = [run.lose() for run in runs]
    return all(ended)


def _any_failed(runs: Iterable[Watched]) -> bool:
    return any(run.done() and run.phase is not StateType.COMPLETED for run in runs)


def forget_in_turns(
    loop: asyncio.AbstractEventLoop,
    runs: Sequence[Watched],
    callback: Callable[[Any], object],
) -> None:
    """Have runs that go on call back no more. On the loop that waited for them."""
    _forget(runs[:TURN], [callback])
    if len(runs) > TURN:
        loop.call_soon(forget_in_turns, loop, runs[TURN:], callback)


def _forget(
    runs: Iterable[Watched], callbacks: Iterable[Callable[[Any], object]]
) -> None:
    # A wait that was given up must leave nothing behind in runs that go on.
    for callback in callbacks:
        for run in runs:
            if not run.done():
                run.unwatch(callback)
