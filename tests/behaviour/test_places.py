"""Where tasks may be used: threads, loops of one's own, after the end, in a fork."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import RunEnded, SubmitOutsideRun


def plain_double(number: int) -> int:
    return 2 * number


async def coroutine_double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


# Not typed here, as wrong calls are made as well; see tests/typing for types.
double: Any = task(name="double")(plain_double)
adouble: Any = task(name="adouble")(coroutine_double)


def joined(target: Callable[[], object]) -> None:
    thread = threading.Thread(target=target)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()


# -- the thread and the loop of a body -------------------------------------------------


@pytest.mark.rule("CONC-06")
def test_a_plain_flow_runs_in_the_thread_of_its_caller() -> None:
    here = flow(threading.current_thread)
    seen: list[threading.Thread] = []

    joined(lambda: seen.extend([here(), threading.current_thread()]))

    assert here() is threading.current_thread()
    assert seen[0] is seen[1]


@pytest.mark.rule("CONC-06")
def test_a_plain_flow_and_its_called_tasks_may_set_signal_handlers() -> None:
    # Python allows that in the main thread alone.
    set_handler = task(lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL))

    @flow
    def around() -> Any:
        set_handler()
        return signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    assert around() is signal.SIG_DFL


@pytest.mark.rule("CRASH-09", "TIME-12")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_no_signal_handler_is_ever_set(kind: str) -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in signal.valid_signals()]

    @task(timeout_seconds=60)
    def limited() -> list[Any]:
        return handlers()

    @flow(timeout_seconds=60)
    def plain() -> list[Any]:
        return [handlers(), limited(), limited.submit().result()]

    @flow(timeout_seconds=60)
    async def coroutine() -> list[Any]:
        return [handlers(), await limited.acall(), await limited.submit().aresult()]

    async def on_a_loop() -> None:
        before = handlers()  # asyncio.run has one for Ctrl-C
        assert await coroutine() == [before] * 3

    before = handlers()
    if kind == "plain":
        assert plain() == [before] * 3
    else:
        asyncio.run(on_a_loop())
    assert handlers() == before


@pytest.mark.rule("CONC-06")
def test_a_submitted_plain_task_runs_in_a_worker_thread() -> None:
    where = task(lambda: threading.current_thread().name)

    @flow
    def around() -> str:
        return where.submit().result()

    assert around().startswith("headrace-worker")


@pytest.mark.rule("CONC-07")
async def test_every_coroutine_body_runs_on_the_loop_of_the_caller() -> None:
    @task
    async def loop_of_the_task(_: int) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @flow
    async def loops() -> list[asyncio.AbstractEventLoop]:
        return [
            asyncio.get_running_loop(),
            await loop_of_the_task(0),
            await (await loop_of_the_task.submit(1)),
            *await loop_of_the_task.map([2, 3]).aresult(),
        ]

    assert set(await loops()) == {asyncio.get_running_loop()}


@pytest.mark.rule("CONC-07")
async def test_tasks_share_a_lock_with_the_application() -> None:
    lock = asyncio.Lock()
    inside: list[int] = []

    @task
    async def take_turns(number: int) -> int:
        async with lock:
            inside.append(number)
            await asyncio.sleep(1)
            return inside.pop()

    @flow
    async def around() -> list[int]:
        async with lock:
            futures = await take_turns.map([1, 2, 3])
            await asyncio.sleep(1)
        return await futures.aresult()

    assert await around() == [1, 2, 3]


async def test_a_coroutine_flow_of_coroutine_tasks_starts_no_thread() -> None:
    before = threading.active_count()

    @task
    async def threads(_: int) -> int:
        return threading.active_count()

    @flow
    async def counts() -> list[int]:
        return [await threads(0), *await threads.map(range(100)).aresult()]

    assert set(await counts()) == {before}


# -- asyncio.run inside a plain flow ---------------------------------------------------


def test_in_asyncio_run_inside_a_plain_flow_every_door_works() -> None:
    @flow
    async def coroutine_flow(number: int) -> int:
        return await (await adouble.submit(number))

    @flow
    def plain_flow(number: int) -> int:
        return double.submit(number).result()

    async def main() -> list[int]:
        return [
            await adouble(21),
            double(21),
            await (await adouble.submit(21)),
            await (await double.submit(21)),
            *await adouble.map([21]).aresult(),
            *await double.map([21]).aresult(),
            *await asyncio.gather(adouble.submit(21).aresult(), adouble(21)),
            await adouble.acall(21),
            await double.acall(21),
            await coroutine_flow(21),
            await coroutine_flow.acall(21),
            plain_flow(21),
            await plain_flow.acall(21),
        ]

    @flow
    def around() -> list[int]:
        return asyncio.run(main())

    assert around() == [42] * 14


def test_a_task_awaited_in_asyncio_run_runs_on_that_loop() -> None:
    @task
    async def loop_of_the_task() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def main() -> bool:
        return await loop_of_the_task() is asyncio.get_running_loop()

    @flow
    def around() -> bool:
        return asyncio.run(main())

    assert around()


def test_a_flow_waits_for_what_was_submitted_in_asyncio_run() -> None:
    ended: list[int] = []
    gate = threading.Event()

    @task
    def slow(number: int) -> None:
        assert gate.wait(5)
        ended.append(number)

    async def main() -> None:
        slow.map([1, 2])

    @flow
    def around() -> str:
        asyncio.run(main())
        assert ended == []
        gate.set()
        return "left"

    assert around() == "left"
    assert sorted(ended) == [1, 2]


def test_a_failure_in_asyncio_run_that_nobody_saw_fails_the_flow() -> None:
    @task
    async def fail() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        fail.submit()

    @flow
    def around() -> None:
        asyncio.run(main())

    with pytest.raises(ValueError, match="unseen"):
        around()


def test_in_asyncio_run_inside_a_plain_task_too() -> None:
    async def main() -> list[int]:
        return [*await asyncio.gather(adouble(21), double.acall(21))]

    @task
    def inner() -> list[int]:
        return asyncio.run(main())

    @flow
    def around() -> list[list[int]]:
        return [inner(), inner.submit().result()]

    assert around() == [[42, 42], [42, 42]]


# -- threads made by hand --------------------------------------------------------------


@pytest.mark.rule("CALL-09", "NEST-04")
def test_a_thread_made_by_hand_belongs_to_nothing() -> None:
    refusals: list[SubmitOutsideRun] = []

    def work() -> None:
        with pytest.raises(SubmitOutsideRun) as refusal:
            double.submit(1)
        refusals.append(refusal.value)

    @flow
    def around() -> None:
        joined(work)

    around()

    assert len(refusals) == 1


@pytest.mark.rule("CALL-09", "NEST-04")
def test_a_thread_made_by_hand_joins_by_a_copy_of_the_context() -> None:
    got: list[int] = []

    def work() -> None:
        got.append(double.submit(1).result())
        got.append(adouble.submit(2).value())
        got.append(adouble(3))
        got.append(double(4))
        double.submit(5)

    @flow
    def around() -> str:
        context = contextvars.copy_context()
        joined(lambda: context.run(work))
        return "left"

    assert around() == "left"
    assert got == [2, 4, 6, 8]


@pytest.mark.rule("CALL-09")
async def test_a_thread_joins_a_coroutine_flow_in_the_same_way() -> None:
    def work() -> list[int]:
        return [double(1), double.submit(2).result(), adouble.submit(3).value()]

    @flow
    async def around() -> list[int]:
        return await asyncio.to_thread(work)

    assert await around() == [2, 4, 6]


@pytest.mark.rule("CALL-09", "NEST-04")
def test_an_executor_inside_a_flow_may_submit() -> None:
    @flow
    def around() -> list[int]:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [
                pool.submit(contextvars.copy_context().run, double.submit, number)
                for number in range(8)
            ]
            return [job.result().result() for job in jobs]

    assert around() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_many_threads_submit_to_one_flow_at_once() -> None:
    together = threading.Barrier(8, timeout=5)

    def work() -> list[Any]:
        together.wait()
        return [adouble.submit(number) for number in range(200)]

    @flow
    def around() -> int:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, work) for _ in range(8)]
            futures = [future for job in jobs for future in job.result()]
        names = {future.name for future in futures}
        assert len(names) == 1600
        return sum(future.value() for future in futures)

    assert around() == 8 * 2 * sum(range(200))


# -- after the end ---------------------------------------------------------------------


def leak() -> contextvars.Context:
    return contextvars.copy_context()


LATE_DOORS: dict[str, Callable[..., object]] = {
    "submit-plain": lambda: double.submit(1),
    "submit-coroutine": lambda: adouble.submit(1),
    "map": lambda: double.map([1]),
    "call-plain": lambda: double(1),
    "call-coroutine": lambda: adouble(1),
    "call-coroutine-flow": flow(adouble.fn, name="late-flow"),
    "call-plain-flow": flow(double.fn, name="late-flow"),
}


@pytest.mark.parametrize("door", LATE_DOORS)
def test_a_plain_flow_that_has_ended_takes_no_more_runs(door: str) -> None:
    context = flow(leak, name="early")()
    act = LATE_DOORS[door]

    with pytest.raises(RunEnded, match="flow run 'early-0' has ended"):
        context.run(act, 1) if door.endswith("flow") else context.run(act)


@pytest.mark.parametrize(
    "door", [door for door in LATE_DOORS if not door.startswith("call-coroutine")]
)
async def test_a_coroutine_flow_that_has_ended_takes_no_more_runs(door: str) -> None:
    @flow
    async def early() -> contextvars.Context:
        return leak()

    context = await early()
    act = LATE_DOORS[door]

    with pytest.raises(RunEnded, match="flow run 'early-0' has ended"):
        context.run(act, 1) if door.endswith("flow") else context.run(act)


@pytest.mark.parametrize(
    "late",
    [lambda: adouble(1), lambda: adouble.acall(1), lambda: double.acall(1)],
    ids=["await", "acall-coroutine", "acall-plain"],
)
async def test_a_coroutine_flow_that_has_ended_has_nothing_awaited_in_it(
    late: Callable[[], Any],
) -> None:
    @flow
    async def early() -> contextvars.Context:
        return leak()

    context = await early()

    with pytest.raises(RunEnded, match="flow run 'early-0' has ended"):
        await asyncio.create_task(context.run(late), context=context)


def test_a_thread_that_outlives_its_flow_is_refused() -> None:
    gate = threading.Event()
    refusals: list[str] = []

    def work() -> None:
        assert gate.wait(5)
        with pytest.raises(RunEnded) as refusal:
            double.submit(1)
        refusals.append(str(refusal.value))

    @flow
    def early() -> threading.Thread:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(work))
        thread.start()
        return thread

    thread = early()
    gate.set()
    thread.join(timeout=5)

    assert len(refusals) == 1
    assert refusals[0].startswith("flow run 'early-0' has ended")


async def test_an_asyncio_task_that_outlives_its_flow_is_refused() -> None:
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        await adouble.submit(1)

    @flow
    async def early() -> asyncio.Task[None]:
        return asyncio.create_task(work())

    outliving = await early()
    gate.set()

    with pytest.raises(RunEnded, match="flow run 'early-0' has ended"):
        await outliving


async def test_a_callback_of_the_last_run_may_still_submit() -> None:
    ended: list[int] = []

    @task
    async def note(number: int) -> None:
        ended.append(number)

    @flow
    async def around() -> str:
        future = await note.submit(0)
        future.add_done_callback(lambda _: note.submit(1))
        return "left"

    assert await around() == "left"
    assert ended == [0, 1]


async def test_a_callback_after_the_end_is_refused_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[Any] = []

    @flow
    async def early() -> contextvars.Context:
        kept.append(await adouble.submit(1))
        return leak()

    context = await early()
    context.run(kept[0].add_done_callback, lambda _: adouble.submit(1))
    await anyio.wait_all_tasks_blocked()

    assert "flow run 'early-0' has ended" in caplog.text


# -- context variables -----------------------------------------------------------------


PLACE: contextvars.ContextVar[str] = contextvars.ContextVar("place", default="nowhere")


@task
def move() -> str:
    before = PLACE.get()
    PLACE.set("inside")
    return before


@task
async def amove() -> str:
    before = PLACE.get()
    PLACE.set("inside")
    await asyncio.sleep(0)
    assert PLACE.get() == "inside"
    return before


move_flow = flow(move.fn, name="move-flow")
amove_flow = flow(amove.fn, name="amove-flow")


@task
def move_one(_: int) -> str:
    return move.fn()


@task
async def amove_one(_: int) -> str:
    return await amove.fn()


@task(timeout_seconds=60)
def move_limited() -> str:
    return move.fn()


@task(timeout_seconds=60)
async def amove_limited() -> str:
    return await amove.fn()


PLAIN_DOORS: dict[str, Callable[[], Any]] = {
    "call": move,
    "call-with-limit": move_limited,
    "call-coroutine": amove,
    "call-flow": move_flow,
    "call-coroutine-flow": amove_flow,
    "submit": lambda: move.submit().result(),
    "submit-coroutine": lambda: amove.submit().value(),
    "map": lambda: move_one.map([0, 1]).result(),
    "map-coroutine": lambda: amove_one.map([0, 1]).result(),
}

COROUTINE_DOORS: dict[str, Callable[[], Any]] = {
    "await": amove,
    "await-with-limit": amove_limited,
    "acall": move.acall,
    "acall-coroutine": amove.acall,
    "await-flow": amove_flow,
    "acall-flow": move_flow.acall,
    "acall-coroutine-flow": amove_flow.acall,
    "submit": lambda: move.submit().aresult(),
    "submit-coroutine": lambda: amove.submit().aresult(),
    "map": lambda: move_one.map([0, 1]).aresult(),
    "map-coroutine": lambda: amove_one.map([0, 1]).aresult(),
}


@pytest.mark.rule("CTX-04")
@pytest.mark.parametrize("door", PLAIN_DOORS)
def test_context_flows_into_a_body_and_never_out_in_plain_code(door: str) -> None:
    @flow
    def around() -> tuple[Any, str]:
        PLACE.set("flow")
        return PLAIN_DOORS[door](), PLACE.get()

    expected = ["flow", "flow"] if door.startswith("map") else "flow"
    assert around() == (expected, "flow")
    assert PLACE.get() == "nowhere"


@pytest.mark.rule("CTX-04")
@pytest.mark.parametrize("door", COROUTINE_DOORS)
async def test_context_flows_into_a_body_and_never_out_in_coroutine_code(
    door: str,
) -> None:
    @flow
    async def around() -> tuple[Any, str]:
        PLACE.set("flow")
        return await COROUTINE_DOORS[door](), PLACE.get()

    expected = ["flow", "flow"] if door.startswith("map") else "flow"
    assert await around() == (expected, "flow")
    assert PLACE.get() == "nowhere"


@pytest.mark.rule("CTX-04")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_each_attempt_and_each_sibling_starts_from_the_context_of_the_submitter(
    kind: str,
) -> None:
    seen: list[str] = []

    def attempt(number: int) -> None:
        seen.append(PLACE.get())
        PLACE.set(f"left by {number}")
        if len(seen) % 2:
            raise ValueError("again")

    async def aattempt(number: int) -> None:
        attempt(number)

    tried = task(retries=1)(attempt if kind == "plain" else aattempt)

    @flow
    async def around() -> None:
        PLACE.set("flow")
        for number in range(2):
            await (await tried.submit(number))

    await around()

    assert seen == ["flow"] * 4


# -- nesting ---------------------------------------------------------------------------


@pytest.mark.rule("NEST-01")
def test_plain_tasks_may_recur_to_any_depth_in_few_threads() -> None:
    @task
    def fibonacci(n: int) -> int:
        if n < 2:
            return n
        futures = fibonacci.map([n - 1, n - 2])
        return sum(futures.result())

    with Runtime(max_threads=2):
        assert fibonacci(9) == 34


@pytest.mark.rule("NEST-01")
async def test_coroutine_tasks_may_recur_to_any_depth() -> None:
    @task
    async def fibonacci(n: int) -> int:
        if n < 2:
            return n
        return await fibonacci(n - 1) + await (await fibonacci.submit(n - 2))

    assert await fibonacci(10) == 55


@pytest.mark.rule("NEST-01")
def test_plain_and_coroutine_tasks_may_call_each_other_in_turn() -> None:
    @task
    def plain(depth: int) -> Any:
        return depth if depth == 12 else coroutine(depth + 1)

    @task
    async def coroutine(depth: int) -> int:
        return depth if depth == 12 else await plain.acall(depth + 1)

    with Runtime(max_threads=2):
        assert plain(0) == 12
        assert plain.submit(0).result() == 12


@pytest.mark.rule("NEST-02")
def test_a_task_may_call_flows() -> None:
    @flow
    def plain_flow(number: int) -> int:
        return double.submit(number).result()

    @flow
    async def coroutine_flow(number: int) -> int:
        return await adouble(number)

    @task
    def outer(number: int) -> list[Any]:
        return [plain_flow(number), coroutine_flow(number)]

    @flow
    def around() -> list[list[Any]]:
        return [outer(1), outer.submit(2).result()]

    assert around() == [[2, 2], [4, 4]]


@pytest.mark.rule("NEST-02")
async def test_a_coroutine_task_may_call_flows() -> None:
    @flow
    def plain_flow(number: int) -> int:
        return double.submit(number).result()

    @flow
    async def coroutine_flow(number: int) -> int:
        return await adouble(number)

    @task
    async def outer(number: int) -> list[int]:
        return [
            plain_flow(number),
            await plain_flow.acall(number),
            await coroutine_flow(number),
        ]

    @flow
    async def around() -> list[list[int]]:
        return [await outer(1), await (await outer.submit(2))]

    assert await around() == [[2, 2, 2], [4, 4, 4]]


@pytest.mark.rule("NEST-03")
def test_the_bare_function_of_a_task_makes_no_run() -> None:
    @task
    def outer() -> int:
        return double.fn(21)

    @flow
    def around() -> str:
        assert outer() == 42
        return double.submit(1).name

    assert around() == "double-0"


@pytest.mark.rule("FLOW-06")
def test_runs_belong_to_the_innermost_flow() -> None:
    name = task(lambda: None, name="run")

    @flow
    def inner() -> str:
        return name.submit().name

    @task
    def between() -> list[str]:
        return [name.submit().name, inner()]

    @flow
    def outer() -> list[str]:
        return [name.submit().name, *between()]

    assert outer() == ["run-0", "run-1", "run-0"]


# -- forks -----------------------------------------------------------------------------


FORKS = """
    import asyncio, os, sys, threading, warnings
    from headrace import Runtime, flow, task
    from headrace.exceptions import ForkedRuntime
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of threads

    @task
    def double(number): return 2 * number
    @task
    async def adouble(number): return 2 * number
    @task(timeout_seconds=9)
    def limited(number): return 2 * number
    @flow
    def plain_flow(number): return double(number)
    @flow
    async def coroutine_flow(number): return await adouble(number)

    def refused(act):
        try:
            act()
        except ForkedRuntime as error:
            assert f"opened in process {os.getppid()}" in str(error), error
        else:
            print("not refused:", act)

    def in_child(runtime, pending):
        refused(pending.result)
        refused(pending.wait)
        refused(lambda: double.submit(1))
        refused(lambda: adouble.submit(1))
        refused(lambda: double.map([1]))
        refused(lambda: double(1))
        refused(lambda: limited(1))
        refused(lambda: asyncio.run(adouble(1)))
        refused(lambda: asyncio.run(adouble.acall(1)))
        refused(lambda: asyncio.run(double.acall(1)))
        refused(lambda: plain_flow(1))
        refused(lambda: asyncio.run(coroutine_flow(1)))
        refused(lambda: asyncio.run(plain_flow.acall(1)))
        refused(lambda: runtime.use().__enter__())
        refused(lambda: runtime.drain_blocking(0))
        refused(lambda: asyncio.run(runtime.drain(0)))
        assert not runtime.is_ready
        with Runtime():
            assert double.submit(21).result() == 42

    def wait_for(child):
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
"""


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script, its children with it, and end them all if they hang."""
    process = subprocess.Popen(  # noqa: S603 - a script of this file
        [sys.executable, "-c", textwrap.dedent(FORKS) + textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess([], process.returncode, out, err)


@pytest.mark.slow
def test_a_forked_child_is_refused_at_every_door() -> None:
    done = run_script(
        """
        with Runtime() as runtime:
            gate = threading.Event()
            pending = task(gate.wait).submit()
            child = os.fork()
            if not child:
                in_child(runtime, pending)
                os._exit(0)
            gate.set()
            wait_for(child)
            assert double.submit(2).result() == 4
        """
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.slow
def test_a_forked_child_may_leave_the_blocks_of_its_parent() -> None:
    done = run_script(
        """
        @flow
        def forks():
            pending = task(gate.wait).submit()
            children.append(os.fork())
            if not children[-1]:
                sys.exit(3)
            gate.set()
            return pending

        gate, children = threading.Event(), []
        with Runtime():
            pending = task(gate.wait).submit()
            try:
                assert forks() is True
            except SystemExit as exit:
                assert not children[-1] and exit.code == 3
        if children[-1]:
            wait_for(children[-1])
            print("parent left")
        """
    )

    assert (done.stdout, done.returncode) == ("parent left\n", 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("flow run 'forks-0': finished in state Crashed(")


@pytest.mark.slow
def test_a_runtime_made_before_a_fork_serves_in_the_child() -> None:
    # As a web server does that loads the application first and forks then.
    done = run_script(
        """
        runtime = Runtime()
        child = os.fork()
        with runtime:
            assert double.submit(21).result() == 42
        if child:
            wait_for(child)
        """
    )

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
