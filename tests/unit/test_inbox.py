"""The mailbox from any thread to one loop, on real loops."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from headrace._concurrency.inbox import SLICE_SECONDS, Inbox

pytestmark = pytest.mark.real_loops

SOON = 5.0


class CountingLoop:
    """Passes calls on to the running loop, and counts how often it is woken."""

    def __init__(self) -> None:
        self.real = asyncio.get_running_loop()
        self.woken = 0

    def call_soon_threadsafe(self, call: Any) -> None:
        self.woken += 1
        self.real.call_soon_threadsafe(call)

    def call_soon(self, call: Any) -> None:
        self.real.call_soon(call)


async def test_items_arrive_in_the_order_they_were_posted() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    arrived: list[int] = []

    for n in range(1000):
        inbox.post(arrived.append, n)
    await asyncio.sleep(0.05)

    assert arrived == list(range(1000))


async def test_a_burst_of_posts_costs_one_wake_up() -> None:
    loop: Any = CountingLoop()
    inbox = Inbox(loop)
    arrived: list[int] = []

    for n in range(100):
        inbox.post(arrived.append, n)
    await asyncio.sleep(0.02)

    assert len(arrived) == 100
    assert loop.woken == 1


async def test_nothing_is_lost_that_many_threads_post_at_once() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    arrived: list[tuple[int, int]] = []
    together = threading.Barrier(4, timeout=SOON)

    def post(thread: int) -> None:
        together.wait()
        for n in range(1000):
            inbox.post(arrived.append, (thread, n))

    await asyncio.gather(*[asyncio.to_thread(post, thread) for thread in range(4)])
    async with asyncio.timeout(SOON):
        while len(arrived) < 4000:  # noqa: ASYNC110 - the loop has to turn
            await asyncio.sleep(0)

    for thread in range(4):
        assert [n for each, n in arrived if each == thread] == list(range(1000))


async def test_a_long_backlog_lets_the_loop_turn() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    done: list[object] = []
    turns = 0

    def slow(item: object) -> None:
        until = time.perf_counter() + SLICE_SECONDS / 16
        while time.perf_counter() < until:
            pass
        done.append(item)

    for n in range(256):
        inbox.post(slow, n)
    async with asyncio.timeout(SOON):
        while len(done) < 256:
            turns += 1
            await asyncio.sleep(0)

    assert turns > 3


async def test_a_call_that_raises_holds_up_none_of_the_others() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    arrived: list[int] = []
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: reported.append(c))

    def fail(_: object) -> None:
        raise ValueError("boom")

    inbox.post(arrived.append, 1)
    inbox.post(fail, None)
    inbox.post(arrived.append, 2)
    await asyncio.sleep(0.02)

    assert arrived == [1, 2]
    assert [type(each["exception"]) for each in reported] == [ValueError]


async def test_a_post_that_is_interrupted_does_not_silence_the_next() -> None:
    class Interrupted(CountingLoop):
        def call_soon_threadsafe(self, call: Any) -> None:
            if not self.woken:
                self.woken += 1
                raise KeyboardInterrupt
            super().call_soon_threadsafe(call)

    loop: Any = Interrupted()
    inbox = Inbox(loop)
    arrived: list[int] = []

    with pytest.raises(KeyboardInterrupt):
        inbox.post(arrived.append, 1)
    inbox.post(arrived.append, 2)
    await asyncio.sleep(0.02)

    assert arrived == [1, 2]


def posts_to_a_closed_loop() -> None:
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop)
    loop.close()
    for _ in range(2):  # the second as much as the first
        with pytest.raises(RuntimeError):
            inbox.post(print, None)


async def test_each_post_to_a_closed_loop_is_refused() -> None:
    await asyncio.to_thread(posts_to_a_closed_loop)
