"""Storing, caching and reading results while a loop turns: none of it blocks there."""

from __future__ import annotations

import io
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, flow, ref, task, task_input_hash
from headrace.cache_policies import INPUTS
from headrace.storage import MemoryStorage

pytestmark = [pytest.mark.real_loops, pytest.mark.slow]

LARGE = "x" * 200_000


@task(cache_key_fn=task_input_hash)
async def cached(n: int) -> list[int]:
    return [n]


@task(cache_key_fn=INPUTS)
async def cached_large(n: int) -> str:
    return LARGE


@task(cache_key_fn=INPUTS)
def plain(n: int) -> str:
    return LARGE


@task(persist_result=True, result_storage_key="{parameters[n]}.pickle")
async def stored(n: int) -> str:
    return LARGE


@task(persist_result=True, cache_result_in_memory=False)
async def elsewhere(n: int) -> str:
    return LARGE


@task
async def size(value: str) -> int:
    return len(value)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


async def names(it: Any) -> list[str]:
    """The final states of runs through every door of coroutine code."""
    future = await it.submit(1)
    states = [await future.astate()]
    states += await it.map([1, 2], return_state=True)
    states.append(
        await it.acall(1, return_state=True)
        if it is plain
        else await it(1, return_state=True)
    )
    return [state.name for state in states]


@pytest.mark.parametrize("it", [cached, cached_large, plain], ids=lambda it: it.name)
async def test_cached_runs_block_no_loop(it: Any) -> None:
    async with Runtime() as runtime:
        first = await names(it)
        await runtime.cache.agc()
        again = await names(it)
    async with Runtime():
        later = await names(it)

    assert first == ["Completed", "Cached", "Completed", "Cached"]
    assert again == later == ["Cached"] * 4


async def test_stored_runs_block_no_loop() -> None:
    @flow(persist_result=True)
    async def main() -> int:
        await names(stored)
        future = await elsewhere.submit(1)
        again = await size.submit(ref(future))
        return len(await future) + await again + await size(ref(future))

    async with Runtime():
        assert await main() == 3 * len(LARGE)


class Storage(MemoryStorage):
    """Notes in which threads it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[int] = []

    @contextmanager
    def reading(self, key: str) -> Generator[io.BytesIO]:
        self.readers.append(threading.get_ident())
        with super().reading(key) as file:
            yield file


@pytest.mark.parametrize("make", [task, flow])
@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_what_is_not_in_memory_is_read_beside_the_loop(
    make: Any, is_coroutine: bool
) -> None:
    storage = Storage()

    def plain() -> list[int]:
        return [1]

    async def coroutine() -> list[int]:
        return [1]

    options: Any = {"persist_result": True, "cache_result_in_memory": False}
    fn: Any = coroutine if is_coroutine else plain
    it: Any = make(result_storage=storage, **options)(fn)
    async with Runtime():
        assert await it.acall() == [1]
        if is_coroutine:
            assert await it() == [1]
    assert await it.acall() == [1]

    assert len(storage.readers) == 2 + is_coroutine
    assert threading.get_ident() not in storage.readers
