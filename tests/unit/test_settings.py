from __future__ import annotations

import contextvars
import pickle
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import PurePosixPath
from typing import Any

import pytest

from headrace.settings import (
    PREFIX,
    Secret,
    Settings,
    current_settings,
    temporary_settings,
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in fields(Settings):
        monkeypatch.delenv(f"{PREFIX}{each.name.upper()}", raising=False)


@pytest.mark.rule("SET-01")
def test_the_defaults_are_those_of_the_documentation() -> None:
    assert asdict(Settings.from_environment({})) == {
        "task_default_retries": 0,
        "task_default_retry_delay_seconds": 0.0,
        "flow_default_retries": 0,
        "flow_default_retry_delay_seconds": 0.0,
        "logging_log_prints": False,
        "debug_mode": False,
        "max_threads": 64,
        "max_lent_threads": 512,
        "cancel_grace_seconds": 5.0,
        "drain_grace_seconds": 30.0,
        "abandon_after_seconds": 0.04,
        "hook_timeout_seconds": 30.0,
        "history": "full",
        "max_run_records": 10_000,
        "track_results": True,
        "warn_of_duplicate_names": True,
        "results_persist_by_default": False,
        "results_default_serializer": "pickle",
        "local_storage_path": None,
        "max_result_bytes": None,
        "tasks_refresh_cache": False,
        "cache_index": "sqlite",
        "cache_max_bytes": None,
        "home": "~/.headrace",
        "signing_key": None,
    }


@pytest.mark.rule("SET-01", "RETRY-19")
@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("TASK_DEFAULT_RETRIES", "3", "task_default_retries", 3),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "1.5", "task_default_retry_delay_seconds", 1.5),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "1, 2", "task_default_retry_delay_seconds", (1, 2)),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "[1, 2]", "task_default_retry_delay_seconds", (1, 2)),
        ("TASK_DEFAULT_RETRY_DELAY_SECONDS", "[]", "task_default_retry_delay_seconds", ()),
        ("MAX_THREADS", " 8 ", "max_threads", 8),
        ("MAX_THREADS", "", "max_threads", 64),
        ("CANCEL_GRACE_SECONDS", "0", "cancel_grace_seconds", 0.0),
        ("DRAIN_GRACE_SECONDS", "2.5", "drain_grace_seconds", 2.5),
        ("HISTORY", "last", "history", "last"),
        ("MAX_RUN_RECORDS", "0", "max_run_records", 0),
        ("TRACK_RESULTS", "false", "track_results", False),
        ("TRACK_RESULTS", "Yes", "track_results", True),
        ("WARN_OF_DUPLICATE_NAMES", "0", "warn_of_duplicate_names", False),
        ("HOME", "/data/headrace", "home", "/data/headrace"),
        ("SIGNING_KEY", "s" * 16, "signing_key", Secret("s" * 16)),
    ],
)  # fmt: skip
def test_a_setting_is_read_from_its_variable(
    variable: str, text: str, name: str, value: object
) -> None:
    settings = Settings.from_environment({f"HEADRACE_{variable}": text, "OTHER": "1"})

    assert getattr(settings, name) == value


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("HEADRACE_TASK_DEFAULT_RETRIES", "-1", "a whole number >= 0"),
        ("HEADRACE_TASK_DEFAULT_RETRIES", "many", "a whole number >= 0"),
        ("HEADRACE_TASK_DEFAULT_RETRIES", "1.5", "a whole number >= 0"),
        ("HEADRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", "1,x", "seconds >= 0"),
        ("HEADRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", "-1", "seconds >= 0"),
        ("HEADRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", "1," * 50 + "1", "seconds >= 0"),
        ("HEADRACE_MAX_THREADS", "0", "a whole number >= 1"),
        ("HEADRACE_CANCEL_GRACE_SECONDS", "nan", "seconds >= 0"),
        ("HEADRACE_ABANDON_AFTER_SECONDS", "inf", "seconds >= 0"),
        ("HEADRACE_HOOK_TIMEOUT_SECONDS", "0", "seconds > 0"),
        ("HEADRACE_HISTORY", "some", "'full', 'last' or 'off'"),
        ("HEADRACE_MAX_RUN_RECORDS", "-1", "a whole number >= 0"),
        ("HEADRACE_WARN_OF_DUPLICATE_NAMES", "perhaps", "1 or 0"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_what_is_allowed(
    variable: str, text: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match=variable) as caught:
        Settings.from_environment({variable: text})

    assert f"{variable} cannot be {text!r}: " in str(caught.value)
    assert f"Set it to {allowed}" in str(caught.value)


def test_too_many_delays_are_told_as_that() -> None:
    with pytest.raises(ValueError, match="at most 50 items"):
        Settings.from_environment(
            {"HEADRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS": "1," * 50 + "1"}
        )


def test_a_wrong_delay_is_told_among_the_others() -> None:
    with pytest.raises(ValueError, match="of item 1, 'x', it is no number"):
        Settings.from_environment(
            {"HEADRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS": "1, x, 3"}
        )


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("max_threads", "8", 8),
        ("max_threads", 8.0, 8),
        ("cancel_grace_seconds", 2, 2.0),
        ("task_default_retry_delay_seconds", [1, "2"], (1.0, 2.0)),
        ("debug_mode", 1, True),
    ],
)
def test_a_setting_given_in_code_is_kept_in_its_own_type(
    name: str, given: Any, kept: object
) -> None:
    value = getattr(Settings(**{name: given}), name)

    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("max_threads", 0, "it is less than 1"),
        ("max_threads", 1.5, "it is no whole number"),
        ("max_threads", True, "it is no whole number"),
        ("max_threads", None, "it is no whole number"),
        ("max_threads", float("inf"), "it is no whole number"),
        ("cancel_grace_seconds", "soon", "it is no number"),
        ("cancel_grace_seconds", False, "it is no number"),
        ("cancel_grace_seconds", -0.1, "it is less than 0"),
        ("cancel_grace_seconds", float("nan"), "it is no finite number"),
        ("hook_timeout_seconds", 0, "it is not more than 0"),
        ("task_default_retry_delay_seconds", {}, "it is no number"),
        ("history", [], "there is no such choice"),
        ("debug_mode", 2, "it is neither true nor false"),
        ("debug_mode", [], "it is neither true nor false"),
    ],
)
def test_a_wrong_setting_given_in_code_is_refused_with_the_reason(
    name: str, given: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} cannot be .*: {reason}. Set it to "):
        Settings(**{name: given})


