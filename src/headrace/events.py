"""What the engine announces, and to whom.

Events are how everything that watches is attached. The engine knows none of them, and
while nobody listens it makes no event and no state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from headrace.runs import Record, TaskRun
from headrace.states import State

__all__ = ("Announcer", "Observer", "StateChanged")

log: Final = logging.getLogger("headrace.events")


# Not frozen: that takes four times as long to make, and a run makes three or more of
# these for an observer. Treat instances as frozen all the same.
@dataclass(slots=True, eq=False)
class StateChanged:
    """A run entered a state.

    Attributes:
        run: The run: a `headrace.runs.TaskRun`, or the record of a flow run.
        before: The state it left; None for its first.
        after: The state it entered.
    """

    run: TaskRun | Any
    before: State[Any] | None
    after: State[Any]


class Observer(Protocol):
    """Hears every event of a runtime, on its event loop, each run's in order.

    An observer must return quickly and must not await: one that writes puts the event
    in a queue of its own and writes elsewhere. One that raises is logged once and
    heard no more, so that a broken progress bar cannot fail a run.
    """

    def on_event(self, event: StateChanged) -> None:
        """Take note of one event."""
        ...


class Announcer:
    """Passes each event to each observer still in good standing."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)

    def __bool__(self) -> bool:
        """Whether anyone listens."""
        return bool(self._observers)

    def announce(self, run: Record) -> StateChanged:
        """The event that a run has just entered its latest state."""
        before, after = run.latest_step()
        return StateChanged(run.view(), before, after)

    def publish(self, event: StateChanged) -> None:
        """Give an event to every observer."""
        for observer in tuple(self._observers):
            try:
                observer.on_event(event)
            except Exception:
                self._observers.remove(observer)
                log.exception("observer %r failed and is heard no more", observer)
