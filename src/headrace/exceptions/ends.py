"""How a run ended, when not with a value."""

from __future__ import annotations

from headrace.exceptions.base import PUBLIC, HeadraceError, TextError

__all__ = (
    "CancelledRun",
    "CrashedRun",
    "FailedRun",
    "MissingResult",
    "PausedRun",
    "RunInterrupted",
    "UnfinishedRun",
    "UpstreamTaskError",
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
