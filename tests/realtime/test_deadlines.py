"""How soon callers of plain code are released at a deadline, in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Runtime, Task, deadline, task
from headrace.exceptions import DeadlineExceeded

pytestmark = pytest.mark.slow

SECONDS = 0.1
SOON = 0.25  # 0.05 on a machine that has nothing else to do
TRIES = 3  # other programs may keep a thread from going on for half a second


@task
def stubborn() -> None:
    while not ended.wait(0.001):
        pass


@task
def blocked() -> None:
    ended.wait(5)


ended = threading.Event()


@pytest.mark.parametrize("it", [stubborn, blocked], ids=lambda it: it.name)
@pytest.mark.parametrize(
    "use",
    [lambda it: it(), lambda it: it.submit().result(), lambda it: it.submit().wait()],
    ids=["called", "result", "wait"],
)
def test_the_caller_of_a_plain_task_is_released(
    use: Callable[[Any], Any], it: Task[[], None]
) -> None:
    took: list[float] = []
    while not took or (took[-1] >= SECONDS + SOON and len(took) < TRIES):
        ended.clear()
        with Runtime():
            started = time.monotonic()

            with deadline(SECONDS):
                try:
                    found = use(it).data
                except DeadlineExceeded as error:
                    found = error

            took.append(time.monotonic() - started)
            ended.set()

        assert isinstance(found, DeadlineExceeded)

    assert SECONDS - 0.01 < took[-1] < SECONDS + SOON
