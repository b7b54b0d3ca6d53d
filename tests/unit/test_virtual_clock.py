from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from headrace import flow, task
from headrace.testing import VirtualClock

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_a_coroutine_runs_in_virtual_time(virtual_clock: VirtualClock) -> None:
    value = virtual_clock.run(asyncio.sleep(3600, "slept"))

    assert value == "slept"
    assert virtual_clock.now == pytest.approx(3600)


def test_the_clock_goes_on_from_one_run_to_the_next(
    virtual_clock: VirtualClock,
) -> None:
    virtual_clock.run(asyncio.sleep(60))
    virtual_clock.run(asyncio.sleep(40))

    assert virtual_clock.now == pytest.approx(100)


def test_a_clock_that_was_not_used_stands_at_zero(virtual_clock: VirtualClock) -> None:
    assert virtual_clock.now == 0


async def test_in_a_coroutine_it_tells_the_time_of_the_running_loop(
    virtual_clock: VirtualClock,
) -> None:
    await asyncio.sleep(5)

    assert virtual_clock.now == asyncio.get_running_loop().time()


def test_a_coroutine_sees_the_context_of_its_caller(
    virtual_clock: VirtualClock,
) -> None:
    async def who() -> str:
        return WHO.get()

    first = virtual_clock.run(who())
    token = WHO.set("us")
    second = virtual_clock.run(who())
    WHO.reset(token)

    assert [first, second] == ["nobody", "us"]


def test_what_is_entered_is_around_each_coroutine(virtual_clock: VirtualClock) -> None:
    seen: list[str] = []

    @contextmanager
    def around() -> Generator[None]:
        seen.append("in")
        yield
        seen.append("out")

    virtual_clock.enter(around)
    virtual_clock.run(asyncio.sleep(0))
    virtual_clock.leave()
    virtual_clock.run(asyncio.sleep(0))

    assert seen == ["in", "out"]


async def test_it_runs_nothing_where_a_loop_is_running() -> None:
    with (
        VirtualClock() as clock,
        pytest.raises(RuntimeError, match=r"running already.*Await the coroutine"),
    ):
        clock.run(asyncio.sleep(0))


def test_three_retries_after_an_hour_each_take_no_time(
    virtual_clock: VirtualClock,
) -> None:
    attempts: list[float] = []

    @task(retries=3, retry_delay_seconds=3600)
    async def fetch() -> str:
        attempts.append(virtual_clock.now)
        if len(attempts) < 4:
            raise ConnectionError
        return "page"

    assert virtual_clock.run(fetch()) == "page"
    assert attempts == pytest.approx([0, 3600, 7200, 10_800])


def test_a_deadlock_names_who_waits_for_whom(virtual_clock: VirtualClock) -> None:
    @task
    async def never() -> None:
        await asyncio.Event().wait()

    @task
    async def total(x: object) -> object:
        return x

    @flow
    async def main() -> None:
        await (await total.submit(await never.submit()))

    with pytest.raises(RuntimeError, match="this test would hang") as caught:
        virtual_clock.run(main())

    text = str(caught.value)
    assert re.search(
        r"'never-0' waits in its body \(.*never at \S+\.py:\d+ > Event\.wait at", text
    )
    assert "'total-0' waits for the runs 'never-0'" in text
    # Our own frames are between those of the user, and say nothing to them.
    assert "direct.py" not in text


def test_what_waits_for_ever_leaves_the_clock_usable(
    virtual_clock: VirtualClock,
) -> None:
    with pytest.raises(RuntimeError, match="this test would hang"):
        virtual_clock.run(hang())

    assert virtual_clock.run(asyncio.sleep(1, "on")) == "on"


async def hang() -> None:
    await asyncio.Event().wait()
