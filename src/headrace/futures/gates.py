"""What all runs of a map wait for or are given, looked into once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from headrace.runs.inputs import Keys
from headrace.states import FINAL, State, StateType

__all__ = ("Gate", "Shared", "has_completed")

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
        phase: Pending, then Completed, or Cancelled when a required one did not complete.
        failed: The first of those.
        waiters: The runs that wait.
    """

    __slots__ = (
        "_error", "_left", "_required", "_tolerated",
        "failed", "keys", "name", "phase", "scope", "waiters",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        name: str,
        required: Sequence[Any],
        tolerated: Sequence[Any],
        *,
        keys: Sequence[Keys] = (),
    ) -> None:
        self.scope = scope
        self.keys = keys
        self.name = name
        self.phase = StateType.PENDING
        self.failed: Any = None
        self.waiters: list[Any] | None = None
        self._required = required
        self._tolerated = tolerated
        self._left = 0
        self._error: Exception | None = None

    def watch(self, scheduler: Any) -> None:
        """Begin to wait, before the first run does."""
        pending = [source for source in self._sources() if source.phase not in FINAL]
        self._left = len(pending)
        try:
            for source in pending:
                scheduler.await_upstream(self, source)
        except Exception as error:  # noqa: BLE001 - told to each run
            self._error = error
            return
        if not pending:
            self._open()

    def _sources(self) -> list[Any]:
        both = (*self._required, *self._tolerated)
        return [source for source in both if not isinstance(source, State)]

    def __call__(self, _: object) -> None:
        """One of the upstreams has ended."""
        self._left -= 1
        if not self._left and self._error is None:
            self._open()

    def _open(self) -> None:
        failed = [source for source in self._required if not has_completed(source)]
        for source in (*failed, *self._tolerated):
            # A run that is held back passes the question of its upstreams on.
            if not isinstance(source, State):
                source.see()
        self.failed = failed[0] if failed else None
        self.phase = StateType.CANCELLED if failed else _COMPLETED
        self._required = self._tolerated = ()
        self.scope.scheduler.wake(self)

    # -- as an upstream ------------------------------------------------------------

    def add_waiter(self, run: Any) -> None:
        """Wake a run when all upstreams have ended.

        Raises:
            Exception: They cannot be waited for.
        """
        if self._error is not None:
            raise self._error
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(run)

    def see(self) -> None:
        """Nothing to note: its upstreams have been seen."""


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
