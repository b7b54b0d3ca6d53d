"""Uses of `headrace.testing` that only type checkers read."""

from __future__ import annotations

import asyncio
from typing import assert_type

from headrace import task
from headrace.events import Observer, StateChanged
from headrace.testing import (
    Failures,
    Recorder,
    VirtualClock,
    VirtualTimeLoop,
    explore,
    fail_on,
    no_retries,
)


@task
def double(x: int) -> int:
    return 2 * x


def check_recorder() -> None:
    observer: Observer = Recorder()
    observer.on_event("started")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(Recorder().events, list[StateChanged])
    assert_type(Recorder().path, list[str])


def check_virtual_time_loop() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert_type(runner.run(asyncio.sleep(3600, 1)), int)
    VirtualTimeLoop(threads_busy=lambda: False)
    VirtualTimeLoop(threads_busy=False)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_virtual_clock() -> None:
    with VirtualClock() as clock:
        assert_type(clock.run(asyncio.sleep(3600, "a")), str)
        assert_type(clock.now, float)
        clock.run(3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_failures() -> None:
    with fail_on(double, attempts=[1], exception=OSError) as failures, no_retries():
        assert_type(failures, Failures)
        assert_type(failures.count, int)
    fail_on(double, exception=OSError(2, "gone"))
    fail_on(double, exception=lambda: OSError(2, "gone"))
    fail_on(double, attempts=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    fail_on(double, exception="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def scenario(number: int, *, text: str = "") -> None: ...


def check_explore() -> None:
    explore(scenario)(1, text="a")
    explore(seeds=range(3))(scenario)(1)
    explore(seeds=[3])(scenario)("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    explore(scenario, seeds=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    explore(lambda: 1)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType, reportCallIssue]
