"""How a run ended, when not with a value."""

from __future__ import annotations

from headrace.exceptions.base import PUBLIC, HeadraceError, TextError

__all__ = (
    "CancelledRun",
    "CrashedRun",
    "DeadlineExceeded",
    "FailedRun",
    "InjectedFailure",
    "MissingResult",
    "NotPicklable",
    "PausedRun",
    "RunInterrupted",
    "UnfinishedRun",
    "UpstreamTaskError",
    "WorkerDied",
)


class FailedRun(TextError):
    """A run failed, and what it left as data is a text or nothing."""


class CrashedRun(TextError):
    """A run was ended by something that is no ordinary error.

    Such as ``SystemExit`` or ``KeyboardInterrupt`` in its body: the original is
    the ``__cause__``, so that it stops the run and not the program around it.
    """


class CancelledRun(TextError):
    """A run was cancelled. An ordinary error, never ``asyncio.CancelledError``."""


class PausedRun(TextError):
    """A result was asked of a run that is paused."""


class UnfinishedRun(TextError):
    """A result was asked of a run that has not reached a final state."""


class MissingResult(TextError):
    """A completed run has no result to give: it was not kept, or never made."""


class UpstreamTaskError(HeadraceError):
    """A run did not start, because a run that it depends on did not complete.

    The upstream's own exception, if it has one, is the ``__cause__``.

    Args:
        run_name: The run that was held back.
        upstream_name: The run that it waited for.
        upstream_state: The name of the state in which that one ended.
        verdict: What the end of the upstream counts as: ``"FAILED"`` or
            ``"CANCELLED"``. None if unknown: then the causes tell.
    """

    def __init__(
        self,
        run_name: str,
        upstream_name: str,
        upstream_state: str,
        verdict: str | None = None,
    ) -> None:
        super().__init__(run_name, upstream_name, upstream_state, verdict)
        self.run_name = run_name
        self.upstream_name = upstream_name
        self.upstream_state = upstream_state
        self.verdict = verdict

    def __str__(self) -> str:
        return (
            f"the run {self.run_name!r} did not start: its upstream "
            f"{self.upstream_name!r} ended as {self.upstream_state}. To run it all "
            f"the same, wrap that input in allow_failure(...): the body then gets "
            f"the upstream's exception in place of its value."
        )


class DeadlineExceeded(HeadraceError, TimeoutError):
    """Something was not over when the deadline that it is under passed.

    Args:
        what: What that is: ``"the run 'load-0'"``, ``"load.submit()"``.
        seconds: How long the block of the deadline was given.
        how: What happened: ``"had not ended by"``, ``"was called after"``.
    """

    def __init__(
        self, what: str, seconds: float, how: str = "had not ended by"
    ) -> None:
        super().__init__(what, seconds, how)
        self.what = what
        self.seconds = seconds
        self.how = how

    def __str__(self) -> str:
        return (
            f"{self.what} {self.how} its deadline of {self.seconds:g} seconds. Give the "
            f"block around it more time, headrace.deadline(...), or do less in it."
        )


class NotPicklable(HeadraceError, TypeError):
    """Something cannot go to a worker process, or come back from it.

    What was raised about it where it was tried is in the notes, or the ``__cause__``.

    Args:
        task_name: Whose call it was.
        what: ``"the argument 'x'"``, ``"the result"``, ``"the exception"``, ...
        type_name: Its type, or those of the arguments.
        reason: What is wrong with it.
    """

    def __init__(self, task_name: str, what: str, type_name: str, reason: str) -> None:
        super().__init__(task_name, what, type_name, reason)
        self.task_name = task_name
        self.what = what
        self.type_name = type_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what} of {self.task_name!r}, of type {self.type_name}, cannot go "
            f"from one process to another: {self.reason}. Use what can be pickled, such "
            f"as the path of a file in place of the file, or run this task in a thread."
        )


class WorkerDied(HeadraceError):
    """A worker process ended while it was running a task.

    Args:
        task_name: The task.
        pid: The process.
        exit_code: What it exited with, if it did.
        signal_name: What killed it otherwise, such as ``"SIGKILL"``.
    """

    def __init__(
        self,
        task_name: str,
        pid: int,
        exit_code: int | None = None,
        signal_name: str | None = None,
    ) -> None:
        super().__init__(task_name, pid, exit_code, signal_name)
        self.task_name = task_name
        self.pid = pid
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __str__(self) -> str:
        if self.signal_name is not None:
            how = f"was killed by {self.signal_name}"
        else:
            how = f"exited with code {self.exit_code}"
        return (
            f"the worker process {self.pid} {how} while it was running "
            f"{self.task_name!r}. If the system runs out of memory, use fewer workers; "
            f"look for a crash in a C extension, and for a call of os._exit() or kill. "
            f"A script that starts workers has to do so below "
            f"if __name__ == '__main__': as each of them imports it."
        )


class InjectedFailure(HeadraceError):
    """A test had an attempt fail, by `headrace.testing.fail_on`.

    Args:
        what: Which: ``"attempt 1 of the run 'load-0'"``.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return (
            f"{self.what} was made to fail by fail_on(). Leave its block to have the "
            f"function called, or give it exception= for an error of another kind."
        )


class RunInterrupted(BaseException):
    """Raised inside the body of a plain function that has to stop.

    Its run timed out or was cancelled. Let it pass: ``finally`` blocks and ``with``
    statements do their work, and the run ends. It is no ``Exception``, so that an
    ``except Exception`` in the body does not swallow it. A body that catches it all
    the same is left behind in its thread, and what it returns is dropped.

    Args:
        run_name: The run whose body this is.
        reason: Why it has to stop, such as ``"exceeded its limit of 5.0 seconds"``.
    """

    __module__ = PUBLIC

    # Both have defaults because raising it in another thread calls the class bare.
    def __init__(
        self, run_name: str = "of this body", reason: str = "must end"
    ) -> None:
        super().__init__(run_name, reason)
        self.run_name = run_name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the run {self.run_name!r} {self.reason}. Let this exception pass, so "
            f"that the run can end."
        )
