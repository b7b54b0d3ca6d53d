"""What the end of an attempt means, where two threads come to different ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace._concurrency.deadlines import Deadline
from headrace._engine.outcomes import (
    CANCEL,
    DEADLINE,
    LIMIT,
    noted,
    of_error,
    overdue,
)
from headrace.exceptions import DeadlineExceeded, RunInterrupted
from headrace.runs import Rare
from headrace.states import StateType


def a_run() -> Any:
    rare = Rare()
    rare.deadline = SimpleNamespace(deadline=Deadline(1, None), is_over=True)
    return SimpleNamespace(
        name="double-0",
        phase=StateType.RUNNING,
        log=None,
        rare=rare,
        spec=SimpleNamespace(timeout_seconds=1),
        rarely=lambda: rare,
        scope=SimpleNamespace(is_cancelled=False),
        is_settled=False,
    )


def test_a_run_that_is_cancelled_has_no_name_of_what_its_thread_came_to() -> None:
    run = a_run()
    overdue(run)  # in the thread of its body, which has not told of it yet

    run.rare.stop = CANCEL
    phase, _ = of_error(run, RunInterrupted())

    assert phase is StateType.CANCELLED
    assert (run.rare.name, run.rare.message) == (None, None)


@pytest.mark.parametrize("why", [LIMIT, DEADLINE])
def test_what_a_thread_comes_to_is_told_and_not_noted(why: str) -> None:
    run = a_run()
    run.rare.stop = why
    outcome = of_error(run, RunInterrupted(), apart=True)

    assert (run.rare.name, run.rare.message) == (None, None)
    assert noted(run, outcome) == tuple(outcome)
    assert run.rare.name == "TimedOut"
    assert "Task run exceeded" in run.rare.message


def test_nothing_is_noted_of_a_run_that_has_ended() -> None:
    run = a_run()
    run.rare.stop = DEADLINE
    outcome = of_error(run, RunInterrupted(), apart=True)
    run.is_settled = True

    assert type(noted(run, outcome)) is tuple
    assert (run.rare.name, run.rare.message) == (None, None)


def test_a_thread_that_is_late_for_a_deadline_notes_nothing() -> None:
    run = a_run()
    run.rare.deadline = None  # the loop has ended the run

    phase, _ = of_error(run, DeadlineExceeded("double-0", 1))

    assert phase is StateType.FAILED
    assert (run.rare.name, run.rare.message) == (None, None)
