"""Results kept for a flow that runs its body again: what completed is not redone.

A run is known again by its task, its number among the runs of that task, and what it
was given. Another branch taken in another attempt never gets the result of this one
(RETRY-18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from headrace._engine.outcomes import Outcome
from headrace.futures.resolve import ATOMS
from headrace.states import StateType

__all__ = ("kept", "recall")

_COMPLETED: Final = StateType.COMPLETED


@dataclass(slots=True, eq=False, repr=False)
class _Kept:
    """What is known of one run over the attempts of its flow.

    Attributes:
        key: The id of the run, the same in every attempt.
        inputs: What it was given; see `_digest`.
        outcome: What it gave, if it completed.
    """

    key: int
    inputs: object
    outcome: Outcome | None = None


def recall(run: Any) -> Outcome | None:
    """The outcome of a run that completed in an earlier attempt of its flow."""
    places = run.scope.kept
    if places is None:
        return None
    place = (run.spec.key, run.number)
    inputs = _digest((run.args, run.kwargs))
    before: _Kept | None = places.get(place)
    if before is None:
        places[place] = _Kept(run.run_key(), inputs)
        return None
    if run.ident is None:
        run.ident = before.key
    if before.outcome is not None and before.inputs == inputs:
        return before.outcome
    before.inputs, before.outcome = inputs, None
    return None


def kept(run: Any, outcome: Outcome) -> Outcome:
    """The same outcome, remembered if the flow of the run may need it."""
    places = run.scope.kept
    if places is not None and outcome[0] is _COMPLETED:
        place: _Kept | None = places.get((run.spec.key, run.number))
        if place is not None:
            place.outcome = _COMPLETED, outcome[1]
    return outcome


def _digest(inputs: tuple[tuple[Any, ...], Any]) -> object:
    """What tells inputs apart, taken before a body can change them.

    Simple values as they are, others by the hash that cache keys are made of. What has
    no hash is told apart by identity.
    """
    args, kwargs = inputs
    values: tuple[Any, ...] = (*args, *kwargs.values())
    if all(type(value) in ATOMS for value in values):
        told = [f"{type(value).__name__} {value!r}" for value in values]
        return told, list(kwargs)
    # Late: of use to flows with retries only.
    from headrace.hashing import hash_objects  # noqa: PLC0415

    try:
        return hash_objects(*args, **kwargs) or _Identities(values)
    except Exception:  # noqa: BLE001 - users' objects may raise anything
        return _Identities(values)


class _Identities:
    """Some objects, equal to the very same objects only."""

    __slots__ = ("_values",)

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._values = values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identities) or len(self._values) != len(
            other._values
        ):
            return False
        pairs = zip(self._values, other._values, strict=True)
        return all(one is the_other for one, the_other in pairs)

    __hash__ = None  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
