"""What states are and how they compare; `test_state_results` has what they hold."""

from __future__ import annotations

import copy
import pickle
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.states import (
    FINAL,
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Late,
    Paused,
    Pending,
    Retrying,
    Running,
    Scheduled,
    State,
    StateDetails,
    StateType,
)

S = StateType
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
RUN = uuid.UUID("00000000-0000-0000-0000-000000000005")
FLOW = uuid.UUID("00000000-0000-0000-0000-000000000006")

MAKERS: list[tuple[Callable[..., State[Any]], StateType, str]] = [
    (Scheduled, S.SCHEDULED, "Scheduled"),
    (Pending, S.PENDING, "Pending"),
    (Running, S.RUNNING, "Running"),
    (Completed, S.COMPLETED, "Completed"),
    (Failed, S.FAILED, "Failed"),
    (Crashed, S.CRASHED, "Crashed"),
    (Cancelling, S.CANCELLING, "Cancelling"),
    (Cancelled, S.CANCELLED, "Cancelled"),
    (Paused, S.PAUSED, "Paused"),
    (AwaitingRetry, S.SCHEDULED, "AwaitingRetry"),
    (Retrying, S.RUNNING, "Retrying"),
    (Late, S.SCHEDULED, "Late"),
]

each_maker = pytest.mark.parametrize(("make", "kind", "name"), MAKERS)


def made_by_engine(kind: StateType, data: object = None, message: str | None = None):
    return State(
        kind, kind.capitalize(), NOON.timestamp(), data, message, RUN.int, FLOW.int
    )


# -- Making a state -----------------------------------------------------------


@each_maker
@pytest.mark.rule("ST-03", "ST-04")
def test_a_state_is_made_by_a_function_of_its_name(
    make: Callable[..., State[Any]], kind: StateType, name: str
) -> None:
    state = make(message="why", data=5)

    assert (state.type, state.name) == (kind, name)
    assert (state.message, state.data) == ("why", 5)


@each_maker
@pytest.mark.rule("ST-03")
def test_a_state_can_have_any_name(
    make: Callable[..., State[Any]], kind: StateType, name: str
) -> None:
    assert make(name="Mine").name == "Mine"


@each_maker
@pytest.mark.rule("ST-02")
def test_a_keyword_that_does_not_exist_is_refused(
    make: Callable[..., State[Any]], kind: StateType, name: str
) -> None:
    with pytest.raises(TypeError, match="foo"):
        make(foo=1)


@pytest.mark.rule("ST-01")
def test_the_type_may_be_given_by_its_name() -> None:
    assert State(type="FAILED").type is S.FAILED
    assert State("FAILED", at=1.0) == State(S.FAILED, at=1.0)


@pytest.mark.rule("ST-01")
def test_a_type_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'DONE' is no type.*COMPLETED.*FAILED"):
        State(type="DONE")


@each_maker
@pytest.mark.rule("ST-06")
def test_predicates_look_at_the_type_alone(
    make: Callable[..., State[Any]], kind: StateType, name: str
) -> None:
    state = make(name="Mine")
    true = {other for other in S if getattr(state, f"is_{other.lower()}")()}

    assert true == {kind}
    assert state.is_final() is (kind in FINAL)


@pytest.mark.rule("ST-02")
def test_a_state_is_stamped_with_the_time_it_was_made_at() -> None:
    before = time.time()
    state = Completed()

    assert before <= state.at <= time.time()
    assert state.timestamp.tzinfo is UTC
    assert state.timestamp.timestamp() == pytest.approx(state.at)


def test_a_timestamp_can_be_given() -> None:
    assert Completed(timestamp=NOON).timestamp == NOON


def test_a_time_without_a_zone_is_refused() -> None:
    naive = NOON.replace(tzinfo=None)

    with pytest.raises(ValueError, match=r"timestamp .* has no time zone"):
        Completed(timestamp=naive)
    with pytest.raises(ValueError, match=r"scheduled_time .* has no time zone"):
        Scheduled(scheduled_time=naive)
    with pytest.raises(ValueError, match=r"pause_expiration_time .* has no time zone"):
        Paused(pause_expiration_time=naive)


