"""What there is at one moment in a runtime: texts and numbers, and nothing that lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace._values import Value

__all__ = ("RunSnapshot", "RuntimeSnapshot")

_NONE: Final = "\nno run goes on"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RunSnapshot(Value):
    """One run that has not ended.

    Attributes:
        name: Its name.
        id: Its id, a UUID.
        state_name: The name of the state it is in.
        age_seconds: How long ago it was made.
        waits_for: What has to happen before it goes on.
        stack: Where its body is, ``function at file:line``, the innermost last; frames
            of headrace are left out. Empty if no body is at work.
    """

    name: str
    id: str
    state_name: str
    age_seconds: float
    waits_for: str
    stack: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = "".join(f"\n    {line}" for line in self.stack)
        return (
            f"{self.name}: {self.state_name}, {self.age_seconds:.1f} s old, waits for "
            f"{self.waits_for}{where}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RuntimeSnapshot(Value):
    """A runtime; its ``str()`` is what `headrace.Runtime.dump` writes.

    Attributes:
        runs: The runs that have not ended, in the order in which they were made.
        more_runs: How many other runs have not ended either.
        stats: As `headrace.Runtime.stats` gives them.
        loop: Where the thread of the event loop is, as ``stack`` of a run; empty if the
            loop waits for news, or none was needed so far.
    """

    runs: tuple[RunSnapshot, ...]
    more_runs: int
    stats: Mapping[str, int]
    loop: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = ", ".join(f"{name}={count}" for name, count in self.stats.items())
        loop = "".join(f"\n    {line}" for line in self.loop)
        busy = f"\nthe event loop is at{loop}" if loop else ""
        runs = "".join(f"\n{run}" for run in self.runs)
        more = f"\nand {self.more_runs} more" if self.more_runs else ""
        return f"{counts}{busy}{runs or _NONE}{more}\n"
