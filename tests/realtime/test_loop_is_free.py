"""However many runs there are, the loop of a coroutine flow goes on turning.

Promised are 5 milliseconds at the most between two turns, by our doing; the limit here
is four times that. What counts is the processor's time of the loop's thread, as other
programs take theirs. The garbage collector is held off, for it stops a program longer
than that once there are so many objects, and the lists of futures are kept until a flow
has been measured: to free 100 000 objects takes ten milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import headrace
from headrace import flow, task

pytestmark = pytest.mark.slow

# Where coverage is measured, every line takes several times as long.
IS_TRACED = sys.gettrace() is not None

MANY = 20_000 if IS_TRACED else 100_000
ENOUGH = 5_000 if IS_TRACED else 20_000  # where the work for each run is greater
SECONDS_BETWEEN_TURNS = 0.05 if IS_TRACED else 4 * 0.005


@task
async def give(number: int) -> int:
    return number


@task
async def sleep(_: int) -> None:
    await asyncio.sleep(3600)


@task
def plain(number: int) -> int:
    return number


@pytest.fixture
def anyio_backend() -> object:
    """A real loop, and not in debug mode, which is ten times as slow."""
    return "asyncio", {"use_uvloop": True}


class Watch:
    """Takes the longest time between two turns of the loop."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.kept: list[Any] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        turning = asyncio.create_task(self._turn())
        await self.start()
        yield
        await asyncio.sleep(0)
        turning.cancel()

    async def start(self) -> None:
        """Begin anew: what was before does not count."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.longest = 0.0

    async def map(self, mapped: Any, count: int = MANY, **options: Any) -> Any:
        """A map whose call does not count."""
        futures = mapped.map(range(count), **options)
        self.kept.append(futures)
        await self.start()
        return futures

    async def _turn(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            last = now


@pytest.fixture
def watch() -> Generator[Watch]:
    gc.collect()
    gc.disable()
    yield Watch()
    gc.enable()


@pytest.fixture(autouse=True)
async def loop_is_free(watch: Watch, anyio_backend: object) -> AsyncGenerator[None]:
    async with watch.running():
        yield
        await asyncio.sleep(0)
        assert watch.longest < SECONDS_BETWEEN_TURNS


async def test_while_it_submits_one_after_another(watch: Watch) -> None:
    @flow
    async def submits() -> None:
        for number in range(ENOUGH):
            watch.kept.append(await give.submit(number))

    await submits()


async def test_while_it_waits_for_a_map_in_every_way_and_returns_it(
    watch: Watch,
) -> None:
    @flow
    async def waits() -> Any:
        futures = await watch.map(give)
        watch.kept.append(await futures.aresult())
        watch.kept.append(await futures.astate())
        watch.kept.append(await headrace.wait(futures))
        async for future in headrace.as_completed(futures):
            watch.kept.append(future)
            if len(watch.kept) % 100 == 0:
                await asyncio.sleep(0)  # none of them has to be waited for
        return futures

    values = await waits()

    watch.kept.append(values)
    assert len(values) == MANY


async def test_while_plain_runs_end_and_their_threads(watch: Watch) -> None:
    @flow
    async def awaits() -> None:
        watch.kept.append(await (await watch.map(plain)).aresult())

    await awaits()


async def test_while_all_runs_of_a_map_are_cancelled(watch: Watch) -> None:
    @flow
    async def cancels() -> str:
        futures = await watch.map(sleep, ENOUGH)
        assert futures.cancel() == ENOUGH
        return "cancelled"

    assert await cancels() == "cancelled"


async def test_while_all_runs_of_a_map_are_told_to_stop_after_they_have_ended(
    watch: Watch,
) -> None:
    @flow
    async def cancels() -> int:
        futures = await watch.map(give)
        watch.kept.append(await futures.aresult())
        return futures.cancel()

    assert await cancels() == 0


async def test_while_an_error_cancels_runs_that_have_started(watch: Watch) -> None:
    @flow
    async def raises() -> None:
        await watch.map(sleep, ENOUGH)
        await asyncio.sleep(0.5)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await raises()


async def test_while_an_error_cancels_runs_that_wait_for_another(watch: Watch) -> None:
    @flow
    async def raises() -> None:
        first = await sleep.submit(0)
        await watch.map(give, ENOUGH, wait_for=[first])
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await raises()


async def test_while_one_run_lets_many_go(watch: Watch) -> None:
    gate = asyncio.Event()
    first = task(gate.wait, name="first")

    @flow
    async def lets_go() -> None:
        futures = await watch.map(give, ENOUGH, wait_for=[await first.submit()])
        gate.set()
        watch.kept.append(await futures.aresult())

    await lets_go()


@task
async def count(numbers: list[int]) -> int:
    return len(numbers)


@pytest.mark.parametrize("are_done", [False, True])
async def test_while_one_run_is_given_the_futures_of_many(
    watch: Watch, are_done: bool
) -> None:
    @flow
    async def gathers() -> int:
        futures = await watch.map(give)
        if are_done:
            await futures.aresult()
            await watch.start()
        counted = await count.submit(futures)
        await asyncio.sleep(0)
        in_place = await count(futures)
        return await counted + in_place

    assert await gathers() == 2 * MANY


async def test_while_a_flow_is_given_the_futures_of_many(watch: Watch) -> None:
    @flow
    async def inner(numbers: list[int]) -> int:
        return len(numbers)

    @flow
    async def outer() -> int:
        return await inner(await watch.map(give))

    assert await outer() == MANY
