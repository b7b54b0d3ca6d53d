"""How the result of a state is read."""

from __future__ import annotations

import asyncio
import gc
import traceback
import weakref
from typing import Any

import pytest

from headrace.exceptions import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    HeadraceError,
    MissingResult,
    PausedRun,
    UnfinishedRun,
)
from headrace.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    State,
    StateType,
    StoredData,
    exception_to_crashed_state,
    get_state_exception,
    get_state_result,
    raise_state_exception,
)

S = StateType
RUN, FLOW = 5, 6


def of_engine(kind: StateType, data: object = None, message: str | None = None):
    return State(kind, kind.capitalize(), 1.0, data, message, RUN, FLOW)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as seen:  # noqa: BLE001 - tests raise what they like
        return seen


class Elsewhere(StoredData):
    def __init__(self, value: object) -> None:
        self.value = value

    def load(self) -> Any:
        return self.value

    async def aload(self) -> Any:
        await asyncio.sleep(0)
        return self.value


# -- Reading a completed state, or one that is not final ----------------------


@pytest.mark.rule("SRES-03")
def test_a_completed_state_gives_its_data() -> None:
    data = [1]

    assert Completed(data=data).result() is data
    assert of_engine(S.COMPLETED, data).result() is data
    assert get_state_result(of_engine(S.COMPLETED, data)) is data


@pytest.mark.rule("SRES-03")
@pytest.mark.parametrize("state", [Completed(), Completed(data=None)])
def test_a_users_completed_state_without_data_has_no_result(state: State[Any]) -> None:
    with pytest.raises(MissingResult, match=r"Completed\(data="):
        state.result()
    with pytest.raises(MissingResult):
        state.result(raise_on_failure=False)


@pytest.mark.rule("SRES-03")
def test_a_run_that_gave_none_has_the_result_none() -> None:
    assert of_engine(S.COMPLETED).result() is None
    assert Completed().adopted(1.0, RUN).result() is None


@pytest.mark.rule("SRES-02")
@pytest.mark.parametrize("raise_on_failure", [True, False])
def test_an_unfinished_state_has_no_result(raise_on_failure: bool) -> None:
    for state in (Pending(data=5), Running(), AwaitingRetry(data=ValueError())):
        with pytest.raises(UnfinishedRun, match=f"in {state.type} state"):
            state.result(raise_on_failure)
    with pytest.raises(PausedRun):
        Paused().result(raise_on_failure)


@pytest.mark.rule("SRES-06")
async def test_a_result_is_a_plain_call_in_coroutine_code_too() -> None:
    state = Completed(data=5)

    assert state.result() == 5
    assert await state.aresult() == 5
    assert await state is state


async def test_data_that_is_kept_elsewhere_is_read_when_asked_for() -> None:
    completed = of_engine(S.COMPLETED, Elsewhere([1]))
    failed = of_engine(S.FAILED, Elsewhere(ValueError("boom")))

    assert completed.result() == [1]
    assert await completed.aresult() == [1]
    assert repr(completed) == "Completed(message=None, type=COMPLETED, result=<stored>)"
    with pytest.raises(ValueError, match="boom"):
        failed.result()
    with pytest.raises(ValueError, match="boom"):
        await failed.aresult()
    assert str(get_state_exception(Failed(data=failed))) == "boom"


def test_kept_elsewhere_is_an_interface() -> None:
    with pytest.raises(NotImplementedError):
        StoredData().load()
    with pytest.raises(NotImplementedError):
        asyncio.run(StoredData().aload())


# -- Reading a state that failed ----------------------------------------------


