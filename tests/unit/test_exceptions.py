from __future__ import annotations

import pickle

import pytest

from headrace import exceptions
from headrace.exceptions import (
    BlockedLoop,
    CacheUnusable,
    CancelledRun,
    CrashedRun,
    DamagedResult,
    DeadlineExceeded,
    DeadlockError,
    FailedRun,
    ForkedRuntime,
    HashError,
    HeadraceError,
    InjectedFailure,
    InternalError,
    InvalidNameError,
    InvalidStorageKey,
    LimitTooSmall,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContextError,
    MissingResult,
    NotPicklable,
    ParameterBindError,
    ParameterTypeError,
    PausedRun,
    ReservedArgumentError,
    ResultTooLarge,
    RunEnded,
    RunInterrupted,
    RuntimeClosing,
    SerializationError,
    SignatureMismatchError,
    StorageError,
    StoredException,
    SubmitOutsideRun,
    UnfinishedRun,
    UnknownSerializer,
    UnreadableResult,
    UnreadyMap,
    UntrustedResult,
    UpstreamTaskError,
    WorkerDied,
)

EXAMPLES: list[BaseException] = [
    FailedRun("no rows. Check the query."),
    CrashedRun("stopped. See its cause."),
    CancelledRun("called off. Submit it again."),
    PausedRun("it is paused. Resume it."),
    UnfinishedRun("not done. Wait for it."),
    MissingResult("gone. Persist it."),
    DamagedResult("not what was written. Remove it."),
    UntrustedResult("not signed. Store it again."),
    UnreadableResult("no such class. Define it."),
    SerializationError("json", "socket.socket", "['a']", "no form for it"),
    UnknownSerializer("jsn", ("json", "pickle")),
    StorageError("read", "/data/x", "Permission denied", "Allow it.", 13),
    ResultTooLarge(None, 11, 10),
    InvalidStorageKey("'..' is in the key. Leave it out."),
    StoredException("app.Broken", "it broke."),
    HashError("args[0]", "_thread.lock", "it is a lock"),
    CacheUnusable("it is damaged. Remove it."),
    UpstreamTaskError("load-0", "fetch-0", "Failed", "FAILED"),
    WorkerDied("load-0", 4711, exit_code=7),
    InjectedFailure("attempt 2 of load-0"),
    NotPicklable("load-0", "the result", "lock", "TypeError: no"),
    MappingLengthMismatch("add", {"x": 2, "y": 3}),
    MappingMissingIterable("add", {"x": "1", "y": "2"}),
    ParameterBindError("add", "missing 'y'", "(x, y)", "(1,)", "{}"),
    SignatureMismatchError("add", ("x", "y"), ("x", "z")),
    ReservedArgumentError("add", "wait_for"),
    ParameterTypeError("x is no number. Pass one."),
    MissingContextError("no run here. Call it inside a task."),
    InvalidNameError("'/' is in the name. Leave it out."),
    SubmitOutsideRun("add", "map"),
    BlockedLoop("add.submit(...).result()", "the run 'add-0' is not done", "await f"),
    DeadlockError("all threads wait. Raise max_lent_threads."),
    LimitTooSmall("load", "the limit of the tag 'db'", 1, 0),
    RunEnded("flow run", "nightly"),
    RuntimeClosing(),
    DeadlineExceeded("add-0", 2.0),
    ForkedRuntime(10, 11),
    InternalError("a run ended twice"),
    UnreadyMap("add"),
    RunInterrupted("add-0", "was cancelled"),
]

each_error = pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)


def test_there_is_an_example_of_each_error_here() -> None:
    exemplified = {type(error).__name__ for error in EXAMPLES}

    assert exemplified == set(exceptions.__all__) - {"HeadraceError"}


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert exceptions.__doc__ is not None
    for name in exceptions.__all__:
        assert f" {name}" in exceptions.__doc__


@each_error
@pytest.mark.rule("PICK-04")
def test_an_error_survives_pickling_with_its_facts(error: BaseException) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert again.args == error.args
    assert vars(again) == vars(error)
    assert str(again) == str(error)


@each_error
def test_an_error_says_what_happened_and_what_to_do(error: BaseException) -> None:
    assert ". " in str(error)
    assert str(error).endswith(".")


@each_error
@pytest.mark.rule("EXC-01")
def test_all_errors_but_the_interruption_have_one_base(error: BaseException) -> None:
    assert isinstance(error, HeadraceError) != isinstance(error, RunInterrupted)


@pytest.mark.rule("EXC-01")
@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (ParameterBindError, TypeError),
        (SignatureMismatchError, TypeError),
        (ReservedArgumentError, TypeError),
        (MissingContextError, RuntimeError),
        (SubmitOutsideRun, MissingContextError),
        (InvalidNameError, ValueError),
        (BlockedLoop, RuntimeError),
        (DeadlockError, RuntimeError),
        (LimitTooSmall, RuntimeError),
        (RunEnded, RuntimeError),
        (RuntimeClosing, RunEnded),
        (ForkedRuntime, RuntimeError),
        (InternalError, RuntimeError),
        (UnreadyMap, RuntimeError),
    ],
)
def test_an_error_is_also_what_python_would_raise(
    kind: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(kind, base)


@pytest.mark.rule("EXC-02")
def test_the_interruption_passes_an_except_exception() -> None:
    assert not issubclass(RunInterrupted, Exception)


def test_the_message_is_the_sentence() -> None:
    assert FailedRun("no rows").message == "no rows"
    assert RunEnded("flow run", "nightly").message.startswith("flow run 'nightly' has")


@pytest.mark.rule("MAP-04")
def test_a_length_mismatch_lists_each_length() -> None:
    assert "x: 2, y: 3" in str(MappingLengthMismatch("add", {"x": 2, "y": 3}))


@pytest.mark.rule("MAP-05")
def test_a_map_of_nothing_shows_its_parameters() -> None:
    assert "add.map(x=1)" in str(MappingMissingIterable("add", {"x": "1"}))


@pytest.mark.rule("CALL-08")
def test_a_submit_outside_of_a_run_says_both_ways_to_fix_it() -> None:
    text = str(SubmitOutsideRun("add", "submit"))

    assert "add.submit(...)" in text
    assert "@flow" in text
    assert "with headrace.Runtime():" in text
    assert "add(...), works anywhere" in text


def test_a_blocked_loop_says_what_to_write() -> None:
    error = BlockedLoop("add.submit(1).result()", "'add-0' is not done", "await f")

    assert str(error) == (
        "add.submit(1).result() would block the event loop that must do the work: "
        "'add-0' is not done. Write `await f`."
    )


@pytest.mark.rule("FUT-05")
def test_a_held_back_run_names_its_upstream_and_the_way_out() -> None:
    text = str(UpstreamTaskError("load-0", "fetch-0", "TimedOut"))

    assert "'load-0'" in text
    assert "'fetch-0' ended as TimedOut" in text
    assert "allow_failure" in text
