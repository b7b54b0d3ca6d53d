"""``runtime.runs``: look up runs that go on, and the latest of those that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

from headrace.runs.ended import EndedRun, RunLog
from headrace.runs.record import Record
from headrace.runs.views import FlowRun, RunView, TaskRun
from headrace.states import StateType

__all__ = ("Runs",)

V = TypeVar("V", bound=RunView)


class Runs:
    """The runs of one runtime, in the order in which they were made. From any thread.

    Those that go on, and the latest that have ended. Iterating gives a `TaskRun` or
    `FlowRun` for each that there is at that moment; ``reversed(runs)`` begins with the
    newest.

    Args:
        log: The runs that have ended; None before any could.
        open_runs: Gives those that have not.
    """

    def __init__(
        self, log: RunLog | None, open_runs: Callable[[], Iterable[Record]]
    ) -> None:
        self._log = log
        self._open_runs = open_runs

    def __iter__(self) -> Iterator[TaskRun | FlowRun]:
        return map(self._view, self._records())

    def __reversed__(self) -> Iterator[TaskRun | FlowRun]:
        return map(self._view, reversed(self._records()))

    def __len__(self) -> int:
        return len(self._records())

    def get(self, run_id: str | UUID) -> TaskRun | FlowRun | None:
        """The run with an id; None if there is none, or it is kept no more.

        Raises:
            ValueError: This is no UUID.
        """
        key = UUID(str(run_id)).int
        for run in self._unordered():
            # Whose id was not asked for yet is not the one.
            if run.ident == key:
                return self._view(run)
        return None

    def task_runs(
        self,
        *,
        name: str | None = None,
        task_name: str | None = None,
        state_type: StateType | str | None = None,
        state_name: str | None = None,
        tag: str | None = None,
        flow_run_id: str | None = None,
        parent_run_id: str | None = None,
    ) -> list[TaskRun]:
        """The task runs to which all that is given applies.

        Args:
            name: The name of the run.
            task_name: The name of its task.
            state_type: The type of the state it is in.
            state_name: The name of that state.
            tag: One of its tags.
            flow_run_id: The flow run that it belongs to.
            parent_run_id: The run whose body made it, a task run or a flow run.

        Raises:
            ValueError: There is no such type of state.
        """
        found = self._chosen(
            is_flow=False,
            name=name,
            definition=task_name,
            state_type=state_type,
            state_name=state_name,
            flow_run_id=flow_run_id,
            parent_run_id=parent_run_id,
        )
        views = self._views(found, TaskRun)
        return [view for view in views if tag is None or tag in view.tags]

    def flow_runs(
        self,
        *,
        name: str | None = None,
        flow_name: str | None = None,
        state_type: StateType | str | None = None,
        state_name: str | None = None,
        tag: str | None = None,
        flow_run_id: str | None = None,
        parent_run_id: str | None = None,
    ) -> list[FlowRun]:
        """The flow runs to which all that is given applies.

        Args:
            name: The name of the run.
            flow_name: The name of its flow.
            state_type: The type of the state it is in.
            state_name: The name of that state.
            tag: One of its tags.
            flow_run_id: The flow run that it is a sub-flow of.
            parent_run_id: The run whose body made it, a task run or a flow run.

        Raises:
            ValueError: There is no such type of state.
        """
        found = self._chosen(
            is_flow=True,
            name=name,
            definition=flow_name,
            state_type=state_type,
            state_name=state_name,
            flow_run_id=flow_run_id,
            parent_run_id=parent_run_id,
        )
        views = self._views(found, FlowRun)
        return [view for view in views if tag is None or tag in view.tags]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)}>"

    def _chosen(
        self,
        *,
        is_flow: bool,
        name: str | None,
        definition: str | None,
        state_type: StateType | str | None,
        state_name: str | None,
        flow_run_id: str | None,
        parent_run_id: str | None,
    ) -> list[Record]:
        found = [run for run in self._records() if run.is_flow is is_flow]
        # The cheapest first: each has fewer left to look at.
        if definition is not None:
            found = [run for run in found if run.spec.name == definition]
        if state_type is not None:
            kind = StateType(state_type)
            found = [run for run in found if run.phase is kind]
        if flow_run_id is not None:
            key = UUID(flow_run_id).int
            found = [run for run in found if run.flow_key() == key]
        if parent_run_id is not None:
            key = UUID(parent_run_id).int
            found = [run for run in found if run.parent_key() == key]
        if state_name is not None:
            found = [run for run in found if run.state_name == state_name]
        if name is not None:
            found = [run for run in found if run.name == name]
        return found

    def _records(self) -> list[Record]:
        return sorted(self._unordered(), key=_order)

    def _unordered(self) -> Iterable[Record]:
        # Looked at in this order, one that ends meanwhile is seen twice, and not missed.
        open_runs = list(self._open_runs())
        ended: Iterable[Record] = () if self._log is None else self._log.latest()
        wholes = [run.whole() if isinstance(run, EndedRun) else run for run in ended]
        # In another attempt of its flow a run has the id that it had before: the latest
        # counts. Whose id nobody has asked for is the only one that has it.
        return {run.ident or -id(run): run for run in (*wholes, *open_runs)}.values()

    def _view(self, run: Record) -> TaskRun | FlowRun:
        is_brief = self._log is not None and self._log.is_brief
        view = FlowRun if run.is_flow else TaskRun
        return view(run, is_brief=is_brief)

    def _views(self, runs: Iterable[Record], kind: type[V]) -> list[V]:
        views: list[Any] = [self._view(run) for run in runs]
        return [view for view in views if isinstance(view, kind)]


def _order(run: Record) -> tuple[float, int]:
    return run.created, run.number
