"""What the documentation of the Prefect 2 task API shows, with the imports changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from headrace import Task, flow, get_run_logger, tags, task, unmapped
from headrace.tasks import exponential_backoff

pytestmark = pytest.mark.rule("DEF-01")


@task
def add(x: int, y: int) -> int:
    return x + y


@task(name="Hello", description="Says hello.", tags=["greeting"], version="1")
def hello(name: str = "Marvin") -> str:
    get_run_logger().info("hello %s", name)
    return f"hello {name}"


def test_decorator_forms() -> None:
    functional = task(lambda x: x, name="identity")
    by_class: Any = Task(fn=len, name="length")

    @flow
    def main() -> Any:
        return hello(), hello("Ada"), functional(1), by_class([1, 2])

    assert main() == ("hello Marvin", "hello Ada", 1, 2)
    assert (hello.name, hello.description, hello.tags) == (
        "Hello",
        "Says hello.",
        {"greeting"},
    )


def test_submit_then_result_and_wait() -> None:
    @flow
    def main() -> Any:
        future = add.submit(1, 2)
        state = add.submit(3, 4).wait()
        assert state is not None
        return future.result(), state.name, state.result()

    assert main() == (3, "Completed", 7)


async def test_awaiting_submits() -> None:
    @task
    async def fetch(x: int) -> int:
        return x

    @flow
    async def main() -> Any:
        future = await fetch.submit(1)
        state = await future.wait()
        assert state is not None
        return await future.result(), state.result()

    assert await main() == (1, 1)


def test_map_with_constants_and_unmapped_lists() -> None:
    @task
    def add_together(x: Any, y: Any) -> Any:
        return x + y

    @task
    def pairs(x: int, static: list[int]) -> list[int]:
        return [x, *static]

    @flow
    def main() -> Any:
        sums = add_together.map([1, 2, 3], 10)
        more = add_together.map(sums, y=[1, 2, 3])
        lists = pairs.map([1, 2], unmapped([8, 9]))
        return [future.result() for future in more], lists

    assert main() == ([12, 14, 16], [[1, 8, 9], [2, 8, 9]])


def test_wait_for_orders_runs() -> None:
    seen: list[str] = []

    @task
    def note(what: str) -> None:
        seen.append(what)

    @flow
    def main() -> None:
        first = note.submit("first")
        second = note.submit("second", wait_for=[first])
        note.submit("third", wait_for=[first, second])

    main()

    assert seen == ["first", "second", "third"]


def test_with_options_changes_a_copy() -> None:
    other = hello.with_options(name="Other", retries=2, tags=["other"])

    assert (other.name, other.retries, other.tags) == ("Other", 2, {"other"})
    assert (hello.name, hello.retries) == ("Hello", 0)


def test_retries_with_a_list_of_delays_and_with_backoff() -> None:
    attempts: list[int] = []

    @task(retries=2, retry_delay_seconds=[0, 0])
    def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError
        return len(attempts)

    backing_off: Any = task(
        lambda: 1, retries=3, retry_delay_seconds=exponential_backoff(backoff_factor=10)
    )

    @flow
    def main() -> int:
        return flaky()

    assert main() == 3
    assert backing_off.retry_delay_seconds == [10, 20, 40]


def test_tags_are_those_of_the_task_and_of_the_context() -> None:
    found: list[set[str]] = []

    @flow
    def main() -> None:
        with tags("a", "b"):
            found.append(hello.submit().task_run.tags)

    main()

    assert found == [{"greeting", "a", "b"}]


def test_run_names_from_a_template_and_a_date() -> None:
    names: list[str] = []

    @task(task_run_name="{name}-on-{date:%A}")
    def my_task(name: str, date: datetime) -> None: ...

    @flow
    def main() -> None:
        future = my_task.submit("marvin", datetime(2024, 1, 1))  # noqa: DTZ001
        future.wait()
        names.append(future.name)

    main()

    assert names == ["marvin-on-Monday"]
