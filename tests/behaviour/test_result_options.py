"""The options of stored and cached results: what they may be, and how they are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace import Runtime, flow, task, task_input_hash
from headrace.cache_policies import INPUTS
from headrace.exceptions import InvalidStorageKey, UnknownSerializer
from headrace.filesystems import LocalFileSystem, MemoryStorage
from headrace.serializers import JSONSerializer

pytestmark = pytest.mark.usefixtures("home")


def body(x: int = 1) -> int:
    return x


def key(context: Any, parameters: Any) -> str:
    return "the key"


GIVEN: dict[str, Any] = {
    "persist_result": True,
    "result_storage": MemoryStorage(),
    "result_serializer": JSONSerializer(),
    "result_storage_key": "{parameters[x]}",
    "cache_result_in_memory": False,
    "cache_key_fn": key,
    "cache_expiration": timedelta(days=1),
    "refresh_cache": False,
}
UNWRITABLE = JSONSerializer(loads_kwargs={"parse_float": float})
OF_FLOWS = (
    "persist_result",
    "result_storage",
    "result_serializer",
    "cache_result_in_memory",
)
DEFAULTS: dict[str, Any] = {**dict.fromkeys(GIVEN), "cache_result_in_memory": True}


def attributes(it: Any, names: Any = GIVEN) -> dict[str, Any]:
    return {name: getattr(it, name) for name in names}


# -- attributes and copies -------------------------------------------------------------


@pytest.mark.rule("PRM-06", "PRM-07", "PRM-19")
def test_attributes_show_the_defaults_of_caching() -> None:
    assert attributes(task(body)) == DEFAULTS


@pytest.mark.rule("PRM-12", "PRM-13", "PRM-14")
def test_attributes_show_what_was_given() -> None:
    assert attributes(task(**GIVEN)(body)) == GIVEN


@pytest.mark.rule("PRM-15", "PRM-16")
def test_attributes_of_flows_show_theirs() -> None:
    given = {name: GIVEN[name] for name in OF_FLOWS}

    assert attributes(flow(**given)(body), OF_FLOWS) == given
    assert attributes(flow(body), OF_FLOWS) == {
        name: DEFAULTS[name] for name in OF_FLOWS
    }


def test_options_of_tasks_only_are_unknown_to_flows() -> None:
    for name in set(GIVEN) - set(OF_FLOWS):
        with pytest.raises(TypeError, match=name):
            flow(**{name: GIVEN[name]})(body)


@pytest.mark.parametrize("name", GIVEN)
def test_a_copy_keeps_what_it_is_not_told_to_change(name: str) -> None:
    it = task(**GIVEN)(body)

    assert attributes(it.with_options(name="other")) == GIVEN
    assert attributes(it.with_options(**{name: GIVEN[name]})) == GIVEN


@pytest.mark.parametrize("name", GIVEN)
def test_a_copy_can_clear_each_option(name: str) -> None:
    it = task(**GIVEN)(body)

    changed = it.with_options(**{name: DEFAULTS[name]})

    assert attributes(changed) == {**GIVEN, name: DEFAULTS[name]}
    assert attributes(it) == GIVEN


@pytest.mark.parametrize("name", OF_FLOWS)
def test_a_copy_of_a_flow_keeps_and_clears_them_too(name: str) -> None:
    given = {each: GIVEN[each] for each in OF_FLOWS}
    it = flow(**given)(body)

    assert attributes(it.with_options(name="other"), OF_FLOWS) == given
    changed = it.with_options(**{name: DEFAULTS[name]})
    assert attributes(changed, OF_FLOWS) == {**given, name: DEFAULTS[name]}


@pytest.mark.parametrize("name", GIVEN)
def test_options_can_be_assigned(name: str) -> None:
    it = task(body)

    setattr(it, name, GIVEN[name])

    assert attributes(it) == {**DEFAULTS, name: GIVEN[name]}


def test_an_option_that_was_assigned_holds_for_later_runs(tmp_path: Path) -> None:
    it = task(body)
    with Runtime():
        it()
        it.cache_key_fn = key
        it.result_storage = tmp_path / "there"
        it()
        assert it(return_state=True).name == "Cached"

    assert (tmp_path / "there").exists()


# -- what is refused -------------------------------------------------------------------


@pytest.mark.rule("PERS-12")
@pytest.mark.parametrize(
    ("option", "value", "error", "said"),
    [
        ("persist_result", "yes", TypeError, "persist_result='yes'"),
        ("persist_result", 1, TypeError, "persist_result=1"),
        ("result_storage", 5, TypeError, "5 of type int is no storage"),
        ("result_storage", object(), TypeError, "LocalFileSystem"),
        ("result_storage", MemoryStorage, TypeError, "is no storage"),
        ("result_storage", "", ValueError, "is no folder"),
        ("result_serializer", "yaml", UnknownSerializer, "'yaml'"),
        ("result_serializer", 5, TypeError, "is no serializer"),
        ("result_serializer", JSONSerializer, TypeError, "is no serializer"),
        ("result_serializer", UNWRITABLE, ValueError, "cannot be written beside"),
        ("cache_result_in_memory", "no", TypeError, "cache_result_in_memory='no'"),
    ],
)
@pytest.mark.parametrize("decorator", [task, flow])
def test_what_makes_no_sense_is_refused_by_the_decorator(
    decorator: Any, option: str, value: Any, error: Any, said: str
) -> None:
    with pytest.raises(error, match=said) as info:
        decorator(**{option: value}, name="it")(body)

    assert "it" in f"{info.value} {getattr(info.value, '__notes__', '')}"


@pytest.mark.rule("PERS-12")
@pytest.mark.parametrize(
    ("option", "value", "error", "said"),
    [
        ("result_storage_key", 5, TypeError, "is no text"),
        ("result_storage_key", "{task}", InvalidStorageKey, "'task' alone"),
        ("cache_key_fn", "key", TypeError, "cache_key_fn='key' is no function"),
        ("cache_key_fn", lambda context: "x", TypeError, "called with two arguments"),
        ("cache_key_fn", INPUTS - "y", ValueError, "'y'.*no such parameter"),
        ("cache_expiration", 60, TypeError, "cache_expiration=60 is no timedelta"),
        ("refresh_cache", "no", TypeError, "refresh_cache='no'"),
    ],
)
def test_so_is_what_makes_no_sense_for_a_task(
    option: str, value: Any, error: Any, said: str
) -> None:
    with pytest.raises(error, match=said):
        task(**{option: value}, name="it")(body)
    it = task(body)
    with pytest.raises(error, match=said):
        it.with_options(**{option: value})
    with pytest.raises(error, match=said):
        setattr(it, option, value)
    assert attributes(it) == DEFAULTS


# -- small things ----------------------------------------------------------------------


@pytest.mark.rule("PRM-06")
def test_the_ready_made_key_function_is_shown_as_it_was_given() -> None:
    assert task(cache_key_fn=task_input_hash)(body).cache_key_fn is task_input_hash


@pytest.mark.rule("PRM-13")
def test_a_storage_is_shown_as_it_was_given(tmp_path: Path) -> None:
    for given in (tmp_path, str(tmp_path), LocalFileSystem(basepath=tmp_path)):
        assert task(result_storage=given)(body).result_storage is given


@pytest.mark.rule("PRM-14")
def test_a_serializer_is_shown_as_it_was_given() -> None:
    assert task(result_serializer="json")(body).result_serializer == "json"
