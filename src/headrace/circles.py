"""Waits in a circle: found when the last of them is about to begin, and refused.

The body of a run that waits for other runs says so in its record, as long as it waits;
and when it begins to, what those wait for is looked at. Only waits that last until a run
ends count, made by the body itself: a wait with a timeout ends anyhow, and a body may go
on without a thread or an asyncio task that it made.

Besides its body's wait, a run that has not begun waits for its inputs, one that called a
flow for all runs of that flow, and a block of a limit for who has the places.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from headrace._concurrency.bodies import ThreadFace, is_plain_code
from headrace._concurrency.current import CURRENT
from headrace._text import one_line
from headrace.exceptions import DeadlockError
from headrace.states import FINAL, State, StateType

__all__ = ("begin_wait", "begin_wait_of", "end_wait", "holders_of", "present_body")

# One for all: of two waits that close a circle together, one has to see the other.
_LOCK: Final = threading.Lock()

# A walk over more runs than this finds no circle: it would hold up the loop.
_MOST_RUNS: Final = 10_000

_NOT_BEGUN: Final = frozenset({StateType.PENDING, StateType.SCHEDULED})


def present_body() -> Any:
    """The run whose body the present code is, if others may wait for it."""
    holder = CURRENT.get(None)
    if holder is None or not holder.has_dependants:
        return None
    return _waiter(holder)


def holders_of(claim: Any) -> list[Any]:
    """The runs that have the places of a limit; None for one that is not known.

    But for those that wait for others: they lend the places that they have as tasks.
    """
    held = [each for pool in claim.pools for each in tuple(pool.held)]
    return [each.owner for each in held if not _is_lent(each)]


def _is_lent(claim: Any) -> bool:
    rare = None if claim.owner is None else claim.owner.rare
    return rare is not None and rare.claim is claim and rare.awaits is not None


def begin_wait(runs: Iterable[Any], *, is_any: bool = False) -> Any:
    """Note that the present body waits for runs until they have ended.

    Args:
        runs: The runs; looked at again as long as the wait lasts.
        is_any: Whether one is enough.

    Returns:
        For `end_wait`, in every case.

    Raises:
        DeadlockError: They wait for the end of this body.
    """
    holder = CURRENT.get(None)
    if holder is None or not holder.has_dependants:
        return None
    run = _waiter(holder)
    if run is not None:
        begin_wait_of(run, lambda: runs, is_any=is_any)
    return run


def begin_wait_of(
    run: Any, find: Callable[[], Iterable[Any]], *, is_any: bool = False
) -> None:
    """`begin_wait` for what `present_body` gave, and for what is found at each look."""
    rare = run.rarely()
    with _LOCK:
        rare.awaits = find, is_any
        chain = [] if _are_free(find(), is_any=is_any) else _circle(run)
        if chain:
            rare.awaits = None
    if chain:
        raise DeadlockError(_told(chain))


def _are_free(runs: Iterable[Any], *, is_any: bool) -> bool:
    try:
        return (any if is_any else all)(map(_is_free, runs))
    except RuntimeError:
        return False  # another thread has changed it meanwhile


def _is_free(run: Any) -> bool:
    """Whether a run waits for nothing: as most do, so this is looked at first."""
    if run is None or run.phase in FINAL:
        return True
    if run.is_flow or (run.upstreams and run.phase in _NOT_BEGUN):
        return False
    rare = run.rare
    return rare is None or (
        rare.awaits is None
        and not rare.flows
        and (rare.claim is None or not rare.claim.is_waiting)
    )


def end_wait(run: Any) -> None:
    """The wait is over that `begin_wait` gave this for."""
    if run is not None:
        run.rare.awaits = None


# -- who waits ---------------------------------------------------------------------------


def _waiter(holder: Any) -> Any:
    """The run whose body is at the present code, if others may wait for it."""
    here = _here()
    if not _is_at(holder, here):
        return None
    # What is called in place is a part of the body that called it.
    while (parent := _caller(holder)) is not None:
        if not isinstance(here, int):
            here = holder.handle  # that of the caller: its own may be another
        if not _is_at(parent, here):
            break
        holder = parent
    return holder


def _here() -> Any:
    """The asyncio task of the present code; of plain code the thread."""
    return threading.get_ident() if is_plain_code() else asyncio.current_task()


def _is_at(run: Any, here: Any) -> bool:
    """Whether that is where the body of a run is, and not something that it started."""
    handle = run.handle
    if isinstance(here, int):
        ident = handle.ident if isinstance(handle, ThreadFace) else handle
        return bool(ident == here)
    if run.body_task() is here:
        return True
    return run.rare is not None and run.rare.body is here


def _caller(run: Any) -> Any:
    """The run whose body called this one in place."""
    home = run.home()
    if home is None or run not in home.direct or run.rare is None:
        return None
    return run.rare.parent


# -- what waits for what -----------------------------------------------------------------


def _needs(run: Any) -> list[tuple[list[Any], bool]]:
    """What has to end before a run does: of each group all, or one is enough."""
    found: list[tuple[list[Any], bool]] = []
    rare = run.rare
    if rare is not None:
        awaits = rare.awaits
        if awaits is not None:
            find, is_any = awaits
            found.append((_open(find()), is_any))
        if rare.flows:
            found.append((_open(tuple(rare.flows)), False))
        if rare.claim is not None and rare.claim.is_waiting:
            found.append((_open(holders_of(rare.claim)), True))
    if run.is_flow:
        scope = run.scope
        insides = (scope.active, scope.waiting, scope.direct)
        found += [(_open(inside), False) for inside in insides]
    elif run.upstreams and run.phase in _NOT_BEGUN:
        tolerated = rare.tolerated if rare is not None else None
        found.append((_open((*run.upstreams, *(tolerated or ()))), False))
    return found


def _open(runs: Iterable[Any]) -> list[Any]:
    """Those that have not ended; with what a gate of many runs stands for."""
    found: list[Any] = []
    for run in tuple(runs):  # other threads may change it
        if run is None or (not isinstance(run, State) and run.phase not in FINAL):
            sources = getattr(run, "sources", None)
            found += [run] if sources is None else _open(sources())
    return found


def _circle(run: Any) -> list[Any]:
    """The runs from one to itself, if it never goes on; empty if it may."""
    needs: dict[Any, list[tuple[list[Any], bool]]] = {}
    todo = [run]
    while todo:
        each = todo.pop()
        if each is None or each in needs:
            continue
        needs[each] = _needs(each)
        for group, _ in needs[each]:
            todo += group
        if len(needs) > _MOST_RUNS:
            return []
    if len(needs) == 1 and not any(run in group for group, _ in needs[run]):
        return []
    stuck = _stuck(needs)
    return _path(run, needs, stuck) if run in stuck else []


def _stuck(needs: dict[Any, list[tuple[list[Any], bool]]]) -> set[Any]:
    """The runs that go on only if others of them do before."""
    stuck = set(needs)
    users: dict[Any, list[Any]] = {}
    for run, groups in needs.items():
        for group, _ in groups:
            for each in group:
                users.setdefault(each, []).append(run)
    todo = list(needs)
    while todo:
        run = todo.pop()
        if run in stuck and all(_may_end(group, stuck) for group in needs[run]):
            stuck.discard(run)
            todo += users.get(run, ())
    return stuck


def _may_end(group: tuple[list[Any], bool], stuck: set[Any]) -> bool:
    runs, is_any = group
    if is_any:
        return not runs or not stuck.issuperset(runs)
    return stuck.isdisjoint(runs)


def _path(
    run: Any, needs: dict[Any, list[tuple[list[Any], bool]]], stuck: set[Any]
) -> list[Any]:
    """A way from a run to itself, or to a circle further on."""
    path = [run]
    seen = {run}
    before: dict[Any, Any] = {}
    while path:
        each = path.pop()
        for group, _ in needs[each]:
            for other in group:
                if other is run:
                    return _way_back(run, each, before)
                if other in stuck and other not in seen:
                    seen.add(other)
                    before[other] = each
                    path.append(other)
    return []


def _way_back(run: Any, last: Any, before: dict[Any, Any]) -> list[Any]:
    way = [run, last] if last is not run else [run]
    while way[-1] is not run and before[way[-1]] is not run:
        way.append(before[way[-1]])
    if way[-1] is not run:
        way.append(run)
    return way[::-1]


def _told(chain: Sequence[Any]) -> str:
    first, *others = [repr(one_line(run.name)) for run in chain]
    if len(others) <= 1 and (not others or others[0] == first):
        return (
            f"the run {first} waits for itself, and so for ever. Have it return what "
            f"others need, and let them wait."
        )
    return (
        f"the run {first} would wait for ever: it waits for "
        f"{', which waits for '.join(others)}. Let one of them go on without the "
        f"other, or give this wait a timeout."
    )
