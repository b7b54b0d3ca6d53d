"""Hooks: called in order, with the state, and never able to change it."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace import (
    Flow,
    Runtime,
    State,
    Task,
    allow_failure,
    flow,
    task,
    temporary_settings,
)
from headrace.exceptions import BlockedLoop, CancelledRun
from headrace.runs import FlowRun, TaskRun

Told = list[tuple[Any, ...]]


class Notes:
    """Hooks that write down what they were told."""

    def __init__(self) -> None:
        self.told: Told = []

    def plain(self, name: str = "plain") -> Callable[..., None]:
        def hook(it: Any, run: Any, state: State[Any]) -> None:
            self.told.append((name, run.name, state.name))

        return hook

    def coroutine(self, name: str = "coroutine") -> Callable[..., Any]:
        async def hook(it: Any, run: Any, state: State[Any]) -> None:
            self.told.append((name, run.name, state.name))

        return hook

    def waiting(self, name: str = "waiting") -> Callable[..., Any]:
        async def hook(it: Any, run: Any, state: State[Any]) -> None:
            await asyncio.sleep(0)
            self.told.append((name, run.name, state.name))

        return hook

    def all(self, kinds: str = "plain") -> dict[str, Any]:
        make = getattr(self, kinds)
        options = (
            "running",
            "retry",
            "completion",
            "failure",
            "crashed",
            "cancellation",
        )
        return {f"on_{name}": [make(name)] for name in options}

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.told]


def plain_body(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return x


async def coroutine_body(x: int) -> int:
    return plain_body(x)


async def submitted(it: Any, x: int) -> Any:
    async with Runtime():
        return await it.submit(x).astate()


async def awaited(it: Any, x: int) -> Any:
    async with Runtime():
        return await it.acall(x, return_state=True)


async def alone(it: Any, x: int) -> Any:
    return await it.acall(x, return_state=True)


async def in_plain_flow(it: Any, x: int) -> Any:
    @flow
    def main() -> Any:
        state = it(x, return_state=True)
        return {"state": [state]}

    return (await main.acall())["state"][0]


DOORS = pytest.mark.parametrize("door", [submitted, awaited, alone, in_plain_flow])
BODIES = pytest.mark.parametrize("body", [plain_body, coroutine_body])
KINDS = pytest.mark.parametrize("kinds", ["plain", "coroutine", "waiting"])


@DOORS
@BODIES
@KINDS
@pytest.mark.parametrize(
    ("x", "expected"), [(1, ["running", "completion"]), (-1, ["running", "failure"])]
)
@pytest.mark.rule("HOOK-01", "HOOK-04")
async def test_hooks_hear_of_the_beginning_and_the_end_through_every_door(
    door: Any, body: Any, kinds: str, x: int, expected: list[str]
) -> None:
    notes = Notes()
    noted: Any = task(body, **notes.all(kinds))

    state = await door(noted, x)

    assert notes.names == expected
    assert notes.told[-1][2] == state.name


@BODIES
@KINDS
async def test_hooks_of_one_option_are_called_in_order(body: Any, kinds: str) -> None:
    notes = Notes()
    mixed = [
        notes.plain("1"),
        notes.waiting("2"),
        notes.coroutine("3"),
        notes.plain("4"),
    ]
    noted: Any = task(body, on_completion=[*mixed, getattr(notes, kinds)("5")])

    async with Runtime():
        await noted.submit(1).astate()

    assert notes.names == ["1", "2", "3", "4", "5"]


@DOORS
@BODIES
@KINDS
async def test_hooks_hear_of_each_attempt_and_of_each_retry(
    door: Any, body: Any, kinds: str
) -> None:
    notes = Notes()
    delay = 0 if door is in_plain_flow else 30  # it would pause in real time
    noted: Any = task(body, retries=1, retry_delay_seconds=delay, **notes.all(kinds))

    await door(noted, -1)

    assert [(name, state) for name, _, state in notes.told] == [
        ("running", "Running"),
        ("retry", "AwaitingRetry"),
        ("running", "Retrying"),
        ("failure", "Failed"),
    ]


@pytest.mark.rule("RETRY-14")
async def test_hooks_of_the_end_are_called_once_after_all_attempts() -> None:
    notes = Notes()
    noted: Any = task(coroutine_body, retries=3, on_failure=[notes.coroutine()])

    async with Runtime():
        await noted.submit(-1).astate()

    assert len(notes.told) == 1


@pytest.mark.rule("HOOK-03", "HOOK-07")
async def test_a_hook_is_given_task_run_and_state_by_position() -> None:
    given: list[Any] = []

    def hook(a: Any, b: Any, c: Any) -> None:
        given.extend((a, b, c, b.state_name, c.result(), b.run_count))

    noted: Any = task(coroutine_body, on_completion=[hook])
    async with Runtime():
        future = await noted.submit(7)
        await future

    assert given[0] is noted
    assert given[1] == future.task_run
    assert isinstance(given[1], TaskRun)
    assert given[2] is future.state
    assert given[3:] == ["Completed", 7, 1]


@pytest.mark.rule("HOOK-05")
@BODIES
@KINDS
async def test_whoever_waits_for_the_run_waits_for_its_hooks(
    body: Any, kinds: str
) -> None:
    notes = Notes()
    noted: Any = task(body, on_completion=[getattr(notes, kinds)()])

    async with Runtime():
        future = await noted.submit(3)
        assert await future == 3
        seen = list(notes.told)

    assert len(seen) == 1


async def test_a_run_is_not_done_before_its_hooks_are() -> None:
    notes = Notes()
    seen: list[object] = []

    async def look(it: Any, run: Any, state: State[Any]) -> None:
        await asyncio.sleep(0)
        seen.append((future.done(), future.cancel(), run.state_name))

    noted: Any = task(coroutine_body, on_completion=[look, notes.coroutine()])
    async with Runtime():
        future = await noted.submit(3)
        assert await future == 3

    assert seen == [(False, False, "Completed")]
    assert future.state.name == "Completed"


@pytest.mark.rule("HOOK-05")
@KINDS
async def test_dependants_start_after_the_hooks(kinds: str) -> None:
    notes = Notes()
    first: Any = task(coroutine_body, on_completion=[getattr(notes, kinds)("hook")])

    @task
    async def second(x: int) -> None:
        notes.told.append(("second",))

    async with Runtime():
        await (await second.submit(first.submit(1)))

    assert notes.names == ["hook", "second"]


def raising(error: BaseException) -> Callable[..., None]:
    def hook(it: Any, run: Any, state: Any) -> None:
        raise error

    return hook


def raising_on_the_loop(error: BaseException) -> Callable[..., Any]:
    async def hook(it: Any, run: Any, state: Any) -> None:
        raise error

    return hook


@pytest.mark.rule("HOOK-06")
@pytest.mark.parametrize("make", [raising, raising_on_the_loop])
@pytest.mark.parametrize(
    "error", [ValueError("boom"), SystemExit(3), asyncio.CancelledError()], ids=repr
)
@BODIES
@DOORS
async def test_what_a_hook_raises_is_logged_and_changes_nothing(
    door: Any,
    body: Any,
    error: BaseException,
    make: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()
    noted: Any = task(body, on_completion=[make(error), notes.plain()])

    state = await door(noted, 1)

    assert state.name == "Completed"
    assert len(notes.told) == 1
    record = next(r for r in caplog.records if r.name == "headrace.hooks")
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "hook" in record.getMessage()


@pytest.mark.rule("HOOK-08")
async def test_hooks_without_a_name_work(caplog: pytest.LogCaptureFixture) -> None:
    class Hook:
        def __call__(self, it: Any, run: Any, state: Any) -> None:
            raise ValueError("boom")

    seen: list[Any] = []
    partial = functools.partial(lambda extra, it, run, state: seen.append(extra), 5)
    noted: Any = task(coroutine_body, on_completion=[Hook(), partial])

    async with Runtime():
        state = await noted.submit(1).astate()

    assert state is not None
    assert state.is_completed()
    assert seen == [5]
    assert "the hook Hook of coroutine_body-0 failed" in caplog.text


@pytest.mark.rule("HOOK-10")
async def test_what_a_hook_returns_is_ignored() -> None:
    noted: Any = task(coroutine_body, on_completion=[lambda *_: State(type="FAILED")])

    async with Runtime():
        state = await noted.submit(1).astate()

    assert state is not None
    assert state.is_completed()


async def test_a_plain_hook_that_gives_a_coroutine_is_told_how_to_write_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None: ...

    noted: Any = task(coroutine_body, on_completion=[lambda *_: work()])
    async with Runtime():
        await noted.submit(1).astate()

    assert "returned something to await" in caplog.text


@pytest.mark.rule("HOOK-09")
@KINDS
async def test_each_hook_is_named_in_the_log_for_those_who_look_closely(
    kinds: str, caplog: pytest.LogCaptureFixture
) -> None:
    def names() -> list[str]:
        ours = [r for r in caplog.records if r.name == "headrace.hooks"]
        return [record.getMessage() for record in ours]

    noted: Any = task(coroutine_body, on_completion=[getattr(Notes(), kinds)()])
    for level in (logging.INFO, logging.DEBUG):
        caplog.set_level(level)
        async with Runtime():
            await noted.map(range(20)).aresult()
        if level == logging.INFO:
            assert names() == []
            assert len(caplog.records) <= 5

    assert len(names()) == 20
    assert "calling the hook hook of coroutine_body-0" in names()


# -- which states -----------------------------------------------------------------


@pytest.mark.rule("HOOK-02")
@KINDS
async def test_hooks_hear_of_crashes(kinds: str) -> None:
    notes = Notes()

    @task(**notes.all(kinds))
    async def crash() -> None:
        raise SystemExit(1)

    async with Runtime():
        await crash.submit().astate()

    assert notes.names == ["running", "crashed"]


@pytest.mark.rule("HOOK-02")
@KINDS
async def test_hooks_hear_of_a_run_cancelled_at_work(kinds: str) -> None:
    notes = Notes()

    @task(**notes.all(kinds))
    async def sleep() -> None:
        await asyncio.sleep(1000)

    async with Runtime():
        future = await sleep.submit()
        await asyncio.sleep(10)
        future.cancel()
        with pytest.raises(CancelledRun):
            await future

    assert notes.names == ["running", "cancellation"]


@KINDS
async def test_hooks_hear_of_a_run_cancelled_before_it_began(kinds: str) -> None:
    notes = Notes()
    never = asyncio.Event()

    @task
    async def wait() -> None:
        await never.wait()

    noted: Any = task(coroutine_body, **notes.all(kinds))
    async with Runtime():
        first = await wait.submit()
        future = await noted.submit(1, wait_for=[first])
        future.cancel()
        with pytest.raises(CancelledRun):
            await future
        never.set()

    assert notes.names == ["cancellation"]


def body_that_waits(make: Any, notes: Notes, kinds: str) -> Any:
    @make(**notes.all(kinds))
    def wait() -> None:
        _ = long.submit().result()

    return wait


def retried_body(make: Any, notes: Notes, kinds: str) -> Any:
    @make(retries=1, retry_delay_seconds=1000, **notes.all(kinds))
    def fail() -> None:
        raise ValueError("again")

    return fail


def body_that_is_held_up(make: Any, notes: Notes, kinds: str) -> Any:
    held_up = make(**notes.all(kinds))(lambda _: None)
    return lambda: held_up(long.submit())


@task
async def long() -> None:
    await asyncio.sleep(1000)


@KINDS
@pytest.mark.parametrize("make", [task, flow])
@pytest.mark.parametrize("kind", [body_that_waits, retried_body, body_that_is_held_up])
async def test_hooks_hear_of_a_run_in_place_in_a_plain_body_that_is_cancelled(
    kind: Any, make: Any, kinds: str
) -> None:
    notes = Notes()
    inner = kind(make, notes, kinds)

    @task
    def outer() -> None:
        inner()

    async with Runtime() as runtime:
        future = await outer.submit()
        await asyncio.sleep(10)
        future.cancel()
        await future.astate()
        assert runtime.stats()["abandoned_threads"] == 0

    assert notes.names[-1] == "cancellation"
    assert notes.names.count("cancellation") == 1


@KINDS
async def test_a_caller_that_is_cancelled_has_the_hooks_called_first(
    kinds: str,
) -> None:
    notes = Notes()

    @task(**notes.all(kinds))
    async def sleep() -> None:
        await asyncio.sleep(1000)

    async def main() -> None:
        async with Runtime():
            await sleep()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(main(), 30)

    assert notes.names == ["running", "cancellation"]


@pytest.mark.rule("HOOK-02", "RES-12")
async def test_a_run_that_was_held_back_has_no_hooks_called() -> None:
    notes = Notes()
    first: Any = task(coroutine_body)
    second: Any = task(coroutine_body, **notes.all())

    async with Runtime():
        future = await second.submit(first.submit(-1))
        state = await future.astate()

    assert state is not None
    assert state.name == "NotReady"
    assert notes.told == []


@pytest.mark.rule("HOOK-02", "RES-12")
@BODIES
async def test_a_run_in_place_that_was_held_back_has_no_hooks_called(body: Any) -> None:
    notes = Notes()
    bad: Any = task(coroutine_body)
    held: Any = task(body, **notes.all())
    inner: Any = flow(body, **notes.all())

    @flow
    async def coroutine() -> Any:
        future = await bad.submit(-1)
        return [[await it.acall(future, return_state=True) for it in (held, inner)]]

    @flow
    def plain() -> Any:
        future = bad.submit(-1)
        return [[it(future, return_state=True) for it in (held, inner)]]

    ((first, second),) = await coroutine()
    ((third, fourth),) = await plain.acall()

    assert {each.name for each in (first, second, third, fourth)} == {"NotReady"}
    assert notes.told == []


@pytest.mark.rule("HOOK-01")
async def test_a_time_limit_is_a_failure_for_hooks() -> None:
    notes = Notes()

    @task(timeout_seconds=5, **notes.all("coroutine"))
    async def slow() -> None:
        await asyncio.sleep(1000)

    async with Runtime():
        await slow.submit().astate()

    assert notes.told[-1] == ("failure", "slow-0", "TimedOut")


async def test_hooks_that_hear_of_a_failure_do_not_observe_it() -> None:
    noted: Any = task(coroutine_body, on_failure=[Notes().coroutine()])

    @flow
    async def main() -> None:
        await noted.submit(-1)

    with pytest.raises(ValueError, match="negative"):
        await main()


async def test_the_time_a_hook_takes_does_not_count_for_the_limit_of_the_body() -> None:
    async def slow(it: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(5)

    noted: Any = task(coroutine_body, timeout_seconds=2, on_running=[slow])

    async with Runtime():
        assert await (await noted.submit(1)) == 1


# -- where they run ---------------------------------------------------------------


async def test_plain_hooks_of_submitted_runs_keep_the_loop_free() -> None:
    here = threading.get_ident()
    seen: list[int] = []
    noted: Any = task(
        coroutine_body, on_completion=[lambda *_: seen.append(threading.get_ident())]
    )

    async with Runtime():
        await noted.submit(1).astate()

    assert here not in seen


def test_hooks_of_a_plain_task_called_in_plain_code_run_in_its_thread() -> None:
    seen: list[int] = []
    noted: Any = task(
        plain_body, on_completion=[lambda *_: seen.append(threading.get_ident())]
    )

    assert noted(1) == 1

    assert seen == [threading.get_ident()]


@pytest.mark.rule("HOOK-04")
async def test_a_plain_task_with_a_coroutine_hook_is_not_called_on_the_loop() -> None:
    notes = Notes()
    noted: Any = task(plain_body, on_completion=[notes.coroutine()])

    with pytest.raises(
        BlockedLoop, match=r"hook that is a coroutine.*plain_body\.acall"
    ):
        noted(1)

    assert notes.told == []
    assert await noted.acall(1) == 1
    assert len(notes.told) == 1


@pytest.mark.rule("HOOK-05")
async def test_a_hook_may_run_tasks_of_its_own() -> None:
    seen: list[int] = []

    async def hook(it: Any, run: Any, state: Any) -> None:
        seen.append(await task(coroutine_body)(5))
        seen.append(await (await task(coroutine_body).submit(6)))

    noted: Any = task(coroutine_body, on_completion=[hook])
    async with Runtime():
        await noted.submit(1).astate()

    assert seen == [5, 6]


@BODIES
@KINDS
async def test_a_thousand_runs_have_their_hooks_called(body: Any, kinds: str) -> None:
    notes = Notes()
    noted: Any = task(body, on_completion=[getattr(notes, kinds)()] * 2)

    @flow
    async def main() -> list[int]:
        return noted.map(range(1000))

    assert await main() == list(range(1000))
    assert len(notes.told) == 2000


# -- how long they take ------------------------------------------------------------


async def test_a_hook_that_waits_too_long_is_cancelled_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()

    async def for_ever(it: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(10_000)

    noted: Any = task(coroutine_body, on_completion=[for_ever, notes.coroutine()])
    with temporary_settings(hook_timeout_seconds=3):
        async with Runtime():
            assert await (await noted.submit(1)) == 1

    assert len(notes.told) == 1
    assert "it took longer than 3.0 seconds" in caplog.text


@pytest.mark.parametrize("door", [submitted, alone])
async def test_a_hook_that_swallows_its_cancellation_is_left_behind(
    door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    over = asyncio.Event()
    ended = asyncio.Event()

    async def stubborn(it: Any, run: Any, state: Any) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    noted: Any = task(coroutine_body, on_completion=[stubborn])
    with temporary_settings(hook_timeout_seconds=3, cancel_grace_seconds=2):
        state = await door(noted, 1)

    assert state.name == "Completed"
    assert "left behind" in caplog.text
    over.set()
    await ended.wait()
    await asyncio.sleep(0)


# -- flows -------------------------------------------------------------------------


async def run_flow(it: Any, x: int) -> Any:
    return await it.acall(x, return_state=True)


async def run_flow_in_runtime(it: Any, x: int) -> Any:
    async with Runtime():
        return await it.acall(x, return_state=True)


async def call_flow(it: Any, x: int) -> Any:
    return await asyncio.to_thread(task(lambda: [[it(x, return_state=True)]]))


@pytest.mark.rule("HOOK-11")
@pytest.mark.parametrize("door", [run_flow, run_flow_in_runtime, call_flow])
@BODIES
@KINDS
@pytest.mark.parametrize(
    ("x", "expected"), [(1, ["running", "completion"]), (-1, ["running", "failure"])]
)
async def test_hooks_of_flows_hear_of_beginning_and_end(
    door: Any, body: Any, kinds: str, x: int, expected: list[str]
) -> None:
    notes = Notes()

    await door(flow(body, **notes.all(kinds)), x)

    assert notes.names == expected


@pytest.mark.rule("HOOK-11")
async def test_hooks_of_flows_hear_of_cancellation_and_crash() -> None:
    notes = Notes()

    @flow(**notes.all("coroutine"))
    async def sleeps() -> None:
        await asyncio.sleep(1000)

    @flow(**notes.all())
    async def crashes() -> None:
        raise SystemExit(1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sleeps(), 5)
    await crashes(return_state=True)

    assert notes.names == ["running", "cancellation", "running", "crashed"]


@pytest.mark.rule("HOOK-11")
async def test_a_hook_of_a_flow_is_given_flow_run_and_state() -> None:
    given: list[Any] = []

    @flow(on_completion=[lambda *args: given.extend(args)])
    async def main(x: int) -> int:
        return x

    assert await main(4) == 4

    it, run, state = given
    assert it is main
    assert isinstance(run, FlowRun)
    assert (run.flow_name, run.name, run.state_name) == ("main", "main-0", "Completed")
    assert state.result() == 4


async def test_the_verdict_of_a_flow_comes_before_its_hooks() -> None:
    notes = Notes()
    bad: Any = task(coroutine_body)

    @flow(**notes.all())
    async def main() -> None:
        await bad.submit(-1)

    state = await main(return_state=True)

    assert state.is_failed()
    assert notes.names == ["running", "failure"]


# -- how they are given ---------------------------------------------------------------


@pytest.mark.parametrize("make", [task, flow])
async def test_hooks_are_added_with_decorators(make: Any) -> None:
    notes = Notes()
    noted = make(coroutine_body)

    @noted.on_completion
    def first(it: Any, run: Any, state: Any) -> None:
        notes.told.append(("first",))

    @noted.on_completion
    async def second(it: Any, run: Any, state: Any) -> None:
        notes.told.append(("second",))

    @noted.on_running
    def begins(it: Any, run: Any, state: Any) -> None:
        notes.told.append(("begins",))

    assert await noted(1) == 1

    assert notes.names == ["begins", "first", "second"]
    assert noted.hooks["on_completion"] == [first, second]
    assert first(None, None, None) is None


@pytest.mark.parametrize("make", [Task, Flow])
def test_hooks_can_be_assigned_and_cleared(make: Any) -> None:
    hook = Notes().plain()
    noted = make(plain_body, on_failure=[hook])

    noted.on_completion = [hook]
    cleared = noted.with_options(on_failure=None)

    assert noted.hooks["on_completion"] == noted.hooks["on_failure"] == [hook]
    assert cleared.hooks["on_failure"] == []
    assert cleared.hooks["on_completion"] == [hook]


@pytest.mark.rule("OPT-07")
def test_copies_have_lists_of_hooks_of_their_own() -> None:
    given = [Notes().plain()]
    noted: Any = task(plain_body, on_failure=given)
    copied = noted.with_options(name="copy")

    given.append(Notes().plain())
    copied.on_failure(Notes().plain())

    assert len(noted.hooks["on_failure"]) == 1
    assert len(copied.hooks["on_failure"]) == 2


@pytest.mark.parametrize(
    ("hooks", "error"),
    [
        pytest.param(
            plain_body, r"must be a list.*on_failure=\[plain_body\]", id="bare"
        ),
        pytest.param("notify", "must be a list of functions", id="text"),
        pytest.param([5], r"holds 5, which cannot be called", id="number"),
        pytest.param([plain_body], "with three arguments", id="one-argument"),
    ],
)
@pytest.mark.parametrize("make", [task, flow])
@pytest.mark.rule("PRM-20", "PRM-21")
def test_what_is_no_list_of_hooks_is_refused_at_decoration(
    make: Any, hooks: Any, error: str
) -> None:
    with pytest.raises(TypeError, match=error):
        make(coroutine_body, on_failure=hooks)


async def test_failures_that_are_tolerated_have_their_hooks_called_too() -> None:
    notes = Notes()
    bad: Any = task(coroutine_body, on_failure=[notes.coroutine()])
    good: Any = task(lambda error: type(error).__name__)

    async with Runtime():
        value = await (await good.submit(allow_failure(bad.submit(-1))))

    assert value == "ValueError"
    assert len(notes.told) == 1