@pytest.mark.rule("ST-05")
@pytest.mark.parametrize("make", [Scheduled, AwaitingRetry, Late])
def test_a_scheduled_state_has_a_time_which_is_now_if_not_given(
    make: Callable[..., State[Any]],
) -> None:
    state = make()

    assert state.state_details.scheduled_time == state.timestamp
    assert make(scheduled_time=NOON).state_details.scheduled_time == NOON
    assert State(S.SCHEDULED).state_details.scheduled_time is not None


@pytest.mark.rule("ST-05")
def test_a_time_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        AwaitingRetry(
            scheduled_time=NOON, state_details=StateDetails(scheduled_time=NOON)
        )


@pytest.mark.rule("ST-05")
def test_a_pause_ends_at_a_time_or_after_a_while_but_not_both() -> None:
    until = Paused(pause_expiration_time=NOON, pause_key="k", reschedule=True)
    soon = Paused(timeout_seconds=60)

    assert until.state_details.pause_timeout == NOON
    assert until.state_details.pause_key == "k"
    assert until.state_details.pause_reschedule
    assert soon.state_details.pause_timeout is not None
    assert soon.state_details.pause_timeout - soon.timestamp < timedelta(seconds=61)
    assert Paused().state_details.pause_timeout is None
    with pytest.raises(ValueError, match="Give one"):
        Paused(timeout_seconds=60, pause_expiration_time=NOON)


def test_details_that_were_given_are_copied() -> None:
    details = StateDetails(cache_key="k")

    state = Completed(state_details=details)
    details.cache_key = "other"

    assert state.state_details.cache_key == "k"


# -- States of the engine -----------------------------------------------------


@pytest.mark.rule("ST-07")
def test_a_state_of_a_task_run_has_the_ids_of_both_runs() -> None:
    details = made_by_engine(S.RUNNING).state_details

    assert details.task_run_id == str(RUN)
    assert details.flow_run_id == str(FLOW)


@pytest.mark.rule("ST-07")
def test_a_state_of_a_flow_run_has_the_id_of_that_alone() -> None:
    state: State[None] = State(
        S.RUNNING, "Running", 1.0, None, None, FLOW.int, FLOW.int
    )

    assert state.state_details.task_run_id is None
    assert state.state_details.flow_run_id == str(FLOW)


@pytest.mark.rule("ST-07")
def test_a_state_that_a_user_made_has_no_ids() -> None:
    state = Completed(data=5)

    assert state.run_key is None
    assert state.state_details == StateDetails()


def test_the_engine_may_add_details_to_the_ids() -> None:
    state: State[None] = State(
        *(S.SCHEDULED, "AwaitingRetry", 1.0, None, None, RUN.int, FLOW.int),
        state_details=StateDetails(scheduled_time=NOON),
    )

    assert state.state_details.scheduled_time == NOON
    assert state.state_details.task_run_id == str(RUN)


@pytest.mark.rule("FINAL-02")
def test_a_user_made_state_can_be_adopted_by_a_run() -> None:
    made = AwaitingRetry(scheduled_time=NOON, message="later", data=5)

    adopted = made.adopted(2.0, RUN.int, FLOW.int)

    assert adopted.run_key == RUN.int
    assert (adopted.type, adopted.name, adopted.at) == (made.type, made.name, 2.0)
    assert (adopted.message, adopted.data) == ("later", 5)
    assert adopted.state_details.scheduled_time == NOON
    assert adopted.state_details.task_run_id == str(RUN)
    assert made.run_key is None


def test_the_id_of_a_state_is_drawn_once_and_differs() -> None:
    state = Completed()

    assert uuid.UUID(state.id).int
    assert state.id == state.id
    assert state.id != Completed().id
    assert Completed(state_details=StateDetails()).id
    assert State(S.PENDING, id=RUN).id == str(RUN)


