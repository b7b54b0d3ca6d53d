"""What holds in whatever order the tasks of asyncio go on."""
# ruff: noqa: S311 - no secrets

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace import Runtime, TaskFuture, flow, task
from headrace.exceptions import HeadraceError
from headrace.testing import Recorder, explore

pytestmark = pytest.mark.slow

SEEDS = [
    pytest.param(range(100), id="some"),
    pytest.param(
        range(100, 1000), id="many", marks=[pytest.mark.long, pytest.mark.timeout(300)]
    ),
]
KINDS = ("return", "raise", "sleep", "retry", "limit", "submit")


@task(retries=1, retry_delay_seconds=3, timeout_seconds=50)
async def act(kind: str, *_: object) -> str:
    """Do one of the things that bodies do, as the numbers of this run say."""
    if kind == "raise":
        raise ConnectionError
    if kind == "sleep":
        await asyncio.sleep(random.choice([0, 1, 5]))
    elif kind == "limit":
        await asyncio.sleep(100)
    elif kind == "submit":
        inner = await act.submit("sleep")
        return await inner
    elif kind == "retry" and random.random() < 0.5:
        raise TimeoutError
    return kind


async def submit_some(count: int) -> list[TaskFuture[Any]]:
    """Submit runs of all kinds, some of them behind others, and cancel a few."""
    futures: list[TaskFuture[Any]] = []
    for _ in range(count):
        inputs = random.sample(futures, min(len(futures), random.choice([0, 0, 1, 2])))
        futures.append(await act.submit(random.choice(KINDS), *inputs))
        if random.random() < 0.2:
            await asyncio.sleep(random.choice([0, 1]))
        if random.random() < 0.1:
            random.choice(futures).cancel()
    return futures


def under_many_orders(
    scenario: Callable[[], Coroutine[Any, Any, None]],
) -> Callable[[range], None]:
    @pytest.mark.parametrize("seeds", SEEDS)
    def run_all(seeds: range) -> None:
        explore(scenario, seeds=seeds)()

    return run_all


@under_many_orders
async def test_every_run_ends_once_and_nothing_follows() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]) as runtime:
        await submit_some(15)

    ends = Counter(e.run.id for e in recorder.events if e.after.is_final())
    begun = {event.run.id for event in recorder.events if event.before is None}
    assert set(ends) == begun
    assert set(ends.values()) == {1}
    assert all(not e.before.is_final() for e in recorder.events if e.before)
    assert runtime.stats() == dict.fromkeys(runtime.stats(), 0)


@under_many_orders
async def test_what_waits_is_told_how_its_run_ended() -> None:
    async def wait_for(future: TaskFuture[Any]) -> tuple[str, str]:
        try:
            value = await future
        except (HeadraceError, ConnectionError, TimeoutError) as error:
            return future.state.name, type(error).__name__
        return future.state.name, value

    expected = {"Completed": set(KINDS), "Failed": {"ConnectionError", "TimeoutError"}}
    expected |= {"TimedOut": {"TimeoutError"}, "Cancelled": {"CancelledRun"}}
    expected |= {"NotReady": {"UpstreamTaskError"}}

    async with Runtime():
        futures = await submit_some(12)
        seen = await asyncio.gather(*[wait_for(f) for f in futures for _ in range(2)])

    wrong = [(state, got) for state, got in seen if got not in expected[state]]
    assert [pair for pair in wrong if pair != ("Failed", "CancelledRun")] == []
    assert seen[::2] == seen[1::2]  # each of two that wait is told the same


@under_many_orders
async def test_a_flow_that_is_cancelled_leaves_nothing_behind() -> None:
    @flow
    async def main() -> None:
        await submit_some(10)
        await asyncio.sleep(1000)

    before = asyncio.all_tasks()
    running = asyncio.create_task(main())
    await asyncio.sleep(random.choice([0, 1, 3, 10, 60]))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert asyncio.all_tasks() == before


@under_many_orders
async def test_a_map_gives_its_values_in_the_order_of_its_inputs() -> None:
    @task
    async def square(x: int) -> int:
        await asyncio.sleep(random.choice([0, 0, 1]))
        return x * x

    @flow
    async def main() -> list[int]:
        first = await square.map(range(80))
        return [await each for each in await square.map(first)]

    assert await main() == [x**4 for x in range(80)]


def test_the_same_seed_gives_the_same_events() -> None:
    seen: list[list[tuple[str, str]]] = []

    async def note() -> None:
        recorder = Recorder()
        async with Runtime(observers=[recorder]):
            await submit_some(15)
        seen.append([(event.run.name, event.after.name) for event in recorder.events])

    for seed in range(30):
        explore(note, seeds=[seed, seed])()
        first, second = seen[-2:]
        assert first == second

    names = {state for events in seen for _, state in events}
    assert names >= {
        *("Pending", "Running", "Retrying", "AwaitingRetry"),
        *("Completed", "Failed", "TimedOut", "Cancelled", "NotReady"),
    }
