"""Bytes that one run takes while it is kept."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

from benchmarks.bodies import inc, inc_task
from benchmarks.measure import Case, Figure, Row
from headrace import Runtime

RUNS = 50_000


class Traced:
    """Bytes per run that were allocated since this was made and are still held."""

    def __init__(self) -> None:
        # Made before: the numbers themselves are no part of a run.
        self.items = [i + 1_000 for i in range(RUNS)]
        gc.collect()
        tracemalloc.start()

    def stop(self, _kept: Any) -> Figure:
        """What is held now."""
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] / RUNS
        tracemalloc.stop()
        return Figure(used)


def bare(what: str) -> Case:
    """Of tasks that have not begun, or have ended."""

    async def case() -> Figure:
        traced = Traced()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(inc(i)) for i in traced.items]
            if what == "queued":
                return traced.stop(tasks)
        return traced.stop(tasks)

    return case


def ours(what: str) -> Case:
    """Of runs that are queued, finished, or finished and looked at."""

    async def case() -> Figure:
        async with Runtime():
            traced = Traced()
            futures = inc_task.map(traced.items)
            if what != "queued":
                await futures.aresult()
            if what == "looked at":
                for future in futures:
                    _ = future.history
            return traced.stop(futures)

    return case


def rows() -> list[Row]:
    """Futures and results held, as `map` gives them."""
    return [
        Row(
            name=f"bytes of a run, {what}",
            bare=bare(what),
            ours=ours(what),
            budget=budget,
            kind="alone",
            unit="B",
        )
        for what, budget in {"queued": 400, "finished": 400, "looked at": 700}.items()
    ]
