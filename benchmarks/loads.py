"""How a loop fares under load: latency, stalls, and threads that are kept busy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any

from benchmarks.bodies import block, block_task, inc, inc_task
from benchmarks.measure import Case, Figure, Row, percentile
from headrace import Runtime

RATE = 5_000  # requests per second
SECONDS = 1.0
THREADS, BLOCKS = 8, 4_000


def latency(
    request: Callable[[int], Awaitable[object]],
    around: Callable[[], AbstractAsyncContextManager[Any]],
    percent: float,
) -> Case:
    """How many microseconds a request takes while `RATE` of them come per second."""

    async def case() -> Figure:
        took: list[float] = []

        async def one(number: int) -> None:
            began = time.perf_counter()
            await request(number)
            took.append(time.perf_counter() - began)

        async with around(), asyncio.TaskGroup() as group:
            began = time.perf_counter()
            sent = 0
            while sent < RATE * SECONDS:
                due = int((time.perf_counter() - began) * RATE)
                for number in range(sent, due):
                    group.create_task(one(number))
                sent = max(sent, due)
                await asyncio.sleep(0.001)
        return Figure(percentile(took, percent) * 1e6)

    return case


async def bare_request(number: int) -> None:
    await asyncio.create_task(inc(number))


async def request(number: int) -> None:
    await (await inc_task.submit(number))


class Turns:
    """Milliseconds between one turn of the running loop and the next."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._last = time.perf_counter()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.perf_counter()
        self.gaps.append((now - self._last) * 1e3)
        self._last = now
        self._handle = self._loop.call_soon(self._turn)

    def stop(self) -> Figure:
        """The gap that one in a thousand exceeds."""
        self._turn()
        self._handle.cancel()
        return Figure(percentile(self.gaps, 99.9))


async def bare_stalls() -> Figure:
    async with asyncio.TaskGroup() as group:
        _ = [group.create_task(inc(i)) for i in range(100_000)]
        turns = Turns()
    return turns.stop()


async def stalls() -> Figure:
    """From after the call of `map`, which is one turn, to the end of all runs."""
    async with Runtime():
        _ = inc_task.map(range(100_000))
        turns = Turns()
    return turns.stop()


def _used(began: float) -> Figure:
    """Per cent of the time that the threads were at work."""
    took = time.perf_counter() - began
    return Figure(100 * BLOCKS * 0.001 / THREADS / took)


async def bare_blocking() -> Figure:
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        calls = [loop.run_in_executor(pool, block, i) for i in range(BLOCKS)]
        await asyncio.gather(*calls)
    return _used(began)


async def blocking() -> Figure:
    began = time.perf_counter()
    async with Runtime(max_threads=THREADS):
        block_task.map(range(BLOCKS))
    return _used(began)


def rows() -> list[Row]:
    """Rows that give figures of their own."""
    return [
        *(
            Row(
                name=f"latency at 5 000/s, p{percent:g}",
                bare=latency(bare_request, contextlib.nullcontext, percent),
                ours=latency(request, Runtime, percent),
            )
            for percent in (50, 99, 99.9)
        ),
        Row(
            name="loop stall in a map of 100k, p99.9",
            bare=bare_stalls,
            ours=stalls,
            budget=2.0,
            kind="alone",
            unit="ms",
        ),
        Row(
            name="8 threads blocked 1 ms, in use",
            bare=bare_blocking,
            ours=blocking,
            kind="alone",
            unit="%",
        ),
    ]
