"""Put the values of upstream runs into the inputs of a run, once for all attempts."""

from __future__ import annotations

from typing import Any

from headrace._engine.resolve import ATOMS, Source, Substitution, find
from headrace.exceptions import HeadraceError
from headrace.states import StateType, format_exception

__all__ = ("look_for_inputs", "put_inputs", "substitute_inputs")


def look_for_inputs(run: Any, wait_for: object) -> bool:
    """Write down the upstreams of a run, as they are at this moment.

    Returns:
        Whether there is anything to wait for or to replace.
    """
    required: list[Source] = []
    tolerated: list[Source] = []
    found = False
    named = run.kwargs
    for value in (*run.args, *named.values()) if named else run.args:
        if type(value) not in ATOMS:
            found |= find(value, required, tolerated)
    if wait_for is not None:
        found |= find(wait_for, required, tolerated)
    if tolerated:
        run.rarely().tolerated = tolerated
    if found:
        # Set also when empty: marks such as unmapped(...) have to be removed.
        run.upstreams = required
    return found


def substitute_inputs(run: Any) -> None:
    """Replace futures, states and marks in the inputs of a run by their values.

    Raises:
        HeadraceError: A container could not be copied, chained to the reason.
    """
    run.upstreams = None
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
    try:
        substitute_inputs(run)
    except Exception as error:  # noqa: BLE001 - users' containers may raise anything
        outcome = (StateType.FAILED, error)
        scheduler.attempt_ended(run, outcome, may_go_on=False)
        return False
    return True