# -- Comparing, copying, reading ----------------------------------------------


@pytest.mark.rule("ST-09")
def test_states_made_at_different_moments_differ() -> None:
    later = NOON + timedelta(microseconds=1)

    assert Completed(timestamp=NOON) == Completed(timestamp=NOON)
    assert Completed(timestamp=NOON) != Completed(timestamp=later)


@pytest.mark.rule("ST-09")
@pytest.mark.parametrize(
    "other",
    [
        Failed(timestamp=NOON, message="m", data=5),
        Completed(timestamp=NOON, message="m", data=5, name="Mine"),
        Completed(timestamp=NOON, message="n", data=5),
        Completed(timestamp=NOON, message="m", data=6),
        Completed(timestamp=NOON, message="m", data=5, state_details=StateDetails(cache_key="k")),
        "Completed",
    ],
)  # fmt: skip
def test_states_differ_when_a_field_does(other: object) -> None:
    assert Completed(timestamp=NOON, message="m", data=5) != other


@pytest.mark.rule("ST-09")
def test_equal_states_have_equal_hashes() -> None:
    one, other = Completed(timestamp=NOON, data=5), Completed(timestamp=NOON, data=5)

    assert one.id != other.id
    assert one == other
    assert len({one, other}) == 1


@pytest.mark.rule("ST-09")
def test_a_copy_is_made_now_with_an_id_of_its_own() -> None:
    state = made_by_engine(S.FAILED, ValueError("x"), "m")

    again = state.copy()

    assert again != state
    assert again.id != state.id
    assert again.at > 0
    assert again.timestamp != NOON
    assert (again.data, again.message, again.run_key) == (state.data, "m", RUN.int)


def test_a_copy_can_be_updated() -> None:
    state = AwaitingRetry(scheduled_time=NOON, message="m")

    assert state.copy(update={"message": "n"}).message == "n"
    assert state.copy(update={"message": "n"}).name == "AwaitingRetry"
    assert state.copy().state_details.scheduled_time == NOON
    assert state.copy(update={"type": S.FAILED}).name == "Failed"
    assert state.copy(update={"timestamp": NOON}).timestamp == NOON


@pytest.mark.rule("PICK-02")
def test_a_state_survives_pickling_with_its_result() -> None:
    for state in (made_by_engine(S.COMPLETED, [1]), AwaitingRetry(data="x")):
        again = pickle.loads(pickle.dumps(state))

        assert again == state
        assert again.run_key == state.run_key
        assert copy.deepcopy(state) == state


@pytest.mark.rule("PICK-02")
def test_a_pickled_state_keeps_its_id_and_its_exception() -> None:
    state = made_by_engine(S.FAILED, ValueError("boom"))
    seen = state.id

    again = pickle.loads(pickle.dumps(state))

    assert again.id == seen
    with pytest.raises(ValueError, match="boom"):
        again.result()


@pytest.mark.rule("ST-08")
@pytest.mark.parametrize(
    ("state", "text"),
    [
        (Completed(), "Completed()"),
        (Failed(message="boom"), "Failed('boom')"),
        (Failed(name="TimedOut", message="m"), "TimedOut('m', type=FAILED)"),
        (AwaitingRetry(), "AwaitingRetry(type=SCHEDULED)"),
        (State(S.FAILED, name="failed"), "failed()"),
    ],
)
def test_a_state_prints_in_short(state: State[Any], text: str) -> None:
    assert str(state) == text


@pytest.mark.rule("ST-08")
def test_the_repr_of_a_state_shows_its_data() -> None:
    text = "TimedOut(message='m', type=FAILED, result=ValueError('x'))"

    assert repr(Failed(name="TimedOut", message="m", data=ValueError("x"))) == text


def test_the_repr_of_a_state_stays_short() -> None:
    assert len(repr(Completed(data="x" * 10_000))) < 400


@pytest.mark.rule("ST-02")
def test_a_state_has_room_for_nothing_else() -> None:
    with pytest.raises(TypeError):
        vars(Completed())
