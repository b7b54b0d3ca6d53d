"""Limits and cancels at any moment: every run ends, and no thread is harmed."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import Counter
from typing import Any

import uvloop

from headrace import Runtime, task

RUNS = 1500
LIMITS = [0.0002, 0.0005, 0.001, 0.003]


def work(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    return n


@task
async def tick() -> int:
    return 1


@task(timeout_seconds=0.001)
def calls(n: int) -> int:
    future = tick.submit()
    work(n)
    future.value()
    return n


@task(timeout_seconds=0.001)
def calls_in_place(n: int) -> int:
    for _ in range(5):
        plain(n // 5)
    return n


@task(timeout_seconds=0.001, retries=2)
def fails(n: int) -> int:
    work(n)
    raise ValueError(n)


plain = task(work)
TASKS: list[Any] = [
    *[task(timeout_seconds=limit)(work) for limit in LIMITS],
    plain, calls, calls_in_place, fails,
]  # fmt: skip


async def storm() -> None:
    draw = random.Random(11)  # noqa: S311 - the same schedule every time
    loop = asyncio.get_running_loop()
    types: Counter[str] = Counter()
    wrong: list[Any] = []
    async with Runtime(max_threads=4) as runtime:
        for _ in range(RUNS // 150):
            runs: list[tuple[int, Any]] = []
            for _ in range(150):
                n = draw.choice([0, 10, 1000, 20_000, 60_000])
                runs.append((n, await draw.choice(TASKS).submit(n)))
            for _, future in draw.sample(runs, 50):
                loop.call_later(draw.uniform(0, 0.03), future.cancel)
            for n, future in runs:
                state = await future.astate()
                types[state.name] += 1
                if state.is_crashed() or (state.is_completed() and state.data != n):
                    wrong.append((future, state))
        # The threads that are left serve others, and interrupt none of them.
        later = [await plain.submit(n).aresult() for n in range(50)]
        stats = runtime.stats()

    assert wrong == []
    assert sum(types.values()) == RUNS
    assert set(types) <= {"Completed", "Failed", "Cancelled", "TimedOut"}
    assert min(types["Completed"], types["Cancelled"], types["TimedOut"]) > 0
    assert later == list(range(50))
    assert stats["open_runs"] == stats["queued"] == stats["running_threads"] == 0


if __name__ == "__main__":
    died: list[str] = []
    threading.excepthook = lambda failure: died.append(repr(failure.exc_value))
    sys.setswitchinterval(1e-5)
    uvloop.run(storm())
    assert died == []
    sys.stdout.write("survived\n")
