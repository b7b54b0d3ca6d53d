"""`headrace.run`, as far as one process can show it; signals are in `tests/realtime`."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import pytest

import headrace
from headrace import flow, ref, task
from headrace.exceptions import BlockedLoop


@task
async def add(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


@task
def multiply(x: int, y: int) -> int:
    return x * y


@flow
async def coroutine_flow(x: int, *, y: int = 1) -> int:
    return await (await add.submit(x, ref(multiply.submit(x, y))))


@flow
def plain_flow(x: int, *, y: int = 1) -> int:
    return add.submit(x, ref(multiply.submit(x, y))).value()


@flow
def fails() -> None:
    raise ValueError("boom")


@flow
async def fails_on_loop() -> None:
    raise ValueError("boom")


@pytest.mark.parametrize("fn", [coroutine_flow, plain_flow], ids=lambda fn: fn.name)
def test_it_gives_what_a_flow_of_either_kind_gives(fn: Any) -> None:
    assert headrace.run(fn, 3, y=4) == 15


@pytest.mark.parametrize("fn", [add, multiply], ids=lambda fn: fn.name)
def test_it_takes_tasks_as_well(fn: Any) -> None:
    assert headrace.run(fn, 2, 2) == 4


@pytest.mark.parametrize("fn", [fails, fails_on_loop], ids=lambda fn: fn.name)
def test_it_raises_what_the_flow_raised(fn: Any) -> None:
    with pytest.raises(ValueError, match="boom"):
        headrace.run(fn)


def test_the_body_of_a_plain_flow_runs_in_this_thread() -> None:
    @flow
    def where() -> int:
        return threading.get_ident()

    assert headrace.run(where) == threading.get_ident()


def test_handlers_are_set_meanwhile_and_as_before_afterwards() -> None:
    @flow
    def look() -> list[Any]:
        return [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def mine(*_: object) -> None: ...

    original = signal.signal(signal.SIGTERM, mine)
    try:
        before = look()
        during = headrace.run(look)
        with pytest.raises(ValueError, match="boom"):
            headrace.run(fails)
        assert look() == before
    finally:
        signal.signal(signal.SIGTERM, original)

    assert mine in before
    assert mine not in during


def test_what_is_no_flow_is_refused() -> None:
    nothing: Any = print
    with pytest.raises(TypeError, match="takes a flow or a task"):
        headrace.run(nothing)


def test_another_thread_than_the_main_one_is_refused() -> None:
    errors: list[BaseException] = []

    def go() -> None:
        try:
            headrace.run(plain_flow, 1)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=go, name="by-hand")
    thread.start()
    thread.join()

    assert "'by-hand', and signals are heard in the main thread" in str(errors[0])


async def test_where_a_loop_runs_it_is_refused_with_what_to_write() -> None:
    with pytest.raises(BlockedLoop, match=r"Write `await plain-flow.acall\(...\)`"):
        headrace.run(plain_flow, 1)
