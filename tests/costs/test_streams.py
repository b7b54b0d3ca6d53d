"""What a stream may cost: it keeps little, however much goes through it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, task
from headrace._concurrency.loops import new_event_loop

MILLION = 1_000_000
LIMIT = 100


not_on_linux = not Path("/proc/self/statm").exists()


@task
async def inc(x: int) -> int:
    return x + 1


class Source:
    """So many numbers, and how many of them were read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        for number in range(self.size):
            self.read = number + 1
            yield number


class Item:
    """Something that the collector can count."""

    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as-they-end"])
@pytest.mark.parametrize("stages", [1, 3])
async def test_a_stream_keeps_no_more_than_its_limit(
    stages: int, ordered: bool
) -> None:
    @task
    async def same(item: Item) -> Item:
        return item

    most = 0
    async with Runtime(history="off"):
        stream: Any = same.stream((Item(i) for i in range(2_000)), ordered=ordered)
        for _ in range(stages - 1):
            stream = stream.then(same)
        async for item in stream:
            if not item.number % 500:
                most = max(most, sum(type(o) is Item for o in gc.get_objects()))

    # The one that is being handed on, and the one that is being read, for each stage.
    assert 0 < most <= stages * (LIMIT + 2)


async def test_no_task_is_made_but_those_of_the_runs() -> None:
    made = 0

    def count(loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += 1
        return asyncio.Task(coro, loop=loop, **options)

    async def source() -> AsyncIterator[int]:
        for number in range(500):
            yield number

    asyncio.get_running_loop().set_task_factory(count)
    async with Runtime():
        async for _ in inc.stream(range(500)):
            pass
        of_plain, made = made, 0
        async for _ in inc.stream(source()).then(inc):
            pass

    assert of_plain == 500
    assert made == 2 * 500 + 1  # one that reads


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


async def growth_of(make: Callable[[], Any]) -> tuple[int, float]:
    """How many results a stream gives, and by how many MB the process grows meanwhile."""
    async for _ in inc.stream(range(30_000)).then(inc).then(inc):
        pass
    gc.collect()
    before = most = resident_mb()
    count = 0
    async for _ in make():
        count += 1
        if not count % 10_000:
            most = max(most, resident_mb())
    return count, most - before


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not_on_linux, reason="reads /proc")
def test_a_million_items_through_three_stages_stay_within_30_mb() -> None:
    source = Source(MILLION)
    read_at_first: list[int] = []

    async def main() -> tuple[int, float]:
        async with Runtime():
            stream = inc.stream(source).then(inc).then(inc)

            async def noted() -> AsyncIterator[int]:
                async for result in stream:
                    if not read_at_first:
                        read_at_first.append(source.read)
                    yield result

            return await growth_of(noted)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        count, grown = runner.run(main())

    assert count == MILLION
    assert grown < 30
    assert read_at_first[0] < MILLION / 100


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not_on_linux, reason="reads /proc")
def test_a_stream_of_a_million_stays_within_20_mb() -> None:
    async def main() -> tuple[int, float]:
        async with Runtime():
            return await growth_of(lambda: inc.stream(range(MILLION)))

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        count, grown = runner.run(main())

    assert count == MILLION
    assert grown < 20


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(not_on_linux, reason="reads /proc")
def test_a_stream_of_a_million_stays_within_20_mb_in_plain_code() -> None:
    with Runtime():
        for _ in inc.stream(range(30_000)):
            pass
        gc.collect()
        before = most = resident_mb()
        count = 0
        for count, _ in enumerate(inc.stream(Source(MILLION)), 1):
            if not count % 10_000:
                most = max(most, resident_mb())

    assert count == MILLION
    assert most - before < 20
