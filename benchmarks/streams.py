"""Streams: what an item costs beside one of a map, and what a million of them hold."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from benchmarks.bodies import inc_task, mapped, plain_task
from benchmarks.measure import Case, Figure, Row
from headrace import Runtime

MANY, BIG, SMALL = 1_000_000, 100_000, 10_000


def streamed(make: Callable[[int], Any], size: int) -> Case:
    """Microseconds for each item of a stream, from the opening of the runtime on."""

    async def case() -> Figure:
        began = time.perf_counter()
        async with Runtime():
            async for _ in make(size):
                pass
        return Figure((time.perf_counter() - began) / size * 1e6)

    return case


def mapped_each(size: int) -> Case:
    """The same of a map, its futures kept."""
    whole = mapped(inc_task, size)

    async def case() -> Figure:
        began = time.perf_counter()
        kept = await whole()
        took = time.perf_counter() - began
        del kept
        return Figure(took / size * 1e6)

    return case


def few_at_a_time(make: Callable[[int], Any], size: int) -> Case:
    """So many items in streams of 10 000, so that one round is not a moment only."""

    async def case() -> Figure:
        began = time.perf_counter()
        for _ in range(size // SMALL):
            async with Runtime():
                async for _ in make(SMALL):
                    pass
        return Figure((time.perf_counter() - began) / size * 1e6)

    return case


def plainly(size: int) -> Case:
    """Read by plain code, in a thread of its own."""

    def read() -> Figure:
        began = time.perf_counter()
        with Runtime():
            for _ in inc_task.stream(range(size)):
                pass
        return Figure((time.perf_counter() - began) / size * 1e6)

    async def case() -> Figure:
        return await asyncio.to_thread(read)

    return case


async def numbers(size: int) -> AsyncIterator[int]:
    for number in range(size):
        yield number


def resident_mb() -> float:
    """As Linux tells; 0 elsewhere."""
    page = Path("/proc/self/statm")
    return (
        int(page.read_text("ascii").split()[1]) * 4096 / 1e6 if page.exists() else 0.0
    )


async def growth() -> Figure:
    """By how many MB the process grows while a million items go through a stream."""
    async with Runtime():
        async for _ in inc_task.stream(range(SMALL * 2)):
            pass
        gc.collect()
        before = most = resident_mb()
        count = 0
        async for _ in inc_task.stream(range(MANY)):
            count += 1
            if not count % SMALL:
                most = max(most, resident_mb())
    return Figure(most - before)


def rows() -> list[Row]:
    """Beside a map of 100 000, as both are given per item."""

    def of_range(size: int) -> Any:
        return inc_task.stream(range(size))

    def as_they_end(size: int) -> Any:
        return inc_task.stream(range(size), ordered=False)

    def of_numbers(size: int) -> Any:
        return inc_task.stream(numbers(size))

    def three_stages(size: int) -> Any:
        return inc_task.stream(range(size)).then(inc_task).then(inc_task)

    def of_plain(size: int) -> Any:
        return plain_task.stream(range(size))

    bare = mapped_each(BIG)
    beside_a_map = {
        "stream 100k, as they end / map 100k": streamed(as_they_end, BIG),
        "stream 100k, async source / map 100k": streamed(of_numbers, BIG),
        "stream 100k, 3 stages / map 100k": streamed(three_stages, BIG),
        "stream 100k in plain code / map 100k": plainly(BIG),
        "stream 100k, plain task / map 100k": streamed(of_plain, BIG),
    }
    million = streamed(of_range, MANY)
    few = few_at_a_time(of_range, BIG)
    return [
        Row(name="stream 1M / map 100k", bare=bare, ours=million, budget=1.0),
        Row(name="stream 1M / stream 10k", bare=few, ours=million, budget=1.1),
        *(Row(name=name, bare=bare, ours=case) for name, case in beside_a_map.items()),
        Row(
            name="stream 1M, memory grows by",
            ours=growth,
            budget=20,
            kind="alone",
            unit="MB",
        ),
    ]
