"""Exceptions of every kind, from every body, through every door: the host survives."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from headrace import Flow, Runtime, State, Task, flow, task
from headrace.exceptions import CancelledRun, CrashedRun, RunInterrupted


class Fatal(BaseException):
    """A user's own, and no Exception."""


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("keeps a lock")
        self.lock = threading.Lock()


class Unprintable(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")

    __repr__ = __str__


class UnprintableFatal(BaseException):
    def __str__(self) -> NoReturn:
        raise SystemExit("no text either")

    __repr__ = __str__


class AlwaysEqual(Exception):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = Exception.__hash__


# Makes the error, the type of the final state, and what its `result()` raises. For a
# crash and a StopIteration the error is the cause of that.
ERRORS: dict[str, tuple[Callable[[], BaseException], str, type[Exception]]] = {
    "SystemExit": (lambda: SystemExit(3), "CRASHED", CrashedRun),
    "KeyboardInterrupt": (KeyboardInterrupt, "CRASHED", CrashedRun),
    "GeneratorExit": (GeneratorExit, "CRASHED", CrashedRun),
    "own-base": (lambda: Fatal("mine"), "CRASHED", CrashedRun),
    "unprintable-base": (UnprintableFatal, "CRASHED", CrashedRun),
    "base-group": (
        lambda: BaseExceptionGroup("all", [ValueError(1), KeyboardInterrupt()]),
        "CRASHED",
        CrashedRun,
    ),
    "StopIteration": (lambda: StopIteration(5), "FAILED", RuntimeError),
    "StopAsyncIteration": (StopAsyncIteration, "FAILED", StopAsyncIteration),
    "group": (
        lambda: ExceptionGroup("all", [ValueError(1), ExceptionGroup("in", [KeyError()])]),
        "FAILED",
        ExceptionGroup,
    ),
    "unpicklable": (Unpicklable, "FAILED", Unpicklable),
    "unprintable": (Unprintable, "FAILED", Unprintable),
    "always-equal": (AlwaysEqual, "FAILED", AlwaysEqual),
    "MemoryError": (MemoryError, "FAILED", MemoryError),
    "TimeoutError": (TimeoutError, "FAILED", TimeoutError),
    "futures-cancelled": (
        concurrent.futures.CancelledError,
        "FAILED",
        concurrent.futures.CancelledError,
    ),
    "CancelledError": (
        lambda: asyncio.CancelledError("mine"), "CANCELLED", CancelledRun
    ),
    "RunInterrupted": (RunInterrupted, "CANCELLED", CancelledRun),
}  # fmt: skip
EVERY_ERROR = pytest.mark.parametrize("name", ERRORS)
IS_CAUSE = {"CRASHED", "CANCELLED"}


def bodies(error: BaseException) -> dict[str, Any]:
    def plain() -> None:
        raise error

    async def coroutine() -> None:
        await asyncio.sleep(0)
        raise error

    async def at_once() -> None:
        raise error

    def generator() -> Any:
        yield 1
        raise error

    return {
        "plain": plain,
        "coroutine": coroutine,
        "at-once": at_once,
        "generator": generator,
    }


def check(name: str, error: BaseException, state: State[Any]) -> None:
    """That a final state says what it should, and that reading it raises that."""
    _, kind, raised_type = ERRORS[name]
    assert state.type == kind
    with pytest.raises(raised_type) as raised:
        state.result()
    if kind in IS_CAUSE or name == "StopIteration":
        assert raised.value.__cause__ is error
    else:
        assert raised.value is error
    assert isinstance(state.message, str)
    assert isinstance(str(state), str)


def error_from(name: str) -> BaseException:
    return ERRORS[name][0]()


@task
async def alive() -> str:
    await asyncio.sleep(0)
    return "alive"


@task
def alive_too() -> str:
    return "alive too"


async def is_alive() -> bool:
    """Whether coroutines and threads of the present runtime still run tasks."""
    async with asyncio.timeout(5):
        return (await alive.submit().aresult(), await alive_too.acall()) == (
            "alive", "alive too"
        )  # fmt: skip


# -- tasks, from coroutine code ----------------------------------------------------------


@EVERY_ERROR
@pytest.mark.parametrize("body", ["plain", "coroutine", "at-once", "generator"])
@pytest.mark.parametrize(
    "options", [{}, {"timeout_seconds": 60}, {"retries": 1}], ids=str
)
@pytest.mark.rule("CRASH-01", "CRASH-04", "CRASH-06")
async def test_a_submitted_task_may_raise_anything(
    name: str, body: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = task(**options)(bodies(error)[body])

    async with Runtime() as runtime:
        future = await it.submit()
        state = await future.astate()
        survived = await is_alive()
        stats = runtime.stats()

    if (body, name) == ("generator", "StopIteration"):
        assert state.type == "FAILED"  # Python itself makes it a RuntimeError
    else:
        check(name, error, state)
    assert survived
    assert stats["open_runs"] == stats["abandoned_threads"] == stats["zombies"] == 0


@EVERY_ERROR
@pytest.mark.parametrize("body", ["plain", "coroutine", "at-once"])
@pytest.mark.parametrize(
    "options", [{}, {"timeout_seconds": 60}, {"retries": 1}], ids=str
)
@pytest.mark.rule("CRASH-01", "CRASH-04", "CRASH-06")
async def test_an_acalled_task_may_raise_anything(
    name: str, body: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = task(**options)(bodies(error)[body])

    async with Runtime():
        state = await it.acall(return_state=True)
        survived = await is_alive()

    check(name, error, state)
    assert survived


@EVERY_ERROR
@pytest.mark.parametrize(
    "options", [{}, {"timeout_seconds": 60}, {"retries": 1}], ids=str
)
@pytest.mark.rule("CRASH-04", "CRASH-05")
async def test_an_awaited_task_may_raise_anything(
    name: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = task(**options)(bodies(error)["coroutine"])
    _, kind, raised_type = ERRORS[name]

    async with Runtime():
        with pytest.raises(raised_type) as raised:
            await it()
        survived = await is_alive()

    if kind in IS_CAUSE:
        assert raised.value.__cause__ is error
    assert survived


@EVERY_ERROR
@pytest.mark.rule("CRASH-04")
async def test_a_task_awaited_outside_of_everything_may_raise_anything(
    name: str,
) -> None:
    error = error_from(name)
    it: Any = task(bodies(error)["coroutine"])

    state = await it(return_state=True)

    check(name, error, state)


@EVERY_ERROR
async def test_a_plain_task_called_on_the_loop_may_raise_anything(name: str) -> None:
    error = error_from(name)
    it: Any = task(bodies(error)["plain"])
    _, kind, raised_type = ERRORS[name]

    async with Runtime():
        with pytest.raises(raised_type) as raised:
            it()
        survived = await is_alive()

    if kind in IS_CAUSE:
        assert raised.value.__cause__ is error
    assert survived


@EVERY_ERROR
@pytest.mark.parametrize("body", ["plain", "coroutine"])
async def test_every_run_of_a_map_may_raise_anything(name: str, body: str) -> None:
    error = error_from(name)
    raising: Any = bodies(error)[body]

    async def coroutine(n: int) -> int:
        return n if n % 10 else await raising()

    def plain(n: int) -> int:
        return n if n % 10 else raising()

    it: Any = task({"plain": plain, "coroutine": coroutine}[body])

    async with Runtime():
        futures = it.map(range(200))
        states = [await future.astate() for future in futures]
        survived = await is_alive()

    assert [state.data for n, state in enumerate(states) if n % 10] == [
        n for n in range(200) if n % 10
    ]
    assert {state.type for state in states[::10]} == {ERRORS[name][1]}
    assert survived


# -- tasks, from plain code --------------------------------------------------------------


@EVERY_ERROR
@pytest.mark.parametrize("body", ["plain", "coroutine"])
@pytest.mark.rule("CRASH-01", "CRASH-03", "CRASH-04")
def test_a_task_submitted_from_plain_code_may_raise_anything(
    name: str, body: str
) -> None:
    error = error_from(name)
    it: Any = task(bodies(error)[body])

    with Runtime():
        state = it.submit().wait(5)
        survived = alive_too.submit().result(5)

    check(name, error, state)
    assert survived


@EVERY_ERROR
@pytest.mark.rule("CRASH-03", "CRASH-04")
def test_an_inline_call_in_plain_code_raises_what_the_body_raised(name: str) -> None:
    error = error_from(name)
    it: Any = task(bodies(error)["plain"])
    _, kind, raised_type = ERRORS[name]

    with Runtime():
        with pytest.raises(BaseException) as raised:  # noqa: PT011 - compared below
            it()
        survived = alive_too.submit().result(5)

    if kind == "CRASHED" or type(error) is raised_type:
        assert raised.value is error
    else:
        assert type(raised.value) is raised_type
        assert raised.value.__cause__ is error
    assert survived


@EVERY_ERROR
@pytest.mark.parametrize(
    ("body", "options"),
    [
        pytest.param("coroutine", {}, id="coroutine"),
        pytest.param("plain", {"timeout_seconds": 60}, id="with-a-limit"),
    ],
)
def test_a_call_that_is_run_elsewhere_raises_an_ordinary_error(
    name: str, body: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = task(**options)(bodies(error)[body])
    _, kind, raised_type = ERRORS[name]
    caught: list[BaseException] = []

    @flow
    def whole() -> str:
        try:
            it()
        except BaseException as raised:  # noqa: BLE001 - looked at below
            caught.append(raised)
        return alive_too()

    assert whole() == "alive too"
    assert isinstance(caught[0], raised_type)
    if kind in IS_CAUSE:
        assert caught[0].__cause__ is error


# -- flows -----------------------------------------------------------------------------


@EVERY_ERROR
@pytest.mark.parametrize("options", [{}, {"timeout_seconds": 60}], ids=str)
async def test_the_body_of_a_coroutine_flow_may_raise_anything(
    name: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = flow(**options)(bodies(error)["coroutine"])

    async with Runtime():
        state = await it(return_state=True)
        survived = await is_alive()

    check(name, error, state)
    assert survived


@EVERY_ERROR
async def test_a_coroutine_flow_that_raised_anything_cancels_its_runs(
    name: str,
) -> None:
    error = error_from(name)
    futures: list[Any] = []

    @task
    async def long() -> None:
        await asyncio.sleep(3600)

    @flow
    async def whole() -> None:
        futures.extend([long.submit(), long.submit()])
        await asyncio.sleep(1)
        raise error

    state: Any = await whole(return_state=True)

    check(name, error, state)
    assert {future.state.name for future in futures} == {"Cancelled"}


@EVERY_ERROR
@pytest.mark.parametrize("options", [{}, {"timeout_seconds": 60}], ids=str)
async def test_the_body_of_an_acalled_plain_flow_may_raise_anything(
    name: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Any = flow(**options)(bodies(error)["plain"])

    async with Runtime():
        state = await it.acall(return_state=True)
        survived = await is_alive()

    check(name, error, state)
    assert survived


@EVERY_ERROR
@pytest.mark.parametrize("options", [{}, {"timeout_seconds": 60}], ids=str)
@pytest.mark.rule("CRASH-03", "CRASH-04")
def test_a_plain_flow_raises_what_its_body_raised(
    name: str, options: dict[str, Any]
) -> None:
    error = error_from(name)
    it: Flow[[], None] = flow(**options)(bodies(error)["plain"])
    _, kind, raised_type = ERRORS[name]

    with pytest.raises(BaseException) as raised:  # noqa: PT011 - compared below
        it()

    if kind == "CRASHED" or type(error) is raised_type:
        assert raised.value is error
    else:
        assert type(raised.value) is raised_type
        assert raised.value.__cause__ is error


@EVERY_ERROR
@pytest.mark.rule("CRASH-04")
def test_a_plain_flow_that_raised_anything_gives_its_state(name: str) -> None:
    error = error_from(name)
    it: Any = flow(bodies(error)["plain"])

    state = it(return_state=True)

    check(name, error, state)


@pytest.mark.rule("CRASH-03")
def test_a_crash_in_a_task_is_seen_by_the_flow_and_can_be_handled() -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    @flow
    def whole() -> str:
        try:
            leave()
        except SystemExit as error:
            return f"left with {error.code}"
        return "stayed"

    assert whole() == "left with 3"


@pytest.mark.rule("CRASH-03")
def test_a_crash_in_a_task_that_nobody_handles_leaves_the_flow() -> None:
    @task
    def leave() -> None:
        raise SystemExit(3)

    @flow
    def whole() -> None:
        leave()

    with pytest.raises(SystemExit) as raised:
        whole()

    assert raised.value.code == 3


async def test_a_crash_holds_back_what_depends_on_it() -> None:
    @task
    async def leave() -> None:
        raise SystemExit(3)

    async with Runtime():
        first: Any = leave.submit()
        state = await alive.submit(wait_for=[first]).astate()

    assert state is not None
    assert (state.name, state.verdict_type) == ("NotReady", "FAILED")


INTERRUPTED = "interrupted by an unexpected exception"
NO_TEXT = "<no text: its __str__ raised>"


# -- messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SystemExit", "Task run was aborted by a Python system exit call."),
        ("KeyboardInterrupt", "Task run was aborted by an interrupt signal."),
        (
            "own-base",
            f"Task run was {INTERRUPTED}: {__name__}.Fatal: mine.",
        ),
        (
            "unprintable-base",
            f"Task run was {INTERRUPTED}: {__name__}.UnprintableFatal: {NO_TEXT}.",
        ),
        (
            "unprintable",
            f"Task run encountered an exception {__name__}.Unprintable: {NO_TEXT}",
        ),
        ("CancelledError", "the run 'coroutine-0' ended by a cancellation."),
    ],
)
@pytest.mark.rule("CRASH-01", "FINAL-09")
async def test_the_message_says_how_a_run_ended(name: str, message: str) -> None:
    it: Any = task(bodies(error_from(name))["coroutine"])

    state = await it(return_state=True)

    assert state.message == message


@pytest.mark.rule("CRASH-01")
def test_a_flow_that_crashed_says_so() -> None:
    it: Any = flow(bodies(SystemExit(3))["plain"])

    state = it(return_state=True)

    assert state.message == "Flow run was aborted by a Python system exit call."


async def test_what_cannot_be_printed_can_be_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def condition(*_: object) -> bool:
        raise Unprintable

    it: Any = task(retries=1, retry_condition_fn=condition)(
        bodies(Unprintable())["coroutine"]
    )

    async with Runtime():
        state = await (await it.submit()).astate()

    assert state.type == "FAILED"
    assert NO_TEXT in caplog.records[0].getMessage()
    assert caplog.records[0].levelno == logging.ERROR


def test_the_unpicklable_error_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Unpicklable())


# -- the engine's own code -------------------------------------------------------------


async def test_a_callback_that_raises_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[str] = []

    def leave(_: object) -> None:
        called.append("called")
        raise SystemExit(3)

    async with Runtime():
        future = await alive.submit()
        future.add_done_callback(leave)
        future.add_done_callback(lambda _: called.append("too"))
        await future
        await asyncio.sleep(1)
        survived = await is_alive()

    assert called == ["called", "too"]
    assert survived
    assert "failed" in caplog.text


async def test_an_observer_that_raises_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        def on_event(self, event: object) -> None:
            raise ValueError("broken")

    async with Runtime(observers=[Broken()]):
        value = await alive()

    assert value == "alive"
    assert "is heard no more" in caplog.text


async def test_an_error_in_a_body_has_the_trace_of_the_body_only() -> None:
    it: Task[..., Any] = task(bodies(ValueError("boom"))["coroutine"])

    async with Runtime():
        state: Any = await it.submit().astate()

    trace = state.data.__traceback__
    assert trace.tb_frame.f_code.co_name == "coroutine"
