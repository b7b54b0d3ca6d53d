"""An observer for tests: it keeps what it hears."""

from __future__ import annotations

from headrace.events import StateChanged

__all__ = ("Recorder",)


class Recorder:
    """An observer that keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[StateChanged] = []

    def on_event(self, event: StateChanged) -> None:
        """Keep one event."""
        self.events.append(event)

    @property
    def path(self) -> list[str]:
        """The names of the states entered, in order."""
        return [event.after.name for event in self.events]
