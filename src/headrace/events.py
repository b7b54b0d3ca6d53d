"""What the engine announces, and to whom.

Events are how everything that watches is attached. The engine knows none of them, and
while nobody listens it makes no event and no state.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from headrace._text import shown
from headrace.runs import FlowRun, Record, TaskRun
from headrace.states import State, StateType

__all__ = ("Announcer", "Observer", "StateChanged")

_COMPLETED: Final = StateType.COMPLETED

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
    """Passes each event to each observer still in good standing.

    Args:
        observers: Them.
        note: Called with the record of a run where and when it enters a state, in
            whichever thread that is. It must not raise.
    """

    __slots__ = ("_lock", "_note", "_observers")

    def __init__(
        self,
        observers: Iterable[Observer],
        note: Callable[[Any], object] | None = None,
    ) -> None:
        self._observers = tuple(observers)
        self._note = note
        self._lock = threading.Lock()  # held only to drop one that failed

    @property
    def has_observers(self) -> bool:
        """Whether anybody is to be told on the loop."""
        return bool(self._observers)

    def announce(self, run: Record) -> None:
        """Note and tell that a run has entered its latest state. On its loop."""
        self.note(run)
        self.tell(run)

    def note(self, run: Record) -> None:
        """Do what is to be done at once. Any thread; follow with `tell` on the loop."""
        if self._note is not None:
            self._note(run)

    def tell(self, run: Record) -> None:
        """Tell of every state that a run has entered since this was last called.

        Always on the loop of that run. So the news of a thread may arrive late, and
        are told in order all the same, and once.
        """
        if self._observers and self._tell_of_news(run):
            run.forget_states()

    def _tell_of_news(self, run: Record) -> bool:
        """Whether it has completed; a call of its own, so that it refers to no state."""
        before, news = run.news()
        view = run.view()
        for after in news:
            event = StateChanged(view, before, after)
            for observer in self._observers:
                try:
                    observer.on_event(event)
                except BaseException as error:  # noqa: BLE001 - it may raise anything
                    self._drop(observer, error)
            before = after
        return before is not None and before.type is _COMPLETED

    def _drop(self, failed: Observer, error: BaseException) -> None:
        with self._lock:
            rest = tuple(each for each in self._observers if each is not failed)
            if len(rest) == len(self._observers):
                return  # on another loop it has failed as well, at the same time
            self._observers = rest
        text = "observer %s failed and is heard no more"
        log.error(text, shown(failed), exc_info=error)
