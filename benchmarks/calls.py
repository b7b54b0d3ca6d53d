"""One after another: submits, awaits and calls of a task, and calls of flows."""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.bodies import inc, inc_task, plain, plain_task
from benchmarks.measure import Figure, Row
from headrace import Runtime, flow

TIMES = 20_000
FLOWS_WITH_A_RUN = 200


async def bare_one_by_one() -> None:
    for i in range(TIMES):
        await asyncio.create_task(inc(i))


async def submit_one_by_one() -> None:
    async with Runtime():
        for i in range(TIMES):
            await (await inc_task.submit(i))


async def submit_for_results() -> None:
    async with Runtime():
        for i in range(TIMES):
            await (await inc_task.submit(i)).result()


async def bare_await() -> None:
    for i in range(TIMES):
        await inc(i)


async def await_task() -> None:
    async with Runtime():
        for i in range(TIMES):
            await inc_task(i)


async def bare_call() -> None:
    for i in range(TIMES):
        plain(i)


@flow
def calls_plain_task() -> int:
    for i in range(TIMES):
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
    for _ in range(2_000):
        empty_plain_flow()


async def plain_flows_with_a_run() -> None:
    for _ in range(FLOWS_WITH_A_RUN):
        submits_once()


async def plain_flows_with_a_run_later() -> Figure:
    async with asyncio.TaskGroup() as group:
        for i in range(100_000):
            group.create_task(inc(i))
    gc.collect()
    began = time.perf_counter()
    await plain_flows_with_a_run()
    return Figure((time.perf_counter() - began) / FLOWS_WITH_A_RUN * 1e6)


async def coroutine_flows() -> None:
    for _ in range(2_000):
        await empty_flow()


@flow
async def calls_flows() -> int:
    return sum([await empty_flow() for _ in range(2_000)])


@flow
def calls_plain_flows() -> int:
    return sum([empty_plain_flow() for _ in range(2_000)])


async def nested_plain_flows() -> None:
    calls_plain_flows()


@flow
async def nests(depth: int) -> int:
    return await nests(depth - 1) + 1 if depth else 0


async def nested_deeply() -> None:
    for _ in range(50):
        await nests(40)


def rows() -> list[Row]:
    """Rows of microseconds for each call."""
    return [
        Row(
            name="await (await submit())",
            bare=bare_one_by_one,
            ours=submit_one_by_one,
            size=TIMES,
            budget=2.5,
        ),
        Row(
            name="await (await submit()).result()",
            bare=bare_one_by_one,
            ours=submit_for_results,
            size=TIMES,
        ),
        Row(
            name="await task(x)",
            bare=bare_await,
            ours=await_task,
            size=TIMES,
            budget=6.0,
            kind="over",
        ),
        Row(
            name="task(x) in a plain flow",
            bare=bare_call,
            ours=call_task,
            size=TIMES,
            budget=8.0,
            kind="over",
        ),
        Row(
            name="plain flow, no-op",
            ours=plain_flows,
            size=2_000,
            budget=1_000,
            kind="alone",
        ),
        Row(
            name="plain flow, one submit",
            ours=plain_flows_with_a_run,
            size=FLOWS_WITH_A_RUN,
            budget=1_000,
            kind="alone",
        ),
        Row(
            name="coroutine flow, no-op",
            ours=coroutine_flows,
            size=2_000,
            budget=60,
            kind="alone",
        ),
        Row(
            name="coroutine flow in a flow",
            bare=coroutine_flows,
            ours=calls_flows,
            size=2_000,
        ),
        Row(
            name="coroutine flows, 40 deep",
            bare=coroutine_flows,
            ours=nested_deeply,
            size=2_000,
        ),
        Row(
            name="plain flow in a flow",
            bare=plain_flows,
            ours=nested_plain_flows,
            size=2_000,
        ),
    ]


def rows_of_later() -> list[Row]:
    """What a loop of its own costs where very many asyncio tasks were alive before.

    Each loop that ends looks through all tasks of the process, in a table that never
    shrinks on CPython 3.11.
    """
    return [
        Row(
            name="the same after 100 000 tasks",
            ours=plain_flows_with_a_run_later,
            kind="alone",
        ),
    ]
