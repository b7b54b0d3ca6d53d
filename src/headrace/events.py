"""What the engine announces, and to whom.

Events are how everything that watches is attached. The engine knows none of them, and
while nobody listens it makes no event. The states of an event are made when somebody
looks; at once if the run failed, or has more to it than most, such as a retry.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from headrace._text import shown
from headrace.runs import FlowRun, Record, TaskRun
from headrace.states import State, StateType

__all__ = ("Announcer", "Observer", "StateChanged")

_COMPLETED: Final = StateType.COMPLETED

log: Final = logging.getLogger("headrace.events")


class StateChanged:
    """A run entered a state.

    Args:
        run: The run: a `headrace.runs.TaskRun` or `headrace.runs.FlowRun`.
        before: The state it left; None for its first.
        after: The state it entered.
    """

    # `_record`, `_index`: of an event of the engine's, the record of the run and the
    # place in its history, until somebody looks. States and views that nobody looked at
    # took 6 of the 8 us that an observer cost each run of a large map.
    __slots__ = ("_after", "_before", "_index", "_record", "_run")

    __match_args__ = ("run", "before", "after")

    _record: Record
    _index: int | None

    def __init__(
        self, run: TaskRun | FlowRun, before: State[Any] | None, after: State[Any]
    ) -> None:
        self._run = run
        self._before = before
        self._after = after
        self._index = None

    @property
    def run(self) -> TaskRun | FlowRun:
        """The run."""
        run = self._run
        if run is None:
            run = self._run = self._record.view()
        return run

    @property
    def before(self) -> State[Any] | None:
        """The state it left; None for its first."""
        if self._index is not None:
            self._look()
        return self._before

    @property
    def after(self) -> State[Any]:
        """The state it entered."""
        if self._index is not None:
            self._look()
        return self._after

    def _look(self) -> None:
        index = self._index
        if index is not None:
            self._before, self._after = self._record.states_at(index)
            self._index = None  # last: another thread may look as well

    def __repr__(self) -> str:
        shown = f"run={self.run!r}, before={self.before!r}, after={self.after!r}"
        return f"{type(self).__qualname__}({shown})"


# How the engine makes one: the constructor is for users, whose tests make them.
_new: Final[Callable[[Any], Any]] = object.__new__
_EVENT: Final[Any] = StateChanged


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

    @property
    def announce(self) -> Callable[[Record], None]:
        """What notes and tells that a run has entered its latest state. On its loop."""
        return self.tell if self._note is None else self._note_and_tell

    def _note_and_tell(self, run: Record) -> None:
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
        if not self._observers:
            return
        index = run.told
        run.told = entered = run.entered()
        while index < entered:
            event = _new(_EVENT)
            event._record = run  # noqa: SLF001 - of this file
            event._index = index  # noqa: SLF001
            event._run = None  # noqa: SLF001
            for observer in self._observers:
                try:
                    observer.on_event(event)
                except BaseException as error:  # noqa: BLE001 - it may raise anything
                    self._drop(observer, error)
            index += 1
            del event  # it may refer to states, which would not be forgotten
        if run.log is not None and run.phase is _COMPLETED:
            run.forget_states()

    def _drop(self, failed: Observer, error: BaseException) -> None:
        with self._lock:
            rest = tuple(each for each in self._observers if each is not failed)
            if len(rest) == len(self._observers):
                return  # on another loop it has failed as well, at the same time
            self._observers = rest
        text = "observer %s failed and is heard no more"
        log.error(text, shown(failed), exc_info=error)
