"""A process that runs very many runs and drops their futures stays as small as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MOST_MB = 5
MANY, MILLION = 100_000, 1_000_000

# Each in a process of its own: what others left there would be used again.
PROGRAM = """
import asyncio, gc, sys
from headrace import Limit, Runtime, Settings, task
from headrace.caching import MemoryCache

BATCH = 10_000

def resident_mb():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

def key_of(_, parameters):
    return str(parameters["n"])

@task
async def bare(n):
    return n

@task(tags=["db"], concurrency_limit=Limit(50, key=lambda given: given["n"] % 10))
async def limited(n):
    return n

@task(cache_key_fn=key_of)
async def cached(n):
    return n

@task(cache_key_fn=key_of, concurrency_limit=50)
async def cached_limited(n):
    return n

async def main(kind, count):
    options = {}
    # After twenty the allocator has all that it needs: no object is left over before, and
    # what is resident takes one step of 5 MB between ten and twenty.
    warm_up = 2 if kind == "bare" else 20
    if kind == "limited":
        options = dict(limits={"db": 200}, max_concurrency=300, max_pending=100_000)
    if kind == "cached":
        options = dict(cache=MemoryCache(max_entries=1000))
    if kind == "cached_limited":
        options = dict(cache=MemoryCache(max_bytes=10_000))
    async with Runtime(**options) as runtime:
        for first in range(0, count, BATCH):
            if first == warm_up * BATCH:
                gc.collect()
                before = resident_mb()
            await globals()[kind].map(range(first, first + BATCH)).aresult()
        gc.collect()
        grown = resident_mb() - before
        assert len(runtime.runs) == 10_000
        assert runtime.stats()["open_runs"] == 0
    print(grown)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads /proc"
)


def growth_in_mb(kind: str, count: int, seconds: float) -> float:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM, kind, str(count)],
        capture_output=True,
        check=False,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_a_hundred_thousand_runs_leave_a_process_as_small_as_it_was() -> None:
    assert growth_in_mb("bare", MANY, 15) < MOST_MB


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_runs_leave_a_process_as_small_as_it_was() -> None:
    assert growth_in_mb("bare", MILLION, 800) < MOST_MB


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["limited", "cached", "cached_limited"])
def test_runs_under_limits_and_cached_ones_leave_as_little(kind: str) -> None:
    assert growth_in_mb(kind, 3 * MANY, 800) < MOST_MB
