"""Flows that run their body again, and what they need not do again."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from headrace import Runtime, flow, task, temporary_settings

Calls = list[Any]


def flaky(calls: Calls, fails: int) -> Any:
    """A body that fails so many times."""

    def body(x: Any = 1) -> Any:
        calls.append(x)
        if len(calls) <= fails:
            raise ValueError(f"attempt {len(calls)}")
        return x

    return body


def in_coroutine(fn: Any) -> Any:
    async def body(x: Any = 1) -> Any:
        return fn(x)

    return body


KINDS = pytest.mark.parametrize(
    "make", [lambda fn: fn, in_coroutine], ids=["plain", "coroutine"]
)


@KINDS
@pytest.mark.rule("RETRY-17")
async def test_the_body_of_a_failed_flow_runs_again_in_the_same_run(make: Any) -> None:
    calls: Calls = []
    states: list[Any] = []

    def note(it: Any, run: Any, state: Any) -> None:
        states.extend((run.id, each.name) for each in run.history)

    main: Any = flow(make(flaky(calls, 2)), retries=2, on_completion=[note])

    assert await main.acall(5) == 5

    assert len(calls) == 3
    assert len({run for run, _ in states}) == 1


@KINDS
@pytest.mark.rule("HIST-12")
async def test_the_states_of_a_flow_that_is_retried(make: Any) -> None:
    names: list[str] = []

    def note(it: Any, run: Any, state: Any) -> None:
        names.extend(each.name for each in run.history)

    main: Any = flow(make(flaky([], 1)), retries=1, on_completion=[note])
    await main.acall()

    assert names == ["Pending", "Running", "AwaitingRetry", "Running", "Completed"]


@KINDS
async def test_a_flow_that_fails_too_often_raises_the_last_error(make: Any) -> None:
    calls: Calls = []

    with pytest.raises(ValueError, match="attempt 3"):
        await flow(make(flaky(calls, 9)), retries=2).acall()

    assert len(calls) == 3


async def test_a_flow_waits_before_it_runs_again() -> None:
    main: Any = flow(
        in_coroutine(flaky([], 2)), retries=2, retry_delay_seconds=[60, 3600]
    )
    began = anyio.current_time()

    await main()

    assert anyio.current_time() - began == pytest.approx(3660)


@pytest.mark.rule("SET-01")
async def test_the_settings_give_the_retries_of_flows_that_say_nothing() -> None:
    with temporary_settings(flow_default_retries=2):
        main: Any = flow(in_coroutine(flaky([], 2)))

    assert main.retries == 2
    assert await main() == 1
    assert flow(flaky([], 0)).retries == 0


@pytest.mark.parametrize("in_plain_flow", [False, True], ids=["coroutine", "plain"])
@pytest.mark.parametrize("how", ["submit", "call", "map"])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.rule("RETRY-17")
async def test_runs_that_completed_are_not_executed_again(
    in_plain_flow: bool, how: str, kind: str
) -> None:
    done: Calls = []
    calls: Calls = []

    def step(x: int) -> int:
        done.append(x)
        return x + 1

    async def step_in_coroutine(x: int) -> int:
        return step(x)

    it: Any = task(step if kind == "plain" else step_in_coroutine)
    fails = flaky(calls, 2)

    @flow(retries=2)
    def plain() -> Any:
        if how == "submit":
            value = it.submit(it.submit(1)).value()
        elif how == "call":
            value = it(it(1))
        else:
            value = sum(future.value() for future in it.map([1, 2]))
        return fails(value)

    @flow(retries=2)
    async def coroutine() -> Any:
        if how == "submit":
            value = await (await it.submit(it.submit(1)))
        elif how == "call":
            value = await it.acall(await it.acall(1))
        else:
            value = sum([await future for future in await it.map([1, 2])])
        return fails(value)

    value = await (plain if in_plain_flow else coroutine).acall()

    assert value == (5 if how == "map" else 3)
    assert sorted(done) == [1, 2]
    assert len(calls) == 3


@pytest.mark.rule("RETRY-17")
async def test_runs_that_failed_are_executed_again() -> None:
    calls: Calls = []
    step: Any = task(in_coroutine(flaky(calls, 1)))
    seen: list[Any] = []

    @flow(retries=1)
    async def main() -> Any:
        future = await step.submit(1)
        await future.astate()
        seen.append(future.task_run)
        return await future

    assert await main() == 1
    assert len(calls) == 2
    assert [run.state_name for run in seen] == ["Failed", "Completed"]
    assert seen[0].id == seen[1].id
    assert seen[0].name == seen[1].name


@pytest.mark.rule("RETRY-18")
async def test_a_run_given_something_else_is_executed() -> None:
    attempts: Calls = []

    @task
    async def double(x: Any) -> Any:
        return [x, x]

    @flow(retries=1)
    async def main() -> Any:
        attempts.append(1)
        value = await (await double.submit(len(attempts)))
        if len(attempts) == 1:
            raise ValueError
        return value

    assert await main() == [2, 2]


def open_lock() -> object:
    return threading.Lock()


@pytest.mark.rule("RETRY-18")
@pytest.mark.parametrize("same", [True, False])
async def test_inputs_are_told_apart_also_when_they_cannot_be_pickled(
    same: bool,
) -> None:
    done: Calls = []
    attempts: Calls = []
    kept = open_lock()

    @task
    async def use(x: Any) -> str:
        done.append(1)
        return "used"

    @flow(retries=1)
    async def main() -> str:
        attempts.append(1)
        value = await (await use.submit(kept if same else open_lock()))
        if len(attempts) == 1:
            raise ValueError
        return value

    await main()

    assert len(done) == (1 if same else 2)


@pytest.mark.rule("RETRY-18")
async def test_an_input_that_a_body_changes_is_known_again() -> None:
    done: Calls = []
    attempts: Calls = []

    @task
    async def eat(xs: list[int]) -> int:
        done.append(1)
        return xs.pop()

    @flow(retries=1)
    async def main() -> int:
        attempts.append(1)
        value = await (await eat.submit([1, 2]))
        if len(attempts) == 1:
            raise ValueError
        return value

    assert await main() == 2
    assert len(done) == 1


async def test_a_run_that_is_known_has_no_hooks_called_again() -> None:
    told: list[str] = []
    hook = lambda it, run, state: told.append(state.name)  # noqa: E731 - short
    step: Any = task(in_coroutine(lambda x: x), on_completion=[hook], on_running=[hook])
    fails = flaky([], 1)

    @flow(retries=1)
    async def main() -> Any:
        return fails(await (await step.submit(1)))

    assert await main() == 1
    assert told == ["Running", "Completed"]


@pytest.mark.rule("RETRY-13")
async def test_the_limit_of_a_flow_is_that_of_each_attempt() -> None:
    calls: Calls = []

    @task
    async def wait() -> None:
        await asyncio.sleep(1000)

    @flow(retries=1, timeout_seconds=10, retry_delay_seconds=100)
    async def main() -> str:
        calls.append(1)
        if len(calls) == 1:
            await (await wait.submit())
        return "done"

    assert await main() == "done"


async def test_a_flow_that_is_cancelled_is_not_run_again() -> None:
    calls: Calls = []

    @flow(retries=3)
    async def main() -> None:
        calls.append(1)
        await asyncio.sleep(1000)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(main(), 5)

    assert calls == [1]


async def test_a_flow_cancelled_with_the_one_around_is_not_run_again() -> None:
    calls: Calls = []

    @flow(retries=3)
    async def inner() -> None:
        calls.append(1)
        await asyncio.sleep(1000)

    @task
    async def run() -> None:
        await inner()

    async with Runtime():
        future = await run.submit()
        await asyncio.sleep(5)
        future.cancel()

    assert calls == [1]


async def test_runs_of_each_attempt_are_numbered_from_the_start() -> None:
    names: list[str] = []
    fails = flaky([], 1)

    @flow(retries=1)
    async def main() -> Any:
        future = await task(in_coroutine(lambda x: x), name="step").submit(1)
        names.append(future.name)
        return fails(await future)

    await main()

    assert names == ["step-0", "step-0"]


async def test_a_failure_that_nobody_observed_fails_each_attempt_anew() -> None:
    calls: Calls = []
    bad: Any = task(in_coroutine(flaky(calls, 1)))

    @flow(retries=1)
    async def main() -> None:
        await bad.submit()

    assert await main() is None
    assert len(calls) == 2


@KINDS
async def test_hooks_of_a_flow_hear_of_its_retries(make: Any) -> None:
    told: list[str] = []
    hook = lambda it, run, state: told.append(state.name)  # noqa: E731 - short
    main: Any = flow(
        make(flaky([], 1)),
        retries=1,
        on_running=[hook],
        on_retry=[hook],
        on_completion=[hook],
    )

    await main.acall()

    assert told == ["Running", "AwaitingRetry", "Running", "Completed"]
