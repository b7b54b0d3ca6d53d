"""Runs as users see them: views of their records, always up to date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from headrace.runs.inputs import RunInput
from headrace.states import State, StateType

__all__ = ("FlowRun", "RunView", "TaskRun", "record_of")


class RunView:
    """One run as its record shows it.

    Args:
        run: The record.
        is_brief: Whether its history is only the state it is in.
    """

    __slots__ = ("_is_brief", "_run")

    def __init__(self, run: Any, *, is_brief: bool = False) -> None:
        self._run = run
        self._is_brief = is_brief

    @property
    def id(self) -> str:
        """A UUID."""
        return str(self._run.id)

    @property
    def name(self) -> str:
        """The name of the run, ``<name>-<number>`` unless it was given another."""
        return str(self._run.name)

    @property
    def parameters(self) -> dict[str, Any]:
        """What each parameter of its function gets; empty once the run has ended."""
        parameters: dict[str, Any] = self._run.parameters()
        return parameters

    @property
    def task_inputs(self) -> dict[str, list[RunInput]]:
        """For each parameter the ids of the runs that its argument comes from.

        Every parameter is in it, most with an empty list; ``*args`` and ``**kwargs``
        by their own names; ``wait_for`` if there was any. Each id is a text, with
        itself as ``.id``. Upstreams are told by futures and states among the arguments,
        in containers too, and by objects that an earlier run of the same flow run
        returned, as they are or directly inside of what it returned.
        """
        inputs: dict[str, list[RunInput]] = self._run.inputs()
        return inputs

    @property
    def parent_run_id(self) -> str | None:
        """The id of the run whose body made it: of a task, else of the flow run."""
        key: int | None = self._run.parent_key()
        return None if key is None else str(UUID(int=key))

    @property
    def run_count(self) -> int:
        """How many attempts have begun."""
        return int(self._run.attempts)

    @property
    def state(self) -> State[Any]:
        """The state it is in."""
        state: State[Any] = self._run.last_state
        return state

    @property
    def state_type(self) -> StateType:
        """The type of the state it is in."""
        return self.state.type

    @property
    def state_name(self) -> str:
        """The name of the state it is in."""
        return self.state.name

    @property
    def history(self) -> list[State[Any]]:
        """Every state so far, in order; only the last where no others are kept."""
        if self._is_brief:
            return [self.state]
        states: list[State[Any]] = self._run.history
        return states

    @property
    def expected_start_time(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(self._run.created, UTC)

    @property
    def next_scheduled_start_time(self) -> datetime | None:
        """When its next attempt is due, while it waits for a retry."""
        state = self.state
        return state.state_details.scheduled_time if state.is_scheduled() else None

    @property
    def start_time(self) -> datetime | None:
        """When its first attempt began."""
        return _moment(self._run.start_time)

    @property
    def end_time(self) -> datetime | None:
        """When it got its final state."""
        return _moment(self._run.end_time)

    @property
    def total_run_time(self) -> timedelta:
        """Time spent in Running, over all attempts; retry delays are left out."""
        return timedelta(seconds=self._run.total_run_seconds)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunView):
            return NotImplemented
        # A run that has ended may have two records: its own, and what is kept of it.
        return other._run is self._run or other._run.run_key() == self._run.run_key()

    def __hash__(self) -> int:
        return hash(self._run.run_key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, state={self.state_name!r})"


class TaskRun(RunView):
    """One task run: a view of its record."""

    __slots__ = ()

    @property
    def task_name(self) -> str:
        """The name of its task."""
        return str(self._run.spec.name)

    @property
    def task_key(self) -> str:
        """Module and qualified name of the task's function."""
        return str(self._run.spec.key)

    @property
    def dynamic_key(self) -> str:
        """The number of the run among those of its task in its flow run."""
        return str(self._run.number)

    @property
    def flow_run_id(self) -> str | None:
        """The id of the flow run it belongs to, if any."""
        found: str | None = self._run.scope.id
        return found

    @property
    def tags(self) -> set[str]:
        """The tags of its task, and those of the `headrace.tags` blocks around."""
        return {*self._run.spec.tags, *self._run.tags}

    @property
    def task_version(self) -> str | None:
        """The version its task was given."""
        version: str | None = self._run.spec.version
        return version


class FlowRun(RunView):
    """One flow run: a view of its record."""

    __slots__ = ()

    @property
    def flow_name(self) -> str:
        """The name of its flow."""
        return str(self._run.spec.name)

    @property
    def tags(self) -> set[str]:
        """Those of the `headrace.tags` blocks around its call."""
        return set(self._run.tags)

    @property
    def flow_version(self) -> str | None:
        """The version its flow was given."""
        version: str | None = self._run.spec.version
        return version


def record_of(view: RunView) -> Any:
    """The record that a view shows: for the engine."""
    return view._run  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - ours


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
