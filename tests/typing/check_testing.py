"""Uses of `headrace.testing` that only type checkers read."""

from __future__ import annotations

import asyncio
from typing import assert_type

from headrace.events import Observer, StateChanged
from headrace.testing import Recorder, VirtualTimeLoop


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
