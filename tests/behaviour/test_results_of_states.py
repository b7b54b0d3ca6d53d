"""The states of runs, and how their results are read: through the runs themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from headrace import Runtime, State, allow_failure, flow, task
from headrace.exceptions import UnfinishedRun
from headrace.states import AwaitingRetry, Completed, StateType


@task(name="number")
async def number(value: int = 42) -> int:
    return value


@task(name="broken")
async def broken() -> None:
    raise ValueError("boom")


@task(name="slow", timeout_seconds=1)
async def slow() -> None:
    await anyio.sleep(3600)


@task(name="crash")
async def crash() -> None:
    raise SystemExit(1)


def waits_an_hour(body: Any) -> Any:
    return task(retries=1, retry_delay_seconds=3600)(body)


async def histories() -> list[list[State[Any]]]:
    """Those of one run for every way to end."""
    async with Runtime():
        failed = await broken.submit()
        futures = [
            await number.submit(),
            failed,
            await slow.submit(),
            await crash.submit(),
            await number.submit(wait_for=[failed]),
            await waits_an_hour(broken.fn).submit(),
            await task(lambda: Completed(name="Skipped")).submit(),
            await number.submit(wait_for=[allow_failure(failed)]),
        ]
        called_off = await task(number.fn).submit(wait_for=[futures[5]])
        called_off.cancel()
        futures.append(called_off)
        await asyncio.gather(*[future.astate() for future in futures])
    return [future.history for future in futures]


@pytest.mark.rule("ST-12")
async def test_each_name_of_a_state_belongs_to_one_type() -> None:
    found = {
        (state.name, state.type.value)
        for history in await histories()
        for state in history
    }

    assert found == {
        ("Pending", "PENDING"),
        ("Running", "RUNNING"),
        ("AwaitingRetry", "SCHEDULED"),
        ("Retrying", "RUNNING"),
        ("Completed", "COMPLETED"),
        ("Skipped", "COMPLETED"),
        ("Failed", "FAILED"),
        ("TimedOut", "FAILED"),
        ("Crashed", "CRASHED"),
        ("Cancelled", "CANCELLED"),
        ("NotReady", "CANCELLED"),
    }


@pytest.mark.rule("ST-06", "SRES-02")
async def test_the_last_state_of_a_run_is_final_and_no_other_has_a_result() -> None:
    for history in await histories():
        *before, last = history

        assert last.is_final()
        for state in before:
            assert not state.is_final()
            with pytest.raises(UnfinishedRun, match=state.type):
                state.result(raise_on_failure=False)


@pytest.mark.rule("SRES-01")
async def test_a_result_is_asked_for_with_or_without_its_failure() -> None:
    good = await number(return_state=True)
    bad: State[Any] = await broken(return_state=True)
    error = bad.result(raise_on_failure=False)

    assert good.result() == good.result(raise_on_failure=True) == 42
    assert good.result(raise_on_failure=False) == 42
    assert bad.result(False) is error is await bad.aresult(raise_on_failure=False)
    for ask in (bad.result, lambda: bad.result(True)):
        with pytest.raises(ValueError, match="boom") as raised:
            ask()
        assert raised.value is error


@pytest.mark.rule("SRES-01", "SRES-06")
async def test_there_is_nothing_to_fetch_and_nothing_to_await() -> None:
    state: Any = await number(return_state=True)

    assert state.result() == 42
    with pytest.raises(TypeError, match="fetch"):
        state.result(fetch=True)


@pytest.mark.rule("ST-10")
def test_what_runs_give_is_a_state() -> None:
    @flow
    def program() -> list[Any]:
        return [{"state": broken.submit(return_state=True)}, 5]

    kept, _ = program()

    assert isinstance(kept["state"], State)
    assert kept["state"].type is StateType.FAILED


@pytest.mark.rule("HIST-08")
async def test_a_body_that_returns_a_state_is_run_again_only_if_it_is_scheduled() -> (
    None
):
    calls: list[str] = []

    @task(retries=1)
    async def again() -> Any:
        calls.append("again")
        return AwaitingRetry() if len(calls) == 1 else "done"

    async with Runtime():
        future = await again.submit()
        await future

    assert [state.name for state in future.history] == [
        "Pending",
        "Running",
        "AwaitingRetry",
        "Retrying",
        "Completed",
    ]
