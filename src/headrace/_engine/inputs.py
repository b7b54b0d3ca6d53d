"""The upstreams of a run: look for them, and put their values into its inputs, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from headrace._engine.known import KnownResults
from headrace.exceptions import HeadraceError
from headrace.futures import AsyncSubmission, Submission, TaskFuture
from headrace.futures.gates import FEW, Crowd, Gate
from headrace.futures.resolve import (
    ATOMS,
    ROWS,
    Source,
    Substitution,
    crowd_of,
    data_of,
    find,
)
from headrace.runs.inputs import WAIT_FOR, joined, packed
from headrace.states import State, StateType, format_exception

__all__ = (
    "ALONE",
    "Inputs",
    "gather_crowds",
    "keys_of",
    "look_for_inputs",
    "look_into",
    "may_be_crowded",
    "put_inputs",
    "substitute_inputs",
)

# What holds the upstream of a run whose only argument that is: others are in a list.
ALONE: Final[Any] = tuple

_SUBMISSIONS: Final = frozenset({Submission, AsyncSubmission})


class Inputs(NamedTuple):
    """The futures and states among the inputs of a run, and where each was found.

    Attributes:
        required: Those that must complete.
        tolerated: Those inside an ``allow_failure``.
        links: Which runs each argument comes from; see `headrace.runs.inputs`.
        has_any: Whether there is anything to wait for or to replace, a mark included.
    """

    required: list[Source]
    tolerated: list[Source]
    links: list[Any]
    has_any: bool


def look_into(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: object,
    known: KnownResults | None,
) -> tuple[list[Source], list[Source], list[Any], bool]:
    """Look into the inputs of a run: what `Inputs` is made of.

    Args:
        args: Its arguments.
        kwargs: Its keyword arguments.
        wait_for: What else must have completed, or None.
        known: What earlier runs gave; None if nothing is known.
    """
    required: list[Source] = []
    links: list[Any] = []
    tolerated: list[Source] = []
    has_any = False
    for place, value in enumerate(args):
        # The usual way to pass a future: as a whole argument.
        if type(value) in _SUBMISSIONS:
            future = value.future
            required.append(future)
            links.append(place)
            links.append(future.run_key())
            has_any = True
        elif type(value) not in ATOMS:
            has_any |= _look(place, value, (required, tolerated, links), known)
    if kwargs or wait_for is not None:
        found = required, tolerated, links
        for name, value in kwargs.items():
            if type(value) not in ATOMS:
                has_any |= _look(name, value, found, known)
        if wait_for is not None:
            has_any |= _look(WAIT_FOR, wait_for, found, known)
    return required, tolerated, links, has_any


def _look(
    place: int | str,
    value: object,
    found: tuple[list[Source], list[Source], list[Any]],
    known: KnownResults | None,
) -> bool:
    """Look into one argument; whether there is anything to replace."""
    required, tolerated, links = found
    before = len(required), len(tolerated)
    results: list[int] = []

    def see(item: object) -> None:
        if known is not None and (key := known.key_of(item)) is not None:
            results.append(key)

    has_any = find(value, required, tolerated, see=None if known is None else see)
    if (len(required), len(tolerated)) != before:
        sources = (*required[before[0] :], *tolerated[before[1] :])
        links += _links(place, sources)
    if results:
        links += place, packed(results)
    return has_any


def _links(place: int | str, sources: Iterable[Source | Gate]) -> Iterator[Any]:
    """The links of sources in one place; those of a map are shared by its runs."""
    for source in sources:
        if isinstance(source, Gate):
            for keys in source.keys:
                yield from (place, keys)
    if own := keys_of(sources):
        yield from (place, packed(own))


def keys_of(sources: Iterable[Source | Gate]) -> list[int]:
    """The ids of the runs that futures and states are of. Users' states are of none."""
    keys: list[int] = []
    for source in sources:
        if isinstance(source, TaskFuture):
            keys.append(source.run_key())
        elif isinstance(source, State) and source.run_key is not None:
            keys.append(source.run_key)
    return keys


