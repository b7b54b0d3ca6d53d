"""Which limits a run is under, and its places in them: taken, waited for, given back.

A run takes its places when its inputs are there, for each attempt anew, and all at one
moment. While it waits for another run it lends them; see `headrace._concurrency.holding`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from headrace._concurrency.holding import HELD
from headrace._engine.outcomes import Outcome, of_error
from headrace._engine.scopes import context_of
from headrace.exceptions import LimitTooSmall
from headrace.futures.resolve import substitute
from headrace.limits.checking import checked_weight
from headrace.limits.claims import Claim
from headrace.limits.limit import Limit, limit_of
from headrace.limits.pools import Demand
from headrace.limits.waiting import News, await_claim, block_for, settle_claim
from headrace.runs import result_of
from headrace.states import StateType

__all__ = (
    "HostLimits",
    "give_back",
    "has_limits",
    "has_places",
    "host_limits",
    "refuse_at_once",
    "take_here",
    "take_in_task",
)

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED

_Asked: TypeAlias = "tuple[Limit, Any, float]"


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class HostLimits:
    """The limits of a runtime.

    Attributes:
        by_tag: Those of the runs with a tag.
        overall: That of all runs that are submitted, if there is one.
    """

    by_tag: Mapping[str, Limit]
    overall: Limit | None = None


def host_limits(
    max_concurrency: int | None, limits: Mapping[str, int | Limit] | None
) -> HostLimits | None:
    """What a runtime is told, checked; None for no limits.

    Raises:
        TypeError: It is no mapping, or a tag no text, or a limit none.
        ValueError: A number is negative.
    """
    values: dict[Any, Any] = {}
    is_mapping = limits is None or hasattr(limits, "items")
    if is_mapping:
        values.update(limits or {})
    if not is_mapping or not all(isinstance(tag, str) for tag in values):
        raise TypeError(
            f"Runtime(limits={limits!r}) is not a mapping of tags. Write, for example, "
            f'limits={{"db": 5}}.'
        )
    by_tag: dict[str, Limit] = {}
    for tag, given in values.items():
        limit = limit_of(f"the limit of the tag {tag!r}", given)
        if limit is None:
            raise TypeError(
                f"Runtime(limits=...) has None for the tag {tag!r}. Leave the tag out."
            )
        by_tag[tag] = limit
    if not by_tag and max_concurrency is None:
        return None
    return HostLimits(
        by_tag=by_tag, overall=limit_of("max_concurrency", max_concurrency)
    )


def has_limits(scope: Any, spec: Any, tags: frozenset[str]) -> bool:
    """Whether a run with these tags of blocks around is under a limit in place."""
    return bool(_limits_of(scope, spec, tags))


def refuse_at_once(scope: Any, spec: Any, tags: frozenset[str]) -> None:
    """Refuse a run that could never begin, before it is made.

    Args:
        scope: Where it is called.
        spec: The options of its task.
        tags: Those of the blocks around the call.

    Raises:
        LimitTooSmall: A limit is 0, or less than the run takes.
    """
    for limit in _limits_of(scope, spec, tags):
        most, weight = limit.concurrency, limit.weight
        if isinstance(most, int) and not callable(weight) and weight > most:
            raise LimitTooSmall(spec.name, limit.name, weight, most)


# -- submitted runs, on the loop of their scheduler -----------------------------------


def has_places(scheduler: Any, run: Any) -> bool:
    """Whether a run has its places, taken now if they are free; else it waits.

    A run that waits is admitted again when they are its own. One whose key or weight
    cannot be found has ended. One that may be cached looks there first, without any: a
    hit takes no place, and who waits for another with its key must not keep that one
    from a place.
    """
    rare = run.rare
    if rare is not None and rare.claim is not None and rare.claim.is_held:
        return True
    if run.spec.results is not None and _looks_first(run):
        return True
    try:
        asked = _asked(run, is_submitted=True)
        demands = _demands(run, asked)
    except BaseException as error:  # noqa: BLE001 - the user's functions may raise anything
        scheduler.conclude(run, *of_error(run, error))
        return False
    if not demands:
        return True
    tell = functools.partial(_granted, scheduler, run)
    claim = run.rarely().claim = Claim(demands, scheduler.loop, tell, asked)
    claim.owner = run
    # A context of its own: the runs of a map share one.
    run.context = run.context.copy()
    run.context.run(HELD.set, claim)
    if claim.enter():
        return True
    run.scope.waiting.add(run)
    return False


def _looks_first(run: Any) -> bool:
    """Whether a run that is under limits has yet to look at what is cached."""
    if run.spec.results.cache_key is None or run.attempts:
        return False
    result = result_of(run)
    if not result.has_looked:
        result.looks_first = bool(_limits_of_submitted(run))
    return result.looks_first


def _granted(scheduler: Any, run: Any) -> None:
    """In any thread: the places are there."""
    if scheduler.is_here():
        _admit(scheduler, run)
    else:
        scheduler.call(functools.partial(_admit, scheduler), run)


def _admit(scheduler: Any, run: Any) -> None:
    # One after the other: a run that ends at once gives its places to the next, and a
    # long line of those must not use up the stack.
    granted = scheduler.granted
    granted.append(run)
    if len(granted) > 1:
        return
    while granted:
        run = granted[0]
        try:
            if run in run.scope.waiting:  # else it was withdrawn meanwhile
                run.scope.waiting.discard(run)
                scheduler.admit(run)
        finally:
            granted.popleft()


def give_back(run: Any, outcome: Outcome | None = None) -> None:
    """An attempt has ended: others may have the places.

    Args:
        run: The run.
        outcome: How it ended, if that says something about the limit.
    """
    claim = run.rare.claim
    if outcome is None:
        claim.leave()
        return
    phase, data = outcome
    error = data if isinstance(data, BaseException) else None
    counts = phase is _COMPLETED or (phase is _FAILED and error is not None)
    claim.leave(None if phase is _COMPLETED else error, counts=counts)


# -- runs in place ---------------------------------------------------------------------


async def take_in_task(run: Any) -> Outcome | None:
    """Wait for the places of a run that is awaited in place.

    Returns:
        The outcome of a run whose key or weight cannot be found.
    """
    loop = asyncio.get_running_loop()
    granted: list[asyncio.Future[None]] = []
    claim = _claim_in_place(run, loop, lambda: settle_claim(loop, granted))
    if not isinstance(claim, Claim):
        return claim
    if not claim.enter():
        await await_claim(claim, loop, granted)
    return None


def take_here(run: Any) -> Outcome | None:
    """`take_in_task` in plain code: blocks this thread."""
    news = News()
    claim = _claim_in_place(run, None, news)
    if not isinstance(claim, Claim):
        return claim
    if not claim.enter():
        try:
            block_for(claim, news)
        except BaseException:
            claim.leave()
            raise
    return None


def _claim_in_place(
    run: Any, loop: asyncio.AbstractEventLoop | None, tell: Callable[[], object]
) -> Claim | Outcome | None:
    try:
        asked = _asked(run, is_submitted=False)
        demands = _demands(run, asked)
    except Exception as error:  # noqa: BLE001 - the user's functions may raise anything
        return _FAILED, error
    if not demands:
        return None
    claim = run.rarely().claim = Claim(demands, loop, tell, asked)
    claim.owner = run
    return claim


# -- what a run takes --------------------------------------------------------------------


def _limits_of(scope: Any, spec: Any, tags: frozenset[str]) -> list[Limit]:
    found = [] if spec.limit is None else [spec.limit]
    limits = scope.host.limits
    if limits is not None and limits.by_tag:
        for tag in (*spec.tags, *(tags - spec.tags)):
            limit = limits.by_tag.get(tag)
            if limit is not None:
                found.append(limit)
    return found


def _limits_of_submitted(run: Any) -> list[Limit]:
    scope = run.scope
    found = _limits_of(scope, run.spec, run.tags)
    limits = scope.host.limits
    if limits is not None and limits.overall is not None:
        found.append(limits.overall)
    return found


def _demands(run: Any, asked: Sequence[_Asked]) -> list[Demand]:
    """What a run takes of its limits, in the pools of this moment.

    Raises:
        LimitTooSmall: It could never be had.
    """
    if not asked:
        return []
    realm, name = _realm_of(run.scope), run.name
    return [limit.demand(name, key, weight, realm) for limit, key, weight in asked]


def _asked(run: Any, *, is_submitted: bool) -> Sequence[_Asked]:
    """The limits of a run, and of each the key and the weight; found once (RETRY-15).

    Raises:
        Exception: What the user's functions raised, or TypeError for what they gave.
    """
    rare = run.rare
    if rare is not None and rare.claim is not None:
        before: Sequence[_Asked] = rare.claim.asked
        return before
    if is_submitted:
        limits = _limits_of_submitted(run)
    else:
        limits = _limits_of(run.scope, run.spec, run.tags)
    parameters: dict[str, Any] | None = None
    asked: list[_Asked] = []
    for limit in limits:
        key, weight = None, limit.weight
        if limit.key is not None or callable(weight):
            if parameters is None:
                parameters = _parameters(run)
            key, weight = context_of(run).run(_key_and_weight, limit, parameters)
        asked.append((limit, key, weight))
    return asked


def _parameters(run: Any) -> dict[str, Any]:
    """The arguments of a run, with data in the places of futures."""
    if run.upstreams is None:
        found: dict[str, Any] = run.parameters()
        return found
    return {name: substitute(value) for name, value in run.parameters().items()}


def _key_and_weight(limit: Limit, parameters: dict[str, Any]) -> tuple[Any, float]:
    key = None if limit.key is None else limit.key(parameters)
    try:
        hash(key)
    except TypeError:
        raise TypeError(
            f"the key function of {limit!r} gave {key!r}, which cannot be a key of a "
            f"dict. Have it return a text, a number or a tuple of those."
        ) from None
    weight = limit.weight
    return key, checked_weight(weight(parameters)) if callable(weight) else weight


def _realm_of(scope: Any) -> object:
    """Who counts by itself: code that holds up another loop (see `Limit.demand`)."""
    around = scope
    while around is not None:
        if around.blocks is not None:
            return scope.opened().loop
        around = around.parent
    return None
