"""What is recorded of few runs only."""

from __future__ import annotations

from typing import Any

from headrace.runs.kept_results import RunResult
from headrace.states import State

__all__ = ("Rare",)


class Rare:
    """What few runs need: kept apart, so that the others stay small."""

    __slots__ = (
        "awaits", "body", "children", "claim", "deadline", "flows", "is_last", "latest",
        "message", "name", "parent", "parent_key", "result", "scheduled", "stop", "tags",
        "ticket", "timer", "title", "tolerated", "turn",
    )  # fmt: skip

    def __init__(self) -> None:
        self.name: str | None = None  # of the final state, if not the usual one
        self.title: str | None = None  # of the run, if not the usual one
        self.message: str | None = None
        # No attempt follows: its body still runs, or would give the same once more.
        self.is_last = False
        self.tags: frozenset[str] = frozenset()  # of the `tags` blocks around
        self.stop: str | None = None  # why it is being stopped: "limit", "cancel", ...
        self.deadline: Any = None  # with which others it has to be over, and when
        self.timer: Any = None
        self.tolerated: list[Any] | None = None  # upstreams that may have failed
        self.turn: Any = None  # the turn that has to be over before, in sequence
        self.latest: Any = None  # the turn of what it submitted last, in sequence
        self.parent: Any = None
        self.parent_key: int | None = None  # what stays of it
        self.children: set[Any] | None = None
        self.flows: set[Any] | None = None  # flow runs that its body called
        self.awaits: Any = (
            None  # what its body waits for; see `headrace.futures.circles`
        )
        self.body: Any = (
            None  # the asyncio task of its body, if that has one of its own
        )
        self.claim: Any = None  # its places in limits, taken or waited for
        self.ticket: Any = None  # of its admission, if that is waited for
        self.scheduled: State[Any] | None = None  # what asked for another attempt
        self.result: RunResult | None = None  # if it is stored or cached

    def is_light(self) -> bool:
        """Whether it leads nowhere once the run has ended: to texts and ids at the most."""
        # The parent is a future, whose truth value is none to ask for.
        is_alone = self.parent is None and not self.children
        return is_alone and self.timer is None and self.scheduled is None

    def of_ended(self) -> Rare:
        """What of it is still told of a run when that is gone: texts and ids."""
        rare = Rare()
        rare.title, rare.tags, rare.result = self.title, self.tags, self.result
        parent = self.parent
        rare.parent_key = self.parent_key if parent is None else parent.run_key()
        return rare
