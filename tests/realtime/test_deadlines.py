"""How soon callers of plain code are released at a deadline, in real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Runtime, StateChanged, Task, deadline, task
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


def test_a_body_that_ends_just_as_its_run_is_ended_without_it_is_dropped() -> None:
    threads: list[threading.Thread] = []
    let_go = threading.Event()

    @task(interrupt=False)
    def late() -> None:
        threads.append(threading.current_thread())
        let_go.wait(5)
        raise ValueError("nobody asks any more")

    class LetsGo:
        """Holds up the end of the run until the thread of its body has ended."""

        def on_event(self, event: StateChanged) -> None:
            if event.after.is_final():
                let_go.set()
                threads[0].join(5)

    with Runtime(observers=[LetsGo()]), deadline(SECONDS):
        state = late.submit().wait()

    assert state is not None
    assert state.name == "TimedOut"
    assert not threads[0].is_alive()
