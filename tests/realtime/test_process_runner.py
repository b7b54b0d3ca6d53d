"""Tasks in processes: real ones, so in real time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, deadline, flow, task
from headrace.exceptions import DeadlineExceeded, NotPicklable, WorkerDied
from headrace.task_runners import ProcessPoolTaskRunner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def anyio_backend() -> object:
    return "asyncio", {"use_uvloop": True}


def two() -> ProcessPoolTaskRunner:
    return ProcessPoolTaskRunner(max_workers=2)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text("utf-8").split(") ")[1][0] != "Z"


@task
def pid_of_body(_: object = None) -> int:
    return os.getpid()


@task
def burn(seconds: float) -> tuple[int, float]:
    began, burned = time.monotonic(), time.process_time()
    while time.process_time() - burned < seconds:
        pass
    return os.getpid(), time.monotonic() - began


@pytest.mark.rule("CONC-04")
def test_bodies_run_in_processes_that_are_kept_and_end_with_the_flow() -> None:
    @flow(task_runner=two())
    def main() -> Any:
        first = pid_of_body.submit().result()
        return [first, pid_of_body(), *pid_of_body.map(range(20)).result()]

    pids = set(main())

    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert not any(is_running(pid) for pid in pids)


async def test_bodies_that_compute_do_so_on_all_workers_all_the_time() -> None:
    @flow(task_runner=two())
    async def main() -> Any:
        await pid_of_body.map([1, 2]).aresult()  # have both started
        began = time.monotonic()
        burned = await burn.map([0.1] * 8).aresult()
        return {"burned": burned, "took": time.monotonic() - began}

    made = await main()
    pids, seconds = zip(*made["burned"], strict=True)

    # With eight bodies of a second each this is under five seconds, if the machine has
    # two processors to spare. Here other programs may have them: so it is the time that
    # bodies went on side by side which counts.
    assert len(set(pids)) == 2
    assert sum(seconds) > 8 / 5 * made["took"]


async def test_a_body_that_is_cancelled_cleans_up(tmp_path: Path) -> None:
    mark = tmp_path / "notes"

    @task(timeout_seconds=0.5)
    def stuck() -> None:
        try:
            while True:
                pass
        finally:
            mark.write_text("cleaned up", "utf-8")

    @flow(task_runner=two())
    async def main() -> Any:
        await pid_of_body.submit().aresult()
        await stuck.submit().astate()
        return 1

    await main()

    assert mark.read_text("utf-8") == "cleaned up"


LOCK = threading.Lock()


@task
def use_lock() -> bool:
    return LOCK.locked()


async def test_a_task_of_a_module_finds_what_its_module_has_there() -> None:
    @flow(task_runner=two())
    async def main() -> Any:
        return await use_lock.submit().aresult()

    with LOCK:
        assert await main() is False


async def test_what_a_body_raises_comes_back_as_it_is_and_says_where_from() -> None:
    class Mine(Exception):
        pass

    @task
    def fails() -> None:
        raise Mine("from there")

    @task
    def exits() -> None:
        raise SystemExit(3)

    @flow(task_runner=two())
    async def main() -> Any:
        return [[await fails.submit().astate(), await exits.submit().astate()]]

    ((failed, crashed),) = await main()

    with pytest.raises(Mine, match="from there") as caught:
        failed.result()
    assert "In the worker process" in caught.value.__notes__[0]
    assert crashed.name == "Crashed"


async def test_local_functions_generators_and_futures_work() -> None:
    factor = 3

    @task
    def triple(x: int) -> int:
        return factor * x

    @task
    def count(n: int) -> Generator[int]:
        yield from range(n)

    @task
    async def here() -> int:
        return os.getpid()

    @flow(task_runner=two())
    async def main() -> Any:
        three: Any = triple.submit(1)
        return [await count.submit(three).aresult(), await here.submit().aresult()]

    assert await main() == [[0, 1, 2], os.getpid()]


@pytest.mark.parametrize(
    "what",
    [
        "argument 2",
        "the argument 'named'",
        "the function",
        "the result",
        "the exception",
    ],
)
async def test_what_cannot_be_pickled_is_named(what: str) -> None:
    lock = threading.Lock()
    in_closure = lock if what == "the function" else None

    @task(name="use")
    def use(first: int, given: object, named: object = None) -> Any:
        if what == "the result":
            return threading.Lock()
        if what == "the exception":
            raise ValueError(threading.Lock())
        return [first, given, named, in_closure]

    @flow(task_runner=two())
    async def main() -> Any:
        given = lock if what == "argument 2" else None
        named = lock if what == "the argument 'named'" else None
        return await (await use.submit(1, given, named=named))

    kind = "function" if what == "the function" else r"\w+"
    with pytest.raises(
        NotPicklable, match=rf"^{what} of 'use-0', of type {kind},.*cannot pickle"
    ):
        await main()


async def test_a_process_that_dies_costs_one_attempt_and_is_replaced(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "died"

    @task(retries=1)
    def dies_once() -> int:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    @flow(task_runner=two())
    async def main() -> Any:
        future = await dies_once.submit()
        await future.astate()
        return future.task_run.history, await pid_of_body.submit().aresult()

    history, pid = await main()

    assert [state.name for state in history][-1] == "Completed"
    assert "WorkerDied" in (history[2].message or "")
    assert "SIGKILL" in (history[2].message or "")
    assert pid != os.getpid()


async def test_a_process_that_exits_fails_the_run_it_had() -> None:
    @task
    def leaves() -> None:
        os._exit(7)

    @flow(task_runner=two())
    async def main() -> Any:
        await leaves.submit().aresult()

    with pytest.raises(WorkerDied, match="exited with code 7"):
        await main()


async def test_a_limit_kills_the_process_and_another_takes_its_place(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "pid"

    @task(timeout_seconds=1.0)
    def stuck() -> None:
        mark.write_text(str(os.getpid()), "utf-8")
        while True:
            pass

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    async def main() -> Any:
        await pid_of_body.submit().aresult()
        began = time.monotonic()
        state = await stuck.submit().astate()
        took = time.monotonic() - began
        return [
            [state.name if state else None, took, await pid_of_body.submit().aresult()]
        ]

    ((name, took, pid),) = await main()

    assert name == "TimedOut"
    assert took < 1.0 + 4 * 0.25
    assert not is_running(int(mark.read_text("utf-8")))
    assert pid != int(mark.read_text("utf-8"))


async def test_a_flow_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    @task
    def stuck() -> None:
        mark.write_text(str(os.getpid()), "utf-8")
        while True:
            pass

    @flow(task_runner=two())
    async def main() -> Any:
        await stuck.submit().aresult()

    running = asyncio.ensure_future(main())
    while not mark.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert not is_running(int(mark.read_text("utf-8") or "0"))


async def test_many_calls_go_through_a_few_processes() -> None:
    async with Runtime():

        @flow(task_runner=two())
        async def main() -> Any:
            return await task(abs).map(range(-500, 0)).aresult()

        assert await main() == list(range(500, 0, -1))


SCRIPT = """
import os, sys, time
from headrace import flow, task
from headrace.task_runners import ProcessPoolTaskRunner

