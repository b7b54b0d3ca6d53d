"""House rules that hold for every exception at once."""

from __future__ import annotations

import copy
import pickle

import pytest

from headrace import exceptions
from headrace.exceptions import HeadraceError

TEXT = "something happened. Do this about it."

# One of each, made as its raiser makes it. The test below finds what is missing.
EXAMPLES: list[BaseException] = [
    exceptions.FailedRun(TEXT),
    exceptions.CrashedRun(TEXT),
    exceptions.CancelledRun(TEXT),
    exceptions.DeadlineExceeded("the run 'load-0'", 2.0),
    exceptions.PausedRun(TEXT),
    exceptions.UnfinishedRun(TEXT),
    exceptions.MissingResult(TEXT),
    exceptions.DamagedResult(TEXT),
    exceptions.UntrustedResult(TEXT),
    exceptions.UnreadableResult(TEXT),
    exceptions.SerializationError("json", "socket", "['a']", "it is unknown"),
    exceptions.UnknownSerializer("jsn", ("json", "pickle")),
    exceptions.StorageError("write", "/data/x", "No space left on device", errno=28),
    exceptions.ResultTooLarge("x", 2000, 1000),
    exceptions.InvalidStorageKey(TEXT),
    exceptions.StoredException("app.Broken", "no more"),
    exceptions.UpstreamTaskError("total-0", "load-0", "Failed", "FAILED"),
    exceptions.WorkerDied("resize", 4711, signal_name="SIGKILL"),
    exceptions.InjectedFailure("attempt 1 of the run 'load-0'"),
    exceptions.NotPicklable(
        "resize", "the argument 'lock'", "_thread.lock", "TypeError: cannot pickle it"
    ),
    exceptions.MappingLengthMismatch("load", {"x": 1, "y": 2}),
    exceptions.MappingMissingIterable("load", {"x": "1"}),
    exceptions.ParameterBindError(
        "load", "missing a required argument: 'y'", "(x, y)", "(1,)", "{}"
    ),
    exceptions.SignatureMismatchError("load", ("x",), ("x", "y")),
    exceptions.ReservedArgumentError("load", "wait_for"),
    exceptions.ParameterTypeError(TEXT),
    exceptions.InvalidNameError(TEXT),
    exceptions.HashError("args['session'].lock", "_thread.lock", "it is a lock"),
    exceptions.MissingContextError(TEXT),
    exceptions.SubmitOutsideRun("load", "submit"),
    exceptions.BlockedLoop(
        "future.result()", "the run 'load-0' is not done", "await future"
    ),
    exceptions.CacheUnusable(TEXT),
    exceptions.DeadlockError(TEXT),
    exceptions.LimitTooSmall("load", "the limit of the tag 'db'", 1, 0),
    exceptions.RunEnded("flow run", "brave-otter"),
    exceptions.RuntimeClosing(),
    exceptions.ForkedRuntime(100, 101),
    exceptions.UnreadyMap("load"),
    exceptions.InternalError("a run is in two queues"),
    exceptions.RunInterrupted("load-0", "exceeded its limit of 5.0 seconds"),
]

EVERY_ERROR = pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)


def test_every_exception_has_an_example() -> None:
    found = {
        value
        for value in vars(exceptions).values()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == exceptions.__name__
        and not value.__name__.startswith("_")
    }

    assert found - {HeadraceError} == {type(error) for error in EXAMPLES}


def test_an_example_is_given_once() -> None:
    assert len({type(error) for error in EXAMPLES}) == len(EXAMPLES)


@EVERY_ERROR
@pytest.mark.parametrize(
    "copied",
    [
        pytest.param(lambda e: pickle.loads(pickle.dumps(e)), id="pickled"),
        pytest.param(copy.copy, id="copied"),
    ],
)
def test_an_error_survives_being_copied_with_all_its_facts(error, copied) -> None:
    twin = copied(error)

    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert twin.args == error.args
    assert vars(twin) == vars(error)


@EVERY_ERROR
def test_an_error_says_what_happened_and_what_to_do(error: BaseException) -> None:
    text = str(error)
    sentences = [s for s in text.replace("? ", ". ").rstrip(".").split(". ") if s]

    assert len(sentences) >= 2
    assert text.endswith((".", "`.", "?"))


@EVERY_ERROR
def test_an_error_is_a_headrace_error(error: BaseException) -> None:
    # The one exception goes through `except Exception` in the bodies of users.
    assert isinstance(error, HeadraceError | exceptions.RunInterrupted)
