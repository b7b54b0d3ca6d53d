"""What the engine announces, and to whom.

Events are how everything that watches is attached. The engine knows none of them, and
while nobody listens it makes no event and no state.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from headrace.runs import FlowRun, Record, TaskRun
from headrace.states import State

__all__ = ("Announcer", "Observer", "StateChanged")

log: Final = logging.getLogger("headrace.events")


# Not frozen: that takes four times as long to make, and a run makes three or more of
# these for an observer. Treat instances as frozen all the same.
@dataclass(slots=True, eq=False)
class StateChanged:
    """A run entered a state.

    Attributes:
        run: The run: a `headrace.runs.TaskRun` or `headrace.runs.FlowRun`.
        before: The state it left; None for its first.
        after: The state it entered.
    """

    run: TaskRun | FlowRun
    before: State[Any] | None
    after: State[Any]


class Observer(Protocol):
    """Hears every event of a runtime, each run's in order, on the loop of that run.

    That is the runtime's event loop, except for flows that run on another: a plain flow
    called where a loop is running, a coroutine flow in an ``asyncio.run`` of its own.

    An observer must return quickly and must not await: one that writes puts the event
    in a queue of its own and writes elsewhere. One that raises is logged once and
    heard no more, so that a broken progress bar cannot fail a run.
    """

    def on_event(self, event: StateChanged) -> None:
        """Take note of one event."""
        ...


class Announcer:
    """Passes each event to each observer still in good standing."""

    __slots__ = ("_lock", "_observers")

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._lock = threading.Lock()  # held only to drop one that failed

    def announce(self, run: Record) -> None:
        """Tell of every state that a run has entered since this was last called.

        Always on the loop of that run. So the news of a thread may arrive late, and
        are told in order all the same, and once.
        """
        if not self._observers:
            return
        before, news = run.news()
        view = run.view()
        for after in news:
            self._publish(StateChanged(view, before, after))
            before = after

    def _publish(self, event: StateChanged) -> None:
        for observer in self._observers:
            try:
                observer.on_event(event)
            except BaseException as error:  # noqa: BLE001 - an observer may raise anything
                self._drop(observer, error)

    def _drop(self, failed: Observer, error: BaseException) -> None:
        with self._lock:
            rest = tuple(each for each in self._observers if each is not failed)
            if len(rest) == len(self._observers):
                return  # on another loop it has failed as well, at the same time
            self._observers = rest
        log.error("observer %r failed and is heard no more", failed, exc_info=error)
