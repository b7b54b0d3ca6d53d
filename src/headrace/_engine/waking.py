"""Wakes who waits for the end of a run: dependants, callbacks, futures of asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final

from headrace._concurrency.slices import SLICE_SECONDS
from headrace._engine.inputs import ALONE
from headrace.futures import AsyncTaskFuture, TaskFuture
from headrace.futures.resolve import ATOMS
from headrace.futures.waiters import each_of
from headrace.states import StateType

__all__ = ("Waker",)

_PENDING: Final = StateType.PENDING
_COMPLETED: Final = StateType.COMPLETED
_FUTURE: Final[Any] = asyncio.Future
# Methods of a type of C code that has a dict are not specialised on 3.11.
_is_done: Final[Callable[[Any], bool]] = _FUTURE.done
_set_result: Final[Callable[[Any, None], None]] = _FUTURE.set_result
_RUNS: Final = frozenset({TaskFuture, AsyncTaskFuture})


class Waker:
    """On one loop. A long chain does not use up the stack, nor a crowd hold the loop.

    Args:
        loop: The loop.
        inputs_ended: Called with a run when nothing is left that it waits for.
        admit: Called instead where it waited for one run alone, whose value is there.
    """

    __slots__ = ("_admit", "_inputs_ended", "_loop", "_waking", "_woken")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inputs_ended: Callable[[TaskFuture[Any]], object],
        admit: Callable[[TaskFuture[Any]], object],
    ) -> None:
        self._loop = loop
        self._inputs_ended = inputs_ended
        self._admit = admit
        self._woken: deque[tuple[Any, Sequence[Any]]] = deque()
        self._waking = False

    def wake_one(self, run: TaskFuture[Any], waiter: Any) -> None:
        """Wake somebody who asked when the run had already ended."""
        self._woken.append((run, (waiter,)))
        if not self._waking:
            self._wake_all()

    def wake(self, run: Any) -> None:
        """Wake who waits for a run that has ended, if anybody does."""
        waiters, run.waiters = run.waiters, None
        kind: Any = type(waiters)  # pyright: ignore[reportUnknownVariableType]
        if kind is _FUTURE:
            # As most often; it wakes nobody else in turn.
            if not _is_done(waiters):
                _set_result(waiters, None)
            return
        if waiters is None:
            return
        if kind in _RUNS and not self._waking and run.phase is _COMPLETED:
            # As in a chain: what follows, without a look at what others have.
            is_alone = waiters.rare is None and type(waiters.upstreams) is ALONE
            if is_alone and type(run.outcome) in ATOMS:
                waiters.args, waiters.upstreams = (run.outcome,), None
                waiters.missing = 0
                waiters.scope.waiting.discard(waiters)
                self._admit(waiters)
                return
        # Inside another wake only queue: a long chain of runs that are held back one
        # by the other must not use up the stack.
        if self._waking or kind is list:
            self._woken.append((run, each_of(waiters)))
            if not self._waking:
                self._wake_all()
            return
        self._waking = True
        try:
            if kind in _RUNS:
                self.wake_dependant(waiters)
            else:
                self.wake_waiter(run, waiters)
        finally:
            self._waking = False
            if self._woken:
                self._wake_all()

    def _wake_all(self) -> None:
        """Wake in slices, so that a run with 100 000 dependants holds up nobody."""
        self._waking = True
        until = perf_counter() + SLICE_SECONDS
        count = 0
        woken = self._woken
        try:
            while woken:
                run, waiters = woken.popleft()
                for index, waiter in enumerate(waiters):
                    self.wake_waiter(run, waiter)
                    count += 1
                    if not count % 32 and perf_counter() > until:
                        woken.appendleft((run, waiters[index + 1 :]))
                        return
        finally:
            if woken:
                self._loop.call_soon(self._wake_all)
            else:
                self._waking = False

    def wake_waiter(self, run: TaskFuture[Any], waiter: Any) -> None:
        """Wake whoever it is: a dependant, a callback, a future of asyncio."""
        if type(waiter) in _RUNS:
            self.wake_dependant(waiter)
        elif callable(waiter):
            waiter(run)
        elif not waiter.done():  # a future of asyncio
            waiter.set_result(None)

    def wake_dependant(self, run: TaskFuture[Any]) -> None:
        """One thing less that a run waits for."""
        run.missing -= 1
        if run.missing or run.phase is not _PENDING:
            return
        if run.rare is not None and run.is_settled:
            return  # it was withdrawn, as its hooks are being told
        run.scope.waiting.discard(run)
        self._inputs_ended(run)
