"""Every exception this package raises on purpose.

    HeadraceError
    ├── FailedRun                 a failed run whose data is no exception
    ├── CrashedRun                a run ended by something that is no ordinary error
    ├── CancelledRun              a run was cancelled before or while it ran
    ├── PausedRun                 a result was asked of a paused run
    ├── UnfinishedRun             a result was asked of a run that has none yet
    ├── MissingResult             a run completed, and its result is not to be had
    ├── UpstreamTaskError         a run was held back: an input did not complete
    ├── MappingLengthMismatch     map() got iterables of different lengths
    ├── MappingMissingIterable    map() got nothing to iterate over
    ├── ParameterBindError        (TypeError) arguments do not fit the signature
    ├── SignatureMismatchError    (TypeError) stored parameters do not fit any more
    ├── ReservedArgumentError     (TypeError) a parameter has a name that we use
    ├── ParameterTypeError        an argument has the wrong type
    ├── InvalidNameError          (ValueError) a name cannot be used
    ├── MissingContextError       (RuntimeError) no run is active here
    │   └── SubmitOutsideRun      submit, map or stream, with nothing to submit to
    ├── BlockedLoop               (RuntimeError) this wait would block its own loop
    ├── DeadlockError             (RuntimeError) this wait could never end
    ├── RunEnded                  (RuntimeError) the scope of this call is over
    ├── ForkedRuntime             (RuntimeError) a runtime was used in a forked child
    ├── UnreadyMap                (RuntimeError) a map of unknown length was read
    └── InternalError             (RuntimeError) a bug in headrace itself

    BaseException
    └── RunInterrupted            raised *inside* a plain body that has to stop

An exception carries plain facts (names, counts, texts), never live runs or
futures, so it can be pickled into another process and kept in a record.
"""

from __future__ import annotations

__all__ = (
    "BlockedLoop",
    "CancelledRun",
    "CrashedRun",
    "DeadlockError",
    "FailedRun",
    "ForkedRuntime",
    "HeadraceError",
    "InternalError",
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "ParameterBindError",
    "ParameterTypeError",
    "PausedRun",
    "ReservedArgumentError",
    "RunEnded",
    "RunInterrupted",
    "SignatureMismatchError",
    "SubmitOutsideRun",
    "UnfinishedRun",
    "UnreadyMap",
    "UpstreamTaskError",
)


class HeadraceError(Exception):
    """Base of every exception that headrace raises on purpose."""

    @property
    def message(self) -> str:
        """The whole sentence, as ``str(error)`` gives it."""
        return str(self)


class _TextError(HeadraceError):
    """Carries one text that its raiser wrote."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


# -- How a run ended ----------------------------------------------------------


class FailedRun(_TextError):
    """A run failed, and what it left as data is a text or nothing."""


class CrashedRun(_TextError):
    """A run was ended by something that is no ordinary error.

    Such as ``SystemExit`` or ``KeyboardInterrupt`` in its body: the original is
    the ``__cause__``, so that it stops the run and not the program around it.
    """


class CancelledRun(_TextError):
    """A run was cancelled. An ordinary error, never ``asyncio.CancelledError``."""


class PausedRun(_TextError):
    """A result was asked of a run that is paused."""


class UnfinishedRun(_TextError):
    """A result was asked of a run that has not reached a final state."""


class MissingResult(_TextError):
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


# -- How a task was called ----------------------------------------------------


class MappingLengthMismatch(HeadraceError):
    """The iterables of one ``map()`` call have different lengths."""

    def __init__(self, task_name: str, lengths: dict[str, int]) -> None:
        super().__init__(task_name, lengths)
        self.task_name = task_name
        self.lengths = lengths

    def __str__(self) -> str:
        lengths = ", ".join(f"{name}: {size}" for name, size in self.lengths.items())
        return (
            f"{self.task_name}.map() got iterables of different lengths: {lengths}. "
            f"Give them one length, and wrap a value that every run should get "
            f"whole in unmapped(...)."
        )


class MappingMissingIterable(HeadraceError):
    """No argument of a ``map()`` call can be iterated over.

    Args:
        task_name: The task whose ``map()`` was called.
        parameters: Parameter name to a short repr of its value.
    """

    def __init__(self, task_name: str, parameters: dict[str, str]) -> None:
        super().__init__(task_name, parameters)
        self.task_name = task_name
        self.parameters = parameters

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return (
            f"{self.task_name}.map({given}) got no iterable to map over. Pass at "
            f"least one list or other iterable, or write "
            f"{self.task_name}.submit({given}) for a single run."
        )


class ParameterBindError(HeadraceError, TypeError):
    """The arguments of a call do not fit the function's signature.

    Args:
        task_name: The task or flow that was called.
        reason: What Python says of the mismatch.
        signature: The signature, as text.
        args: A short repr of the positional arguments, such as ``"(1, 2)"``.
        kwargs: A short repr of the keyword arguments, such as ``"{'x': 1}"``.
    """

    def __init__(
        self, task_name: str, reason: str, signature: str, args: str, kwargs: str
    ) -> None:
        super().__init__(task_name, reason, signature, args, kwargs)
        self.task_name = task_name
        self.reason = reason
        self.signature = signature
        self.given_args = args
        self.given_kwargs = kwargs

    def __str__(self) -> str:
        return (
            f"cannot call {self.task_name}: {self.reason}. It takes "
            f"{self.task_name}{self.signature}, and got args {self.given_args} and "
            f"kwargs {self.given_kwargs}."
        )


class SignatureMismatchError(HeadraceError, TypeError):
    """A set of parameters holds names that the function does not take.

    Args:
        name: The task or flow.
        expected: The parameter names that its function has.
        provided: The names it was given.
    """

    def __init__(
        self, name: str, expected: tuple[str, ...], provided: tuple[str, ...]
    ) -> None:
        super().__init__(name, expected, provided)
        self.name = name
        self.expected = expected
        self.provided = provided

    def __str__(self) -> str:
        return (
            f"{self.name} takes the parameters {list(self.expected)} and was given "
            f"{list(self.provided)}. Was its function replaced after the call was "
            f"bound? Make a new task of the new function instead."
        )


class ReservedArgumentError(HeadraceError, TypeError):
    """A function has a parameter with a name that the calls of a task use."""

    def __init__(self, task_name: str, parameter: str) -> None:
        super().__init__(task_name, parameter)
        self.task_name = task_name
        self.parameter = parameter

    def __str__(self) -> str:
        return (
            f"the function of {self.task_name} has a parameter named "
            f"{self.parameter!r}, which is reserved: every call of a task takes it. "
            f"Rename the parameter."
        )


class ParameterTypeError(_TextError):
    """An argument does not have, and cannot be given, the type asked for."""


class InvalidNameError(_TextError, ValueError):
    """A name has characters that cannot be used in it."""


# -- Where a task was called --------------------------------------------------


class MissingContextError(_TextError, RuntimeError):
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


class DeadlockError(_TextError, RuntimeError):
    """A wait was refused, because it could never end."""


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
            f"{self.kind} {self.name!r} has ended, so it takes no more runs. Submit "
            f"before its body returns, or open a `headrace.Runtime()` that lives as "
            f"long as this code does."
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


class InternalError(_TextError, RuntimeError):
    """A bug in headrace: something that always holds did not."""

    def __str__(self) -> str:
        return (
            f"bug in headrace: {self.args[0]}. Please report it, with this traceback "
            f"and what the program was doing."
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
