"""The doors of a task: called, awaited, submitted, mapped, and `acall`."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from headrace import Runtime, check_cancelled, flow, task
from headrace.exceptions import (
    BlockedLoop,
    ParameterBindError,
    RunInterrupted,
    SubmitOutsideRun,
    UpstreamTaskError,
)
from headrace.states import AwaitingRetry
from headrace.testing import Recorder


def plain_double(number: int) -> int:
    return 2 * number


async def coroutine_double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


# Not typed here, as wrong calls are made as well; see tests/typing for types.
double: Any = task(name="double")(plain_double)
adouble: Any = task(name="adouble")(coroutine_double)


@task
def fail() -> None:
    raise ValueError("plain")


@task
async def afail() -> None:
    raise ValueError("coroutine")


# -- outside of everything -------------------------------------------------------------


@pytest.mark.rule("CALL-08")
def test_a_plain_task_can_be_called_like_a_function() -> None:
    assert double(21) == 42


@pytest.mark.rule("CALL-08")
async def test_a_coroutine_task_can_be_awaited_like_a_function() -> None:
    assert await adouble(21) == 42


@pytest.mark.rule("CALL-08")
def test_a_coroutine_task_can_be_given_to_asyncio_run() -> None:
    assert asyncio.run(adouble(21)) == 42


@pytest.mark.rule("CALL-01")
def test_a_called_task_raises_the_very_exception_of_its_body() -> None:
    error = ValueError("mine")

    @task
    def raise_it() -> None:
        raise error

    with pytest.raises(ValueError, match="mine") as raised:
        raise_it()

    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.rule("CALL-01")
async def test_an_awaited_task_raises_the_very_exception_of_its_body() -> None:
    error = ValueError("mine")

    @task
    async def raise_it() -> None:
        raise error

    with pytest.raises(ValueError, match="mine") as raised:
        await raise_it()

    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.rule("CALL-08")
def test_a_stand_alone_plain_task_ends_when_all_that_it_submitted_has() -> None:
    ended: list[int] = []

    @task
    def note(number: int) -> None:
        ended.append(number)

    @task
    async def anote(number: int) -> None:
        await asyncio.sleep(0.001)
        ended.append(number)

    @task
    def start_and_leave() -> str:
        note.map([1, 2])
        anote.map([3, 4])
        return "left"

    assert start_and_leave() == "left"
    assert sorted(ended) == [1, 2, 3, 4]


@pytest.mark.rule("CALL-08")
async def test_a_stand_alone_coroutine_task_ends_when_all_it_submitted_has() -> None:
    ended: list[int] = []

    @task
    def note(number: int) -> None:
        ended.append(number)

    @task
    async def anote(number: int) -> None:
        await asyncio.sleep(3600)
        ended.append(number)

    @task
    async def start_and_leave() -> str:
        note.map([1, 2])
        anote.map([3, 4])
        return "left"

    assert await start_and_leave() == "left"
    assert sorted(ended) == [1, 2, 3, 4]


@pytest.mark.rule("CALL-08")
def test_a_stand_alone_plain_task_may_use_every_door_inside() -> None:
    @task
    def all_of_them(number: int) -> list[int]:
        return [
            double(number),
            adouble(number),
            double.submit(number).result(),
            adouble.submit(number).value(),
            *double.map([number]).result(),
            *adouble.map([number]).result(),
            asyncio.run(double.acall(number)),
        ]

    assert all_of_them(21) == [42] * 7


@pytest.mark.rule("CALL-08")
async def test_a_stand_alone_coroutine_task_may_use_every_door_inside() -> None:
    @task
    async def all_of_them(number: int) -> list[int]:
        return [
            double(number),
            await adouble(number),
            await (await double.submit(number)),
            await (await adouble.submit(number)),
            *await double.map([number]).aresult(),
            *await adouble.map([number]).aresult(),
            await double.acall(number),
        ]

    assert await all_of_them(21) == [42] * 7


@pytest.mark.rule("CALL-08")
async def test_a_plain_task_called_where_a_foreign_loop_runs_may_submit() -> None:
    @task
    def inside() -> int:
        return double.submit(21).result() + adouble(0)

    # No headrace is around: its runs have a loop of their own while it blocks.
    assert inside() == 42


def test_what_a_stand_alone_task_left_failing_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @task
    def start_and_leave() -> str:
        fail.submit()
        return "left"

    assert start_and_leave() == "left"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "fail-0 (Failed)" in warnings[0]


async def test_cancelling_a_stand_alone_task_cancels_what_it_submitted() -> None:
    ended: list[str] = []

    @task
    async def child() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("child")

    @task
    async def parent() -> None:
        child.submit()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("parent")

    running = asyncio.create_task(parent())
    await anyio.wait_all_tasks_blocked()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == ["child", "parent"]


@pytest.mark.rule("CALL-08")
@pytest.mark.parametrize("verb", ["submit", "map"])
@pytest.mark.parametrize("called", [double, adouble], ids=["plain", "coroutine"])
def test_submitting_outside_of_everything_names_both_fixes(
    called: Any, verb: str
) -> None:
    with pytest.raises(SubmitOutsideRun) as refusal:
        getattr(called, verb)([1])

    assert f"{called.name}.{verb}(...)" in str(refusal.value)
    assert "@flow" in str(refusal.value)
    assert "with headrace.Runtime():" in str(refusal.value)


@pytest.mark.rule("CALL-08")
async def test_submitting_outside_is_refused_in_coroutine_code_too() -> None:
    with pytest.raises(RuntimeError, match="outside of a flow"):
        adouble.submit(1)


@pytest.mark.rule("CALL-08")
def test_arguments_are_checked_before_the_place() -> None:
    with pytest.raises(ParameterBindError):
        double.submit()


@pytest.mark.rule("CALL-08")
async def test_arguments_of_a_coroutine_task_are_checked_by_the_call_itself() -> None:
    with pytest.raises(ParameterBindError):
        adouble()


# -- awaited ---------------------------------------------------------------------------


@pytest.mark.rule("CALL-07")
async def test_awaited_tasks_in_gather_run_together() -> None:
    @task
    async def wait_an_hour(number: int) -> int:
        await asyncio.sleep(3600)
        return number

    @flow
    async def both() -> list[int]:
        return [*await asyncio.gather(wait_an_hour(1), wait_an_hour(2))]

    started = anyio.current_time()

    assert await both() == [1, 2]
    assert anyio.current_time() - started == pytest.approx(3600)


@pytest.mark.rule("CALL-04")
async def test_an_awaited_task_runs_in_the_asyncio_task_of_its_caller() -> None:
    @task
    async def present() -> asyncio.Task[Any] | None:
        return asyncio.current_task()

    @flow
    async def whose() -> bool:
        return await present() is asyncio.current_task()

    assert await whose()


async def test_cancelling_the_caller_cancels_the_task_it_awaits() -> None:
    ended: list[str] = []

    @task
    async def cleans_up() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append("cleaned up")

    @flow
    async def cancels_it() -> str:
        running = asyncio.create_task(cleans_up())
        await anyio.wait_all_tasks_blocked()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return "went on"

    assert await cancels_it() == "went on"
    assert ended == ["cleaned up"]


async def test_a_time_limit_around_an_awaited_task_works_as_around_a_function() -> None:
    @task
    async def sleeps() -> None:
        await asyncio.sleep(3600)

    @flow
    async def limits_it() -> float:
        started = anyio.current_time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await sleeps()
        return anyio.current_time() - started

    assert await limits_it() == pytest.approx(5)


# -- called ----------------------------------------------------------------------------


@pytest.mark.rule("CALL-04")
def test_a_called_plain_task_runs_in_the_thread_of_its_caller() -> None:
    here = task(threading.current_thread)

    @flow
    def whose() -> bool:
        return here() is threading.current_thread()

    assert whose()


async def test_a_called_plain_task_runs_in_the_thread_of_the_loop() -> None:
    here = task(threading.current_thread)

    @flow
    async def whose() -> bool:
        return here() is threading.current_thread()

    assert await whose()


@pytest.mark.rule("CALL-10")
def test_a_called_task_whose_input_failed_raises_why_it_was_held_back() -> None:
    bodies: list[object] = []

    @task
    def take(value: object) -> None:
        bodies.append(value)

    @flow
    def hands_on() -> str:
        with pytest.raises(UpstreamTaskError, match="'fail-0'") as held_back:
            take(fail.submit())
        return repr(held_back.value.__cause__)

    assert hands_on() == "ValueError('plain')"
    assert bodies == []


@pytest.mark.rule("CALL-10")
async def test_an_awaited_task_whose_input_failed_raises_why_it_was_held_back() -> None:
    @flow
    async def hands_on() -> str:
        with pytest.raises(UpstreamTaskError, match="'afail-0'") as held_back:
            await adouble(afail.submit())
        return repr(held_back.value.__cause__)

    assert await hands_on() == "ValueError('coroutine')"


# -- submitted -------------------------------------------------------------------------


@pytest.mark.rule("CALL-06", "CALL-03")
async def test_a_submit_that_is_not_awaited_runs_all_the_same() -> None:
    ran: list[str] = []
    release = asyncio.Event()

    @task
    async def note() -> None:
        ran.append("began")
        await release.wait()
        ran.append("ended")

    @flow
    async def around() -> list[str]:
        note.submit()
        await anyio.wait_all_tasks_blocked()
        begun = [*ran]
        release.set()
        return begun

    assert await around() == ["began"]
    assert ran == ["began", "ended"]


@pytest.mark.rule("CALL-06")
async def test_a_call_of_a_coroutine_task_that_is_not_awaited_makes_no_run() -> None:
    recorder = Recorder()

    async with Runtime(observers=[recorder]):
        called = adouble(1)
        await anyio.wait_all_tasks_blocked()
        called.close()

    assert recorder.events == []


@pytest.mark.rule("CALL-12")
@pytest.mark.parametrize("submitted", [double, adouble], ids=["plain", "coroutine"])
def test_the_record_of_a_run_is_there_when_submit_returns(submitted: Any) -> None:
    @flow
    def around() -> Any:
        hold = threading.Event()
        upstream = task(hold.wait, name="upstream").submit(5)
        record = submitted.submit(1, wait_for=[upstream]).task_run
        found = (record.name, record.state_name, record.run_count, len(record.id))
        hold.set()
        return {"found": found, "flow": record.flow_run_id}

    state = around(return_state=True)

    name = f"{submitted.name}-0"
    assert state.result()["found"] == (name, "Pending", 0, 36)
    assert state.result()["flow"] == state.state_details.flow_run_id


# -- called where waiting would block the loop -----------------------------------------


RAN: list[str] = []


def note(value: object = None) -> str:
    RAN.append("body")
    return "done"


async def allow(*_: object) -> bool:
    return True


WAITS = {
    "an-input": (task(note), {"value": "pending"}, "its input 'adouble-0' is not"),
    "a-nested-input": (task(note), {"value": ["pending"]}, "its input 'adouble-0' is"),
    "wait-for": (task(note), {"wait_for": ["pending"]}, "wait_for"),
    "a-time-limit": (task(timeout_seconds=9)(note), {}, "timeout_seconds=9"),
    "a-retry-delay": (
        task(retries=2, retry_delay_seconds=[0, 7])(note),
        {},
        "retry_delay_seconds=7",
    ),
    "a-coroutine-condition": (
        task(retries=1, retry_condition_fn=allow)(note),
        {},
        "retry_condition_fn",
    ),
}


def with_pending(given: dict[str, Any]) -> dict[str, Any]:
    future = adouble.submit(1)
    return {
        name: [future] if isinstance(value, list) else future
        for name, value in given.items()
    }


@pytest.mark.parametrize("why", WAITS)
async def test_a_called_task_that_may_have_to_wait_is_refused_before_its_body(
    why: str,
) -> None:
    called, given, named = WAITS[why]
    RAN.clear()

    @flow
    async def blocks() -> BlockedLoop:
        with pytest.raises(BlockedLoop) as refusal:
            called(**with_pending(given))
        return refusal.value

    refusal = str(await blocks())

    assert RAN == []
    assert refusal.startswith("note() would block the event loop")
    assert named in refusal
    assert refusal.endswith("Write `await note.acall(...)`.")


@pytest.mark.parametrize("why", WAITS)
async def test_acall_is_the_way_out(why: str) -> None:
    called, given, _ = WAITS[why]

    @flow
    async def waits() -> Any:
        return await called.acall(**with_pending(given))

    assert await waits() == "done"


@pytest.mark.parametrize("why", WAITS)
def test_in_a_plain_flow_the_same_call_waits(why: str) -> None:
    called, given, _ = WAITS[why]

    @flow
    def waits() -> Any:
        return called(**with_pending(given))

    assert waits() == "done"


async def test_a_plain_body_on_the_loop_thread_is_refused_what_its_caller_is() -> None:
    @task
    def outer() -> str:
        with pytest.raises(BlockedLoop, match="adouble-0"):
            double(adouble.submit(1))
        with pytest.raises(BlockedLoop, match=r"await adouble.acall\(\.\.\.\)"):
            adouble(1)
        with pytest.raises(BlockedLoop, match=r"double-\d.result\(\)"):
            double.submit(1).result()
        return "refused"

    @flow
    async def calls() -> str:
        return outer()

    assert await calls() == "refused"


async def test_inputs_that_are_done_need_no_waiting() -> None:
    @flow
    async def calls() -> int:
        future = await adouble.submit(10)
        await future
        return double(future, wait_for=[future])

    assert await calls() == 40


async def test_retries_without_a_delay_need_no_waiting() -> None:
    left = ["first", "second"]

    @task(retries=2)
    def flaky() -> str:
        if left:
            raise ValueError(left.pop(0))
        return "third"

    @flow
    async def calls() -> str:
        return flaky()

    assert await calls() == "third"


async def test_a_body_that_asks_to_run_again_later_cannot_hold_the_loop() -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    @task(retries=1)
    def again_tomorrow() -> Any:
        return AwaitingRetry(scheduled_time=tomorrow)

    @flow
    async def calls() -> str:
        with pytest.raises(BlockedLoop, match="acall"):
            again_tomorrow()
        return "refused"

    assert await calls() == "refused"


# -- acall -----------------------------------------------------------------------------


@pytest.mark.rule("CALL-05")
@pytest.mark.parametrize("called", [double, adouble], ids=["plain", "coroutine"])
class TestAcall:
    async def test_works_outside_of_everything(self, called: Any) -> None:
        assert await called.acall(21) == 42

    async def test_works_in_a_runtime(self, called: Any) -> None:
        async with Runtime():
            assert await called.acall(21) == 42

    async def test_works_in_a_coroutine_flow(self, called: Any) -> None:
        @flow
        async def around() -> int:
            return await called.acall(21)

        assert await around() == 42

    async def test_works_in_a_coroutine_task(self, called: Any) -> None:
        @task
        async def inner() -> int:
            return await called.acall(21)

        @flow
        async def around() -> int:
            return await (await inner.submit())

        assert await around() == 42

    def test_works_in_asyncio_run_inside_a_plain_flow(self, called: Any) -> None:
        @flow
        def around() -> int:
            return asyncio.run(called.acall(21))

        assert around() == 42

    async def test_takes_futures_and_waits_for_others(self, called: Any) -> None:
        @flow
        async def around() -> int:
            return await called.acall(
                adouble.submit(1), wait_for=[double.submit(1), adouble.submit(2)]
            )

        assert await around() == 4

    async def test_gives_a_state_on_request(self, called: Any) -> None:
        state = await called.acall("x", return_state=True)

        assert state.is_completed()
        assert state.result() == "xx"

    async def test_checks_its_arguments(self, called: Any) -> None:
        with pytest.raises(ParameterBindError):
            await called.acall()


@pytest.mark.parametrize("failing", [fail, afail], ids=["plain", "coroutine"])
async def test_acall_raises_what_the_body_raised(failing: Any) -> None:
    with pytest.raises(ValueError, match=r"plain|coroutine"):
        await failing.acall()


@pytest.mark.parametrize("failing", [fail, afail], ids=["plain", "coroutine"])
async def test_a_failure_given_by_acall_counts_as_seen(failing: Any) -> None:
    @flow
    async def around() -> None:
        with pytest.raises(ValueError, match=r"plain|coroutine"):
            await failing.acall()

    state = await around(return_state=True)

    assert state.is_completed()


@pytest.mark.rule("CALL-05")
async def test_plain_tasks_by_acall_run_beside_each_other_and_the_loop() -> None:
    together = threading.Barrier(2, timeout=5)
    meet = task(together.wait)

    @flow
    async def around() -> list[int]:
        return sorted(await asyncio.gather(meet.acall(), meet.acall()))

    assert await around() == [0, 1]


async def test_cancelling_acall_stops_a_plain_body() -> None:
    started, stopped = threading.Event(), threading.Event()

    @task
    def works() -> None:
        try:
            started.set()
            while True:
                check_cancelled()
        except RunInterrupted:
            stopped.set()
            raise

    running = asyncio.create_task(works.acall())
    await asyncio.to_thread(started.wait, 5)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped.is_set()


async def test_cancelling_acall_cancels_a_coroutine_body() -> None:
    ended: list[str] = []

    @task
    async def works() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)
            ended.append("cleaned up")

    running = asyncio.create_task(works.acall())
    await anyio.wait_all_tasks_blocked()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["cleaned up"]


async def test_cancelling_acall_withdraws_a_run_that_waits_for_its_inputs() -> None:
    ran: list[str] = []

    @task
    async def never(_: object) -> None:
        await asyncio.sleep(3600)

    @task
    def after(_: object) -> None:
        ran.append("after")

    @flow
    async def around() -> str:
        first = await never.submit(0)
        running = asyncio.create_task(after.acall(first))
        await anyio.wait_all_tasks_blocked()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not first.done()
        first.cancel()
        return "went on"

    assert await around() == "went on"
    assert ran == []


# -- return_state and wait_for in each door --------------------------------------------


def first() -> str:
    ORDER.append("first")
    return "first"


def second(**named: Any) -> str:
    assert named == {}
    ORDER.append("second")
    return "second"


async def afirst() -> str:
    await asyncio.sleep(0)
    return first()


async def asecond(**named: Any) -> str:
    return second(**named)


ORDER: list[str] = []


def plain_doors(before: Any, after: Any) -> dict[str, Any]:
    waits = {"wait_for": [before], "return_state": True}
    return {
        "call": lambda: after(**waits),
        "submit": lambda: after.submit(**waits),
        "map": lambda: after_one.map([0], **waits)[0],
        "_run": lambda: after._run(wait_for=[before]),
    }


@task
def after_one(_: int) -> str:
    return second()


@pytest.mark.rule("CALL-02", "CALL-14", "WAIT-02")
@pytest.mark.parametrize("door", ["call", "submit", "map", "_run"])
@pytest.mark.parametrize(
    "tasks",
    [(task(first), task(second)), (task(afirst), task(asecond))],
    ids=["plain", "coroutine"],
)
class TestEachDoorInPlainCode:
    def test_waits_for_others_and_gives_a_state(self, tasks: Any, door: str) -> None:
        ORDER.clear()

        @flow
        def around() -> Any:
            before = tasks[0].submit()
            state = plain_doors(before, tasks[1])[door]()
            return state.result()

        assert around() == "second"
        assert ORDER == ["first", "second"]

    def test_gives_the_state_of_a_run_held_back(self, tasks: Any, door: str) -> None:
        ORDER.clear()

        @flow
        def around() -> str:
            state = plain_doors(fail.submit(), tasks[1])[door]()
            assert state.is_cancelled()
            return state.name

        assert around() == "NotReady"
        assert ORDER == []


def coroutine_doors(before: Any, after: Any) -> dict[str, Any]:
    waits = {"wait_for": [before], "return_state": True}

    async def mapped() -> Any:
        return (await after_one.map([0], **waits))[0]

    return {
        "await": lambda: after(**waits),
        "acall": lambda: after.acall(**waits),
        "submit": lambda: after.submit(**waits),
        "map": mapped,
    }


DOORS_IN_COROUTINE_CODE = [
    ("coroutine", "await"),
    ("coroutine", "acall"),
    ("coroutine", "submit"),
    ("coroutine", "map"),
    ("plain", "acall"),
    ("plain", "submit"),
]


@pytest.mark.rule("CALL-02", "CALL-14", "WAIT-02")
@pytest.mark.parametrize(("kind", "door"), DOORS_IN_COROUTINE_CODE)
class TestEachDoorInCoroutineCode:
    async def test_waits_for_others_and_gives_a_state(
        self, kind: str, door: str
    ) -> None:
        ORDER.clear()
        after = task(second) if kind == "plain" else task(asecond)

        @flow
        async def around() -> Any:
            before = task(afirst).submit()
            state = await coroutine_doors(before, after)[door]()
            return state.result()

        assert await around() == "second"
        assert ORDER == ["first", "second"]

    async def test_gives_the_state_of_a_run_held_back(
        self, kind: str, door: str
    ) -> None:
        ORDER.clear()
        after = task(second) if kind == "plain" else task(asecond)

        @flow
        async def around() -> str:
            state = await coroutine_doors(afail.submit(), after)[door]()
            assert state.is_cancelled()
            return state.name

        assert await around() == "NotReady"
        assert ORDER == []


@pytest.mark.rule("CALL-02")
def test_return_state_never_raises_for_a_failed_run() -> None:
    state = fail(return_state=True)

    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ValueError)


@pytest.mark.rule("CALL-02")
async def test_return_state_of_an_awaited_task_never_raises_for_a_failed_run() -> None:
    state = await afail(return_state=True)

    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ValueError)


@pytest.mark.rule("CALL-13")
def test_a_failure_given_as_a_state_counts_as_seen() -> None:
    @flow
    def around() -> None:
        fail(return_state=True)
        fail.submit(return_state=True)
        _ = afail(return_state=True)

    assert around(return_state=True).is_completed()


async def test_a_call_that_is_never_awaited_warns_by_the_name_of_the_task() -> None:
    @flow(name="whole")
    async def a_flow() -> None:
        adouble(1)

    whole: Any = a_flow
    with pytest.warns(RuntimeWarning, match="coroutine 'whole' was never awaited"):
        whole()
    with pytest.warns(RuntimeWarning, match="coroutine 'adouble' was never awaited"):
        await whole()