def look_for_inputs(run: Any, wait_for: object) -> bool:
    """Write down the upstreams of a run, as they are at this moment.

    Returns:
        Whether there is anything to wait for or to replace.
    """
    args = run.args
    # In a chain. To look, and to put data in place, in general takes 1 us more.
    is_alone = len(args) == 1 and type(args[0]) in _SUBMISSIONS and not run.kwargs
    if is_alone and wait_for is None and run.links is None:
        future = args[0].future
        run.links = future.ident or future.run_key()
        if run.ident is None and run.scope.host.announcer is None:
            # Nobody has the run yet, so no lock is needed: the next of a chain asks.
            run.ident = run.scope.new_key()
        run.upstreams = (future,)  # see `ALONE`; what was passed is shown as it is
        return True
    if may_be_crowded(run, wait_for):
        wait_for, crowds = gather_crowds(run, wait_for)
        _watch(run.scope.scheduler, crowds)
    required, tolerated, links, has_any = look_into(
        run.args, run.kwargs, wait_for, run.scope.known
    )
    if links:
        # Those of a whole map were noted before.
        run.links = joined(run.links, links)
    if tolerated:
        run.rarely().tolerated = tolerated
    if has_any:
        # Set also when empty: marks such as unmapped(...) have to be removed.
        run.upstreams = required
    return has_any


def gather_crowds(run: Any, wait_for: object) -> tuple[object, list[Crowd]]:
    """Have a `Crowd` stand for each input of a run that is a list of very many futures.

    Args:
        run: The run, whose arguments are changed.
        wait_for: What else must have completed, or None.

    Returns:
        What else must have completed, and the crowds. None of them waits yet.
    """
    crowds: list[Crowd] = []

    def gathered(value: Any) -> Any:
        crowd = crowd_of(run.scope, run.name, value)
        if crowd is None:
            return value
        crowds.append(crowd)
        return crowd

    run.args = tuple([gathered(value) for value in run.args])
    if run.kwargs:
        run.kwargs = {name: gathered(value) for name, value in run.kwargs.items()}
    return gathered(wait_for), crowds


def may_be_crowded(run: Any, wait_for: object) -> bool:
    """Whether `gather_crowds` is worth a call. Most runs come through here."""
    for value in run.args:
        if type(value) in ROWS and len(value) > FEW:
            return True
    if not run.kwargs and wait_for is None:
        return False
    named: tuple[Any, ...] = (*run.kwargs.values(), wait_for)
    return any(type(value) in ROWS and len(value) > FEW for value in named)


def _watch(scheduler: Any, crowds: Iterable[Crowd]) -> None:
    for crowd in crowds:
        if scheduler.is_here():
            # Soon: to look at so many, and copy the list, took a while already.
            scheduler.loop.call_soon(crowd.watch, scheduler)
        else:
            scheduler.call(crowd.watch, scheduler)


def substitute_inputs(run: Any) -> None:
    """Replace futures, states and marks in the inputs of a run by their values.

    Raises:
        HeadraceError: A container could not be copied, chained to the reason.
    """
    upstreams, run.upstreams = run.upstreams, None
    if type(upstreams) is ALONE:
        run.args = (data_of(upstreams[0]),)
        return
    values = [*run.args, *run.kwargs.values()]
    substitution = Substitution(values)
    made: list[Any] = []
    count = len(run.args)
    try:
        for value in values:
            made.append(substitution.of(value))  # noqa: PERF401 - counts those done
    except Exception as error:
        names = [*run.spec.binder.positional_names(count), *run.kwargs]
        raise HeadraceError(
            f"failed to put the results of upstream runs into the argument "
            f"{names[len(made)]!r} of {run.name!r}: {format_exception(error)}. Wrap it "
            f"in quote(...) to pass it as it is."
        ) from error
    run.args = tuple(made[:count])
    if run.kwargs:
        run.kwargs = dict(zip(run.kwargs, made[count:], strict=True))


def put_inputs(run: Any, scheduler: Any) -> bool:
    """`substitute_inputs` on the loop; False after ending the run as Failed (RES-14)."""
    upstreams = run.upstreams
    if type(upstreams) is ALONE and type(upstreams[0].outcome) in ATOMS:
        # As most often in a chain: it has completed, or this one would not start.
        run.args, run.upstreams = (upstreams[0].outcome,), None
        return True
    try:
        substitute_inputs(run)
    except Exception as error:  # noqa: BLE001 - users' containers may raise anything
        outcome = (StateType.FAILED, error)
        scheduler.attempt_ended(run, outcome, may_go_on=False)
        return False
    return True
