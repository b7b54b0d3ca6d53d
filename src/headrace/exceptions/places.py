"""Where, and when, something was asked that cannot be done there."""

from __future__ import annotations

from headrace.exceptions.base import HeadraceError, TextError

__all__ = (
    "BlockedLoop",
    "CacheUnusable",
    "DeadlockError",
    "ForkedRuntime",
    "LimitTooSmall",
    "MissingContextError",
    "RunEnded",
    "RuntimeClosing",
    "SubmitOutsideRun",
    "UnreadyMap",
)


class MissingContextError(TextError, RuntimeError):
    """Something was asked that only a running flow or task can answer."""


class SubmitOutsideRun(MissingContextError):
    """A task was submitted where no flow, task or runtime is active.

    Args:
        task_name: The task.
        verb: The method: ``"submit"``, ``"map"`` or ``"stream"``.
    """

    def __init__(self, task_name: str, verb: str) -> None:
        HeadraceError.__init__(self, task_name, verb)
        self.task_name = task_name
        self.verb = verb

    def __str__(self) -> str:
        return (
            f"{self.task_name}.{self.verb}(...) was called outside of a flow and of "
            f"a runtime, so nothing would wait for the run. Call it inside a "
            f"function decorated with @flow, or inside `with headrace.Runtime():` "
            f"(`async with` in coroutine code). A plain call, "
            f"{self.task_name}(...), works anywhere."
        )


class BlockedLoop(HeadraceError, RuntimeError):
    """A blocking wait was asked for on the event loop that must do the work.

    Args:
        what: The call, such as ``"double.submit(...).result()"``.
        reason: Why it would have to wait, such as ``"the run 'double-0' is not
            done"``.
        instead: What to write, such as ``"await future"``.
    """

    def __init__(self, what: str, reason: str, instead: str) -> None:
        super().__init__(what, reason, instead)
        self.what = what
        self.reason = reason
        self.instead = instead

    def __str__(self) -> str:
        return (
            f"{self.what} would block the event loop that must do the work: "
            f"{self.reason}. Write `{self.instead}`."
        )


class CacheUnusable(TextError, RuntimeError):
    """A cache index cannot be read or written now."""


class DeadlockError(TextError, RuntimeError):
    """A wait was refused, because it could never end."""


class LimitTooSmall(HeadraceError, RuntimeError):
    """A limit has no room for a run, now or ever.

    Args:
        what: The task, or the block.
        limit: The name of the limit.
        weight: How much it takes.
        capacity: How much there is.
    """

    def __init__(self, what: str, limit: str, weight: float, capacity: float) -> None:
        super().__init__(what, limit, weight, capacity)
        self.what = what
        self.limit = limit
        self.weight = weight
        self.capacity = capacity

    def __str__(self) -> str:
        return (
            f"{self.what} takes {self.weight:g} of {self.limit}, which has "
            f"{self.capacity:g} in all, so it could never begin. Raise the limit, or "
            f"take less."
        )


def _told(kind: str, name: str) -> str:
    return f"{kind} {name!r}" if name else f"this {kind}"


class RunEnded(HeadraceError, RuntimeError):
    """A run was submitted to a scope that has ended.

    Args:
        kind: What has ended: ``"flow run"``, ``"task run"`` or ``"runtime"``.
        name: Its name.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        self.kind = kind
        self.name = name

    def __str__(self) -> str:
        return (
            f"{_told(self.kind, self.name)} has ended, so it takes no more runs. Submit "
            f"before its body returns, or open a `headrace.Runtime()` that lives as "
            f"long as this code does."
        )


class RuntimeClosing(RunEnded):
    """Something new was asked of a runtime that only waits for what it has."""

    def __init__(self) -> None:
        HeadraceError.__init__(self)
        self.kind, self.name = "runtime", ""

    def __str__(self) -> str:
        return (
            "this runtime is being drained: it waits for the runs that it has, and "
            "takes new ones from these runs alone. Answer that the service is stopping "
            "(HTTP 503), and look at `runtime.is_ready` before asking for work."
        )


class ForkedRuntime(HeadraceError, RuntimeError):
    """A runtime was used in a process forked from the one that opened it."""

    def __init__(self, parent_pid: int, child_pid: int) -> None:
        super().__init__(parent_pid, child_pid)
        self.parent_pid = parent_pid
        self.child_pid = child_pid

    def __str__(self) -> str:
        return (
            f"this runtime was opened in process {self.parent_pid} and is used in "
            f"its fork {self.child_pid}, where its event loop and threads do not "
            f"exist. Open a `headrace.Runtime()` in the child, or start the child "
            f"with the 'spawn' method."
        )


class UnreadyMap(HeadraceError, RuntimeError):
    """The list of a ``map()`` was used before its length was known."""

    def __init__(self, task_name: str) -> None:
        super().__init__(task_name)
        self.task_name = task_name

    def __str__(self) -> str:
        return (
            f"{self.task_name}.map(...) maps over a future that is not done, so how "
            f"many runs it makes is not known yet. Await it first: "
            f"`futures = await {self.task_name}.map(...)`."
        )
