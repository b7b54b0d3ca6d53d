"""Loops that are closed over runs that have not ended: nobody waits for them for ever.

What is promised is a second; busy machines get four times that.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Runtime, as_completed, task, wait
from headrace.exceptions import CrashedRun

SECONDS = 4.0
LONG = 3600.0

pytestmark = [
    pytest.mark.slow,
    # asyncio says so, and is right: the loop is closed over a task.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@task(name="sleep")
async def _sleep(seconds: float = LONG) -> float:
    await asyncio.sleep(seconds)
    return seconds


sleep: Any = _sleep


class Dying:
    """A loop with a runtime that is never left, one run at work and one that waits."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.runtime = Runtime()
        self.futures: list[Any] = []
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        await self.runtime.__aenter__()
        first = await sleep.submit()
        self.futures = [first, await sleep.submit(first)]
        await asyncio.sleep(0)

    def close_under(self, call: Callable[[Any], object]) -> list[BaseException]:
        """Close the loop while a thread for each future is in a call."""
        raised: list[BaseException] = []

        def waiter(future: Any) -> None:
            try:
                call(future)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                raised.append(error)

        threads = [threading.Thread(target=waiter, args=[f]) for f in self.futures]
        for thread in threads:
            thread.start()
        # Their subscriptions arrive on the loop, which turns a last time.
        self.loop.run_until_complete(asyncio.sleep(0.05))
        self.loop.close()
        started = time.monotonic()
        for thread in threads:
            thread.join(SECONDS)
        assert time.monotonic() - started < SECONDS
        assert not any(thread.is_alive() for thread in threads)
        return raised


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda future: future.result(), id="result"),
        pytest.param(lambda future: future.value(), id="value"),
        pytest.param(lambda future: wait([future]).done.pop().result(), id="wait"),
        pytest.param(
            lambda future: [each.result() for each in as_completed([future])],
            id="as_completed",
        ),
        pytest.param(lambda future: asyncio.run(future.aresult()), id="another-loop"),
    ],
)
def test_who_waits_for_a_run_of_a_loop_that_is_closed_is_told(
    call: Callable[[Any], object],
) -> None:
    dying = Dying()

    raised = dying.close_under(call)

    assert [type(error) for error in raised] == [CrashedRun, CrashedRun]
    assert "was closed before it ended" in str(raised[0])
    assert [future.state.type for future in dying.futures] == ["CRASHED", "CRASHED"]


def test_who_comes_when_the_loop_is_closed_already_is_told_at_once() -> None:
    dying = Dying()
    dying.loop.close()

    with pytest.raises(CrashedRun, match="was closed before it ended"):
        dying.futures[1].result()

    assert dying.futures[1].cancel() is False
