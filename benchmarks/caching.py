"""Runs that give what other runs gave, and runs that store what they give."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.bodies import inc, inc_task, mapped
from benchmarks.measure import Case, Row
from headrace import Runtime, Settings, task, task_input_hash
from headrace.caching import MemoryCache

HITS = 2_000

cached = task(inc, cache_key_fn=task_input_hash)
stored = task(inc, persist_result=True)


def hits(make: Callable[[], dict[str, Any]]) -> Case:
    """A map all of whose runs are cached: the first time does not count."""
    options = make()
    warm: list[bool] = []

    async def case() -> Any:
        async with Runtime(**options):
            if not warm:
                warm.append(True)
                await (await cached.map(range(HITS))).aresult()
            return await (await cached.map(range(HITS))).aresult()

    return case


def in_memory() -> dict[str, Any]:
    """An index that lasts as long as the row."""
    return {"cache": MemoryCache()}


def in_a_file() -> dict[str, Any]:
    """An index in a folder of its own."""
    return {"settings": at_home()}


def at_home() -> Settings:
    """Settings with a folder that is removed with the process's others."""
    return Settings(home=tempfile.mkdtemp(prefix="headrace-bench-"))


def rows() -> list[Row]:
    """Microseconds a run; the key is that of `task_input_hash`."""
    return [
        Row(
            name="cached hit, memory index",
            ours=hits(in_memory),
            size=HITS,
            budget=15,
            kind="alone",
        ),
        Row(
            name="cached hit, SQLite index",
            ours=hits(in_a_file),
            size=HITS,
            budget=60,
            kind="alone",
        ),
        Row(
            name="adds: persist_result",
            bare=mapped(inc_task, HITS),
            ours=mapped(stored, HITS, settings=at_home()),
            size=HITS,
            kind="over",
        ),
    ]
