"""What holds up an event loop is named, while it still does."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from headrace import Runtime, task

SECONDS = 0.05


def hold_up(told: threading.Event) -> None:
    # Until the log says so, and not for a time: a machine may be busy.
    assert told.wait(10)


@task
async def hold(told: threading.Event) -> None:
    hold_up(told)


@task
async def rest() -> None:
    await asyncio.sleep(4 * SECONDS)


class Telling(logging.Handler):
    """Sets an event at each warning, and keeps its text."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.told = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.told.set()


@pytest.fixture
def telling():
    handler, logger = Telling(), logging.getLogger("headrace.engine")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_the_run_and_the_line_that_hold_up_the_loop_are_named_once(
    telling: Telling,
) -> None:
    with Runtime(slow_loop_seconds=SECONDS):
        hold.submit(telling.told).value()
        rest.submit().value()

    (text,) = telling.texts
    assert "by the run 'hold-0'" in text
    assert "hold at test_slow_loops.py:" in text
    assert "hold_up at test_slow_loops.py:" in text


def test_so_it_is_on_the_loop_of_a_service(telling: Telling) -> None:
    async def main() -> None:
        async with Runtime(slow_loop_seconds=SECONDS):
            await hold(telling.told)
            telling.told.clear()
            await asyncio.sleep(SECONDS)  # the loop goes on
            hold_up(telling.told)

    asyncio.run(main())

    first, second = telling.texts
    assert "by the run 'hold-0'" in first
    assert "by code that belongs to no run" in second


def test_a_loop_that_waits_is_not_held_up(telling: Telling) -> None:
    with Runtime(slow_loop_seconds=SECONDS):
        rest.submit().value()

    assert telling.texts == []


def test_nothing_watches_unless_told_so() -> None:
    before = threading.active_count()

    with Runtime():
        rest.submit().value()
        names = [thread.name for thread in threading.enumerate()]

    assert "headrace-guardian" not in names
    assert threading.active_count() <= before + 1
