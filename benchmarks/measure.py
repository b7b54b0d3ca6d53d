"""Measure two ways of doing the same, alternating in one process."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from headrace._concurrency.loops import new_event_loop

Case: TypeAlias = Callable[[], Awaitable[Any]]
Kind: TypeAlias = Literal["ratio", "over", "alone"]


class Figure(float):
    """What a workload found out itself, where the time it took is not what matters."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        ours: The workload on headrace, timed as a whole unless it gives a `Figure`.
        bare: Its counterpart; None where there is none.
        size: How many units of work the workload does; figures are per unit.
        budget: The most that is allowed; None where nothing is promised.
        kind: What the budget is about: the "ratio" of ours to bare, how much ours is
            "over" bare, or ours "alone".
        unit: Of both figures: us, ms, B or %.
    """

    name: str
    ours: Case
    bare: Case | None = None
    size: int = 1
    budget: float | None = None
    kind: Kind = "ratio"
    unit: str = "us"


@dataclass(slots=True)
class Result:
    """The figures of one row, per unit of work, one for each round."""

    row: Row
    bare: list[float] = field(default_factory=list[float])
    ours: list[float] = field(default_factory=list[float])

    @property
    def figure(self) -> float:
        """What the budget is about, of the medians of the rounds."""
        ours = statistics.median(self.ours)
        if self.row.kind == "alone":
            return ours
        bare = statistics.median(self.bare)
        return ours / bare if self.row.kind == "ratio" else ours - bare

    @property
    def holds(self) -> bool:
        """Whether the figure is within the budget."""
        return self.row.budget is None or self.figure <= self.row.budget


def measure(row: Row, rounds: int) -> Result:
    """Run bare and ours in turns, garbage collected before each."""
    result = Result(row)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for _ in range(rounds):
            if row.bare is not None:
                result.bare.append(runner.run(_once(row.bare, row.size)))
            result.ours.append(runner.run(_once(row.ours, row.size)))
    return result


async def _once(case: Case, size: int) -> float:
    gc.collect()
    began = time.perf_counter()
    kept = await case()
    took = time.perf_counter() - began
    if isinstance(kept, Figure):
        return kept
    del kept
    return took / size * 1e6


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many per cent do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
