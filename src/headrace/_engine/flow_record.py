"""The record of one flow run."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any, Final

from headrace._engine.families import note_flow, note_parent
from headrace._engine.host import Host
from headrace._engine.places import settle_scope
from headrace._engine.scopes import Scope
from headrace.context import TAGS
from headrace.runs import FlowRun, Record
from headrace.specs import FlowSpec
from headrace.states import StateType, format_exception

__all__ = ("FlowRecord",)

_PENDING: Final = StateType.PENDING


class FlowRecord(Record):
    """The record of one flow run; the code of its body belongs to it."""

    __slots__ = (
        "__weakref__", "args", "context", "handle", "has_dependants", "is_plain_body", "kwargs", "number",
        "parent", "spec", "upstreams",
    )  # fmt: skip

    def __init__(
        self,
        spec: FlowSpec,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        host: Host,
        parent: Scope | None,
    ) -> None:
        self.spec = spec
        self.is_plain_body = not spec.is_async  # see `headrace.context.Holder`
        self.args = args
        self.kwargs = kwargs
        self.parent = parent
        self.number = next(parent.counter(spec.key)) if parent is not None else 0
        self.scope = Scope(host, "flow run", parent=parent, owner=self)
        self.phase = _PENDING
        self.created = time()
        self.attempts = self.told = 0
        self.ident = self.links = self.log = self.rare = self.settled = None
        self.context = self.upstreams = None
        if tags := TAGS.get():
            self.rarely().tags = tags
        self.handle: Any = None  # where it was called: a thread, or an asyncio task
        # A flow that belongs to a scope that was cancelled is cancelled with it.
        self.scope.is_cancelled = parent is not None and parent.is_cancelled
        settle_scope(self.scope, spec.task_runner)
        if spec.retry is not None:
            self.scope.keep_results()
        note_parent(self)
        around = None if parent is None else parent.owner
        is_called = self.rare is not None and self.rare.parent is not None
        if is_called:
            note_flow(self)
        self.has_dependants = is_called or (
            around is not None and around.has_dependants
        )

    def view(self) -> FlowRun:
        """See `Record.view`."""
        return FlowRun(self)

    @property
    def is_flow(self) -> bool:
        """See `Record.is_flow`."""
        return True

    @property
    def name_of_retry(self) -> str:
        """See `Record.name_of_retry`: flows run again under the same name (HIST-12)."""
        return "Running"

    def inner_scope(self) -> Scope:
        """See `Record.inner_scope`."""
        scope: Scope = self.scope
        return scope

    def body_task(self) -> Any | None:
        """See `Record.body_task`."""
        return self.scope.body

    def set_body(self, task: Any) -> None:
        """See `Record.set_body`."""
        self.scope.body = task

    def failure_text(self, error: BaseException) -> str:
        """See `Record.failure_text`."""
        return f"Flow run encountered an exception. {format_exception(error)}"

    def home(self) -> Scope | None:
        """See `Record.home`."""
        return self.parent
