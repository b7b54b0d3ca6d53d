"""What a run may cost, by count: asyncio tasks, callbacks, wake-ups, calls.

Counts do not wobble as times do. The limits of calls are a fifth above what was counted
on CPython 3.11 to 3.13; `python -m benchmarks` has the times.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace import Runtime, flow, task

MANY = 1_000
YOUNG = 64  # asyncio tasks that may wait for their first step
FEW = 10  # for the runtime itself, whatever runs in it


@task
async def inc(x: int) -> int:
    return x + 1


@task
async def hop(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@task
def plain(x: int) -> int:
    return x + 1


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = self.callbacks = self.timers = self.wake_ups = self.futures = 0
        self.set_task_factory(self._new_task)

    def _new_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, **more: Any
    ) -> asyncio.Task[Any]:
        self.tasks += 1
        return asyncio.Task(coro, loop=loop, **more)

    def create_future(self) -> asyncio.Future[Any]:
        self.futures += 1
        return super().create_future()

    def call_soon(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.callbacks += 1
        return super().call_soon(*args, **options)

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **options)

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(*args, **options)


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"loop_factory": CountingLoop}


@pytest.fixture
async def loop() -> CountingLoop:
    running = asyncio.get_running_loop()
    assert isinstance(running, CountingLoop)
    running.tasks = running.callbacks = running.timers = running.wake_ups = 0
    return running


# -- of the loop -----------------------------------------------------------------------


async def test_a_map_makes_one_task_and_one_callback_for_each_coroutine_run(
    loop: CountingLoop,
) -> None:
    async with Runtime():
        before = loop.tasks, loop.callbacks, loop.timers
        futures = inc.map(range(MANY))
        await futures.aresult()
        after = loop.tasks, loop.callbacks, loop.timers

    tasks, callbacks, timers = (b - a for a, b in zip(before, after, strict=True))
    assert tasks == MANY
    assert callbacks <= 1.1 * MANY
    assert timers == 0


async def test_most_runs_of_a_map_have_no_task_before_it_is_their_turn(
    loop: CountingLoop,
) -> None:
    async with Runtime():
        before = loop.tasks
        futures = inc.map(range(MANY))
        made = loop.tasks - before
        await futures.aresult()

    assert 0 < made <= YOUNG


async def test_runs_that_wait_for_another_have_no_task(loop: CountingLoop) -> None:
    gate = asyncio.Event()
    first = task(gate.wait, name="first")

    async with Runtime():
        opened = await first.submit()
        before = loop.tasks, loop.timers
        futures = inc.map(range(MANY), wait_for=[opened])
        await asyncio.sleep(0)
        after = loop.tasks, loop.timers
        gate.set()
        await futures.aresult()

    assert after == before


async def test_plain_runs_have_no_task(loop: CountingLoop) -> None:
    async with Runtime():
        before = loop.tasks
        await plain.map(range(MANY)).aresult()
        made = loop.tasks - before

    assert made == 0


async def test_calls_in_place_ask_nothing_of_the_loop(loop: CountingLoop) -> None:
    @flow
    async def calls() -> int:
        return sum([await inc(i) + plain(i) for i in range(MANY)])

    before = loop.tasks, loop.callbacks, loop.timers, loop.wake_ups
    await calls()
    after = loop.tasks, loop.callbacks, loop.timers, loop.wake_ups

    assert after == before


async def test_a_map_from_another_thread_wakes_the_loop_a_few_times(
    loop: CountingLoop,
) -> None:
    runtime = Runtime()

    def maps() -> Any:
        with runtime.use():
            return inc.map(range(MANY))

    async with runtime:
        thread = asyncio.to_thread(maps)
        before = loop.wake_ups
        futures = await thread
        await futures.aresult()
        woken = loop.wake_ups - before

    # Two for the two parts that such a map is handed over in, one for the thread.
    assert 0 < woken <= 4


async def test_a_run_awaited_as_it_is_submitted_takes_a_turn_and_no_future(
    loop: CountingLoop,
) -> None:
    async with Runtime():
        for i in range(MANY):
            await (await inc.submit(i))
            await (await inc.submit(i)).result()
    quick = loop.futures

    async with Runtime():
        for i in range(MANY):
            await (await hop.submit(i))

    assert quick <= FEW
    assert MANY <= loop.futures - quick <= MANY + FEW


# -- of the interpreter ----------------------------------------------------------------


async def map_coroutines() -> None:
    async with Runtime():
        inc.map(range(MANY))


async def map_hops() -> None:
    async with Runtime():
        hop.map(range(MANY))


async def submit_one_by_one() -> None:
    async with Runtime():
        for i in range(MANY):
            await (await inc.submit(i))


async def chain() -> None:
    async with Runtime():
        last: Any = 0
        for _ in range(MANY):
            last = inc.submit(last)


async def await_in_place() -> None:
    async with Runtime():
        for i in range(MANY):
            await inc(i)


async def call_in_place() -> None:
    async with Runtime():
        for i in range(MANY):
            plain(i)


@pytest.mark.parametrize(
    ("program", "limit"),
    [
        (map_coroutines, 24),
        (map_hops, 38),
        (submit_one_by_one, 45),
        (chain, 44),
        (await_in_place, 30),
        (call_in_place, 38),
    ],
)
def test_a_run_takes_so_many_calls_of_python_functions(
    program: Callable[[], Coroutine[Any, Any, None]], limit: float
) -> None:
    asyncio.run(program())  # what is made once only

    calls = calls_of_python_functions(lambda: asyncio.run(program()))

    assert calls / MANY <= limit


def calls_of_python_functions(program: Callable[[], object]) -> int:
    """How many there are in this thread; entering a coroutine again is one."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        if event == "call":
            count += 1

    sys.setprofile(note)
    try:
        program()
    finally:
        sys.setprofile(None)
    return count
