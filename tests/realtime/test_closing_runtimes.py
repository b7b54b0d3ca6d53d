"""A runtime that is closed while many wait for its runs, on loops and in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from headrace import Runtime, TaskFuture, task
from headrace.exceptions import CancelledRun, RuntimeClosing

pytestmark = pytest.mark.slow

BOUND = 10.0
SECONDS_TO_SETTLE = 1.0
COUNT = 1_000
LOOPS, THREADS = 2, 5


@task
async def waits(_: int) -> None:
    await asyncio.Event().wait()


@task
async def follows(value: Any) -> None: ...


class Waiters:
    """Loops and threads that wait for futures, and what they were told."""

    def __init__(self, futures: Sequence[TaskFuture[None]]) -> None:
        self.told: Counter[str] = Counter()
        self.ends: list[float] = []
        self.present = threading.Barrier(LOOPS + THREADS + 1, timeout=BOUND)
        self.threads = [
            *[
                threading.Thread(target=self._loop, args=[futures])
                for _ in range(LOOPS)
            ],
            *[
                threading.Thread(target=self._block, args=[futures[n::THREADS]])
                for n in range(THREADS)
            ],
        ]
        for thread in self.threads:
            thread.start()

    def _loop(self, futures: Sequence[TaskFuture[None]]) -> None:
        async def wait_for_all() -> list[Any]:
            waiting = asyncio.gather(*futures, return_exceptions=True)
            await asyncio.sleep(0)
            await asyncio.to_thread(self.present.wait)
            return await waiting

        ended = asyncio.run(wait_for_all())
        self._note("loop", ended)

    def _block(self, futures: Sequence[TaskFuture[None]]) -> None:
        self.present.wait()
        ended: list[Any] = []
        for future in futures:
            try:
                ended.append(future.value())
            except CancelledRun as error:
                ended.append(error)
        self._note("thread", ended)

    def _note(self, who: str, ended: list[Any]) -> None:
        self.ends.append(time.monotonic())
        self.told.update(f"{who}: {type(each).__name__}" for each in ended)

    def join(self) -> None:
        for thread in self.threads:
            thread.join(BOUND)
        assert not [thread for thread in self.threads if thread.is_alive()]


def test_whoever_waits_for_a_future_is_told_when_another_thread_closes_it() -> None:
    closed: list[Any] = []
    with Runtime() as runtime:
        futures: list[TaskFuture[None]] = [*waits.map(range(COUNT // 2))]
        # Those that have not begun are settled too.
        futures += follows.map(futures)
        waiters = Waiters(futures)
        waiters.present.wait()
        closer = threading.Thread(
            target=lambda: closed.append(runtime.drain_blocking(0))
        )
        began = time.monotonic()
        closer.start()
        closer.join(BOUND)
        waiters.join()
        with pytest.raises(RuntimeClosing):
            waits.submit(0)

    assert waiters.told == {
        "loop: CancelledRun": LOOPS * COUNT,
        "thread: CancelledRun": COUNT,
    }
    assert len(closed[0].cancelled) + closed[0].more_cancelled == COUNT
    assert closed[0].abandoned == ()
    assert max(waiters.ends) - began < SECONDS_TO_SETTLE
    assert not [t for t in threading.enumerate() if t.name.startswith("headrace")]


def test_whoever_submits_while_it_closes_is_refused_or_served_and_never_left() -> None:
    ends: Counter[str] = Counter()
    go = threading.Barrier(THREADS + 1, timeout=BOUND)

    def submit_until_refused(runtime: Runtime) -> None:
        with runtime.use():
            go.wait()
            futures: list[Any] = []
            try:
                while len(futures) < 100_000:
                    futures.append(follows.submit(1))
            except RuntimeClosing:
                ends["refused"] += 1
            ends.update(each.wait(BOUND).name for each in futures)

    with Runtime() as runtime:
        threads = [
            threading.Thread(target=submit_until_refused, args=[runtime])
            for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        go.wait()
        runtime.drain_blocking(BOUND)
        for thread in threads:
            thread.join(BOUND)

    assert ends.pop("refused") == THREADS
    assert set(ends) <= {"Completed"}
