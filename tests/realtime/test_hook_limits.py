"""Plain hooks that take too long, in real threads and so in real time."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from headrace import Runtime, task, temporary_settings

LIMIT = 0.1
SOON = 10.0


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


async def ended(hooks: list[Any], *, when: str = "on_completion") -> tuple[Any, float]:
    """How a run with these hooks ended, and how long that took."""

    options: dict[str, Any] = {when: hooks}

    @task(**options)
    async def body() -> int:
        return 1

    began = time.monotonic()
    with temporary_settings(hook_timeout_seconds=LIMIT, cancel_grace_seconds=LIMIT):
        async with Runtime() as runtime:
            state = await body.submit().astate()
            took = time.monotonic() - began
            return (state, runtime.stats()), took


async def test_a_plain_hook_that_computes_too_long_is_interrupted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    def endless(*_: object) -> None:
        try:
            while True:
                pass
        finally:
            told.append("interrupted")

    (state, stats), took = await ended([endless, lambda *_: told.append("next")])

    assert state.name == "Completed"
    assert told == ["interrupted", "next"]
    assert took < LIMIT + 4 * 0.25
    assert stats["abandoned_threads"] == 0
    assert "the hook endless of body-0 failed: RunInterrupted" in caplog.text


async def test_a_plain_hook_that_blocks_is_left_behind_and_the_next_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = threading.Lock()
    let_go.acquire()
    told: list[str] = []

    def blocked(*_: object) -> None:
        let_go.acquire(timeout=SOON)
        let_go.release()

    (state, stats), took = await ended([blocked, lambda *_: told.append("next")])
    let_go.release()

    assert state.name == "Completed"
    assert told == ["next"]
    assert took < LIMIT + 4 * 0.25
    assert stats["abandoned_threads"] == 1
    assert "the hook blocked of body-0 goes on after its limit" in caplog.text


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_body_begins_after_a_hook_that_took_too_long(
    kind: str,
) -> None:
    ran: list[str] = []

    def endless(*_: object) -> None:
        while True:
            pass

    def plain() -> None:
        ran.append("body")

    async def coroutine() -> None:
        ran.append("body")

    it = task(plain if kind == "plain" else coroutine, on_running=[endless])
    with temporary_settings(hook_timeout_seconds=LIMIT):
        async with Runtime():
            began = time.monotonic()
            await it.submit().astate()
            took = time.monotonic() - began

    assert took < LIMIT + 4 * 0.25
    assert ran == ["body"]


async def test_a_plain_run_whose_hook_blocks_its_thread_is_cancelled() -> None:
    let_go = threading.Lock()
    let_go.acquire()
    ran: list[str] = []

    def blocked(*_: object) -> None:
        let_go.acquire(timeout=SOON)
        let_go.release()

    it = task(lambda: ran.append("body"), on_running=[blocked])
    with temporary_settings(hook_timeout_seconds=LIMIT, cancel_grace_seconds=LIMIT):
        async with Runtime() as runtime:
            state = await it.submit().astate()
            abandoned = runtime.stats()["abandoned_threads"]
    let_go.release()

    assert state is not None
    assert state.name == "Cancelled"
    assert (abandoned, ran) == (1, [])


@pytest.mark.parametrize("threads", [1, 2, 64])
async def test_runs_behind_a_hook_that_does_not_stop_are_told_of(
    threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = threading.Lock()
    let_go.acquire()
    told: list[str] = []

    def blocked(_task: Any, run: Any, _state: Any) -> None:
        if run.dynamic_key == "0":
            let_go.acquire(timeout=SOON)
            let_go.release()

    def tell(_task: Any, run: Any, _state: Any) -> None:
        told.append(run.dynamic_key)

    @task(on_completion=[blocked, tell])
    async def same(x: int) -> int:
        return x

    began = time.monotonic()
    with temporary_settings(hook_timeout_seconds=LIMIT, abandon_after_seconds=LIMIT):
        async with Runtime(max_threads=threads):
            runs = same.map(range(20))
            assert [await run for run in runs] == list(range(20))
    assert time.monotonic() - began < LIMIT * 2 + 4 * 0.25
    let_go.release()

    assert sorted(told, key=int) == [str(number) for number in range(20)]
    assert caplog.text.count("goes on after its limit; it is left behind") == 1
