"""Plain flows that wait between two attempts, in the thread that called them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headrace import flow, task

DELAY = 0.02


@task
def double(x: int) -> int:
    return 2 * x


@flow(retries=1, retry_delay_seconds=DELAY)
def tried_twice(began: Any) -> int:  # this very list, not one that was validated
    began.append(time.monotonic())
    value = double.submit(2).value()
    if len(began) == 1:
        raise ValueError("the first attempt")
    return value


@pytest.mark.rule("FLOW-01")
def test_a_plain_flow_that_is_called_in_coroutine_code_waits_for_its_next_attempt() -> (
    None
):
    @flow
    async def main() -> list[float]:
        began: list[float] = []
        assert tried_twice(began) == 4
        return began

    first, second = asyncio.run(main())

    assert second - first >= DELAY
