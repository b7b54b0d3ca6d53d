"""Steps to find out whether a run was cached: what has to be waited for, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from headrace._engine.outcomes import Outcome

__all__ = ("Await", "Block", "Board", "Step", "Steps", "Walk")


@dataclass(slots=True, eq=False, repr=False)
class Await:
    """Wait for something that can be awaited, and go on with its value."""

    awaitable: Any


@dataclass(slots=True, eq=False, repr=False)
class Block:
    """Make a call that may block, and go on with its value."""

    call: Callable[[], Any]


@dataclass(slots=True, eq=False, repr=False)
class Board:
    """Take part in the flight of a key; go on when there may be something to find."""

    key: str


Step: TypeAlias = Await | Block | Board
Steps: TypeAlias = Generator[Step, Any, Outcome | None]


class Walk:
    """The steps of a plan, one after the other, each answered before the next.

    Attributes:
        answer: What a step came to. None for one that asks to take part in a flight
            means that the run is to be put aside.
        outcome: What the steps came to.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._step: Step | None = None
        self.answer: Any = None
        self.outcome: Outcome | None = None

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        answer, self.answer = self.answer, None
        try:
            self._step = self._steps.send(answer)
        except StopIteration as end:
            self.outcome = end.value
            raise
        return self._step

    @property
    def is_put_aside(self) -> bool:
        """Whether the run is to wait for another, and not here."""
        return isinstance(self._step, Board) and self.answer is None
