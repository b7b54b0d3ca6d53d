"""Prints that are logged, and all others."""
# ruff: noqa: T201 - what is tested here

from __future__ import annotations

import asyncio
import builtins
import contextlib
import io
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace import (
    Runtime,
    carry,
    flow,
    get_run_context,
    get_run_logger,
    task,
    temporary_settings,
)
from headrace.logging import disable_run_logger

BOUND = 5  # seconds; nothing here comes near
PRINT = builtins.print


@pytest.fixture(autouse=True)
def _print_is_restored() -> Generator[None]:
    yield
    is_restored = builtins.print is PRINT
    builtins.print = PRINT
    assert is_restored


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of the test, from INFO up."""
    caplog.set_level(logging.INFO)
    return caplog


def printed(log: pytest.LogCaptureFixture) -> list[str]:
    """What was printed in bodies, as it was logged."""
    return [record.getMessage() for record in log.records if is_of_print(record)]


def is_of_print(record: logging.LogRecord) -> bool:
    return record.name.endswith("_runs") and record.pathname == __file__


def hello() -> None:
    print("hello")


# -- who logs ------------------------------------------------------------------------------


@pytest.mark.rule("LOG-07", "LOG-08")
def test_what_a_task_prints_is_logged_by_its_run(
    every_door: Any,
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    every_door(hello, log_prints=True)

    (record,) = (record for record in log.records if is_of_print(record))
    assert (record.name, record.levelname) == ("headrace.task_runs", "INFO")
    assert (record.getMessage(), record.funcName) == ("hello", "hello")
    assert vars(record)["task_run_name"] == "it-0"
    assert vars(record)["flow_name"] == ("main" if every_door.in_flow else None)
    assert capsys.readouterr().out == ""


@pytest.mark.rule("LOG-07")
def test_a_task_that_says_nothing_prints(
    every_door: Any,
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    every_door(hello)

    assert printed(log) == []
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.rule("LOG-07")
@pytest.mark.parametrize("of_task", [None, True, False])
@pytest.mark.parametrize("of_flow", [None, True, False])
@pytest.mark.parametrize("of_setting", [True, False])
def test_a_task_decides_then_its_flow_then_the_setting(
    every_door: Any,
    of_task: bool | None,
    of_flow: bool | None,
    of_setting: bool,
    log: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with temporary_settings(logging_log_prints=of_setting):
        every_door(hello, log_prints=of_task, of_flow={"log_prints": of_flow})

    said = [of_task, of_flow if every_door.in_flow else None, of_setting]
    is_logged = next(answer for answer in said if answer is not None)
    assert printed(log) == (["hello"] if is_logged else [])
    assert capsys.readouterr().out == ("" if is_logged else "hello\n")


@pytest.mark.rule("LOG-07")
@pytest.mark.parametrize("kind", ["plain", "coroutine", "acalled"])
@pytest.mark.parametrize("of_outer", [True, False])
def test_a_flow_decides_for_the_flows_in_it_that_do_not(
    kind: str, of_outer: bool, log: pytest.LogCaptureFixture
) -> None:
    it = task(hello)

    def body() -> None:
        print("inner")
        it()

    async def coroutine_body() -> None:
        body()

    inner: Any = flow(coroutine_body if kind == "coroutine" else body)

    @flow(log_prints=of_outer)
    async def main() -> None:
        print("outer")
        await inner.acall() if kind == "acalled" else None
        await inner() if kind == "coroutine" else None
        inner() if kind == "plain" else None

    asyncio.run(main())

    assert printed(log) == (["outer", "inner", "hello"] if of_outer else [])


@pytest.mark.rule("LOG-07")
def test_the_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HEADRACE_LOGGING_LOG_PRINTS", "true")

    task(hello)()
    flow(hello)()
    with Runtime():
        task(hello).submit().wait()

    assert printed(log) == ["hello"] * 3


@pytest.mark.rule("LOG-07")
def test_an_option_given_later_counts_too(log: pytest.LogCaptureFixture) -> None:
    it = task(hello)

    @flow
    def main() -> None:
        it()
        it.with_options(log_prints=True)()
        it()

    main()

    assert printed(log) == ["hello"]


# -- what is logged ------------------------------------------------------------------------


@pytest.mark.rule("LOG-08")
@pytest.mark.parametrize(
    ("call", "lines"),
    [
        pytest.param(lambda: print("a", 1, None), ["a 1 None"], id="values"),
        pytest.param(lambda: print("a", "b", sep="-", end="!"), ["a-b!"], id="sep-end"),
        pytest.param(lambda: print("a", 1, sep=None, end=None), ["a 1"], id="none"),
        pytest.param(lambda: print("  a \t\n "), ["  a"], id="trailing"),
        pytest.param(lambda: print(), [""], id="empty"),  # noqa: PLW0108 - looked up
        pytest.param(lambda: print("\n\n"), [""], id="blank-lines"),
        pytest.param(lambda: print("a\nb \r\n\nc\n"), ["a", "b", "", "c"], id="lines"),
        pytest.param(lambda: print("100%", "%s"), ["100% %s"], id="per-cent"),
        pytest.param(lambda: print("a", flush=True), ["a"], id="flush"),
        pytest.param(lambda: print("a", file=None), ["a"], id="file-none"),
        pytest.param(lambda: print("a", file=sys.stdout), ["a"], id="stdout"),
        pytest.param(lambda: print("a", file=sys.stderr), ["a"], id="stderr"),
        pytest.param(
            lambda: print("\ra\bb\x1b[2J\u2028c\u202e"),
            [r"\ra\x08b\x1b[2J\u2028c\u202e"],
            id="cursor",
        ),
    ],
)
def test_a_print_becomes_a_record_for_each_of_its_lines(
    call: Callable[[], None], lines: list[str], log: pytest.LogCaptureFixture
) -> None:
    def body() -> None:
        before.extend(log.records)
        call()
        after.extend(log.records)

    before: list[logging.LogRecord] = []
    after: list[logging.LogRecord] = []
    task(body, log_prints=True)()

    assert [record.getMessage() for record in after[len(before) :]] == lines


@pytest.mark.rule("LOG-08")
def test_a_print_to_a_file_goes_there(log: pytest.LogCaptureFixture) -> None:
    file = io.StringIO()

    task(lambda: print("a", "b", sep="-", file=file), log_prints=True)()

    assert file.getvalue() == "a-b\n"
    assert printed(log) == []


@pytest.mark.rule("LOG-08")
def test_a_wrong_call_of_print_raises_as_ever() -> None:
    wrong: Any = {"separator": "-"}

    with pytest.raises(TypeError, match="separator"):
        task(lambda: print("a", **wrong), log_prints=True)()


def test_what_nobody_would_read_is_printed(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)

    task(hello, log_prints=True)()

    assert capsys.readouterr().out == "hello\n"


def test_with_loggers_disabled_a_print_is_a_print(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with disable_run_logger():
        task(hello, log_prints=True)()

    assert printed(log) == []
    assert capsys.readouterr().out == "hello\n"


def test_a_handler_that_prints_does_not_log_what_it_prints(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print("handled", record.getMessage())

    handler = Printing()
    logger = logging.getLogger("headrace.task_runs")
    logger.addHandler(handler)
    try:
        task(hello, log_prints=True)()
    finally:
        logger.removeHandler(handler)

    assert capsys.readouterr().out == "handled hello\n"
    assert printed(log) == ["hello"]


# -- the replacement ---------------------------------------------------------------------


@pytest.mark.rule("LOG-09")
def test_print_is_replaced_only_while_something_logs_prints(every_door: Any) -> None:
    assert every_door(lambda: builtins.print) is PRINT
    assert every_door(lambda: builtins.print, log_prints=True) is not PRINT
    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["flow", "task"])
def test_print_is_restored_after_errors(kind: str, error: type[BaseException]) -> None:
    def body() -> None:
        assert builtins.print is not PRINT
        raise error

    it: Any = (flow if kind == "flow" else task)(body, log_prints=True)

    with pytest.raises(error):
        it()

    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
async def test_print_is_restored_after_a_cancel_and_a_closed_coroutine() -> None:
    inside = asyncio.Event()

    @flow(log_prints=True)
    async def main() -> None:
        inside.set()
        await asyncio.sleep(3600)

    running = asyncio.create_task(main())
    await inside.wait()
    assert builtins.print is not PRINT
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert builtins.print is PRINT

    closed = main()
    closed.send(None)
    assert builtins.print is not PRINT
    closed.close()
    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
async def test_print_is_restored_when_a_runtime_is_left_by_an_error() -> None:
    async def use() -> None:
        async with Runtime():
            task(hello, log_prints=True)()
            assert builtins.print is not PRINT
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        await use()

    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
def test_print_is_restored_by_the_last_of_several(
    log: pytest.LogCaptureFixture,
) -> None:
    inside, go = threading.Event(), threading.Event()

    @flow(log_prints=True)
    def long() -> None:
        inside.set()
        assert go.wait(BOUND)
        print("long")

    thread = threading.Thread(target=long)
    thread.start()
    assert inside.wait(BOUND)
    flow(hello, log_prints=True)()
    assert builtins.print is not PRINT
    go.set()
    thread.join(BOUND)

    assert printed(log) == ["hello", "long"]
    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
async def test_a_run_that_is_refused_leaves_print_alone() -> None:
    @flow
    async def main() -> Any:
        return get_run_context()

    ended = await main()
    late = task(hello, log_prints=True)

    with ended, pytest.raises(RuntimeError, match="has ended"):
        late()
    with ended, pytest.raises(RuntimeError, match="has ended"):
        flow(hello, log_prints=True)()

    assert builtins.print is PRINT


@pytest.mark.rule("LOG-09")
def test_code_of_no_run_prints_and_code_of_a_run_logs_in_any_thread(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    @flow(log_prints=True)
    def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(print, "of nobody").result()
            pool.submit(lambda: print("of nobody")).result()
            pool.submit(carry(lambda: print("carried"))).result()

    main()

    assert capsys.readouterr().out == "of nobody\nof nobody\n"
    assert printed(log) == ["carried"]


@pytest.mark.rule("LOG-09")
async def test_of_runs_side_by_side_each_prints_or_logs_as_it_was_told(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body(name: str) -> None:
        for _ in range(3):
            print(name)
            await asyncio.sleep(0)

    loud = task(body, log_prints=True)
    quiet = task(body, log_prints=False)

    @flow
    async def main() -> None:
        await asyncio.gather(loud("logged"), quiet("printed"), body("of the flow"))

    await main()

    assert printed(log) == ["logged"] * 3
    assert sorted(capsys.readouterr().out.split("\n")[:-1]) == [
        *["of the flow"] * 3,
        *["printed"] * 3,
    ]


# -- others who replace print --------------------------------------------------------------


@contextlib.contextmanager
def replacing_print(by: Callable[..., None]) -> Generator[None]:
    before = builtins.print
    builtins.print = by
    yield
    builtins.print = before


@pytest.mark.rule("LOG-09")
def test_who_had_replaced_print_before_gets_what_is_not_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    theirs: list[tuple[Any, ...]] = []

    @flow
    def main() -> None:
        print("printed")
        task(hello, log_prints=True)()

    def by(*values: Any, **_: Any) -> None:
        theirs.append(values)

    with replacing_print(by):
        main()
        assert builtins.print is by

    assert theirs == [("printed",)]
    assert printed(log) == ["hello"]


@pytest.mark.rule("LOG-09")
def test_who_replaces_print_meanwhile_keeps_it(log: pytest.LogCaptureFixture) -> None:
    theirs: list[tuple[Any, ...]] = []

    @flow(log_prints=True)
    def main() -> None:
        under = builtins.print

        def over(*values: Any, **options: Any) -> None:
            theirs.append(values)
            under(*values, **options)

        builtins.print = over
        print("over ours")

    main()
    kept = builtins.print
    print("afterwards")
    again = flow(hello, log_prints=True)
    again()
    assert builtins.print is kept
    builtins.print = PRINT

    assert theirs == [("over ours",), ("afterwards",)]
    assert printed(log) == ["over ours", "hello"]


def test_a_logger_and_a_print_come_in_order(log: pytest.LogCaptureFixture) -> None:
    def body() -> None:
        print("one")
        get_run_logger().info("two")
        print("three")

    task(body, log_prints=True)()

    assert [record.getMessage() for record in log.records] == ["one", "two", "three"]


@pytest.mark.rule("LOG-08")
def test_what_logging_prints_of_a_broken_handler_is_not_logged(
    log: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise BrokenPipeError("nobody reads")
            except BrokenPipeError:
                self.handleError(record)

    def body() -> None:
        get_run_logger().info("of the logger")
        print("of a print")
        logging.getLogger("headrace.task_runs").info("of any logger")
        traceback.print_exception(ValueError("of the body"))

    handler = Broken()
    logger = logging.getLogger("headrace.task_runs")
    logger.addHandler(handler)
    try:
        task(body, log_prints=True)()
    finally:
        logger.removeHandler(handler)

    assert [record.getMessage() for record in log.records] == [
        "of the logger",
        "of a print",
        "of any logger",
        "ValueError: of the body",
    ]
    assert capsys.readouterr().err.count("--- Logging error ---") == 4


@pytest.mark.parametrize("noun", ["task", "flow"])
def test_a_filter_that_raises_disturbs_no_run_that_logs_prints(
    noun: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("a filter")

    def body() -> None:
        raise ValueError("of the body")

    it: Any = (task if noun == "task" else flow)(body, log_prints=True)
    outer = flow(lambda: it(return_state=True), log_prints=True)
    loggers = [logging.getLogger(f"headrace.{noun}_runs") for noun in ("task", "flow")]
    for logger in loggers:
        logger.addFilter(refuse)
    try:
        state = outer(return_state=True)
    finally:
        for logger in loggers:
            logger.removeFilter(refuse)

    assert state.message is not None
    assert "1/1 states failed" in state.message
    assert "LookupError: a filter" in capsys.readouterr().err