@pytest.mark.rule("SRES-04")
@pytest.mark.parametrize("make", [Failed, Crashed, Cancelled])
def test_the_exception_of_a_failing_state_is_raised_as_it_is(make: Any) -> None:
    error = ValueError("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        make(data=error).result()

    assert caught.value is error
    assert make(data=error).result(raise_on_failure=False) is error


@pytest.mark.rule("SRES-04", "SRES-05")
@pytest.mark.parametrize(
    ("make", "carrier", "default"),
    [
        (Failed, FailedRun, "Run failed."),
        (Crashed, CrashedRun, "Run crashed."),
        (Cancelled, CancelledRun, "Run cancelled."),
    ],
)
def test_a_failing_state_without_an_exception_gets_one_from_its_text(
    make: Any, carrier: type[HeadraceError], default: str
) -> None:
    with pytest.raises(carrier, match=r"^text$"):
        make(data="text").result()
    with pytest.raises(carrier, match=r"^message$"):
        make(message="message").result()
    with pytest.raises(carrier, match=f"^{default}$"):
        make().result()
    assert type(make().result(raise_on_failure=False)) is carrier


@pytest.mark.rule("SRES-05")
def test_other_data_of_a_failed_state_is_given_unchanged_when_asked_so() -> None:
    assert Failed(data=True).result(raise_on_failure=False) is True
    assert Failed(data="text").result(raise_on_failure=False) == "text"
    with pytest.raises(TypeError, match="cannot be resolved into an exception"):
        Failed(data=True).result()


@pytest.mark.rule("SRES-04")
def test_a_state_in_a_state_stands_for_its_exception() -> None:
    error = ValueError("boom")

    assert get_state_exception(Failed(data=Failed(data=error))) is error
    with pytest.raises(ValueError, match="expected failed or crashed state"):
        Failed(data=Completed(data=1)).result()


@pytest.mark.rule("SRES-04")
def test_states_in_a_state_stand_for_the_first_that_failed() -> None:
    error = ValueError("boom")
    states = [Completed(data=1), Cancelled(), Failed(data=error), Failed(data="x")]

    assert get_state_exception(Failed(data=states)) is error
    assert get_state_exception(Failed(data=tuple(states))) is error
    assert type(get_state_exception(Cancelled(data=states[:2]))) is CancelledRun
    with pytest.raises(ValueError, match="none were failed"):
        Failed(data=[Completed(data=1)]).result()
    with pytest.raises(TypeError, match="cannot be resolved"):
        Failed(data=[]).result()


@pytest.mark.rule("SRES-07")
def test_only_a_failing_state_raises_when_told_to() -> None:
    raise_state_exception(Completed())
    raise_state_exception(Running())
    with pytest.raises(FailedRun):
        raise_state_exception(Failed())
    with pytest.raises(ValueError, match="expected failed or crashed state"):
        get_state_exception(Completed())


@pytest.mark.rule("CRASH-01", "CRASH-03")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_is_raised_as_a_crash(error: BaseException) -> None:
    state = exception_to_crashed_state(error)

    with pytest.raises(CrashedRun) as caught:
        state.result()

    assert caught.value.__cause__ is error
    assert state.result(raise_on_failure=False) is error
    assert get_state_exception(state) is error


@pytest.mark.rule("FUT-07")
async def test_reading_again_and_again_does_not_lengthen_the_trace() -> None:
    state = of_engine(S.FAILED, raised(ValueError("boom")))
    lengths = set()

    for _ in range(3):
        for reading in (False, True):
            try:
                await state.aresult() if reading else state.result()
            except ValueError as error:
                lengths.add(len(traceback.extract_tb(error.__traceback__)))

    # This test, the reading, and the place that raised.
    assert lengths == {3}


@pytest.mark.rule("FUT-07")
def test_the_trace_starts_where_it_did_when_the_state_was_made() -> None:
    error = raised(ValueError("boom"))
    state, wrapped = of_engine(S.FAILED, error), Failed(data=of_engine(S.FAILED, error))
    raised(error)

    for one in (state, wrapped):
        with pytest.raises(ValueError, match="boom") as caught:
            one.result()
        assert [entry.name for entry in caught.traceback][1:] == ["result", "raised"]


def test_reading_a_failed_state_keeps_no_frame_alive_after_it() -> None:
    class Big:
        pass

    def read() -> weakref.ref[Big]:
        big = Big()
        try:
            of_engine(S.FAILED, ValueError("boom")).result()
        except ValueError:
            return weakref.ref(big)
        raise AssertionError

    gc.disable()
    try:
        assert read()() is None
    finally:
        gc.enable()
