"""What the engine logs of runs: how they begin and end, and what went wrong.

Flow runs at INFO, task runs at DEBUG, failures of either at ERROR. A task run that does
well makes no logging call and tests no level: `debug_note` is attached when a host
opens, if somebody reads DEBUG then. The failing branches call the rest.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from traceback import format_exc
from typing import Any, Final, ParamSpec

from headrace._text import one_line, shown
from headrace.exceptions import BlockedLoop, ForkedRuntime, RunEnded
from headrace.logging import FLOW_RUNS, TASK_RUNS, is_disabled, logger_of
from headrace.states import FINAL, StateType

__all__ = ("debug_note", "ended", "flow_began", "will_retry")

P = ParamSpec("P")

_S = StateType

# Raised by a call that was refused before there was anything to run.
_REFUSALS: Final = (BlockedLoop, ForkedRuntime, RunEnded)

# How programs, and coroutines that nobody awaits any more, are told to end: where that
# was is of no interest.
_EXITS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)

# Of the text of a state: an exception may quote a whole document.
_MOST_SHOWN: Final = 500


def _harmless(log: Callable[P, None]) -> Callable[P, None]:
    """Filters and handlers are the user's: what they raise must not stop the engine."""

    @functools.wraps(log)
    def logging_safely(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            log(*args, **kwargs)
        except Exception:  # noqa: BLE001 - see above
            # As `logging` does with those of handlers. Not by print, which may be what
            # brought us here.
            if logging.raiseExceptions and sys.stderr:
                with suppress(OSError):
                    sys.stderr.write(format_exc())

    return logging_safely


def debug_note() -> Callable[[Any], None] | None:
    """What to call whenever a run enters a state; None if nobody reads DEBUG."""
    return _note if TASK_RUNS.isEnabledFor(logging.DEBUG) else None


@_harmless
def flow_began(run: Any) -> None:
    """A flow run has its inputs and its name, and its body is to be called."""
    if FLOW_RUNS.isEnabledFor(logging.INFO):
        flow = one_line(run.spec.name)
        _log(run, logging.INFO, "%s of flow '%s': beginning", _who(run), flow)


@_harmless
def ended(run: Any) -> None:
    """A flow run has its final state, or a task run has one other than Completed."""
    if not run.attempts and isinstance(run.outcome, _REFUSALS):
        return
    level = _level_of(run)
    logger = TASK_RUNS if run.inner_scope() is None else FLOW_RUNS
    # Asked here too: the state of a flow run, in words, takes longer than the run.
    if level == logging.DEBUG or not logger.isEnabledFor(level):
        return
    if level == logging.ERROR:
        _log_exception(run, run.phase, run.outcome)
    _log_end(run, level)


@_harmless
def will_retry(run: Any, data: object, delay: float) -> None:
    """An attempt failed and another one follows. Called before that is written down."""
    rare = run.rare
    if rare.scheduled is None and not _log_exception(run, _S.FAILED, data):
        message = one_line(rare.message or "", _MOST_SHOWN)
        text = "%s: attempt %d returned a failed state: %s"
        _log(run, logging.ERROR, text, _who(run), run.attempts, message)
    text = "%s: received non-final state AwaitingRetry and will run again in %g seconds"
    _log(run, logging.INFO, text, _who(run), delay)


@_harmless
def _note(run: Any) -> None:
    """Log at DEBUG that a task run was made, begins, or ended as it should."""
    phase = run.phase
    if phase not in FINAL and run.is_settled:
        return  # the observers and hooks are told of its end, which is yet to come
    is_flow = run.inner_scope() is not None
    if phase is _S.RUNNING:
        if _is_debugging(run):
            _log(run, logging.DEBUG, "%s: executing %s", _who(run), _call_of(run))
        elif not is_flow:
            _log(run, logging.DEBUG, "%s: beginning execution", _who(run))
    elif is_flow:
        return  # the rest of it is logged at INFO
    elif phase is _S.PENDING:
        name, task = one_line(run.name), one_line(run.spec.name)
        text = "created task run '%s' for task '%s'"
        _log(run.scope.owner or run, logging.DEBUG, text, name, task)
    elif phase in FINAL and _level_of(run) == logging.DEBUG:
        _log_end(run, logging.DEBUG)


def _level_of(run: Any) -> int:
    """How loudly its end is told."""
    as_it_should = run.phase is _S.COMPLETED or _is_swept(run)
    if not as_it_should:
        return logging.ERROR
    return logging.DEBUG if run.inner_scope() is None else logging.INFO


def _is_swept(run: Any) -> bool:
    """Whether it ended as Cancelled with what it belongs to, which has its own line."""
    if run.phase is not _S.CANCELLED:
        return False
    home = run.home()
    if home is not None and home.is_cancelled:
        return True
    parent = run.rare.parent if run.rare is not None else None
    rare = None if parent is None else parent.rare
    return rare is not None and rare.stop is not None


def _log_exception(run: Any, phase: StateType, outcome: object) -> bool:
    """Log what the body raised, if that is why the attempt failed."""
    rare = run.rare
    # Of a failed flow whose body raised nothing, and of a state that a body returned,
    # the record has a message: what is in there has been logged, or is no error.
    is_told = rare is not None and rare.message is not None and rare.name != "TimedOut"
    is_raised = phase is _S.CRASHED or (phase is _S.FAILED and not is_told)
    if not is_raised or not isinstance(outcome, BaseException):
        return False
    if isinstance(outcome, _EXITS):
        return False
    text = "%s: encountered exception during execution"
    _log(run, logging.ERROR, text, _who(run), error=outcome)
    return True


def _log_end(run: Any, level: int) -> None:
    state = run.last_state
    text = repr(state) if _is_debugging(run) else str(state)
    shown_state = one_line(text, _MOST_SHOWN)
    _log(run, level, "%s: finished in state %s", _who(run), shown_state)


def _is_debugging(run: Any) -> bool:
    return bool(run.scope.host.settings.debug_mode)


def _call_of(run: Any) -> str:
    given = [shown(value) for value in run.args]
    given += [f"{name}={shown(value)}" for name, value in run.kwargs.items()]
    return f"{one_line(run.spec.name)}({', '.join(given)})"


def _who(run: Any) -> str:
    kind = "task run" if run.inner_scope() is None else "flow run"
    return f"{kind} '{one_line(run.name)}'"


def _log(
    run: Any, level: int, text: str, *args: object, error: BaseException | None = None
) -> None:
    if not is_disabled(run):
        logger_of(run).log(level, text, *args, exc_info=error)
