"""What virtual time is for, by a real clock."""

from __future__ import annotations

from time import perf_counter

import pytest

from headrace import task
from headrace.exceptions import InjectedFailure
from headrace.testing import VirtualClock, fail_on

MOST_SECONDS = 0.05


@task(retries=3, retry_delay_seconds=3600)
async def fetch() -> None: ...


def test_three_hours_of_retries_take_less_than_a_twentieth_of_a_second(
    virtual_clock: VirtualClock,
) -> None:
    with fail_on(fetch) as failures:
        seconds = min(seconds_of_retries(virtual_clock) for _ in range(3))

    assert failures.count == 3 * 4
    assert virtual_clock.now == pytest.approx(3 * 3 * 3600)
    assert seconds < MOST_SECONDS


def seconds_of_retries(clock: VirtualClock) -> float:
    started = perf_counter()
    with pytest.raises(InjectedFailure):
        clock.run(fetch())
    return perf_counter() - started
