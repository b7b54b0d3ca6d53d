"""Keys of cached runs and of stored results, whatever values and texts they come from."""

from __future__ import annotations

import copy
import math
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from headrace import Runtime, Settings, task, task_input_hash
from headrace.cache_policies import INPUTS, TASK_SOURCE
from headrace.exceptions import InvalidStorageKey, StorageError

LIKE_ONE = [1, True, 1.0, "1", b"1", [1], (1,), {1}, frozenset({1}), {1: 1}, 1 + 0j]
LIKE_NOTHING = [
    None,
    math.nan,
    -math.nan,
    0,
    0.0,
    -0.0,
    False,
    "",
    b"",
    [],
    (),
    {},
    set(),
]
POLICIES = pytest.mark.parametrize(
    "policy",
    [task_input_hash, INPUTS, INPUTS + TASK_SOURCE],
    ids=["task_input_hash", "inputs", "source-and-inputs"],
)


def in_memory() -> Runtime:
    return Runtime(settings=Settings(cache_index="memory"))


@POLICIES
def test_values_that_look_alike_never_share_a_result(policy: Any) -> None:
    values: list[Any] = [*LIKE_ONE, *LIKE_NOTHING, [*LIKE_ONE], tuple(LIKE_NOTHING)]

    @task(cache_key_fn=policy)
    def give(value: Any) -> Any:
        return [value]

    with in_memory():
        first = [give(value, return_state=True) for value in values]
        again = [give(copy.deepcopy(value), return_state=True) for value in values]

    assert {state.name for state in first} == {"Completed"}
    assert {state.name for state in again} == {"Cached"}
    for state, value in zip(again, values, strict=True):
        assert form(state.result()[0]) == form(value)
    assert len({state.state_details.cache_key for state in first}) == len(values)


ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner) | st.frozensets(inner))
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.lists(VALUES, min_size=1, max_size=10))
@settings(max_examples=40)
def test_a_hit_is_of_a_value_of_the_same_type_and_structure(values: list[Any]) -> None:
    @task(cache_key_fn=INPUTS)
    def give(value: Any) -> bytes:
        return pickle.dumps(value)

    with in_memory():
        for value in values:
            assert form(pickle.loads(give(value))) == form(value)
            copied = pickle.loads(pickle.dumps(value))
            assert give(copied, return_state=True).name == "Cached"


def form(value: Any) -> Any:
    """What the value is, in a form that Python compares by types."""
    kind = type(value).__name__
    if isinstance(value, (set, frozenset)):
        return kind, sorted(map(repr, map(form, value)))
    if isinstance(value, dict):
        return kind, sorted(
            repr((form(key), form(each))) for key, each in value.items()
        )
    if isinstance(value, (list, tuple)):
        return kind, [form(each) for each in value]
    return kind, value.hex() if isinstance(value, float) else repr(value)


def files_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }


HOSTILE = [
    "../outside", "a/../../outside", "/etc/passwd", "//a", "a//b", "", ".", "..", "~", "~root",
    "a\0b", "a\nb", "C:\\x", "\\\\host\\share", "%2e%2e/%2e%2e", ".parts/x", "x" * 300,
    "a/" * 40 + "a", "\ud800", "\u202e", "con", "nul.txt", "a.", "a ", "-", "*", "a:b",
]  # fmt: skip


@given(
    st.text(max_size=30) | st.sampled_from(HOSTILE) | st.text("./\\~%a:", max_size=12)
)
@settings(max_examples=200)
def test_any_text_as_a_storage_key_is_inside_of_the_storage_or_refused(
    key: str,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        around = Path(name)
        root = around / "a" / "b" / "storage"

        @task(
            persist_result=True,
            result_storage=root,
            result_serializer="json",
            result_storage_key="{parameters[key]}",
        )
        def give(key: str) -> int:
            return 42

        with in_memory():
            state: Any = give(key, return_state=True)

        found = files_in(around)
        if state.type == "COMPLETED":
            assert len(found) == 1
            assert found.pop().startswith("a/b/storage/")
        else:
            assert isinstance(state.data, (InvalidStorageKey, StorageError))
            assert found == set()


@pytest.mark.slow
@given(st.text(min_size=1) | st.sampled_from(HOSTILE).filter(bool))
@settings(max_examples=40)
def test_any_text_is_a_cache_key_and_no_path(key: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "a" / "home"
        large = "x" * 20_000

        @task(cache_key_fn=lambda context, parameters: key)
        def give() -> str:
            return large

        with Runtime(settings=Settings(home=str(home))):
            names = [give(return_state=True).name for _ in range(2)]

        assert names == ["Completed", "Cached"]
        assert {each.split("/")[0] for each in files_in(Path(name) / "a")} == {"home"}
        assert len(files_in(home / "storage")) == 1
        assert files_in(Path(name)) == {f"a/home/{each}" for each in files_in(home)}
