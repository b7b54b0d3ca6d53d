"""Limits beside the primitives that they replace."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.measure import Case, Row
from headrace import Limit, Runtime, task

RUNS = 1_000
PLACES = 2


async def a_millisecond(_: Any = None) -> None:
    await asyncio.sleep(0.001)


def in_a_semaphore() -> Case:
    """Bare tasks that wait for a semaphore."""

    async def case() -> None:
        places = asyncio.Semaphore(PLACES)

        async def body() -> None:
            async with places:
                await a_millisecond()

        async with asyncio.TaskGroup() as group:
            for _ in range(RUNS):
                group.create_task(body())

    return case


def under_a_limit() -> Case:
    """A map of a task with so many places."""
    limited = task(a_millisecond, concurrency_limit=PLACES)

    async def case() -> Any:
        async with Runtime():
            return limited.map(range(RUNS))

    return case


def by_tag() -> Case:
    """The same, the places being those of a tag."""
    tagged = task(a_millisecond, tags=["few"])

    async def case() -> Any:
        async with Runtime(limits={"few": PLACES}):
            return tagged.map(range(RUNS))

    return case


def by_hand(kind: type[Any]) -> Case:
    """Entered and left, with nobody in line."""

    async def case() -> None:
        places = kind(PLACES)
        for _ in range(RUNS):
            async with places:
                pass

    return case


def rows() -> list[Row]:
    """Those with a budget wait for time to pass; the last is the price of a block."""
    bare = in_a_semaphore()
    return [
        Row(
            name="1 000 of 1 ms, concurrency_limit=2",
            bare=bare,
            ours=under_a_limit(),
            size=RUNS,
            budget=1.1,
        ),
        Row(
            name="1 000 of 1 ms, limit of a tag",
            bare=bare,
            ours=by_tag(),
            size=RUNS,
            budget=1.1,
        ),
        Row(
            name="async with limit / with a semaphore",
            bare=by_hand(asyncio.Semaphore),
            ours=by_hand(Limit),
            size=RUNS,
        ),
    ]
