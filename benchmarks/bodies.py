"""The functions that are run, their tasks, and the two usual ways to run many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import Case
from headrace import Runtime, task


async def inc(x: int) -> int:
    return x + 1


async def hop(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


async def nap(x: int) -> int:
    await asyncio.sleep(0.001)
    return x + 1


async def total(xs: list[int]) -> int:
    return sum(xs)


async def fail(x: int) -> int:
    raise ValueError(x)


async def fail_every_other_time(x: int) -> int:
    if x in _failed:
        _failed.remove(x)
        return x
    _failed.add(x)
    raise ValueError(x)


_failed: set[int] = set()


def plain(x: int) -> int:
    return x + 1


def block(x: int) -> int:
    time.sleep(0.001)
    return x


inc_task, hop_task, nap_task = task(inc), task(hop), task(nap)
fail_task, plain_task, block_task = task(fail), task(plain), task(block)
total_task = task(total)
retried_task = task(retries=1)(fail_every_other_time)


def bare_group(fn: Callable[[int], Any], size: int) -> Case:
    """The same bodies in a bare task group, its tasks kept."""

    async def case() -> Any:
        async with asyncio.TaskGroup() as group:
            return [group.create_task(fn(i)) for i in range(size)]

    return case


def mapped(mapped_task: Any, size: int, **options: Any) -> Case:
    """One map, its futures kept, from the opening of the runtime to its end."""

    async def case() -> Any:
        async with Runtime(**options):
            return mapped_task.map(range(size))

    return case
