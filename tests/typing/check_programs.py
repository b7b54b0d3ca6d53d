"""Types of whole programs and of services. Read by pyright and mypy, never run."""

from __future__ import annotations

from typing import assert_type

import headrace
from headrace import Runtime, flow, task
from headrace.runtime import Drained


@flow
def plain(x: int, *, y: str = "") -> float:
    return float(x)


@flow
async def coroutine(x: int) -> str:
    return str(x)


@task
async def coroutine_task(x: int) -> bytes:
    return bytes(x)


assert_type(headrace.run(plain, 1, y="a"), float)
assert_type(headrace.run(coroutine, 1), str)
assert_type(headrace.run(coroutine_task, x=1), bytes)
headrace.run(plain, "1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def drains(runtime: Runtime) -> None:
    assert_type(await runtime.drain(1), Drained)
    assert_type(await runtime.drain(), Drained)
    assert_type(runtime.drain_blocking(), Drained)
    assert_type(runtime.is_ready, bool)
