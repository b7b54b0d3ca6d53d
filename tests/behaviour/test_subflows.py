"""Flows inside flows and tasks: of each kind in each kind, and by `acall`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from headrace import Runtime, check_cancelled, flow, task
from headrace.exceptions import BlockedLoop, RunInterrupted, UpstreamTaskError
from headrace.testing import Recorder


def plain_double(number: int) -> int:
    return 2 * number


async def coroutine_double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


# Not typed here, as wrong calls are made as well; see tests/typing for types.
double: Any = task(name="double")(plain_double)
adouble: Any = task(name="adouble")(coroutine_double)


@flow
def plain_inner(number: Any) -> Any:
    return double.submit(number).result()


@flow
async def coroutine_inner(number: Any) -> Any:
    return await (await adouble.submit(number))


@flow
def plain_failing() -> None:
    raise ValueError("plain")


@flow
async def coroutine_failing() -> None:
    raise ValueError("coroutine")


INNER: Any = pytest.mark.parametrize(
    "inner", [plain_inner, coroutine_inner], ids=["plain", "coroutine"]
)
FAILING: Any = pytest.mark.parametrize(
    "failing", [plain_failing, coroutine_failing], ids=["plain", "coroutine"]
)


# -- in a plain body -------------------------------------------------------------------


@pytest.mark.rule("FLOW-01")
@INNER
def test_a_flow_called_in_a_plain_flow_blocks_and_gives_its_value(inner: Any) -> None:
    @flow
    def outer() -> Any:
        return inner(21)

    assert outer() == 42


@pytest.mark.rule("FLOW-01")
@FAILING
def test_a_flow_called_in_a_plain_flow_raises_what_its_body_did(failing: Any) -> None:
    @flow
    def outer() -> str:
        with pytest.raises(ValueError, match=r"plain|coroutine"):
            failing()
        return "caught"

    assert outer() == "caught"


@pytest.mark.rule("FLOW-01")
@FAILING
def test_a_flow_called_in_a_plain_flow_gives_its_state_on_request(failing: Any) -> None:
    @flow
    def outer() -> Any:
        state = failing(return_state=True)
        return state.name

    assert outer() == "Failed"


@pytest.mark.rule("NEST-02")
@INNER
def test_a_flow_called_in_a_called_plain_task_outside_of_everything(inner: Any) -> None:
    @task
    def outer() -> Any:
        return inner(21)

    assert outer() == 42


@INNER
def test_a_subflow_may_be_given_futures_of_its_caller(inner: Any) -> None:
    @flow
    def outer() -> Any:
        return inner(adouble.submit(21), wait_for=[double.submit(1)])

    assert outer() == 84


@pytest.mark.rule("FLOW-06")
def test_flows_may_recur() -> None:
    @flow
    def down(depth: int) -> Any:
        return double.submit(depth).result() if depth == 20 else adown(depth + 1)

    @flow
    async def adown(depth: int) -> Any:
        return await down.acall(depth + 1)

    assert down(0) == 40


# -- in a coroutine body ---------------------------------------------------------------


@pytest.mark.rule("FLOW-01")
async def test_a_coroutine_flow_awaited_in_a_coroutine_flow() -> None:
    @flow
    async def outer() -> Any:
        return await coroutine_inner(21)

    assert await outer() == 42


async def test_a_plain_flow_called_in_a_coroutine_flow_blocks_and_works() -> None:
    @flow
    async def outer() -> Any:
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        value = plain_inner(21)
        assert turns == []
        return value

    assert await outer() == 42


async def test_in_a_plain_flow_that_blocks_a_loop_every_door_works() -> None:
    @flow
    def inner() -> list[Any]:
        return [
            double(21),
            adouble(21),
            double.submit(21).result(),
            adouble.submit(21).value(),
            *double.map([21]).result(),
            *adouble.map([21]).result(),
            plain_inner(21),
            coroutine_inner(21),
        ]

    @flow
    async def outer() -> list[Any]:
        return inner()

    assert await outer() == [42] * 8


async def test_a_plain_flow_called_in_a_service_without_flows_works() -> None:
    assert plain_inner(21) == 42


@pytest.mark.rule("FLOW-06")
async def test_a_plain_flow_in_a_coroutine_flow_takes_its_name_there() -> None:
    recorder = Recorder()

    @flow
    async def outer() -> None:
        plain_inner(1)
        plain_inner(2)
        await plain_inner.acall(3)

    async with Runtime(observers=[recorder]):
        await outer()

    names = {event.run.name for event in recorder.events}
    assert names >= {"plain-inner-0", "plain-inner-1", "plain-inner-2"}


# -- waiting for the loop that is blocked ----------------------------------------------


class Hidden:
    """Something in which nobody looks for futures."""

    def __init__(self, run: Any) -> None:
        self.run = run


@flow
def take(value: Any) -> Any:
    return value


@flow
def ask_for_its_value(hidden: Hidden) -> Any:
    return hidden.run.value()


@flow
def return_it(hidden: Hidden) -> Any:
    return hidden.run


@flow
def submit_with_it(hidden: Hidden) -> Any:
    return double.submit(hidden.run).result()


@flow
def submit_with_it_and_leave(hidden: Hidden) -> Any:
    double.submit(hidden.run)


@flow
def submit_after_it(hidden: Hidden) -> Any:
    return adouble.submit(1, wait_for=[hidden.run]).value()


@flow
def map_over_it(hidden: Hidden) -> Any:
    return double.map(hidden.run).result()


@flow
def call_with_it(hidden: Hidden) -> Any:
    return double(hidden.run)


@flow
def await_it_in_a_task(hidden: Hidden) -> Any:
    @task
    async def awaits() -> Any:
        return await hidden.run.future

    return awaits.submit().value()


@flow
def await_it_with_a_limit_in_a_task(hidden: Hidden) -> Any:
    @task
    async def awaits() -> Any:
        return await hidden.run.aresult(3600)

    return awaits.submit().value()


@flow
def block_on_it_in_a_task(hidden: Hidden) -> Any:
    return task(hidden.run.value, name="blocks").submit().result()


@flow
def use_it_in_a_subflow(hidden: Hidden) -> Any:
    return submit_with_it(hidden)


@flow
def use_it_in_a_flow_in_a_task(hidden: Hidden) -> Any:
    return task(lambda: submit_with_it(hidden), name="around").submit().result()


WAITS_FOR_THE_BLOCKED_LOOP: dict[str, Callable[[Any], Any]] = {
    "its-input": take,
    "its-wait-for": lambda run: take(1, wait_for=[run]),
    "its-value": lambda run: ask_for_its_value(Hidden(run)),
    "returned": lambda run: return_it(Hidden(run)),
    "input-of-a-submit": lambda run: submit_with_it(Hidden(run)),
    "input-of-a-submit-left": lambda run: submit_with_it_and_leave(Hidden(run)),
    "wait-for-of-a-submit": lambda run: submit_after_it(Hidden(run)),
    "mapped-over": lambda run: map_over_it(Hidden(run)),
    "input-of-a-call": lambda run: call_with_it(Hidden(run)),
    "awaited-in-a-task": lambda run: await_it_in_a_task(Hidden(run)),
    "awaited-with-a-limit": lambda run: await_it_with_a_limit_in_a_task(Hidden(run)),
    "value-in-a-task": lambda run: block_on_it_in_a_task(Hidden(run)),
    "in-a-subflow": lambda run: use_it_in_a_subflow(Hidden(run)),
    "in-a-flow-in-a-task": lambda run: use_it_in_a_flow_in_a_task(Hidden(run)),
}


@pytest.mark.parametrize("how", WAITS_FOR_THE_BLOCKED_LOOP)
async def test_waiting_in_a_plain_flow_for_the_loop_it_blocks_is_refused(
    how: str,
) -> None:
    waits = WAITS_FOR_THE_BLOCKED_LOOP[how]

    @flow
    async def outer() -> str:
        pending = adouble.submit([21])
        with pytest.raises(BlockedLoop) as refusal:
            waits(pending)
        assert await pending.aresult() == [21, 21]
        return str(refusal.value)

    refusal = await outer()

    assert "the run 'adouble-0' is not done" in refusal


@pytest.mark.parametrize("how", WAITS_FOR_THE_BLOCKED_LOOP)
async def test_a_run_that_is_done_can_be_used_in_a_plain_flow(how: str) -> None:
    @flow
    async def outer() -> Any:
        done = adouble.submit([21])
        await done.aresult()
        return WAITS_FOR_THE_BLOCKED_LOOP[how](done)

    assert await outer() == WITHOUT_WAITING.get(how, [21] * 4)


WITHOUT_WAITING = {
    "its-input": [21, 21],
    "its-wait-for": 1,
    "its-value": [21, 21],
    "returned": [21, 21],
    "input-of-a-submit-left": None,
    "wait-for-of-a-submit": 2,
    "mapped-over": [42, 42],
    "awaited-in-a-task": [21, 21],
    "awaited-with-a-limit": [21, 21],
    "value-in-a-task": [21, 21],
}


# -- acall -----------------------------------------------------------------------------


@INNER
async def test_acall_of_a_flow_works_outside_of_everything(inner: Any) -> None:
    assert await inner.acall(21) == 42


@INNER
async def test_acall_of_a_flow_may_wait_for_runs_of_its_caller(inner: Any) -> None:
    @flow
    async def outer() -> Any:
        return await inner.acall(adouble.submit(21), wait_for=[adouble.submit(1)])

    assert await outer() == 84


@pytest.mark.parametrize("how", WAITS_FOR_THE_BLOCKED_LOOP)
async def test_by_acall_every_such_wait_works(how: str) -> None:
    @flow
    async def outer() -> Any:
        pending = adouble.submit([21])
        # In the thread of this one, any other plain flow may block.
        around = flow(lambda: WAITS_FOR_THE_BLOCKED_LOOP[how](pending), name="around")
        return await around.acall()

    assert await outer() == WITHOUT_WAITING.get(how, [21] * 4)


@FAILING
async def test_acall_of_a_flow_raises_or_gives_its_state(failing: Any) -> None:
    @flow
    async def outer() -> str:
        with pytest.raises(ValueError, match=r"plain|coroutine"):
            await failing.acall()
        return (await failing.acall(return_state=True)).name

    assert await outer() == "Failed"


async def test_acall_of_a_plain_flow_leaves_the_loop_free() -> None:
    gate = threading.Event()

    @flow
    def inner() -> bool:
        return gate.wait(5)

    @flow
    async def outer() -> bool:
        running = asyncio.create_task(inner.acall())
        await asyncio.sleep(0)
        gate.set()
        return await running

    assert await outer()


async def test_acall_of_a_plain_flow_uses_the_loop_and_threads_of_its_caller() -> None:
    @task
    async def loop_of_the_task() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @flow
    def inner() -> tuple[Any, str]:
        return loop_of_the_task.submit().value(), threading.current_thread().name

    @flow
    async def outer() -> tuple[Any, str]:
        return await inner.acall()

    loop, thread = await outer()

    assert loop is asyncio.get_running_loop()
    assert thread.startswith("headrace-worker")


async def test_cancelling_acall_stops_a_plain_flow_and_cancels_its_runs() -> None:
    started = threading.Event()
    ended: list[str] = []

    @task
    async def child() -> None:
        try:
            started.set()
            await asyncio.sleep(3600)
        finally:
            ended.append("child")

    @flow
    def inner() -> None:
        try:
            child.submit()
            while True:
                check_cancelled()
        except RunInterrupted:
            ended.append("body")
            raise

    running = asyncio.create_task(inner.acall())
    await asyncio.to_thread(started.wait, 5)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["body", "child"]


async def test_cancelling_acall_releases_a_plain_flow_that_waits_for_its_runs() -> None:
    started = threading.Event()
    ended: list[str] = []

    @task
    async def child() -> None:
        try:
            started.set()
            await asyncio.sleep(3600)
        finally:
            ended.append("child")

    @flow
    def inner() -> None:
        try:
            child.submit().value()
        finally:
            ended.append("body")

    running = asyncio.create_task(inner.acall())
    await asyncio.to_thread(started.wait, 5)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["body", "child"]


async def test_cancelling_acall_withdraws_a_plain_flow_that_has_no_thread_yet() -> None:
    started, gate = threading.Event(), threading.Event()
    ran: list[str] = []

    @task
    def holds_the_thread() -> None:
        started.set()
        assert gate.wait(5)

    inner = flow(lambda: ran.append("body"), name="inner")

    async with Runtime(max_threads=1):
        holding = await holds_the_thread.submit()
        await asyncio.to_thread(started.wait, 5)
        running = asyncio.create_task(inner.acall())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not holding.done()
        gate.set()

    assert ran == []


async def test_plain_flows_by_acall_run_beside_each_other() -> None:
    together = threading.Barrier(3, timeout=5)
    meet = flow(together.wait, name="meet")

    @flow
    async def outer() -> list[int]:
        return sorted(await asyncio.gather(*[meet.acall() for _ in range(3)]))

    assert await outer() == [0, 1, 2]


# -- what a subflow is to its caller ---------------------------------------------------


@pytest.mark.rule("FLOW-02")
def test_a_subflow_counts_its_own_runs() -> None:
    @flow
    def inner() -> str:
        return double.submit(1).name

    @flow
    def outer() -> list[str]:
        return [double.submit(1).name, inner(), inner(), double.submit(1).name]

    assert outer() == ["double-0", "double-0", "double-0", "double-1"]


@pytest.mark.rule("FLOW-04")
async def test_a_subflow_ends_with_its_own_runs_and_not_with_those_of_its_caller() -> (
    None
):
    ended: list[str] = []

    @task
    async def wait(seconds: float, name: str) -> None:
        await asyncio.sleep(seconds)
        ended.append(name)

    @flow
    async def inner() -> None:
        wait.submit(10, "inner")

    @flow
    async def outer() -> None:
        wait.submit(20, "outer")
        await inner()
        ended.append("back")

    await outer()

    assert ended == ["inner", "back", "outer"]


@pytest.mark.rule("FLOW-02")
async def test_a_subflow_whose_failure_was_caught_does_not_fail_its_caller() -> None:
    @flow
    async def outer() -> None:
        with pytest.raises(ValueError, match="coroutine"):
            await coroutine_failing()
        with pytest.raises(ValueError, match="plain"):
            plain_failing()

    assert (await outer(return_state=True)).is_completed()


@pytest.mark.rule("FLOW-07", "FLOW-08")
async def test_one_flow_may_run_many_times_at_once() -> None:
    @flow
    async def outer() -> list[Any]:
        return [*await asyncio.gather(*[coroutine_inner(n) for n in range(100)])]

    assert await outer() == [2 * n for n in range(100)]


@pytest.mark.rule("FLOW-08")
def test_one_plain_flow_may_run_in_many_threads_at_once() -> None:
    together = threading.Barrier(4, timeout=5)
    values: list[Any] = []

    @flow
    def meet(number: int) -> Any:
        together.wait()
        return double.submit(number).result()

    threads = [
        threading.Thread(target=lambda n=n: values.append(meet(n))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=5)

    assert sorted(values) == [0, 2, 4, 6]


@pytest.mark.rule("WAIT-08")
@INNER
def test_a_flow_that_is_no_subflow_cannot_wait_for_others(inner: Any) -> None:
    with pytest.raises(ValueError, match="only flows run as subflows can wait"):
        inner(1, wait_for=[2])


@pytest.mark.rule("WAIT-08", "FLOW-03")
@INNER
@pytest.mark.parametrize("how", ["input", "wait-for"])
async def test_a_subflow_whose_upstream_failed_does_not_start(
    inner: Any, how: str
) -> None:
    @task
    async def fail() -> None:
        raise ValueError("upstream")

    @flow
    async def outer() -> list[str]:
        failed = await fail.submit()
        given: Any = [failed] if how == "input" else [1]
        wait_for = [failed] if how == "wait-for" else None
        with pytest.raises(UpstreamTaskError, match="fail-0") as held_back:
            await inner.acall(*given, wait_for=wait_for)
        state = await inner.acall(*given, wait_for=wait_for, return_state=True)
        return [repr(held_back.value.__cause__), state.name]

    assert await outer() == ["ValueError('upstream')", "NotReady"]


@pytest.mark.parametrize("way", ["awaited", "acall", "in-a-task"])
async def test_cancelling_a_flow_cancels_its_subflows_and_their_runs(way: str) -> None:
    ended: list[str] = []

    @task
    async def child() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("child")

    @flow
    async def inner() -> None:
        child.submit()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("inner")

    @task
    async def between() -> None:
        await inner()

    @flow
    async def outer() -> None:
        if way == "in-a-task":
            between.submit()
        else:
            await (inner() if way == "awaited" else inner.acall())

    running = asyncio.create_task(outer())
    await anyio.wait_all_tasks_blocked()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["child", "inner"]


@pytest.mark.rule("FLOW-04")
async def test_a_body_that_raises_cancels_subflows_started_beside_it() -> None:
    ended: list[str] = []

    @flow
    async def inner() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("inner")

    @flow
    async def outer() -> None:
        beside.append(asyncio.create_task(inner()))
        await anyio.wait_all_tasks_blocked()
        raise ValueError("outer")

    beside: list[asyncio.Task[None]] = []

    with pytest.raises(ValueError, match="outer"):
        await outer()
    assert ended == ["inner"]
    assert beside[0].cancelled()


async def test_a_flow_waits_for_subflows_started_beside_its_body() -> None:
    ended: list[str] = []

    @flow
    async def inner() -> None:
        await asyncio.sleep(10)
        ended.append("inner")

    @flow
    async def outer() -> str:
        beside.append(asyncio.create_task(inner()))
        await asyncio.sleep(1)
        return "left"

    beside: list[asyncio.Task[None]] = []

    assert await outer() == "left"
    assert ended == ["inner"]
    await beside[0]
