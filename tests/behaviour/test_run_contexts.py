"""What code may know of the runs it belongs to, and how it joins them from elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from headrace import (
    Runtime,
    carry,
    context as headrace_context,
    flow,
    get_run_context,
    get_run_logger,
    tags,
    task,
)
from headrace.context import FlowRunContext, TaskRunContext
from headrace.exceptions import MissingContextError, RunEnded
from headrace.task_runners import ConcurrentTaskRunner, SequentialTaskRunner

BOUND = 5  # seconds; nothing here comes near


def joined(target: Callable[[], object]) -> None:
    """Do it in a thread made by hand, which starts without context variables."""
    thread = threading.Thread(target=target)
    thread.start()
    thread.join(BOUND)
    assert not thread.is_alive()


# -- what there is -------------------------------------------------------------------------


@pytest.mark.rule("CTX-01", "CTX-02")
def test_in_a_task_both_contexts_are_there_and_the_one_of_the_task_is_preferred(
    every_door: Any,
) -> None:
    def body() -> tuple[Any, ...]:
        return get_run_context(), TaskRunContext.get(), FlowRunContext.get()

    preferred, of_task, of_flow = every_door(body)

    for context in (preferred, of_task):
        assert isinstance(context, TaskRunContext)
        assert context.task.name == "it"
        assert context.task_run.name == "it-0"
        assert context.parameters == {"x": 0}
        assert context.log_prints is False
        assert isinstance(context.start_time, datetime)
        assert context.start_time == context.task_run.start_time
    if every_door.in_flow:
        assert (of_flow.flow.name, of_flow.flow_run.name) == ("main", "main-0")
        assert of_flow.task_run_dynamic_keys == {of_task.task.task_key: 0}
    else:
        assert of_flow is None


@pytest.mark.rule("CTX-01", "CTX-02")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_in_a_flow_there_is_the_context_of_its_run(kind: str) -> None:
    count = task(name="count")(lambda: None)

    def body(x: int) -> tuple[Any, ...]:
        count()
        count()
        return get_run_context(), TaskRunContext.get()

    async def coroutine_body(x: int) -> tuple[Any, ...]:
        return body(x)

    main: Any = (
        flow(body, name="main", task_runner=SequentialTaskRunner, log_prints=True)
        if kind == "plain"
        else flow(coroutine_body, name="main", log_prints=True)
    )

    before = datetime.now(UTC)
    given = main(4) if kind == "plain" else asyncio.run(main(4))
    context, of_task = given

    assert of_task is None
    assert isinstance(context, FlowRunContext)
    assert context.flow is main
    assert context.flow_run.name == "main-0"
    assert context.parameters == {"x": 4}
    assert context.log_prints is True
    assert context.start_time is not None
    assert before <= context.start_time <= datetime.now(UTC)
    assert context.task_run_dynamic_keys == {count.task_key: 1}
    runner = SequentialTaskRunner if kind == "plain" else ConcurrentTaskRunner
    assert isinstance(context.task_runner, runner)


@pytest.mark.rule("CTX-01")
@pytest.mark.parametrize("place", ["nothing", "runtime", "thread"])
def test_outside_of_runs_there_is_no_context_and_asking_says_what_to_do(
    place: str,
) -> None:
    seen: list[object] = []

    def ask() -> None:
        seen.extend([TaskRunContext.get(), FlowRunContext.get()])
        try:
            get_run_context()
        except MissingContextError as error:
            seen.append(error)

    if place == "nothing":
        ask()
    elif place == "runtime":
        with Runtime():
            ask()
    else:
        flow(lambda: joined(ask))()

    assert seen[:2] == [None, None]
    assert isinstance(seen[2], RuntimeError)
    assert "no active flow or task run context" in str(seen[2])
    assert "headrace.carry(function)" in str(seen[2])


@pytest.mark.rule("CTX-03")
def test_a_nested_run_has_a_context_of_its_own_and_then_there_is_the_outer_again() -> (
    None
):
    def names() -> list[str | None]:
        of_task, of_flow = TaskRunContext.get(), FlowRunContext.get()
        return [
            None if of_task is None else of_task.task_run.name,
            None if of_flow is None else of_flow.flow_run.name,
        ]

    @flow(name="inner")
    def inner() -> list[Any]:
        return [names()]

    @task(name="child")
    def child() -> list[Any]:
        return [names()]

    @task(name="parent")
    def parent() -> list[Any]:
        return [names(), *child(), names(), *inner(), names()]

    @flow(name="outer")
    def outer() -> list[Any]:
        return [names(), *parent(), names()]

    assert outer() == [
        [None, "outer-0"],
        ["parent-0", "outer-0"],
        ["child-0", "outer-0"],
        ["parent-0", "outer-0"],
        [None, "inner-0"],
        ["parent-0", "outer-0"],
        [None, "outer-0"],
    ]


async def test_each_attempt_has_a_start_time_of_its_own() -> None:
    times: list[datetime | None] = []

    @task(retries=1, retry_delay_seconds=0)
    async def flaky() -> None:
        times.append(get_run_context().start_time)
        if len(times) == 1:
            raise ValueError

    await flaky()

    first, second = times
    assert first is not None
    assert second is not None
    assert first < second


# -- contexts as objects -------------------------------------------------------------------


def taken() -> Any:
    """The context of a flow run that has ended."""
    return flow(get_run_context)()


@pytest.mark.rule("CTX-03")
def test_a_context_cannot_be_changed() -> None:
    context = taken()

    with pytest.raises(AttributeError):
        context.parameters = {}
    with pytest.raises((AttributeError, TypeError)):
        context.something = 1


@pytest.mark.rule("CTX-03")
def test_a_context_with_an_unknown_field_is_refused() -> None:
    context = taken()
    fields: dict[str, Any] = {
        "flow": context.flow,
        "flow_run": context.flow_run,
        "parameters": {},
        "log_prints": False,
        "start_time": None,
        "task_runner": None,
        "task_run_dynamic_keys": {},
    }

    assert FlowRunContext(**fields).flow is context.flow
    with pytest.raises(TypeError, match="unknown"):
        FlowRunContext(**{**fields, "unknown": 1})


@pytest.mark.rule("CTX-03")
def test_a_context_cannot_be_entered_twice_but_its_copy_can() -> None:
    context = taken()

    with context:
        with pytest.raises(RuntimeError, match=r"already entered.*copy\(\)"), context:
            pass
        with context.copy() as again:
            assert again is not context
            assert again.flow_run == context.flow_run
            assert get_run_context().parameters == {}
    with context:  # once it was left
        pass


@pytest.mark.rule("CTX-03")
def test_a_context_that_is_left_more_often_than_entered_says_so() -> None:
    context = taken()

    with pytest.raises(RuntimeError, match="asymmetric"):
        context.__exit__(None, None, None)


# -- code started elsewhere ----------------------------------------------------------------


@task(name="double")
def double(x: int) -> int:
    return 2 * x


@pytest.mark.rule("NEST-04", "CTX-03")
@pytest.mark.parametrize("kind", ["flow", "task"])
def test_in_an_entered_context_a_thread_made_by_hand_belongs_to_the_run(
    kind: str,
) -> None:
    seen: list[Any] = []

    def body() -> None:
        context = get_run_context()

        def in_thread() -> None:
            with context:
                inside = get_run_context()
                seen.extend([inside.parameters, double(1), double.submit(2).result()])
                seen.append(dict(get_run_logger().extra or {})["flow_run_name"])
            with pytest.raises(MissingContextError):
                get_run_context()

        joined(in_thread)

    @flow(name="main")
    def main() -> None:
        if kind == "flow":
            body()
        else:
            task(body)()

    main()

    assert seen == [{}, 2, 4, "main-0"]


@pytest.mark.rule("NEST-04")
async def test_a_thread_joins_a_coroutine_flow_by_its_context() -> None:
    @flow(name="main")
    async def main() -> tuple[int, str]:
        context = FlowRunContext.get()
        assert context is not None

        def in_thread() -> tuple[int, str]:
            with context.copy():
                future = double.submit(21)
                return future.result(), FlowRunContext.get().flow_run.name  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]

        return await asyncio.get_running_loop().run_in_executor(None, in_thread)

    assert await main() == (42, "main-0")


@pytest.mark.rule("NEST-04")
def test_what_is_submitted_in_the_context_of_an_ended_run_is_refused() -> None:
    context = taken()

    with context, pytest.raises(RunEnded):
        double.submit(1)


@pytest.mark.rule("NEST-04", "CTX-04")
def test_carry_takes_the_context_into_the_threads_of_an_executor() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    together = threading.Barrier(4, timeout=BOUND)

    def work(x: int) -> tuple[int, str, str, set[str]]:
        together.wait()  # all at once, each in a context of its own
        seen = variable.get()
        variable.set(f"changed by {x}")
        with tags() as current:
            run = FlowRunContext.get()
            assert run is not None
            return double(x), run.flow_run.name, seen, current

    @flow(name="main")
    def main() -> list[Any]:
        variable.set("given")
        with ThreadPoolExecutor(4) as pool, tags("a"):
            found = list(pool.map(carry(work), range(4)))
        assert variable.get() == "given"
        return found

    assert main() == [(2 * x, "main-0", "given", {"a"}) for x in range(4)]


@pytest.mark.rule("NEST-04")
def test_without_carry_the_threads_of_an_executor_belong_to_nothing() -> None:
    @flow
    def main() -> bool:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(FlowRunContext.get).result() is None

    assert main()


@pytest.mark.rule("NEST-04")
def test_carry_takes_a_bare_runtime_along_too() -> None:
    with Runtime(), ThreadPoolExecutor(2) as pool:
        futures = list(pool.map(carry(double.submit), range(5)))

        assert [future.result() for future in futures] == [0, 2, 4, 6, 8]


@pytest.mark.rule("NEST-04")
def test_a_flow_ends_after_the_tasks_that_its_carried_threads_call() -> None:
    inside, go = threading.Event(), threading.Event()
    ended: list[str] = []

    @task
    def work() -> None:
        inside.set()
        assert go.wait(BOUND)
        ended.append("task")

    @flow
    def main() -> None:
        threads.append(threading.Thread(target=carry(work)))
        threads[0].start()
        assert inside.wait(BOUND)
        threading.Timer(0, go.set).start()

    threads: list[threading.Thread] = []
    main()
    ended.append("flow")
    threads[0].join(BOUND)

    assert ended == ["task", "flow"]


@pytest.mark.rule("NEST-04")
def test_carry_keeps_the_name_and_refuses_what_it_cannot_carry() -> None:
    async def coroutine() -> None: ...

    def work() -> None:
        """Work."""

    assert (carry(work).__name__, carry(work).__doc__) == ("work", "Work.")
    with pytest.raises(TypeError, match="asyncio carries the context by itself"):
        carry(coroutine)
    wrong: Any = 42
    with pytest.raises(TypeError, match="takes a function, not 42"):
        carry(wrong)


def test_what_users_import_is_where_they_expect_it() -> None:
    assert headrace_context.get_run_context is get_run_context
    assert headrace_context.tags is tags
