"""The rows: each workload on headrace beside its bare counterpart.

``SIZE`` and the budgets are those of the project's performance budget.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.measure import Case, Row
from headrace import Runtime, StateChanged, flow, ref, task


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


def plain(x: int) -> int:
    return x + 1


async def on_the_loop(*_: object) -> None:
    """A hook that does nothing."""


def in_a_thread(*_: object) -> None:
    """The same."""


inc_task, hop_task, nap_task = task(inc), task(hop), task(nap)
total_task, plain_task = task(total), task(plain)
hooked_task = inc_task.with_options(on_completion=[on_the_loop, on_the_loop])
plainly_hooked_task = inc_task.with_options(on_completion=[in_a_thread, in_a_thread])


class Listener:
    """An observer that hears every state and does nothing."""

    def on_event(self, event: StateChanged) -> None:
        """Hear one event."""


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


async def bare_threads() -> Any:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as pool:
        calls = [loop.run_in_executor(pool, plain, i) for i in range(100_000)]
        return await asyncio.gather(*calls)


async def bare_one_by_one() -> None:
    loop = asyncio.get_running_loop()
    for i in range(20_000):
        await loop.create_task(inc(i))


async def submit_one_by_one() -> None:
    async with Runtime():
        for i in range(20_000):
            await (await inc_task.submit(i))


async def bare_await() -> None:
    for i in range(20_000):
        await inc(i)


async def await_task() -> None:
    async with Runtime():
        for i in range(20_000):
            await inc_task(i)


async def bare_call() -> None:
    for i in range(20_000):
        plain(i)


@flow
def calls_plain_task() -> int:
    for i in range(20_000):
        plain_task(i)
    return 0


async def call_task() -> None:
    calls_plain_task()


@flow
def empty_plain_flow() -> int:
    return 1


@flow
async def empty_flow() -> int:
    return 1


@flow
def submits_once() -> int:
    return plain_task.submit(1).result()


async def plain_flows() -> None:
    for _ in range(200):
        empty_plain_flow()


async def plain_flows_with_a_run() -> None:
    for _ in range(200):
        submits_once()


async def coroutine_flows() -> None:
    for _ in range(2_000):
        await empty_flow()


async def chain() -> None:
    async with Runtime():
        last: Any = 0
        for _ in range(10_000):
            last = inc_task.submit(last)


async def fan_in() -> None:
    async with Runtime():
        for _ in range(100):
            total_task.submit(ref(inc_task.map(range(100))))


def held(what: str) -> Case:
    """Bytes of one run that is kept: finished, finished and looked at, or queued."""
    size = 50_000

    async def case() -> float:
        async with Runtime():
            items = [i + 1_000 for i in range(size)]
            gc.collect()
            tracemalloc.start()
            futures = inc_task.map(items)
            if what != "queued":
                await futures.aresult()
            if what == "looked at":
                _ = [future.history for future in futures]
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] / size
            tracemalloc.stop()
            return used

    return case


async def bare_import() -> None:
    _import("import anyio, cloudpickle, pydantic, asyncio")


async def whole_import() -> None:
    _import("import headrace")


def _import(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True)  # noqa: S603


def growth(make: Callable[[int], Case]) -> Callable[[], Coroutine[Any, Any, float]]:
    """How much more a run costs when a million are held instead of 10 000."""

    async def per_run(size: int) -> float:
        gc.collect()
        began = time.perf_counter()
        kept = await make(size)()
        took = (time.perf_counter() - began) / size
        del kept
        return took

    async def case() -> float:
        small = min([await per_run(10_000) for _ in range(5)])
        return await per_run(1_000_000) / small

    return case


def rows() -> list[Row]:
    """All rows, in the order of the budget."""
    big, small = 100_000, 10_000
    ten_thousand = mapped(inc_task, small)
    watched: dict[str, Any] = {"observers": [Listener()]}
    return [
        Row(
            name="map 100k no-ops",
            bare=bare_group(inc, big),
            ours=mapped(inc_task, big),
            size=big,
            budget=1.0,
        ),
        Row(
            name="map 10k no-ops",
            bare=bare_group(inc, small),
            ours=ten_thousand,
            size=small,
            budget=1.8,
        ),
        Row(
            name="map 100k sleep(0)",
            bare=bare_group(hop, big),
            ours=mapped(hop_task, big),
            size=big,
            budget=0.8,
        ),
        Row(
            name="map 10k sleep(0)",
            bare=bare_group(hop, small),
            ours=mapped(hop_task, small),
            size=small,
            budget=1.3,
        ),
        Row(
            name="map 100k no-ops, observed",
            bare=bare_group(inc, big),
            ours=mapped(inc_task, big, **watched),
            size=big,
            budget=1.6,
        ),
        Row(
            name="map 100k sleep(0), observed",
            bare=bare_group(hop, big),
            ours=mapped(hop_task, big, **watched),
            size=big,
            budget=1.3,
        ),
        Row(
            name="map 10k sleep(1 ms)",
            bare=bare_group(nap, small),
            ours=mapped(nap_task, small),
            size=small,
            budget=1.25,
        ),
        Row(
            name="plain map 100k, 8 threads",
            bare=bare_threads,
            ours=mapped(plain_task, big, max_threads=8),
            size=big,
            budget=0.15,
        ),
        Row(
            name="await (await submit())",
            bare=bare_one_by_one,
            ours=submit_one_by_one,
            size=20_000,
            budget=2.5,
        ),
        Row(
            name="await task(x)",
            bare=bare_await,
            ours=await_task,
            size=20_000,
            budget=6.0,
            kind="over",
        ),
        Row(
            name="task(x) in a plain flow",
            bare=bare_call,
            ours=call_task,
            size=20_000,
            budget=8.0,
            kind="over",
        ),
        Row(
            name="plain flow, no-op",
            ours=plain_flows,
            size=200,
            budget=1_000,
            kind="microseconds",
        ),
        Row(
            name="plain flow, one submit",
            ours=plain_flows_with_a_run,
            size=200,
            budget=1_000,
            kind="microseconds",
        ),
        Row(
            name="coroutine flow, no-op",
            ours=coroutine_flows,
            size=2_000,
            budget=60,
            kind="microseconds",
        ),
        Row(
            name="chain of 10k / map 10k",
            bare=ten_thousand,
            ours=chain,
            size=small,
            budget=2.0,
        ),
        Row(
            name="fan-in 100 x 100 / map 10k",
            bare=ten_thousand,
            ours=fan_in,
            size=small,
            budget=2.0,
        ),
        Row(
            name="two coroutine hooks / map 10k",
            bare=ten_thousand,
            ours=mapped(hooked_task, small),
            size=small,
            budget=1.3,
        ),
        Row(
            name="two plain hooks over map 10k",
            bare=ten_thousand,
            ours=mapped(plainly_hooked_task, small),
            size=small,
            budget=6.0,
            kind="over",
        ),
        *_sizes(),
        Row(
            name="import headrace, with what it needs",
            bare=bare_import,
            ours=whole_import,
            size=1,
            budget=130_000,
            kind="microseconds",
        ),
    ]


def _sizes() -> list[Row]:
    limits = {"queued": 400, "finished": 400, "looked at": 700}
    return [
        Row(
            name=f"bytes of a run, {what}",
            ours=held(what),
            size=1,
            budget=limit,
            kind="bytes",
        )
        for what, limit in limits.items()
    ]


def growth_rows() -> list[tuple[str, Callable[[], Coroutine[Any, Any, float]]]]:
    """What takes a million runs: ours must grow no more than the bare group does."""
    return [
        ("bare task group", growth(lambda size: bare_group(inc, size))),
        ("map", growth(lambda size: mapped(inc_task, size))),
    ]
