"""Steps to find out whether a run was cached: what has to be waited for, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from headrace._engine.outcomes import Outcome

__all__ = ("Await", "Block", "Board", "Step", "Steps", "Walk")


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for something that can be awaited, and go on with its value."""

    awaitable: Any


@dataclass(frozen=True, slots=True)
class Block:
    """Make a call that may block, and go on with its value."""

    call: Callable[[], Any]


@dataclass(frozen=True, slots=True)
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
        self._error: Exception | None = None
        self.answer: Any = None
        self.outcome: Outcome | None = None

    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        answer, error = self.answer, self._error
        self.answer = self._error = None
        steps = self._steps
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            self.outcome = end.value
            raise
        self._step = step
        return step

    @contextmanager
    def answering(self) -> Generator[None]:
        """Let the plan handle what a step raises."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - it may be a user's code
            self._error = error

    @property
    def is_put_aside(self) -> bool:
        """Whether the run is to wait for another, and not here."""
        is_board = isinstance(self._step, Board)
        return is_board and self.answer is None and self._error is None
