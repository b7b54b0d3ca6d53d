"""A storage that hangs, on real loops: a cancel ends what waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import threading
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest

import headrace.results  # noqa: F401 - else on a loop, where it may not be read
from headrace import Runtime, Settings, task

pytestmark = [pytest.mark.real_loops, pytest.mark.slow]

GRACE = 0.2


class Storage:
    """Keeps nothing, and hangs.

    Attributes:
        may_go_on: What everybody waits for.
        is_asked: Set when somebody writes.
    """

    identity = "a storage of mine"

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.is_asked = threading.Event()

    @contextlib.contextmanager
    def writing(self, key: str) -> Generator[io.BytesIO]:
        self.is_asked.set()
        assert self.may_go_on.wait(10)
        yield io.BytesIO()

    @contextlib.contextmanager
    def reading(self, key: str) -> Generator[io.BytesIO]:
        yield io.BytesIO()

    def remove(self, key: str) -> bool:
        return False


@pytest.mark.parametrize("verb", ["submitted", "called"])
@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_a_cancel_ends_a_run_whose_storage_hangs_when_the_grace_is_over(
    is_coroutine: bool, verb: str
) -> None:
    storage = Storage()
    options: Any = {"persist_result": True, "result_storage": storage}

    @task(**options)
    def plain() -> int:
        return 1

    @task(**options)
    async def coroutine() -> int:
        return 1

    stored: Any = coroutine if is_coroutine else plain
    async with Runtime(settings=Settings(cancel_grace_seconds=GRACE)) as runtime:
        if verb == "submitted":
            future = await stored.submit()
            await asyncio.to_thread(storage.is_asked.wait, 10)
            future.cancel()
            state = await future.astate()
        else:
            call: Any = coroutine() if is_coroutine else plain.acall()
            calling = asyncio.ensure_future(call)
            await asyncio.to_thread(storage.is_asked.wait, 10)
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            state = runtime.runs.task_runs()[0].state
        assert runtime.stats()["abandoned_threads"] == 1
        storage.may_go_on.set()

    assert state.name == "Cancelled"


class Slow(io.BytesIO):
    """Reads when it may, in some thread."""

    def __init__(self, content: bytes, storage: Stored) -> None:
        super().__init__(content)
        self.storage = storage

    def read(self, size: int | None = -1) -> bytes:
        self.storage.threads.append(threading.current_thread())
        self.storage.is_asked.set()
        assert self.storage.may_go_on.wait(10)
        return super().read(size)


class Stored(Storage):
    """Keeps what is written, and hangs when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, bytes] = {}
        self.threads: list[threading.Thread] = []

    @contextlib.contextmanager
    def writing(self, key: str) -> Generator[io.BytesIO]:
        file = io.BytesIO()
        yield file
        self.kept[key] = file.getvalue()

    @contextlib.contextmanager
    def reading(self, key: str) -> Generator[io.BytesIO]:
        yield Slow(self.kept[key], self)


async def test_what_is_read_too_late_is_no_name_for_a_run_that_was_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "headrace")  # a line of its end would show it
    storage, over = Stored(), asyncio.Event()
    key = str(uuid4())

    @task(
        persist_result=True,
        result_storage=storage,
        cache_key_fn=lambda *_: key,
        interrupt=False,
    )
    def stored() -> int:
        return 1

    async with Runtime(settings=Settings(cancel_grace_seconds=GRACE)):
        first = await stored.submit()
        await first
        second = await stored.submit()
        await asyncio.to_thread(storage.is_asked.wait, 10)
        second.cancel()
        second.add_done_callback(lambda _: over.set())
        await over.wait()  # nobody looks at its state before
        storage.may_go_on.set()
        await asyncio.to_thread(storage.threads[0].join, 10)
        state = second.state

    assert (state.name, state.is_cancelled()) == ("Cancelled", True)
