"""What is recorded of one run, from its making to its final state.

A record is written by the engine and read by anyone. To be cheap it holds a type and
a few times; its states are made when somebody looks.
"""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from headrace.exceptions import ParameterBindError
from headrace.runs.histories import LOOKING, History
from headrace.runs.inputs import Links, RunInput, task_inputs
from headrace.runs.rare import Rare
from headrace.states import FINAL

__all__ = ("Rare", "Record", "Scoped")


class Scoped(Protocol):
    """What a record needs to know of where it belongs."""

    @property
    def id(self) -> str | None:
        """The id of the flow run around, if there is one."""
        ...

    def new_key(self) -> int:
        """A fresh 128-bit identifier."""
        ...

    def flow_key(self) -> int | None:
        """The id of that flow run as a number."""
        ...


class Record(History):
    """The facts of one run. Slots that mean nothing yet are unset.

    Attributes:
        links: Which runs its arguments come from; see `headrace.runs.inputs`.
    """

    __slots__ = ("links",)

    # Whether some run may wait for its end: of flow runs, those in a task alone.
    has_dependants: bool = True
    spec: Any
    args: tuple[Any, ...]
    kwargs: Any
    number: int
    links: Links | None

    @property
    def name(self) -> str:
        """The name of the run: the one it was given, else ``<name>-<number>``."""
        rare = self.rare
        if rare is not None and rare.title is not None:
            return rare.title
        return f"{self.spec.name}-{self.number}"

    @property
    def tags(self) -> frozenset[str]:
        """The tags that the run was made with, beside those of its task."""
        rare = self.rare
        return frozenset() if rare is None else rare.tags

    def parameters(self) -> dict[str, Any]:
        """What each parameter of its function gets; nothing once it has ended."""
        try:
            found: dict[str, Any] = self.spec.binder.parameters(self.args, self.kwargs)
        except ParameterBindError:
            return {}  # it lets go of its arguments when it ends
        return {} if self.phase in FINAL else found

    @property
    def is_flow(self) -> bool:
        """Whether it is the run of a flow."""
        return False

    def inputs(self) -> dict[str, list[RunInput]]:
        """For each parameter of its function the runs that its argument comes from."""
        return task_inputs(self.spec.binder.names, self.links)

    @property
    def id(self) -> str:
        """A UUID, drawn when first asked for."""
        return str(UUID(int=self.run_key()))

    def parent_key(self) -> int | None:
        """The id of the run whose body made it, as a number."""
        rare = self.rare
        if rare is not None:
            parent = rare.parent  # read once: it is let go of when the run ends
            if parent is not None:
                key: int = parent.run_key()
                return key
            if rare.parent_key is not None:
                return rare.parent_key
        return self.flow_key()

    def flow_key(self) -> int | None:
        """The id of the flow run around it, as a number."""
        home = self.home()
        key: int | None = None if home is None else home.flow_key()
        return key

    def view(self) -> Any:
        """What observers and hooks are given for this run."""
        return self

    def rarely(self) -> Rare:
        """The part of the record that few runs need, made now if need be."""
        rare = self.rare
        if rare is None:
            # Two threads may be here at once, and one of two would be lost.
            with LOOKING:
                rare = self.rare
                if rare is None:
                    rare = self.rare = Rare()
        return rare

    def inner_scope(self) -> Any | None:
        """The scope of a flow run."""
        return None

    def home(self) -> Any | None:
        """The scope that the run itself belongs to."""
        return self.scope

    def set_body(self, task: Any) -> None:
        """Note the asyncio task that was made for its body."""

    def body_task(self) -> Any | None:
        """The asyncio task in which its body runs in place."""
        return None
