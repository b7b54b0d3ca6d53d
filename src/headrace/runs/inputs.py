"""Which runs the arguments of a run come from: how that is kept, and how it is read.

Pure. Only identities are kept, so that no run keeps those before it alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from headrace.parameters import ParameterNames

__all__ = (
    "WAIT_FOR",
    "Keys",
    "Links",
    "RunInput",
    "as_bytes",
    "joined",
    "packed",
    "task_inputs",
)

WAIT_FOR: Final = "wait_for"

# The ids of some runs as numbers: of one, of a few, or of many, as bytes (which may grow,
# while a crowd of runs is looked into). An int of 128 bits takes 44 bytes, in a tuple 52.
Keys: TypeAlias = int | tuple[int, ...] | bytes | bytearray

# By turns a place (the position or the keyword of an argument, or WAIT_FOR) and the
# keys of the runs that this comes from. One place may be there more than once. Of a run
# whose first argument comes from one run, and nothing else, the key alone: in a chain,
# 10 000 tuples less for the collector to walk.
Links: TypeAlias = tuple[Any, ...] | int

_BYTES_OF_A_KEY: Final = 16
_MANY: Final = 8


class RunInput(str):
    """A run that an argument comes from: its id, as a text and as ``.id``."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The id of the run."""
        return str(self)


def packed(keys: Sequence[int]) -> Keys:
    """Some ids in the form that takes the least room."""
    if len(keys) == 1:
        return keys[0]
    if len(keys) <= _MANY:
        return tuple(keys)
    return b"".join(map(as_bytes, keys))


def as_bytes(key: int) -> bytes:
    """An id as one of many."""
    return key.to_bytes(_BYTES_OF_A_KEY, "big")


def joined(before: Links | None, more: Iterable[Any]) -> Links | None:
    """Links and some that were found later; None if there are none."""
    if isinstance(before, int):
        before = (0, before)
    return (*(before or ()), *more) or None


def task_inputs(
    names: ParameterNames, links: Links | None
) -> dict[str, list[RunInput]]:
    """For each parameter the runs that its argument comes from, each once.

    Args:
        names: The parameters; each of them is in the answer.
        links: What was kept; None if no argument comes from a run.
    """
    if isinstance(links, int):
        links = (0, links)
    found: dict[str, list[RunInput]] = {name: [] for name in names.all}
    seen: set[tuple[str, int]] = set()
    turns = iter(links or ())
    for place, keys in zip(turns, turns, strict=True):
        name = WAIT_FOR if place == WAIT_FOR else names.of(place)
        for key in _unpacked(keys):
            if (name, key) not in seen:
                seen.add((name, key))
                found.setdefault(name, []).append(RunInput(UUID(int=key)))
    return found


def _unpacked(keys: Keys) -> Iterable[int]:
    if isinstance(keys, int):
        return (keys,)
    if isinstance(keys, tuple):
        return keys
    return [
        int.from_bytes(keys[start : start + _BYTES_OF_A_KEY], "big")
        for start in range(0, len(keys), _BYTES_OF_A_KEY)
    ]
