"""Runs that are cached and under limits: they look first, and then take their places."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from headrace import Limit, Runtime, flow, task
from headrace.caching import MemoryCache
from headrace.testing import Recorder

SECONDS = 20  # virtual ones; a run takes one of them


def key_of(_: Any, parameters: dict[str, Any]) -> str:
    return f"key {parameters['x']}"


def cached(calls: list[Any], **options: Any) -> Any:
    """A coroutine task that takes a second the first time."""

    @task(cache_key_fn=key_of, persist_result=False, **options)
    async def slow(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(1)
        return x * 10

    return slow


def cached_plain(calls: list[Any], **options: Any) -> Any:
    @task(cache_key_fn=key_of, persist_result=False, **options)
    def plain(x: int) -> int:
        calls.append(x)
        return x * 10

    return plain


@pytest.mark.parametrize("make", [cached, cached_plain])
async def test_a_hit_is_found_while_all_places_of_a_tag_are_taken(make: Any) -> None:
    calls: list[int] = []
    it = make(calls, tags=["db"])

    async with Runtime(limits={"db": 1}) as runtime:
        await (await it.submit(1))
        holder = await cached(calls, tags=["db"]).submit(2)
        await asyncio.sleep(0.5)
        future = await it.submit(1)
        other = await it.submit(3)
        await future.astate(timeout=0.1)
        assert future.state.name == "Cached"
        assert not holder.done()
        assert other.state.name == "Pending"
        assert runtime.stats()["open_runs"] == 2

    assert calls == [1, 2, 3]


async def test_a_hit_is_found_while_the_runtime_and_the_task_are_full() -> None:
    calls: list[int] = []
    it = cached(calls, concurrency_limit=1)

    async with Runtime(max_concurrency=1):
        await it(1)
        await it.submit(2)
        hit = await it.submit(1)
        assert await asyncio.wait_for(hit.aresult(), 0.1) == 10

    assert calls == [1, 2]


@pytest.mark.parametrize("make", [cached, cached_plain])
async def test_runs_that_miss_are_limited_all_the_same(make: Any) -> None:
    calls: list[int] = []
    limit = Limit(2)
    recorder = Recorder()

    async with Runtime(observers=[recorder]):
        futures = await make(calls, concurrency_limit=limit).map(range(6))
        values = await futures.aresult()

    assert values == [0, 10, 20, 30, 40, 50]
    assert sorted(calls) == [0, 1, 2, 3, 4, 5]
    now = most = 0
    for event in recorder.events:
        now += event.after.name == "Running"
        now -= event.after.is_final()
        most = max(most, now)
    assert 0 < most <= 2
    assert limit.stats()["used"] == 0


async def test_a_key_is_asked_once_and_the_key_of_the_limit_not_for_hits() -> None:
    asked: list[str] = []

    def cache_key(_: Any, parameters: dict[str, Any]) -> str:
        asked.append("cache")
        return str(parameters["x"])

    def limit_key(parameters: Mapping[str, Any]) -> Any:
        asked.append("limit")
        return parameters["x"]

    @task(
        cache_key_fn=cache_key,
        persist_result=False,
        concurrency_limit=Limit(1, key=limit_key),
    )
    async def it(x: int) -> int:
        return x

    async with Runtime():
        await (await it.submit(1))
        await (await it.submit(1))

    assert asked == ["cache", "limit", "cache"]


async def test_who_waits_for_a_run_with_its_key_does_not_keep_it_from_its_place() -> (
    None
):
    @task
    async def child() -> int:
        await asyncio.sleep(1)
        return 1

    @task(cache_key_fn=lambda _, __: "one", persist_result=False, concurrency_limit=1)
    async def parent() -> int:
        return await (await child.submit())  # lends its place meanwhile

    async with Runtime():
        futures = [await parent.submit() for _ in range(3)]
        values = await asyncio.wait_for(asyncio.gather(*futures), SECONDS)

    assert values == [1, 1, 1]


async def test_callers_in_place_and_submitted_runs_share_one_place_and_one_key() -> (
    None
):
    calls: list[int] = []
    it = cached(calls, tags=["db"])

    @task(tags=["db"])
    async def caller() -> int:
        value: int = await it(9)
        return value

    async with Runtime(limits={"db": 1}):
        futures: list[Any] = [await caller.submit(), await it.submit(9)]
        futures.append(await caller.submit())
        values = await asyncio.wait_for(asyncio.gather(*futures), SECONDS)

    assert values == [90, 90, 90]
    assert calls == [9]


@pytest.mark.parametrize("make", [cached, cached_plain])
async def test_one_that_is_cancelled_in_the_line_lets_the_next_compute(
    make: Any,
) -> None:
    calls: list[int] = []
    limit = Limit(1)
    it = make(calls, concurrency_limit=limit)

    async with Runtime() as runtime:
        async with limit:
            futures = [await it.submit(1) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert limit.stats()["waiting"] == 1  # the others wait for this one
            futures[0].cancel()
            await futures[0].astate()
        values = await asyncio.wait_for(asyncio.gather(*futures[1:]), SECONDS)
        assert runtime.stats()["open_runs"] == 0

    assert futures[0].state.name == "Cancelled"
    assert values == [10, 10]
    assert calls == [1]
    assert limit.stats() == {"used": 0.0, "waiting": 0, "capacity": 1}


async def test_a_leader_that_fails_takes_its_place_anew_for_its_retry() -> None:
    outcomes: Iterator[Any] = iter([ValueError("first"), 42])

    @task(
        cache_key_fn=lambda _, __: "one",
        persist_result=False,
        concurrency_limit=1,
        retries=1,
        retry_delay_seconds=5,
    )
    async def flaky() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async with Runtime():
        futures = [await flaky.submit() for _ in range(3)]
        values = await asyncio.wait_for(asyncio.gather(*futures), SECONDS)

    assert values == [42, 42, 42]
    assert [future.state.name for future in futures] == [
        "Completed",
        "Cached",
        "Cached",
    ]


@pytest.mark.parametrize("make", [cached, cached_plain])
async def test_runs_that_wait_for_places_still_count_for_admission(make: Any) -> None:
    calls: list[int] = []
    limit = Limit(1)
    it = make(calls, concurrency_limit=limit)

    async with Runtime(max_pending=2):
        async with limit:
            first = [await it.submit(0), await it.submit(1)]
            late = asyncio.create_task(asyncio.wait_for(submit(it, 2), SECONDS))
            await asyncio.sleep(0.1)
            assert not late.done()
        future = await late
        values = [await each for each in (*first, future)]

    assert values == [0, 10, 20]


async def submit(it: Any, x: int) -> Any:
    return await it.submit(x)


def test_plain_code_finds_and_limits_as_well() -> None:
    calls: list[int] = []
    it = cached_plain(calls, concurrency_limit=1)

    @flow
    def main() -> list[int]:
        values: list[int] = it.map([1, 2, 1, 2, 3]).result()
        return [*values, it(1)]

    with Runtime(cache=MemoryCache()):
        values = main()

    assert values == [10, 20, 10, 20, 30, 10]
    assert sorted(calls) == [1, 2, 3]
