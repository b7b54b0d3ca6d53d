"""Which runs there are: those that go on are in their scopes, those that end are noted."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, get_args

from headrace._concurrency.bodies import block_until, is_plain_code
from headrace._engine.known import KnownResults
from headrace._engine.scopes import Scope
from headrace.futures.resolve import ATOMS
from headrace.runs import Record, RunLog
from headrace.runs.ended import LIGHT, is_light
from headrace.settings import History, Settings
from headrace.states import FINAL, StateType

__all__ = (
    "checked_history",
    "new_log",
    "note_end",
    "open_runs",
    "ways_to_note",
)

# How long a thread waits for a loop to tell what it runs; then it looks for itself.
_SECONDS_TO_ANSWER: Final = 0.25

_COMPLETED: Final = StateType.COMPLETED
_NO_TYPES: Final[frozenset[Any]] = frozenset()


def checked_history(given: History | None) -> History | None:
    """What a runtime was told to record; None to do as the settings say.

    Raises:
        ValueError: There is no such thing.
    """
    known = get_args(History)
    if given is not None and given not in known:
        raise ValueError(
            f"Runtime(history={given!r}): it must be one of {', '.join(known)}. Leave "
            f"it out for the default of the settings."
        )
    return given


def new_log(
    history: History | None, settings: Settings, before: RunLog | None
) -> RunLog | None:
    """Where a runtime that opens notes its runs; None for nowhere.

    Args:
        history: What it was told to record.
        settings: Those it opens with.
        before: Where it noted them when it was open before.
    """
    history = history or settings.history
    if history == "off":
        return None
    runs = () if before is None else before.detached()
    most = settings.max_run_records
    return RunLog(most, is_brief=history == "last", before=runs)


def ways_to_note(
    log: RunLog | None, *, is_derived: bool
) -> tuple[Callable[[Any], None], frozenset[Any], frozenset[Any]]:
    """How the runs that end on a loop are noted.

    Args:
        log: Where; None if nowhere.
        is_derived: Whether the loop may be gone before the log: then no run is kept
            itself, as it leads there.

    Returns:
        What keeps a run itself; the types of outcomes for which that is done; the types
        of those for which nothing is.
    """
    if log is None:
        return _keep_nothing, _NO_TYPES, ATOMS
    if is_derived:
        return _keep_nothing, _NO_TYPES, _NO_TYPES
    return log.append, LIGHT, _NO_TYPES


def _keep_nothing(_: object) -> None: ...


def note_end(run: Any, phase: StateType) -> None:
    """Note a run that is about to enter its final state, its outcome being there.

    The most usual of these are noted in `Scheduler.finish`.
    """
    host = run.scope.host
    outcome = run.outcome
    if phase is _COMPLETED and type(outcome) not in ATOMS:
        # Users' types may raise anything when looked at, and are not known then.
        with contextlib.suppress(Exception):
            _note_result(run, outcome)
    log = host.log
    if log is None:
        return
    rare = run.rare
    is_lasting = run.spec.is_lasting and not host.is_derived
    is_alone = rare is None or rare.is_light()
    if is_lasting and is_alone and is_light(outcome):
        log.append(run)
        log.trim()
    else:
        log.note(run, phase)


def _note_result(run: Any, outcome: object) -> None:
    home: Scope | None = run.home()
    if home is None or home.has_ended or not home.host.tracks_results:
        return
    if home.known is None:
        home.known = KnownResults()
    home.known.note(outcome, run)


def open_runs(scope: Scope | None) -> list[Record]:
    """The runs of a scope, and of scopes inside, that have not ended. From any thread.

    As the loops see it that run them, so that a run is not missed on its way from one
    place to the next. A loop that does not answer in time is not waited for.
    """
    if scope is None:
        return []
    scopes = [scope, *_scopes_in(scope)]
    found = [run for each in scopes for run in tuple(each.direct)]
    for scheduler in {each.scheduler for each in scopes} - {None}:
        look = functools.partial(_submitted, scheduler, scopes)
        found += _asked(scheduler, look)
    return [run for run in found if run.phase not in FINAL]


def _scopes_in(scope: Scope) -> Iterator[Scope]:
    for run in tuple(scope.direct):
        inner: Scope | None = run.inner_scope()
        if inner is not None:
            yield inner
            yield from _scopes_in(inner)


def _submitted(scheduler: Any, scopes: Iterable[Scope]) -> list[Record]:
    ours = [scope for scope in scopes if scope.scheduler is scheduler]
    found = [run for scope in ours for run in scope.waiting.copy()]
    found += scheduler.ready.copy()
    found += [run for scope in ours for run in scope.active.copy()]
    return found


def _asked(scheduler: Any, look: Callable[[], list[Record]]) -> list[Record]:
    """What a look on the loop finds, behind all that was posted to it before."""
    if scheduler.is_here() or not is_plain_code():
        return look()
    answers: list[list[Record]] = []

    def answer(fire: Callable[[], None]) -> None:
        answers.append(look())
        fire()

    with contextlib.suppress(RuntimeError):  # the loop may have closed
        block_until(lambda fire: scheduler.call(answer, fire), _SECONDS_TO_ANSWER)
    return answers[0] if answers else look()
