"""Coroutines that are closed from outside, as the collector does when a loop is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace import Runtime, flow, task


@task
async def sleep() -> None:
    await asyncio.sleep(3600)


@flow
async def sleeping_flow() -> None:
    await sleep()


async def in_a_runtime() -> None:
    async with Runtime():
        await sleep.submit()
        await asyncio.sleep(3600)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(sleep, id="awaited"),
        pytest.param(sleep.with_options(timeout_seconds=60), id="with-a-limit"),
        pytest.param(sleep.acall, id="acalled"),
        pytest.param(sleeping_flow, id="flow"),
        pytest.param(in_a_runtime, id="runtime"),
    ],
)
def test_who_awaits_is_closed_and_sees_no_error_of_ours(
    call: Callable[[], Awaitable[Any]],
) -> None:
    seen: list[type[BaseException]] = []

    async def caller() -> None:
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - there must be none
            seen.append(type(error))
            await asyncio.sleep(1)
        except GeneratorExit:
            seen.append(GeneratorExit)
            raise

    async def start() -> asyncio.Task[None]:
        waiting = asyncio.create_task(caller())
        await asyncio.sleep(0.01)
        return waiting

    loop = asyncio.new_event_loop()
    waiting: Any = loop.run_until_complete(start())
    for each in asyncio.all_tasks(loop):
        left: Any = each
        left._log_destroy_pending = False  # asyncio would complain, and be right

    waiting.get_coro().close()
    loop.close()

    assert seen == [GeneratorExit]
