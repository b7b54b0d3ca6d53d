"""Time two ways of doing the same, alternating in one process."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from headrace._concurrency.loops import new_event_loop

Case: TypeAlias = Callable[[], Awaitable[Any]]
Kind: TypeAlias = Literal["ratio", "over", "microseconds", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        ours: The workload on headrace, timed as a whole.
        bare: Its counterpart; None where there is none.
        size: How many units of work the workload does; figures are per unit.
        budget: The most that is allowed, in the unit of `kind`.
        kind: "ratio" of ours to bare; microseconds "over" bare; plain microseconds;
            or bytes, which the workload returns itself.
    """

    name: str
    ours: Case
    bare: Case | None = None
    size: int
    budget: float
    kind: Kind = "ratio"


@dataclass(slots=True)
class Result:
    """The figures of one row, per unit of work."""

    row: Row
    bare: list[float] = field(default_factory=list[float])
    ours: list[float] = field(default_factory=list[float])

    @property
    def figure(self) -> float:
        """What the budget is about: the median of the rounds."""
        ours = statistics.median(self.ours)
        if self.row.kind in ("microseconds", "bytes"):
            return ours
        bare = statistics.median(self.bare)
        return ours / bare if self.row.kind == "ratio" else ours - bare

    @property
    def holds(self) -> bool:
        """Whether the figure is within the budget."""
        return self.figure <= self.row.budget


def measure(row: Row, rounds: int) -> Result:
    """Run bare and ours in turns, garbage collected before each."""
    result = Result(row)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for _ in range(rounds):
            if row.bare is not None:
                result.bare.append(runner.run(_timed(row.bare, row)))
            result.ours.append(runner.run(_timed(row.ours, row)))
    return result


async def _timed(case: Case, row: Row) -> float:
    gc.collect()
    began = time.perf_counter()
    kept = await case()
    took = time.perf_counter() - began
    if row.kind == "bytes":
        return float(kept)
    del kept
    return took / row.size * 1e6
