"""Streams that are read by runs which have places in limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from headrace import Limit, Runtime, task

SECONDS = 20  # virtual ones; nothing here takes more than a few


async def test_a_run_that_reads_a_stream_lends_its_place_to_the_runs_of_it() -> None:
    @task(tags=["db"])
    async def fetch(x: int) -> int:
        await asyncio.sleep(1)
        return x

    @task(tags=["db"])
    async def total() -> int:
        return sum([x async for x in fetch.stream(range(3)).then(fetch)])

    async with Runtime(limits={"db": 1}):
        value = await asyncio.wait_for((await total.submit()).aresult(), SECONDS)

    assert value == 3


async def test_a_run_has_its_place_back_when_it_goes_on_with_a_result() -> None:
    limit = Limit(1)
    now = most = 0

    @task(concurrency_limit=limit)
    async def fetch(x: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(1)
        now -= 1
        return x

    @task(concurrency_limit=limit)
    async def total() -> int:
        nonlocal now, most
        found = 0
        async for x in fetch.stream(range(3)):
            now += 1
            most = max(most, now)
            await asyncio.sleep(1)
            found += x
            now -= 1
        return found

    async with Runtime():
        futures = [await total.submit() for _ in range(2)]
        values = [await asyncio.wait_for(each.aresult(), SECONDS) for each in futures]

    assert values == [3, 3]
    assert most == 1
    assert limit.stats()["used"] == 0


async def test_a_run_that_closes_a_stream_lends_its_place_to_what_its_source_does() -> (
    None
):
    closed: list[int] = []

    @task(tags=["db"])
    async def fetch(x: int) -> int:
        return x

    async def source() -> AsyncIterator[int]:
        try:
            for x in range(10):
                yield x
        finally:
            closed.append(await (await fetch.submit(42)))

    @task(tags=["db"])
    async def first() -> int:
        async with fetch.stream(source(), limit=1) as results:
            return await anext(results)

    async with Runtime(limits={"db": 1}):
        value = await asyncio.wait_for((await first.submit()).aresult(), SECONDS)

    assert value == 0
    assert closed == [42]
