"""The user's condition for another attempt: asked, and what follows from its answer."""

from __future__ import annotations

import inspect
import logging
from time import time
from typing import Any, Final

from headrace._engine import stopping
from headrace._engine.outcomes import Outcome, of_error
from headrace._text import one_line
from headrace.futures import TaskFuture
from headrace.states import State, format_exception

__all__ = ("ask_to_retry", "finish_asking", "refused")

log: Final = logging.getLogger("headrace.engine")


async def finish_asking(
    run: TaskFuture[Any], scheduler: Any, outcome: Outcome, answer: object = None
) -> None:
    """End an attempt as the user's condition decides; a cancel ends the asking.

    Args:
        run: The run, its body having failed. The time limit is no more of concern.
        scheduler: Its scheduler.
        outcome: How the attempt ended.
        answer: What the condition said, if it was asked elsewhere: something to await.
    """
    stopping.lift_limit(run)
    allowed = False
    try:
        answer = ask_to_retry(run, outcome) if answer is None else answer
        allowed = bool(await answer if inspect.isawaitable(answer) else answer)
    except BaseException as error:  # noqa: BLE001 - the condition may raise anything
        if isinstance(error, Exception):
            refused(run, error)
        else:
            outcome = of_error(run, error)
    scheduler.attempt_ended(run, outcome, may_go_on=allowed)


def ask_to_retry(run: Any, outcome: Outcome) -> Any:
    """What ``retry_condition_fn(task, task_run, state)`` answers, or its coroutine."""
    phase, data = outcome
    state: State[Any] = State(phase, "Failed", time(), data, None, run.run_key())
    return run.spec.retry.condition(run.spec.owner, run.view(), state)


def refused(run: Any, error: BaseException) -> None:
    """Log a condition that raised; the run is not retried then."""
    log.error(
        "retry_condition_fn of '%s' raised %s; the run is not retried",
        one_line(run.name),
        one_line(format_exception(error)),
        exc_info=error,
    )
