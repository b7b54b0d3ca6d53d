"""What a runtime tells of the runs that go on, at one moment."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import pytest

from headrace import Limit, Runtime, flow, task
from headrace.runs import RunSnapshot


@task
async def never() -> None:
    await asyncio.Event().wait()


@task
async def total(x: object) -> object:
    return x


@task
def block(started: threading.Event, done: threading.Event) -> None:
    started.set()
    assert done.wait(5)


def of(runtime: Runtime) -> dict[str, RunSnapshot]:
    return {run.name: run for run in runtime.snapshot().runs}


async def test_a_run_tells_which_runs_it_waits_for(runtime: Runtime) -> None:
    first = await never.submit()
    await total.submit(first)
    await total.submit([await never.submit() for _ in range(7)])
    await asyncio.sleep(1)

    seen = of(runtime)

    assert seen["total-0"].waits_for == "the runs 'never-0'"
    assert seen["total-0"].state_name == "Pending"
    assert seen["total-0"].stack == ()
    names = ", ".join(f"'never-{number}'" for number in range(1, 6))
    assert seen["total-1"].waits_for == f"the runs {names} and 2 more"


async def test_a_run_in_line_for_a_limit_tells_which_and_where(
    runtime: Runtime,
) -> None:
    limited = never.with_options(concurrency_limit=Limit(1, name="the db"))
    for _ in range(3):
        await limited.submit()
    await asyncio.sleep(1)

    seen = of(runtime)

    assert seen["never-0"].waits_for == "its body"
    assert seen["never-2"].waits_for == "its turn in the limit 'the db': 2 of 2 in line"


async def test_a_run_at_work_tells_where_its_body_is(runtime: Runtime) -> None:
    await never.submit()
    in_place = asyncio.create_task(outer())
    await asyncio.sleep(1)

    seen = of(runtime)

    in_place.cancel()
    for name in ("never-0", "never-1"):
        assert seen[name].waits_for == "its body"
        outermost, innermost = seen[name].stack
        assert outermost.startswith("never at test_snapshots.py:")
        assert innermost.startswith("Event.wait at locks.py:")


async def outer() -> None:
    await never()


async def test_a_run_that_is_retried_later_tells_when(runtime: Runtime) -> None:
    @task(retries=1, retry_delay_seconds=3600)
    async def fail() -> None:
        raise ConnectionError

    await fail.submit()
    await asyncio.sleep(100)

    seen = of(runtime)["fail-0"]

    assert (seen.state_name, seen.waits_for) == (
        "AwaitingRetry",
        "its retry, due in 3500.0 s",
    )


def test_plain_runs_tell_their_line_or_that_they_want_a_thread() -> None:
    started, done = threading.Event(), threading.Event()

    with Runtime(max_threads=1) as runtime:
        futures = block.map([started] * 3, [done] * 3)
        assert started.wait(5)

        seen = of(runtime)
        done.set()
        futures.wait()

    assert seen["block-0"].stack[0].startswith("block at test_snapshots.py:")
    assert seen["block-0"].age_seconds < 60
    assert seen["block-1"].waits_for == "a thread: 2 runs wait for one"


async def test_runs_that_are_ready_tell_their_turn(runtime: Runtime) -> None:
    total.map(range(100))

    seen = of(runtime)

    assert seen["total-0"].waits_for == "its first step"
    assert seen["total-64"].waits_for == "its turn: 1 of 36 that are ready"


async def test_flows_and_what_goes_on_in_them_are_told_in_order(
    runtime: Runtime,
) -> None:
    @flow
    async def main() -> None:
        await never.submit()
        await asyncio.Event().wait()

    running = asyncio.create_task(main())
    await asyncio.sleep(1)

    seen = runtime.snapshot().runs

    running.cancel()
    assert [run.name for run in seen] == ["main-0", "never-0"]
    assert seen[0].waits_for == "its body and its runs"


def test_a_loop_that_is_held_up_is_shown_from_another_thread() -> None:
    started, done = threading.Event(), threading.Event()

    @task
    async def hold() -> None:
        started.set()
        assert done.wait(5)

    with Runtime() as runtime:
        future = hold.submit()
        assert started.wait(5)

        seen = runtime.snapshot()
        done.set()
        future.value()

        assert runtime.snapshot().loop == ()
    assert seen.loop[0].startswith("test_a_loop_that_is_held")
    assert [run.name for run in seen.runs] == ["hold-0"]


async def test_of_very_many_runs_the_oldest_are_told(runtime: Runtime) -> None:
    total.map(range(100))

    seen = runtime.snapshot(most_runs=2)

    assert [run.name for run in seen.runs] == ["total-0", "total-1"]
    assert seen.more_runs == 98
    assert str(seen).endswith("and 98 more\n")


async def test_it_is_written_as_text(runtime: Runtime) -> None:
    file = io.StringIO()

    runtime.dump(file)
    await never.submit()
    await asyncio.sleep(1)
    runtime.dump(file)

    lines = file.getvalue().splitlines()
    assert lines[0].startswith("open_runs=0, threads=0")
    assert lines[1] == "no run goes on"
    assert lines[2].startswith("open_runs=1")
    assert lines[3].startswith("never-0: Running, ")
    assert lines[3].endswith("waits for its body")
    assert lines[4].startswith("    never at test_snapshots.py:")


def test_it_is_written_to_the_standard_error_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Runtime() as runtime:
        runtime.dump()

    assert "no run goes on" in capsys.readouterr().err


def test_a_runtime_that_was_not_entered_has_nothing_to_tell() -> None:
    assert Runtime().snapshot().runs == ()


@pytest.mark.parametrize(("given", "error"), [("1", TypeError), (-1, ValueError)])
def test_a_time_for_the_loop_that_is_none_is_refused(given: Any, error: Any) -> None:
    with pytest.raises(error, match=r"Runtime\(\): slow_loop_seconds="):
        Runtime(slow_loop_seconds=given)
