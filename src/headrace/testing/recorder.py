"""What a test hears of its runs: an observer that keeps all, and the runs by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.events import StateChanged
from headrace.flows import Flow
from headrace.runs import FlowRun, TaskRun
from headrace.runtime import Runtime
from headrace.tasks import Task

__all__ = ("RecordedRuns", "Recorder")


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


class RecordedRuns:
    """The runs of a runtime, by name, in the order in which they were made.

    Looks at the runtime each time, so it always tells what is so at that moment.

    Args:
        runtime: It must keep its runs: see ``history`` of `headrace.Runtime`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __iter__(self) -> Iterator[TaskRun | FlowRun]:
        return iter(self._runtime.runs)

    def __len__(self) -> int:
        return len(self._runtime.runs)

    def __getitem__(self, name: str) -> TaskRun | FlowRun:
        """The latest run of a name.

        Raises:
            KeyError: There is none.
        """
        for run in reversed(self._runtime.runs):
            if run.name == name:
                return run
        raise KeyError(f"there is no run {name!r}. There are: {self.names or 'none'}.")

    @property
    def names(self) -> list[str]:
        """The names of all runs."""
        return [run.name for run in self]

    def of(
        self, definition: Task[..., Any] | Flow[..., Any]
    ) -> list[TaskRun | FlowRun]:
        """The runs of a task or flow, found by its name."""
        runs = self._runtime.runs
        if isinstance(definition, Flow):
            return [*runs.flow_runs(flow_name=definition.name)]
        return [*runs.task_runs(task_name=definition.name)]

    def path(self, name: str) -> list[str]:
        """The names of the states that the latest run of a name has entered, in order.

        Raises:
            KeyError: There is none.
        """
        return [state.name for state in self[name].history]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self.names) or 'none'}>"
