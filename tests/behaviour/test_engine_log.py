"""What the engine itself logs of runs, and how loudly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from headrace import (
    Runtime,
    allow_failure,
    flow,
    get_run_context,
    task,
    temporary_settings,
)
from headrace.exceptions import RunEnded
from headrace.states import Failed

NASTY = "a\nERROR b\r\x1b[2J\b\u2028\u202e"
TAMED = r"a\nERROR b\r\x1b[2J\x08\u2028\u202e"


class Line(NamedTuple):
    """A record of a run, in short: "task DEBUG it-0: ..."."""

    of: str
    level: str
    text: str


def coroutine_of(fn: Callable[[], Any]) -> Any:
    async def coroutine() -> Any:
        return fn()

    return coroutine


def lines(log: pytest.LogCaptureFixture, least: int = logging.DEBUG) -> list[Line]:
    """What was logged of runs, in order."""
    return [
        Line(
            record.name.removeprefix("headrace.").removesuffix("_runs"),
            record.levelname,
            record.getMessage().split(" ", 2)[2]
            if record.getMessage().startswith(("task run", "flow run"))
            else record.getMessage(),
        )
        for record in log.records
        if record.name.endswith("_runs") and record.levelno >= least
    ]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log of the test, from INFO up."""
    caplog.set_level(logging.INFO)
    return caplog


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All of the log of the test."""
    caplog.set_level(logging.DEBUG)
    return caplog


# -- runs that do well -----------------------------------------------------------------


@pytest.mark.rule("LOG-05")
def test_at_info_a_flow_run_has_a_first_and_a_last_line_and_its_tasks_none(
    every_door: Any, log: pytest.LogCaptureFixture
) -> None:
    every_door(lambda: 42)

    expected = [
        Line("flow", "INFO", "'main-0' of flow 'main': beginning"),
        Line("flow", "INFO", "'main-0': finished in state Completed()"),
    ]
    assert lines(log) == (expected if every_door.in_flow else [])


@pytest.mark.rule("LOG-05", "LOG-06")
def test_at_debug_a_task_run_has_lines_in_the_order_of_what_happens(
    every_door: Any, debug_log: pytest.LogCaptureFixture
) -> None:
    def body() -> None:
        logging.getLogger("body_runs").info("in the body")

    every_door(body)

    created = "created task run 'it-0' for task 'it'"
    assert [line for line in lines(debug_log) if "main-0'" not in line.text] == [
        Line("flow" if every_door.in_flow else "task", "DEBUG", created),
        Line("task", "DEBUG", "'it-0': beginning execution"),
        Line("body", "INFO", "in the body"),
        Line("task", "DEBUG", "'it-0': finished in state Completed()"),
    ]
    last = [r for r in debug_log.records if r.name == "headrace.task_runs"][-1]
    assert vars(last)["task_run_name"] == "it-0"
    assert vars(last)["flow_name"] == ("main" if every_door.in_flow else None)


@pytest.mark.rule("LOG-05")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_map_of_a_thousand_emits_at_most_five_info_lines(
    kind: str, log: pytest.LogCaptureFixture
) -> None:
    async def coroutine(x: int) -> int:
        return x

    it: Any = task(coroutine if kind == "coroutine" else lambda x: x)

    @flow
    def main() -> list[int]:
        return it.map(range(1000))

    assert main() == list(range(1000))
    assert len([line for line in lines(log) if line.level == "INFO"]) <= 5
    assert [line for line in lines(log) if line.level != "INFO"] == []


def test_who_reads_no_debug_when_the_host_opens_gets_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Runtime():
        caplog.set_level(logging.DEBUG)
        task(lambda: None)()
    assert lines(caplog) == []

    with Runtime():
        task(lambda: None)()
    assert len(lines(caplog)) == 3


# -- failures --------------------------------------------------------------------------


class Boom(Exception):
    pass


def fail() -> None:
    raise Boom("no good")


@pytest.mark.rule("LOG-05", "LOG-06")
def test_a_failure_is_logged_with_its_traceback_and_then_its_state(
    every_door: Any, log: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Boom):
        every_door(fail)

    state = "Failed('Task run encountered an exception "
    of_task = [line for line in lines(log) if line.of == "task"]
    assert [line.level for line in of_task] == ["ERROR", "ERROR"]
    assert of_task[0].text == "'it-0': encountered exception during execution"
    assert of_task[1].text.startswith(f"'it-0': finished in state {state}")
    record = next(r for r in log.records if r.name == "headrace.task_runs")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Boom)
    assert "raise Boom" in log.text
    assert vars(record)["flow_name"] == ("main" if every_door.in_flow else None)


@pytest.mark.rule("LOG-05")
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_flow_whose_body_raises_is_logged_as_a_task_is(
    kind: str, log: pytest.LogCaptureFixture
) -> None:
    async def coroutine_fail() -> None:
        fail()

    if kind == "plain":
        state: Any = flow(name="main")(fail)(return_state=True)
    else:
        state = asyncio.run(flow(name="main")(coroutine_fail)(return_state=True))

    assert isinstance(state.data, Boom)

    began, raised, ended = lines(log)
    assert began.level == "INFO"
    assert raised == Line(
        "flow", "ERROR", "'main-0': encountered exception during execution"
    )
    assert ended.level == "ERROR"
    assert "finished in state Failed(" in ended.text


@pytest.mark.rule("LOG-05")
def test_a_flow_that_fails_by_its_runs_shows_no_traceback_a_second_time(
    log: pytest.LogCaptureFixture,
) -> None:
    failing = task(name="it")(fail)

    @flow(name="main")
    def main() -> None:
        failing.submit()

    main(return_state=True)

    assert [
        (line.of, line.level)
        for line in lines(log, logging.ERROR)
        if "encountered exception during" in line.text
    ] == [("task", "ERROR")]
    assert lines(log)[-1].level == "ERROR"
    assert "'main-0': finished in state Failed(\"1 run failed" in lines(log)[-1].text


@pytest.mark.rule("LOG-05")
def test_a_returned_failure_has_no_traceback(
    every_door: Any, log: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Boom):
        every_door(lambda: Failed(data=Boom("x"), message="not today"))

    of_task = [line for line in lines(log) if line.of == "task"]
    assert of_task == [
        Line("task", "ERROR", "'it-0': finished in state Failed('not today')")
    ]


@pytest.mark.rule("LOG-05")
async def test_a_run_that_ran_out_of_time_is_logged_as_such(
    log: pytest.LogCaptureFixture,
) -> None:
    slow = task(name="it", timeout_seconds=1)(asyncio.sleep)

    async with Runtime():
        await slow.submit(60).astate()

    text = "Task run exceeded timeout of 1.0 seconds"
    assert lines(log) == [
        Line("task", "ERROR", "'it-0': encountered exception during execution"),
        Line(
            "task",
            "ERROR",
            f"'it-0': finished in state TimedOut('{text}', type=FAILED)",
        ),
    ]


@pytest.mark.rule("LOG-05")
async def test_a_crash_is_logged_with_its_traceback_but_for_an_exit(
    log: pytest.LogCaptureFixture,
) -> None:
    class Odd(BaseException):
        pass

    def raises(error: BaseException) -> None:
        raise error

    crashing = task(name="it")(raises)

    async with Runtime():
        await crashing.submit(Odd()).astate()
        await crashing.submit(SystemExit(3)).astate()
        await crashing.submit(GeneratorExit()).astate()

    assert [line.text.partition("(")[0] for line in lines(log)] == [
        "'it-0': encountered exception during execution",
        "'it-0': finished in state Crashed",
        "'it-1': finished in state Crashed",
        "'it-2': finished in state Crashed",
    ]


@pytest.mark.rule("RETRY-21")
def test_a_failed_attempt_is_logged_and_then_that_there_is_another(
    every_door: Any, log: pytest.LogCaptureFixture
) -> None:
    outcomes = iter([Boom("first"), Failed(message="second"), None])

    def flaky() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    every_door(flaky, retries=2, retry_delay_seconds=0)

    again = (
        "'it-0': received non-final state AwaitingRetry and will run again in 0 seconds"
    )
    assert [line for line in lines(log) if line.of == "task"] == [
        Line("task", "ERROR", "'it-0': encountered exception during execution"),
        Line("task", "INFO", again),
        Line("task", "ERROR", "'it-0': attempt 2 returned a failed state: second"),
        Line("task", "INFO", again),
    ]
    assert "Boom: first" in log.text


@pytest.mark.rule("RETRY-21")
async def test_the_line_of_a_retry_says_when_it_is_due(
    log: pytest.LogCaptureFixture,
) -> None:
    outcomes = iter([Boom(), Boom(), None])

    @task(retries=2, retry_delay_seconds=[0.5, 3600])
    async def flaky() -> None:
        if error := next(outcomes):
            raise error

    async with Runtime():
        await flaky.submit().future

    infos = [line.text for line in lines(log) if line.level == "INFO"]
    assert [text.partition("will ")[2] for text in infos] == [
        "run again in 0.5 seconds",
        "run again in 3600 seconds",
    ]


# -- held back and cancelled -----------------------------------------------------------


@pytest.mark.rule("LOG-05")
async def test_a_run_that_was_held_back_says_so(log: pytest.LogCaptureFixture) -> None:
    failing = task(name="failing")(fail)
    after = task(name="after")(lambda x: x)

    async with Runtime():
        await after.submit(await failing.submit()).astate()

    last = lines(log)[-1]
    assert last.level == "ERROR"
    assert last.text.startswith("'after-0': finished in state NotReady(")


@pytest.mark.rule("LOG-05")
async def test_a_run_that_is_cancelled_alone_is_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    sleep = task(name="sleep")(asyncio.sleep)

    async with Runtime():
        future = await sleep.submit(60)
        future.cancel()
        await future.astate()

    (line,) = lines(log)
    assert line.level == "ERROR"
    assert line.text.startswith("'sleep-0': finished in state Cancelled(")


@pytest.mark.rule("LOG-05")
async def test_of_runs_that_are_cancelled_with_their_flow_only_the_flow_is_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    sleep = task(name="sleep")(asyncio.sleep)
    total = task(name="total")(lambda values: values)

    @flow(name="inner")
    async def inner() -> None:
        await sleep(60)

    @flow(name="main", timeout_seconds=1)
    async def main() -> None:
        total.submit(sleep.map([60] * 100))
        await inner()

    await main(return_state=True)

    assert lines(log, logging.ERROR) == [
        Line("flow", "ERROR", "'main-0': encountered exception during execution"),
        Line(
            "flow",
            "ERROR",
            "'main-0': finished in state "
            "TimedOut('Flow run exceeded timeout of 1.0 seconds', type=FAILED)",
        ),
    ]
    # An inner flow that has begun at INFO ends at INFO.
    assert len([line for line in lines(log) if "inner-0" in line.text]) == 2


@pytest.mark.rule("LOG-05")
async def test_of_what_a_cancelled_run_takes_along_nothing_is_logged(
    log: pytest.LogCaptureFixture,
) -> None:
    sleep = task(name="sleep")(asyncio.sleep)

    @task(name="parent")
    async def parent() -> None:
        await sleep.map([60] * 10).aresult()

    async with Runtime():
        future = await parent.submit()
        await asyncio.sleep(1)
        future.cancel()
        await future.astate()

    assert [line.text.partition(":")[0] for line in lines(log)] == ["'parent-0'"]


@pytest.mark.rule("LOG-05")
async def test_at_debug_runs_that_are_cancelled_with_their_scope_are_logged_too(
    debug_log: pytest.LogCaptureFixture,
) -> None:
    sleep = task(name="sleep")(asyncio.sleep)

    @flow
    async def main() -> None:
        sleep.submit(60)
        await asyncio.sleep(1)
        raise Boom

    await main(return_state=True)

    ended = [line for line in lines(debug_log) if "Cancelled(" in line.text]
    assert [line.level for line in ended] == ["DEBUG"]


@pytest.mark.parametrize("kind", ["task", "coroutine task", "flow"])
async def test_a_call_that_is_refused_logs_no_run(
    kind: str, log: pytest.LogCaptureFixture
) -> None:
    async def coroutine() -> None: ...

    late: Any = {
        "task": task(lambda: None),
        "coroutine task": task(coroutine),
        "flow": flow(lambda: None),
    }[kind]
    ended = await flow(coroutine_of(get_run_context))()
    before = len(lines(log))

    with ended, pytest.raises(RunEnded):
        await late.acall() if kind == "coroutine task" else late()

    assert lines(log)[before:] == []


# -- text of others ----------------------------------------------------------------------


def is_tame(text: str) -> bool:
    return not any(char in text for char in "\n\r\x1b\b\u2028\u202e")


@pytest.mark.rule("LOG-05")
@pytest.mark.parametrize("debug_mode", [False, True])
def test_user_text_cannot_forge_a_line_or_move_a_cursor(
    debug_mode: bool, debug_log: pytest.LogCaptureFixture
) -> None:
    class Forger:
        def __repr__(self) -> str:
            return NASTY

    @task(name=NASTY, retries=1, retry_condition_fn=lambda *_: fail())
    def failing(x: object) -> None:
        raise ValueError(NASTY)

    @task(name=NASTY)
    def returning(x: object) -> Any:
        return Failed(name=NASTY, message=NASTY, data=Forger())

    @task(name=NASTY, retries=1)
    def again(x: object) -> Any:
        return Failed(message=NASTY)

    @flow(name=NASTY)
    def main() -> str:
        for it in (failing, returning, again):
            it.submit(Forger()).wait()
            it(Forger(), return_state=True)
        failing.submit(NASTY)
        return "fine"

    with temporary_settings(debug_mode=debug_mode):
        main()
        failing(NASTY, return_state=True)

    ours = [r for r in debug_log.records if r.name.startswith("headrace.")]
    assert len(ours) > 20
    for record in ours:
        assert is_tame(record.getMessage())
        for value in vars(record).values():
            if isinstance(value, str) and value is not record.exc_text:
                assert is_tame(value)
        assert all(is_tame(str(value)) for value in record.args or ())
    assert any(TAMED in record.getMessage() for record in ours)


@pytest.mark.parametrize("debug_mode", [False, True])
def test_a_huge_text_makes_no_huge_line(
    debug_mode: bool, log: pytest.LogCaptureFixture
) -> None:
    @task
    def failing() -> None:
        raise ValueError("x" * 1_000_000)

    with temporary_settings(debug_mode=debug_mode):
        failing(return_state=True)

    assert max(len(record.getMessage()) for record in log.records) < 1000


# -- debug mode ------------------------------------------------------------------------


@pytest.mark.rule("LOG-10")
def test_debug_mode_logs_each_call_and_the_whole_of_a_state(
    every_door: Any, debug_log: pytest.LogCaptureFixture
) -> None:
    with temporary_settings(debug_mode=True):
        every_door(lambda: "value")

    of_task = [line.text for line in lines(debug_log) if line.of == "task"][-2:]
    state = "Completed(message=None, type=COMPLETED, result='value')"
    assert of_task == [
        "'it-0': executing it(0)",
        f"'it-0': finished in state {state}",
    ]


@pytest.mark.rule("LOG-10")
def test_debug_mode_cuts_arguments_and_takes_any_callable(
    debug_log: pytest.LogCaptureFixture,
) -> None:
    class Nameless:
        def __call__(self, *args: object, **kwargs: object) -> None: ...

    class Unprintable:
        def __repr__(self) -> str:
            raise ValueError("no")

    it = task(Nameless(), name="it")
    main = flow(lambda first: it(first, "x" * 1000, second=Unprintable()), name="main")

    with temporary_settings(debug_mode=True):
        main(list(range(1000)))

    calls = [line.text for line in lines(debug_log) if "executing" in line.text]
    assert len(calls) == 2
    assert all(len(call) < 400 for call in calls)
    assert calls[0].startswith("'main-0': executing main([0, 1, 2, ")
    assert calls[1].startswith("'it-0': executing it([0, 1, 2, ")
    assert "second=<Unprintable instance at" in calls[1]


@pytest.mark.rule("LOG-10")
def test_debug_mode_shows_the_whole_of_a_state_that_is_no_good(
    log: pytest.LogCaptureFixture,
) -> None:
    with temporary_settings(debug_mode=True):
        task(fail, name="it")(return_state=True)

    assert "type=FAILED, result=Boom('no good'))" in lines(log)[-1].text


# -- what logging may do ---------------------------------------------------------------


@pytest.mark.parametrize("door", ["submitted", "called", "flow"])
async def test_a_filter_that_raises_disturbs_no_run(
    door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise LookupError("a filter")

    loggers = [logging.getLogger(f"headrace.{noun}_runs") for noun in ("task", "flow")]
    for logger in loggers:
        logger.addFilter(refuse)
    try:
        async with Runtime():
            if door == "submitted":
                state = await task(fail).submit().astate()
            elif door == "called":
                state = task(fail)(return_state=True)
            else:
                state = flow(fail)(return_state=True)
    finally:
        for logger in loggers:
            logger.removeFilter(refuse)

    assert state is not None
    assert state.is_failed()
    assert "LookupError: a filter" in capsys.readouterr().err


def test_a_run_that_was_tolerated_is_logged_all_the_same(
    log: pytest.LogCaptureFixture,
) -> None:
    failing = task(fail, name="failing")

    @flow
    def main() -> str:
        future = failing.submit()
        return task(lambda _: "went on").submit(allow_failure(future)).result()

    assert main() == "went on"
    assert [line.of for line in lines(log, logging.ERROR)] == ["task", "task"]


# -- names and hooks -------------------------------------------------------------------


@pytest.mark.rule("LOG-05", "RNAME-09")
def test_all_lines_of_a_flow_run_show_the_name_that_it_was_given(
    log: pytest.LogCaptureFixture,
) -> None:
    def body(day: str) -> None: ...

    plain = flow(body, name="main", flow_run_name="plain-{day}")
    coroutine = flow(
        coroutine_of(lambda: None), name="main", flow_run_name=lambda: "other"
    )

    plain("monday")
    asyncio.run(coroutine())

    assert [line.text for line in lines(log)] == [
        "'plain-monday' of flow 'main': beginning",
        "'plain-monday': finished in state Completed()",
        "'other' of flow 'main': beginning",
        "'other': finished in state Completed()",
    ]


@pytest.mark.rule("LOG-05")
def test_hooks_make_no_line_twice(
    every_door: Any, debug_log: pytest.LogCaptureFixture
) -> None:
    def hook(*_: object) -> None: ...

    async def coroutine_hook(*_: object) -> None: ...

    hooks: Any = [hook if every_door.kind == "plain" else coroutine_hook]
    every_door(lambda: None, on_running=hooks, on_completion=hooks)

    of_task = [line.text for line in lines(debug_log) if line.of == "task"]
    assert of_task[-2:] == [
        "'it-0': beginning execution",
        "'it-0': finished in state Completed()",
    ]
    assert len(of_task) == (2 if every_door.in_flow else 3)


@pytest.mark.rule("LOG-05", "RETRY-17")
def test_a_flow_that_runs_again_logs_its_failed_attempt_and_begins_once(
    log: pytest.LogCaptureFixture,
) -> None:
    outcomes = iter([Boom(), None])

    @flow(name="main", retries=1)
    def main() -> None:
        if error := next(outcomes):
            raise error

    main()

    again = "received non-final state AwaitingRetry and will run again in 0 seconds"
    assert [(line.level, line.text) for line in lines(log)] == [
        ("INFO", "'main-0' of flow 'main': beginning"),
        ("ERROR", "'main-0': encountered exception during execution"),
        ("INFO", f"'main-0': {again}"),
        ("INFO", "'main-0': finished in state Completed()"),
    ]
