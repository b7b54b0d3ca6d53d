"""What all runs of a map wait for or are given, looked into once for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from headrace._concurrency.slices import in_slices
from headrace.futures.waiters import with_one
from headrace.runs.inputs import Keys, as_bytes
from headrace.states import FINAL, State, StateType, in_hand

__all__ = ("FEW", "Crowd", "Gate", "Shared", "has_completed")

_COMPLETED: Final = StateType.COMPLETED


class Gate:
    """Stands for the upstreams that a map was told to wait for.

    Each of its runs waits for it, and it for them: so m upstreams of n runs are waited
    for n + m times and not n * m times. On the loop of its scope, but for its making.

    Args:
        scope: That of the runs.
        name: Who waits, for messages.
        required: Futures and states that must have completed.
        tolerated: Those that only have to end.
        keys: Which runs the map was given something of, these among them.

    Attributes:
        phase: Pending, then Completed, or Cancelled when a required one did not complete,
            or Failed when one cannot be waited for.
        failed: The first of those that did not complete.
        error: Why one cannot be waited for.
        waiters: The runs that wait; see `headrace.futures.waiters`.
    """

    __slots__ = (
        "_left", "_required", "_scheduler", "_tolerated",
        "error", "failed", "keys", "name", "phase", "scope", "waiters",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        name: str,
        required: Sequence[Any],
        tolerated: Sequence[Any] = (),
        *,
        keys: Sequence[Keys] = (),
    ) -> None:
        self.scope = scope
        self.keys = keys
        self.name = name
        self.phase = StateType.PENDING
        self.failed: Any = None
        self.error: Exception | None = None
        self.waiters: Any = None
        self._required = required
        self._tolerated = tolerated
        self._left = 1  # to begin to wait
        self._scheduler: Any = None

    def sources(self) -> Sequence[Any]:
        """What is waited for, until all have ended."""
        if not self._tolerated:
            return self._required  # not copied: there may be very many
        return (*self._required, *self._tolerated)

    def watch(self, scheduler: Any) -> None:
        """Begin to wait, before the first run does. On the loop, once."""
        self._scheduler = scheduler
        in_slices(scheduler.loop, self._watching(scheduler))

    def _watching(self, scheduler: Any) -> Iterator[None]:
        try:
            for source in itertools.chain(self._required, self._tolerated):
                if not isinstance(source, State):
                    self.note(source)
                    if source.phase not in FINAL:
                        self._left += 1
                        scheduler.await_upstream(self, source)
                yield
        except Exception as error:  # noqa: BLE001 - they cannot be waited for
            self.error = error
            self._end(StateType.FAILED)
        else:
            self(None)

    def __call__(self, _: object) -> None:
        """One of the upstreams has ended."""
        self._left -= 1
        if not self._left and self.error is None:
            in_slices(self._scheduler.loop, self._opening())

    def _opening(self) -> Iterator[None]:
        for source in self._required:
            if has_completed(source):
                self.note_value(source)
            else:
                if self.failed is None:
                    self.failed = source
                # A run that is held back passes the question of its upstreams on.
                if not isinstance(source, State):
                    source.see()
            yield
        for source in self._tolerated:
            if not isinstance(source, State):
                source.see()
            yield
        self._end(StateType.CANCELLED if self.failed is not None else _COMPLETED)

    def _end(self, phase: StateType) -> None:
        self._required = self._tolerated = ()
        self.phase = phase
        self._scheduler.wake(self)

    def note(self, source: Any) -> None:
        """Called with each upstream that is a run, before it is waited for."""

    def note_value(self, source: Any) -> None:
        """Called with each required upstream that has completed, once all have ended."""

    # -- as an upstream ------------------------------------------------------------

    def add_waiter(self, run: Any) -> None:
        """Wake a run, or what else waits, when all upstreams have ended."""
        self.waiters = with_one(self.waiters, run)

    def see(self) -> None:
        """Nothing to note: its upstreams have been seen."""


# Of an argument that is a list of more futures than these a `Crowd` is made.
FEW: Final = 512


class Crowd(Gate):
    """A list or tuple of very many futures, as a whole argument of one run.

    Waited for in slices, and what the run is given in its place is made in slices as
    well, so that however many they are, the loop goes on turning.

    Args:
        scope: That of the run.
        name: Who waits, for messages.
        kind: Of what is made of it: list or tuple.
        futures: What it holds at this moment.
    """

    __slots__ = ("_data", "_ids", "_kind")

    def __init__(
        self,
        scope: Any,
        name: str,
        kind: Callable[[list[Any]], Any],
        futures: Sequence[Any],
    ) -> None:
        self._kind = kind
        self._ids = bytearray()
        self._data: list[Any] = []
        super().__init__(scope, name, futures, keys=[self._ids])

    def note(self, source: Any) -> None:
        """Note which run it is."""
        self._ids += as_bytes(source.run_key())

    def note_value(self, source: Any) -> None:
        """Note what the run is to be given."""
        self._data.append(in_hand(source.outcome))

    def data(self) -> Any:
        """What the run is given: of each future what it gave. All have completed."""
        # Asked for once; a copy of so many would take a while.
        return self._data if self._kind is list else self._kind(self._data)


class Shared:
    """An argument with futures in it that goes to every run of a map.

    The runs share what is made of it, as they would share an argument without futures.

    Args:
        value: The argument.
        gate: Stands for the futures.
    """

    __slots__ = ("_made", "gate", "value")

    def __init__(self, value: object, gate: Gate) -> None:
        self.value = value
        self.gate = gate
        self._made: tuple[Any] | None = None

    def data(self, make: Callable[[object], Any]) -> Any:
        """What runs are given, made when the first of them asks. From any thread."""
        made = self._made
        if made is None:
            # Threads may make it at the same time. All are given what the first made.
            made = self._made = self._made or (make(self.value),)
        return made[0]


def has_completed(source: Any) -> bool:
    """Whether a future's run, or a state, ended with a value."""
    kind = source.type if isinstance(source, State) else source.phase
    return kind is _COMPLETED