@task
def tell():
    print(os.getpid(), flush=True)
    time.sleep({seconds})
    return 1

@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def main():
    return tell.submit().result()

{start}
"""


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    start = "if __name__ == '__main__':\n    main()"
    script.write_text(SCRIPT.format(seconds=60, start=start), "utf-8")

    command = [sys.executable, script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:  # noqa: S603
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        until = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < until:
            os.sched_yield()

    assert not is_running(pid)


def test_a_script_that_is_not_guarded_is_told_so_and_starts_no_chain(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(seconds=0, start="main()"), "utf-8")

    command = [sys.executable, script]
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=50, check=False
    )

    assert done.returncode != 0
    assert "if __name__ == '__main__':" in done.stderr


@pytest.mark.parametrize("cleans_up", [False, True])
async def test_a_deadline_ends_a_body_and_another_process_takes_its_place(
    tmp_path: Path, cleans_up: bool
) -> None:
    mark, notes = tmp_path / "pid", tmp_path / "notes"

    @task(retries=3)
    def stuck() -> None:
        mark.write_text(str(os.getpid()), "utf-8")
        try:
            while True:
                pass
        finally:
            if cleans_up:
                notes.write_text("cleaned up", "utf-8")
            else:
                while True:
                    pass

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    async def main() -> Any:
        await pid_of_body.submit().aresult()
        began = time.monotonic()
        with deadline(0.5):
            future = await stuck.submit()
            behind = await pid_of_body.submit()  # waits for the only process
            states = [await future.astate(), await behind.astate()]
        took = time.monotonic() - began
        return [[states, took, await pid_of_body.submit().aresult()]]

    ((states, took, pid),) = await main()

    assert [state.name for state in states] == ["TimedOut", "TimedOut"]
    assert all(isinstance(state.data, DeadlineExceeded) for state in states)
    assert took < 0.5 + 4 * 0.25
    assert notes.exists() is cleans_up
    assert not is_running(int(mark.read_text("utf-8")))
    assert pid != int(mark.read_text("utf-8"))


def test_a_plain_flow_ends_its_processes_at_a_deadline(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    @task
    def stuck() -> None:
        mark.write_text(str(os.getpid()), "utf-8")
        while True:
            pass

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> Any:
        pid_of_body.submit().result()
        began.append(time.monotonic())
        with deadline(0.5):
            stuck()

    began: list[float] = []

    with pytest.raises(DeadlineExceeded):
        main()

    assert time.monotonic() - began[0] < 0.5 + 4 * 0.25
    assert not is_running(int(mark.read_text("utf-8")))
