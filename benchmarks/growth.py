"""What one run costs as there are more of them: a map beside a bare task group.

Each number is taken in a process of its own, so that none inherits a heap.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence

from benchmarks.bodies import bare_group, inc, inc_task, mapped
from benchmarks.measure import Case
from headrace._concurrency.loops import new_event_loop

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def table(sizes: Sequence[int] = SIZES) -> list[dict[str, float]]:
    """Print the table line by line; its figures."""
    print(f"{'':11} {'us per run':^26}  {'bytes per run, at most':^26}")
    print(f"{'runs':>11}" + f" {'bare':>8} {'headrace':>8} {'ratio':>8} " * 2)
    lines: list[dict[str, float]] = []
    for size in sizes:
        line = {
            f"{what} {kind}": _asked(kind, what, size)
            for what in ("us", "bytes")
            for kind in ("bare", "headrace")
        }
        lines.append({"runs": size, **line})
        cells = "".join(
            f" {line[f'{what} bare']:8.{digits}f} {line[f'{what} headrace']:8.{digits}f}"
            f" {'x':>3} {line[f'{what} headrace'] / line[f'{what} bare']:4.2f} "
            for what, digits in (("us", 2), ("bytes", 0))
        )
        print(f"{size:11,}".replace(",", " ") + cells, flush=True)
    return lines


def _asked(kind: str, what: str, size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.growth", kind, what, str(size)]
    ran = subprocess.run(  # noqa: S603 - the command is ours
        command, check=True, capture_output=True, text=True
    )
    return float(ran.stdout)


def _case(kind: str, size: int) -> Case:
    return bare_group(inc, size) if kind == "bare" else mapped(inc_task, size)


async def _microseconds(kind: str, size: int) -> float:
    case = _case(kind, size)
    rounds: list[float] = []
    for _ in range(max(5, 100_000 // size)):
        gc.collect()
        began = time.perf_counter()
        kept = await case()
        rounds.append((time.perf_counter() - began) / size * 1e6)
        del kept
    return statistics.median(rounds)


async def _bytes(kind: str, size: int) -> float:
    """The most that was held at any time, the range of numbers included."""
    await _case(kind, 10)()
    gc.collect()
    tracemalloc.start()
    kept = await _case(kind, size)()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del kept
    return most / size


def _answer(kind: str, what: str, size: int) -> float:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        measured = _microseconds if what == "us" else _bytes
        return runner.run(measured(kind, size))


if __name__ == "__main__":
    print(_answer(sys.argv[1], sys.argv[2], int(sys.argv[3])))