def test_settings_can_be_pickled() -> None:
    settings = Settings(max_threads=3, task_default_retry_delay_seconds=(1, 2))

    assert pickle.loads(pickle.dumps(settings)) == settings


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError, match="max_threads"):
        Settings().__setattr__("max_threads", 1)


@pytest.mark.rule("SET-02")
def test_the_environment_holds_where_nothing_else_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADRACE_MAX_THREADS", "3")

    assert current_settings().max_threads == 3


@pytest.mark.rule("SET-02")
def test_temporary_settings_hold_inside_their_block() -> None:
    with temporary_settings({"max_threads": 3}, task_default_retries=2) as settings:
        assert current_settings() is settings
        assert (settings.max_threads, settings.task_default_retries) == (3, 2)
        with temporary_settings(max_threads=4):
            assert current_settings().max_threads == 4
            assert current_settings().task_default_retries == 2
        assert current_settings() is settings

    assert current_settings() == Settings()


@pytest.mark.rule("SET-02")
def test_temporary_settings_end_when_their_block_raises() -> None:
    with pytest.raises(KeyError), temporary_settings(max_threads=3):
        raise KeyError

    assert current_settings().max_threads == 64


@pytest.mark.rule("SET-02")
def test_temporary_settings_are_captured_by_a_copied_context() -> None:
    with temporary_settings(max_threads=3):
        inside = contextvars.copy_context()

    assert inside.run(current_settings).max_threads == 3
    assert current_settings().max_threads == 64


def test_temporary_settings_may_decorate_a_function() -> None:
    @temporary_settings(max_threads=3)
    def threads() -> int:
        return current_settings().max_threads

    assert threads() == 3


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        (
            {"max_thread": 3},
            "there is no setting 'max_thread'. Use one of .*max_threads",
        ),
        ({"max_threads": 0}, "max_threads cannot be 0: .* whole number >= 1"),
        ({"task_default_retry_delay_seconds": "x"}, "cannot be 'x'"),
    ],
)
def test_a_wrong_temporary_setting_is_refused(
    updates: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message), temporary_settings(updates):
        pass

    assert current_settings() == Settings()


# -- the home and its secret ---------------------------------------------------------


@pytest.mark.parametrize("given", [" ", "a\0b", 3, b"/data"])
def test_a_home_that_names_no_folder_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"home cannot be .* Set it to a folder"):
        Settings(home=given)


def test_a_home_may_be_a_path() -> None:
    given: Any = PurePosixPath("/data/headrace")

    assert Settings(home=given).home == "/data/headrace"


@pytest.mark.parametrize("given", ["fifteen letters", 1234567890123456])
def test_a_signing_key_that_is_refused_is_not_shown(given: Any) -> None:
    with pytest.raises(ValueError, match="at least 16 characters") as refused:
        Settings(signing_key=given)

    assert str(given) not in str(refused.value)


def test_a_signing_key_is_shown_nowhere() -> None:
    settings = Settings.from_environment({"HEADRACE_SIGNING_KEY": "sixteen letters!"})

    assert settings.signing_key is not None
    assert settings.signing_key.get_secret_value() == "sixteen letters!"
    assert "sixteen" not in f"{settings} {settings!r} {settings.signing_key}"
    assert hash(settings.signing_key) == hash(Secret("sixteen letters!"))
    assert pickle.loads(pickle.dumps(settings)) == settings
