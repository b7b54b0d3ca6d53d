"""Turning large results into bytes, and back, takes no time of the loop's own thread.

The processor's time counts, as in `test_loop_is_free`: other threads are given theirs.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, Settings, task
from headrace.cache_policies import INPUTS

pytestmark = pytest.mark.slow

MOST_SECONDS_BETWEEN_TURNS = 0.02
LARGE = list(range(2_000_000))  # takes several times as long to store, and to read


@pytest.fixture
def anyio_backend() -> object:
    """A real loop, and not in debug mode, which is ten times as slow."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def without_collector() -> Generator[None]:
    """It walks all objects of all tests before, on the loop's thread or any other."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize(
    "options",
    [{"persist_result": True}, {"cache_key_fn": INPUTS}],
    ids=["stored", "cached"],
)
async def test_while_large_results_are_stored_and_read(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    @task(**options)
    async def give(n: int) -> list[int]:
        return LARGE

    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    async with Runtime(settings=Settings(home=str(tmp_path))):
        watching = asyncio.create_task(watch())
        for n in (1, 2, 1):
            await (await give.submit(n))
            await give(n)
        watching.cancel()

    assert longest < MOST_SECONDS_BETWEEN_TURNS
