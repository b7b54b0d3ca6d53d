"""A loop in a helper thread, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Coroutine
from typing import Any

from headrace._concurrency.loops import HelperLoop, new_event_loop

SOON = 5.0


def loop_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "headrace-loop"]


def run(helper: HelperLoop, coro: Coroutine[Any, Any, object]) -> object:
    return asyncio.run_coroutine_threadsafe(coro, helper.loop).result(SOON)


async def ident() -> int:
    return threading.get_ident()


def test_it_runs_in_a_thread_of_its_own() -> None:
    helper = HelperLoop()

    found = run(helper, ident())
    helper.close()

    assert found == helper.thread_id
    assert found != threading.get_ident()


def test_it_is_a_uvloop_where_there_is_one() -> None:
    loop = new_event_loop()
    loop.close()

    assert type(loop).__module__.partition(".")[0] == "uvloop"


def test_its_thread_has_ended_when_it_is_closed() -> None:
    before = set(loop_threads())
    helper = HelperLoop()

    helper.close()

    assert helper.loop.is_closed()
    assert set(loop_threads()) == before


def test_what_users_left_running_is_cancelled_and_cleans_up() -> None:
    cleaned: list[str] = []
    helper = HelperLoop()

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.append("background")

    async def start() -> None:
        kept.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    run(helper, start())
    helper.close()

    assert cleaned == ["background"]
    assert kept[0].cancelled()


def test_zombies_are_neither_waited_for_nor_complained_about() -> None:
    helper = HelperLoop()

    async def deaf() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)

    async def start() -> None:
        kept.append(asyncio.create_task(deaf()))
        await asyncio.sleep(0)

    kept: list[asyncio.Task[None]] = []
    run(helper, start())
    started = time.monotonic()
    helper.close(kept)
    took = time.monotonic() - started
    kept.clear()
    gc.collect()

    assert took < 0.8


def test_one_that_nobody_holds_any_more_ends_by_itself() -> None:
    before = set(loop_threads())

    HelperLoop()
    gc.collect()
    for thread in set(loop_threads()) - before:
        thread.join(SOON)

    assert set(loop_threads()) <= before
