"""Which type of state may follow which."""

from __future__ import annotations

import itertools

import pytest

from headrace.states import ALLOWED, FINAL, StateType, is_allowed

S = StateType


def test_every_type_has_a_row_in_the_table() -> None:
    assert set(ALLOWED) == set(StateType)


@pytest.mark.parametrize("after", StateType)
@pytest.mark.parametrize("before", sorted(FINAL))
def test_nothing_follows_a_final_state(before: StateType, after: StateType) -> None:
    assert not is_allowed(before, after)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(S, S)))
def test_a_run_moves_only_along_the_table(before: StateType, after: StateType) -> None:
    assert is_allowed(before, after) is (after in ALLOWED[before])


@pytest.mark.rule("HIST-01", "HIST-03")
@pytest.mark.parametrize(
    "history",
    [
        "PENDING RUNNING COMPLETED",
        "PENDING RUNNING SCHEDULED RUNNING FAILED",
        "PENDING COMPLETED",
        "PENDING CANCELLED",
        "PENDING CRASHED",
        "PENDING RUNNING CANCELLING COMPLETED",
        "PENDING RUNNING SCHEDULED CANCELLED",
    ],
)
def test_the_histories_that_runs_have_are_allowed(history: str) -> None:
    kinds = [StateType(name) for name in history.split()]

    assert all(itertools.starmap(is_allowed, itertools.pairwise(kinds)))


@pytest.mark.parametrize("before", sorted(set(S) - FINAL))
def test_every_run_that_is_not_over_can_be_called_off(before: StateType) -> None:
    assert is_allowed(before, S.CANCELLED)
    assert is_allowed(before, S.CRASHED)
