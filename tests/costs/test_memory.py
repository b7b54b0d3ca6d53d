"""What a run may hold, by count: bytes and objects; and what nobody asked for.

The limits of bytes are those of the performance budget, except for runs that were
looked at.
"""

from __future__ import annotations

import gc
import logging
import sys
import tracemalloc
from collections import Counter
from collections.abc import Generator
from typing import Any

import pytest

from headrace import Runtime, State, StateChanged, task
from headrace.testing import Recorder

MANY = 5_000
SLACK = 50  # objects that a runtime makes, however many runs there are


@task
async def inc(x: int) -> int:
    return x + 1


@task
def plain(x: int) -> int:
    return x + 1


@pytest.fixture(autouse=True)
def _quiet_collector() -> Generator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Traced:
    """Bytes per run that were allocated since this was made and are held still."""

    def __init__(self) -> None:
        # The numbers themselves are no part of a run.
        self.items = [i + 1_000 for i in range(MANY)]
        gc.collect()
        tracemalloc.start()

    def stop(self) -> float:
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return used / MANY


not_traced = pytest.mark.skipif(
    sys.gettrace() is not None, reason="a tracer allocates as well"
)


@not_traced
async def test_a_run_that_is_queued_holds_so_many_bytes() -> None:
    async with Runtime():
        traced = Traced()
        futures = inc.map(traced.items)
        used = traced.stop()
        await futures.aresult()

    assert 0 < used <= 400


@not_traced
async def test_a_run_that_ended_holds_so_many_bytes() -> None:
    async with Runtime():
        traced = Traced()
        futures = inc.map(traced.items)
        await futures.aresult()
        used = traced.stop()
        assert len(futures) == MANY

    assert 0 < used <= 400


@not_traced
async def test_a_plain_run_that_ended_holds_so_many_bytes() -> None:
    async with Runtime():
        traced = Traced()
        futures = plain.map(traced.items)
        await futures.aresult()
        used = traced.stop()
        assert len(futures) == MANY

    # 350 as well, and its places in sets that stay as large as they were once.
    assert 0 < used <= 700


@pytest.mark.slow
@not_traced
async def test_a_run_that_was_looked_at_holds_so_many_bytes() -> None:
    async with Runtime():
        traced = Traced()
        futures = inc.map(traced.items)
        await futures.aresult()
        _ = [future.history for future in futures]
        used = traced.stop()

    assert 400 < used <= 1_000


async def test_a_run_that_ended_is_one_object_for_the_collector() -> None:
    async with Runtime():
        before = len(gc.get_objects())
        futures = inc.map(range(MANY))
        await futures.aresult()
        gc.collect()
        made = len(gc.get_objects()) - before

    assert abs(made - MANY) <= SLACK
    assert len(futures) == MANY


async def test_no_state_or_event_is_made_while_nobody_looks() -> None:
    async with Runtime():
        before = alive()
        futures = inc.map(range(MANY))
        await futures.aresult()
        ended = alive()
        _ = [future.state for future in futures]
        looked_at = alive()

    assert ended[State] - before[State] <= SLACK
    assert ended[StateChanged] == before[StateChanged]
    # When they are asked for they are.
    assert looked_at[State] - ended[State] >= MANY


async def test_events_are_made_for_an_observer_only() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]):
        await inc.map(range(MANY)).aresult()
        heard = alive()[StateChanged]

    assert heard >= 3 * MANY


async def test_a_run_that_does_well_logs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0
    usual = logging.getLogRecordFactory()

    def count(*args: Any, **options: Any) -> logging.LogRecord:
        nonlocal made
        made += 1
        return usual(*args, **options)

    logging.setLogRecordFactory(count)
    try:
        async with Runtime():
            await inc.map(range(MANY)).aresult()
            await plain.map(range(100)).aresult()
        assert made == 0
        logging.getLogger("headrace").error("one")
        assert made == 1
    finally:
        logging.setLogRecordFactory(usual)


def alive() -> Counter[type]:
    """How many objects there are, by type, as the collector knows them and in slots."""
    return Counter(type(each) for each in gc.get_objects())
