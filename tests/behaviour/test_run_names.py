"""Names that users give to runs."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
from typing import Any

import pytest

from headrace import Flow, Runtime, Task, flow, task
from headrace.exceptions import BlockedLoop


def plain_body(x: Any, y: Any = "y") -> Any:
    return x


async def coroutine_body(x: Any, y: Any = "y") -> Any:
    return x


BODIES = pytest.mark.parametrize("body", [plain_body, coroutine_body])


async def submitted(it: Any, *args: Any) -> Any:
    async with Runtime():
        future = await it.submit(*args)
        await future.astate()
        return future.name


def noted(names: list[str]) -> Any:
    def hook(it: Any, run: Any, state: Any) -> None:
        names.append(run.name)

    return hook


async def awaited(it: Any, *args: Any) -> Any:
    names: list[str] = []
    await it.with_options(on_completion=[noted(names)]).acall(*args)
    return names[0]


async def called(it: Any, *args: Any) -> Any:
    names: list[str] = []

    @flow
    def main() -> None:
        it.with_options(on_completion=[noted(names)])(*args)

    await main.acall()
    return names[0]


DOORS = pytest.mark.parametrize("door", [submitted, awaited, called])


@DOORS
@BODIES
@pytest.mark.parametrize(
    ("template", "args", "expected"),
    [
        ("load {x}", (3,), "load 3"),
        ("{x}-{y}", (3,), "3-y"),
        ("{x[0]}-{y:>4}", ([7], "b"), "7-   b"),
        ("{x:%A}", (dt.date(2024, 1, 1),), "Monday"),
        ("{{}}{x.real:{y}}", (2, "03"), "{}002"),
        ("fixed", (1,), "fixed"),
        ("", (1,), "{name}-0"),
        (None, (1,), "{name}-0"),
    ],
)
@pytest.mark.rule("RNAME-04")
async def test_a_template_is_filled_with_the_arguments(
    door: Any, body: Any, template: str | None, args: tuple[Any, ...], expected: str
) -> None:
    named: Any = task(body, task_run_name=template)

    assert await door(named, *args) == expected.replace("{name}", body.__name__)


async def in_coroutine(parameters: dict[str, Any]) -> str:
    await asyncio.sleep(0)
    return f"x is {parameters['x']}"


@DOORS
@BODIES
@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        pytest.param(lambda: "from a function", "from a function", id="without"),
        pytest.param(
            lambda parameters: f"{parameters}", "{'x': 1, 'y': 'y'}", id="with"
        ),
        pytest.param(in_coroutine, "x is 1", id="coroutine"),
        pytest.param(functools.partial(in_coroutine), "x is 1", id="partial"),
    ],
)
@pytest.mark.rule("RNAME-05")
async def test_a_function_gives_the_name(
    door: Any, body: Any, fn: Any, expected: str
) -> None:
    assert await door(task(body, task_run_name=fn), 1) == expected


@BODIES
@pytest.mark.parametrize(
    ("fn", "error"),
    [
        pytest.param(lambda: None, "returned None of type NoneType", id="none"),
        pytest.param(lambda: 1 / 0, "division by zero", id="raises"),
        pytest.param("{x.missing}", "missing", id="template"),
    ],
)
@pytest.mark.rule("RNAME-05", "RNAME-06", "RETRY-20")
async def test_a_name_that_cannot_be_made_fails_the_run_without_retry(
    body: Any, fn: Any, error: str
) -> None:
    ran: list[int] = []

    @functools.wraps(body)
    def noting(x: int) -> None:
        ran.append(x)

    named: Any = task(noting, task_run_name=fn, retries=3)
    async with Runtime():
        future = await named.submit(1)
        state = await future.astate()

    assert state is not None
    assert [each.name for each in future.task_run.history] == ["Pending", "Failed"]
    assert error in (state.message or "")
    assert future.name == f"{body.__name__}-0"
    assert ran == []


@pytest.mark.parametrize("make", [task, flow])
@pytest.mark.parametrize(
    ("given", "kind", "error"),
    [
        pytest.param(5, TypeError, "not 5 of type int", id="number"),
        pytest.param("{z}", ValueError, "placeholder 'z'.*no parameter", id="unknown"),
        pytest.param("{}", ValueError, "placeholder ''", id="positional"),
        pytest.param("{x:{z}}", ValueError, "placeholder 'z'", id="inside"),
        pytest.param("{x", ValueError, "is no template", id="malformed"),
        pytest.param(lambda a: "", TypeError, "asks for 'a'", id="argument"),
    ],
)
@pytest.mark.rule("RNAME-06", "PRM-08")
def test_a_wrong_name_is_refused_at_decoration(
    make: Any, given: Any, kind: type[Exception], error: str
) -> None:
    option = f"{make.__name__}_run_name"

    with pytest.raises(kind, match=error):
        make(plain_body, **{option: given})


@BODIES
@pytest.mark.rule("RNAME-07", "RETRY-15")
async def test_a_name_is_made_once_for_all_attempts(body: Any) -> None:
    calls: list[int] = []

    def name() -> str:
        calls.append(1)
        return f"attempt {len(calls)}"

    def fails(x: int) -> None:
        raise ValueError(x)

    named: Any = task(functools.wraps(body)(fails), task_run_name=name, retries=2)
    async with Runtime():
        future = await named.submit(1)
        await future.astate()

    assert future.task_run.run_count == 3
    assert future.name == "attempt 1"
    assert calls == [1]


@pytest.mark.rule("RNAME-08")
async def test_a_run_that_is_held_back_has_its_name_too() -> None:
    @task(name="bad")
    async def bad() -> None:
        raise ValueError

    named: Any = task(coroutine_body, task_run_name="{x} and {y}")
    async with Runtime():
        future = await named.submit(bad.submit(), "more")
        await future.astate()

    assert future.state.name == "NotReady"
    assert future.name == "bad-0 and more"


@pytest.mark.rule("RNAME-08", "RNAME-09")
async def test_the_name_is_there_before_the_body_begins() -> None:
    seen: list[str] = []

    @task(
        task_run_name="load {x}", on_running=[lambda _, run, __: seen.append(run.name)]
    )
    async def load(x: int) -> None: ...

    async with Runtime():
        await load.submit(1).astate()

    assert seen == ["load 1"]


@pytest.mark.rule("OPT-04")
def test_other_options_leave_the_name_of_runs_alone() -> None:
    named: Any = task(plain_body, task_run_name="{x}")

    assert named.with_options(name="other").task_run_name == "{x}"
    assert named.with_options(task_run_name=None).task_run_name is None


async def test_a_plain_task_named_by_a_coroutine_is_not_called_on_the_loop() -> None:
    named: Any = task(plain_body, task_run_name=in_coroutine)

    with pytest.raises(BlockedLoop, match="task_run_name is a coroutine function"):
        named(1)


@pytest.mark.parametrize("body", [plain_body, coroutine_body])
@pytest.mark.parametrize(
    ("given", "expected"),
    [("for {x}", "for 1"), (lambda: "so", "so"), (in_coroutine, "x is 1")],
)
async def test_flow_runs_are_named_in_the_same_ways(
    body: Any, given: Any, expected: str
) -> None:
    names: list[str] = []
    hook = noted(names)

    await flow(body, flow_run_name=given, on_completion=[hook]).acall(1)

    assert names == [expected]


@pytest.mark.parametrize("make", [Task, Flow])
def test_the_names_can_be_assigned(make: Any) -> None:
    made = make(plain_body)
    option = f"{make.__name__.lower()}_run_name"

    setattr(made, option, "{x}!")

    assert getattr(made, option) == "{x}!"
