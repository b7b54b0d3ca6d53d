"""Runs that wait for others, beside asyncio tasks that await others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, TypeAlias

from benchmarks.bodies import inc, inc_task, mapped, total_task
from benchmarks.measure import Case, Row
from headrace import Runtime, ref

# For each node, the earlier ones that it waits for.
Graph: TypeAlias = Sequence[Sequence[int]]

NODES = 10_000


async def chained() -> None:
    async with Runtime():
        last: Any = 0
        for _ in range(NODES):
            last = inc_task.submit(last)


async def fan_in() -> None:
    async with Runtime():
        for _ in range(100):
            total_task.submit(ref(inc_task.map(range(100))))


def bare(graph: Graph) -> Case:
    """A task for each node, which awaits the tasks before it."""

    async def node(x: int, before: list[asyncio.Task[int]]) -> int:
        for each in before:
            await each
        return await inc(x)

    async def case() -> Any:
        tasks: list[asyncio.Task[int]] = []
        async with asyncio.TaskGroup() as group:
            for x, before in enumerate(graph):
                coro = node(x, [tasks[i] for i in before])
                tasks.append(group.create_task(coro))
        return tasks

    return case


def ours(graph: Graph) -> Case:
    """A run for each node."""

    async def case() -> Any:
        runs: list[Any] = []
        async with Runtime():
            for x, before in enumerate(graph):
                wait_for = [runs[i] for i in before]
                runs.append(inc_task.submit(x, wait_for=wait_for))
        return runs

    return case


def chain() -> Graph:
    return [[i - 1] if i else [] for i in range(NODES)]


def fan_out() -> Graph:
    return [[0] if i else [] for i in range(NODES)]


def one_after_all() -> Graph:
    return [*[[]] * (NODES - 1), range(NODES - 1)]


def diamonds() -> Graph:
    """A hundred times: one, then 98 that wait for it, then one that waits for those."""
    graph: list[Sequence[int]] = []
    for top in range(0, NODES, 100):
        graph.append([top - 1] if top else [])
        graph += [[top]] * 98
        graph.append(range(top + 1, top + 99))
    return graph


def tangle() -> Graph:
    """20 000 nodes with five edges each, to any earlier ones; the same each time."""
    rng = random.Random(5)  # noqa: S311 - a graph, and no secret
    return [[rng.randrange(i) for _ in range(5)] if i else [] for i in range(20_000)]


def rows() -> list[Row]:
    """Microseconds for each node."""
    graphs = {
        "wait_for, chain of 10k": chain(),
        "wait_for, fan-out of 10k": fan_out(),
        "wait_for, fan-in of 10k": one_after_all(),
        "wait_for, diamonds of 100": diamonds(),
        "wait_for, 20k nodes, 100k edges": tangle(),
    }
    ten_thousand = mapped(inc_task, NODES)
    return [
        Row(
            name="chain of 10k / map 10k",
            bare=ten_thousand,
            ours=chained,
            size=NODES,
            budget=2.0,
        ),
        Row(
            name="fan-in 100 x 100 / map 10k",
            bare=ten_thousand,
            ours=fan_in,
            size=NODES,
            budget=2.0,
        ),
        *(
            Row(name=name, bare=bare(graph), ours=ours(graph), size=len(graph))
            for name, graph in graphs.items()
        ),
    ]
