"""Loggers whose records say which run wrote them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from headrace import (
    Runtime,
    flow,
    get_run_context,
    get_run_logger,
    logging as headrace_logging,
    task,
)
from headrace.context import FlowRunContext, TaskRunContext
from headrace.exceptions import MissingContextError
from headrace.logging import (
    RunLogAdapter,
    disable_run_logger,
    flow_run_logger,
    get_logger,
    task_run_logger,
)

OF_FLOW = ("flow_run_id", "flow_run_name", "flow_name")
OF_TASK = ("task_run_id", "task_run_name", "task_name", *OF_FLOW)
NASTY = "a\nb\x1b[2J\u202e"
TAMED = r"a\nb\x1b[2J\u202e"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of the test, from INFO up."""
    caplog.set_level(logging.INFO)
    return caplog


def fields(record: logging.LogRecord, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def found(log: pytest.LogCaptureFixture, message: str) -> logging.LogRecord:
    """The one record with that message."""
    (record,) = (r for r in log.records if r.getMessage() == message)
    return record


# -- in runs -------------------------------------------------------------------------------


@pytest.mark.rule("LOG-01")
def test_a_record_of_a_task_says_which_run_wrote_it(
    every_door: Any, log: pytest.LogCaptureFixture
) -> None:
    def body() -> Any:
        get_run_logger().info("hello %d", 1)
        return TaskRunContext.get()

    run = every_door(body).task_run

    record = found(log, "hello 1")
    assert (record.name, record.levelname) == ("headrace.task_runs", "INFO")
    assert (record.pathname, record.funcName) == (__file__, "body")
    in_flow = every_door.in_flow
    assert fields(record, *OF_TASK) == {
        "task_run_id": run.id,
        "task_run_name": "it-0",
        "task_name": "it",
        "flow_run_id": run.flow_run_id,
        "flow_run_name": "main-0" if in_flow else None,
        "flow_name": "main" if in_flow else None,
    }
    assert (run.flow_run_id is not None) is in_flow


@pytest.mark.rule("LOG-01")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_record_of_a_flow_says_which_run_wrote_it(
    kind: str, log: pytest.LogCaptureFixture
) -> None:
    def body() -> Any:
        get_run_logger().warning("hello")
        return FlowRunContext.get()

    async def coroutine_body() -> Any:
        return body()

    if kind == "plain":
        context = flow(name="main")(body)()
    else:
        context = asyncio.run(flow(name="main")(coroutine_body)())

    record = found(log, "hello")
    assert (record.name, record.levelname) == ("headrace.flow_runs", "WARNING")
    assert fields(record, *OF_FLOW) == {
        "flow_run_id": context.flow_run.id,
        "flow_run_name": "main-0",
        "flow_name": "main",
    }
    assert not hasattr(record, "task_run_name")


async def test_a_run_that_outlives_its_flow_still_says_which_that_was(
    log: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    @task(timeout_seconds=1)
    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        get_run_logger().info("at last")

    @flow(name="main")
    async def main() -> None:
        await deaf(return_state=True)

    async with Runtime():
        await main()
        release.set()
        await asyncio.sleep(1)

    record = found(log, "at last")
    assert fields(record, "task_run_name", "flow_run_name", "flow_name") == {
        "task_run_name": "deaf-0",
        "flow_run_name": "main-0",
        "flow_name": "main",
    }


@pytest.mark.rule("LOG-02")
def test_more_fields_are_added_and_may_replace_those_of_the_run(
    log: pytest.LogCaptureFixture,
) -> None:
    @task(name="it")
    def body() -> None:
        logger = get_run_logger(shop="corner", task_name="another")
        logger.info("one")
        logger.info("two", extra={"shop": "mall", "send_to_api": False})
        logger.getChild("deeper", {"level": 2}).info("three")
        logger.getChild("deeper").info("four")

    body()

    one, two, three, four = (found(log, m) for m in ("one", "two", "three", "four"))
    assert fields(one, "shop", "task_name", "task_run_name") == {
        "shop": "corner",
        "task_name": "another",
        "task_run_name": "it-0",
    }
    assert fields(two, "shop", "task_run_name") == {
        "shop": "mall",
        "task_run_name": "it-0",
    }
    assert three.name == four.name == "headrace.task_runs.deeper"
    assert fields(three, "shop", "level", "task_run_name") == {
        "shop": "corner",
        "level": 2,
        "task_run_name": "it-0",
    }
    assert fields(four, "shop") == {"shop": "corner"}


@pytest.mark.rule("LOG-11")
def test_a_mark_for_a_server_does_no_harm(log: pytest.LogCaptureFixture) -> None:
    flow(lambda: get_run_logger().info("local", extra={"send_to_api": False}))()

    assert fields(found(log, "local"), "send_to_api") == {"send_to_api": False}


def test_what_a_logger_adds_can_be_looked_at() -> None:
    extra: Any = flow(name="main")(lambda: get_run_logger(shop="mall").extra)()

    assert set(extra) == {*OF_FLOW, "shop"}
    assert len(extra) == 4
    assert extra["flow_name"] == "main"
    assert "'shop': 'mall'" in repr(extra)


@pytest.mark.rule("LOG-01")
def test_names_in_the_fields_cannot_begin_a_line(
    log: pytest.LogCaptureFixture,
) -> None:
    logged = task(name=NASTY)(lambda: get_run_logger().info("hello\nyou"))

    flow(name=NASTY)(logged.fn)()
    logged()

    for record in log.records:
        for name in ("flow_name", "task_name", "task_run_name", "flow_run_name"):
            value = getattr(record, name, None)
            assert value in {None, TAMED, f"{TAMED}-0"}
    # What users log themselves is theirs.
    assert "hello\nyou" in {record.getMessage() for record in log.records}


# -- outside of runs -----------------------------------------------------------------------


@pytest.mark.rule("LOG-03")
@pytest.mark.parametrize("place", ["nothing", "runtime"])
def test_outside_of_runs_there_is_no_logger_and_asking_says_so(place: str) -> None:
    def ask() -> None:
        with pytest.raises(MissingContextError, match="no active flow or task run"):
            get_run_logger()

    if place == "nothing":
        ask()
    else:
        with Runtime():
            ask()


@pytest.mark.rule("LOG-03")
def test_the_function_of_a_task_can_be_tested_with_loggers_disabled(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @task
    def double(x: int) -> int:
        logger = get_run_logger(shop="mall")
        logger.critical("not shown")
        logger.getChild("deeper").critical("not shown")
        assert logger.name == "null"
        return 2 * x

    with disable_run_logger():
        assert double.fn(2) == 4
    with pytest.raises(MissingContextError):
        double.fn(2)

    assert log.records == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.rule("LOG-03")
async def test_of_runs_made_with_loggers_disabled_nothing_is_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    log.set_level(logging.DEBUG)

    @task(retries=1)
    def fail() -> None:
        get_run_logger().critical("not shown")
        raise ValueError

    @flow
    async def main() -> str:
        await fail.submit().astate()
        fail(return_state=True)
        return "done"

    with disable_run_logger():
        await main()

    assert [record for record in log.records if "_runs" in record.name] == []


# -- for a given run -----------------------------------------------------------------------


@pytest.mark.rule("LOG-04")
def test_a_logger_can_be_had_for_a_context_taken_before(
    log: pytest.LogCaptureFixture,
) -> None:
    of_task: Any = task(name="it")(get_run_context)()
    of_flow: Any = flow(name="main")(get_run_context)()

    get_run_logger(of_task, shop="mall").info("of the task")
    get_run_logger(of_flow).info("of the flow")

    record = found(log, "of the task")
    assert record.name == "headrace.task_runs"
    assert fields(record, "task_run_name", "shop") == {
        "task_run_name": "it-0",
        "shop": "mall",
    }
    assert found(log, "of the flow").name == "headrace.flow_runs"


@pytest.mark.rule("LOG-04")
@pytest.mark.parametrize("wrong", ["main", 42, object()])
def test_a_context_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="TaskRunContext or a FlowRunContext"):
        get_run_logger(wrong)


def test_a_logger_can_be_had_for_a_run_as_hooks_are_given_it(
    log: pytest.LogCaptureFixture,
) -> None:
    body = task(name="it")(get_run_context)

    @flow(name="main")
    def main() -> Any:
        return [body(), get_run_context()]

    in_task, in_flow = main()
    of_task, of_flow = in_task.task_run, in_flow.flow_run

    task_run_logger(of_task, body.with_options(name="other"), shop="mall").info("one")
    flow_run_logger(of_flow).info("two")
    flow_run_logger(of_flow, main.with_options(name="other")).info("three")

    one, two, three = (found(log, message) for message in ("one", "two", "three"))
    assert fields(one, "task_run_name", "task_name", "flow_name", "shop") == {
        "task_run_name": "it-0",
        "task_name": "other",
        "flow_name": "main",
        "shop": "mall",
    }
    assert fields(two, "flow_run_id", "flow_name") == {
        "flow_run_id": of_flow.id,
        "flow_name": "main",
    }
    assert fields(three, "flow_run_name", "flow_name") == {
        "flow_run_name": "main-0",
        "flow_name": "other",
    }


@pytest.mark.parametrize(
    ("name", "full"),
    [
        (None, "headrace"),
        ("headrace", "headrace"),
        ("app", "headrace.app"),
        ("headrace.app", "headrace.app"),
        ("headracer", "headrace.headracer"),
    ],
)
def test_get_logger_gives_a_logger_below_headrace(name: str | None, full: str) -> None:
    assert get_logger(name) is logging.getLogger(full)


# -- nothing is configured -----------------------------------------------------------------


def test_logging_is_left_as_it_was_found() -> None:
    program = """
import asyncio, logging
before = [logging.root.level, logging.root.handlers[:], logging.lastResort]
from headrace import flow, get_run_logger, task

@task(log_prints=True)
def it():
    get_run_logger().info("one")
    print("two")

@flow
async def main():
    it()
    await it.submit()

asyncio.run(main())
assert before == [logging.root.level, logging.root.handlers[:], logging.lastResort]
for name, logger in logging.root.manager.loggerDict.items():
    if name.startswith("headrace") and isinstance(logger, logging.Logger):
        state = logger.level, logger.handlers, logger.filters, logger.propagate
        assert state == (logging.NOTSET, [], [], True), (name, state)
        assert not logger.disabled
"""
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )

    # With logging as it comes nobody reads INFO: what was printed is not lost.
    assert (done.stdout, done.stderr) == ("two\ntwo\n", "")


def test_what_users_import_is_where_they_expect_it() -> None:
    assert headrace_logging.get_run_logger is get_run_logger
    of_run: Callable[[], RunLogAdapter] = get_run_logger
    assert isinstance(flow(of_run)(), logging.LoggerAdapter)
