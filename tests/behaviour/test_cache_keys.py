"""What `task_input_hash` and the key policies tell apart, as seen by cached tasks."""

from __future__ import annotations

import functools
import hashlib
import logging
import operator
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from headrace import Runtime, flow, task, task_input_hash
from headrace.cache_policies import INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE
from headrace.hashing import hash_objects, stable_hash

pytestmark = pytest.mark.usefixtures("home")


def keys_of(*tasks: Any, args: tuple[Any, ...] = ()) -> list[Any]:
    """The key under which a run of each is cached."""
    with Runtime():
        futures = [each.submit(*args) for each in tasks]
        return [each.wait().state_details.cache_key for each in futures]


def compiled(source: str, **names: Any) -> Any:
    """The function ``f`` of a source."""
    exec(compile(source, "<a test>", "exec"), names)  # noqa: S102
    return names["f"]


def cached(fn: Any, **options: Any) -> Any:
    return task(cache_key_fn=task_input_hash, **options)(fn)


# -- a task and its code ---------------------------------------------------------------


@pytest.mark.rule("CACHE-17")
def test_a_key_is_32_hexadecimal_digits() -> None:
    (key,) = keys_of(cached(lambda: 1))

    assert len(key) == 32
    assert int(key, 16)


@pytest.mark.rule("CACHE-17")
@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def f(x=1):\n return x * 3", id="a-constant"),
        pytest.param("def f(x=1):\n return x + 2", id="an-operation"),
        pytest.param("def f(x=2):\n return x * 2", id="a-default"),
        pytest.param("def f(y=1):\n return y * 2", id="a-parameter"),
    ],
)
def test_a_key_changes_with_the_code(source: str) -> None:
    before = cached(compiled("def f(x=1):\n return x * 2"))
    same = cached(compiled("def f(x=1):\n\n  # a comment\n  return x * 2"))
    changed = cached(compiled(source))

    first, second, third = keys_of(before, same, changed)

    assert first == second
    assert first != third


@pytest.mark.rule("CACHE-17")
def test_a_key_changes_with_what_the_function_was_made_with() -> None:
    def made(factor: int) -> Any:
        return cached(lambda x=1: x * factor)

    first, second, third = keys_of(made(2), made(3), made(2))

    assert first != second
    assert first == third


@pytest.mark.rule("CACHE-17")
def test_a_key_changes_with_the_task_and_with_each_argument() -> None:
    def one(x: int, y: int = 0) -> None: ...

    def two(x: int, y: int = 0) -> None: ...

    keys = keys_of(cached(one), cached(two), args=(1,))
    keys += keys_of(cached(one), args=(2,))
    keys += keys_of(cached(one), args=(1, 1))

    assert len(set(keys)) == 4
    assert keys_of(cached(one), args=(1, 0)) == keys[:1]


@pytest.mark.rule("CACHE-17")
def test_the_same_code_again_keeps_the_key() -> None:
    source = "def f():\n return 1"
    it = cached(compiled(source))
    (before,) = keys_of(it)

    it.fn = compiled(source)

    assert keys_of(it) == [before]


class Adds:
    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return x + self.n


@pytest.mark.rule("CACHE-21")
@pytest.mark.parametrize(
    ("fn", "value"),
    [
        pytest.param(Adds(1), 4, id="object"),
        pytest.param(functools.partial(operator.add, 1), 4, id="partial"),
        pytest.param(operator.neg, -3, id="builtin"),
        pytest.param(complex, 3 + 0j, id="class"),
    ],
)
def test_callables_without_code_of_their_own_are_cached(fn: Any, value: Any) -> None:
    it = cached(fn, name="it")

    with Runtime():
        assert it(3) == value
        assert it(3, return_state=True).name == "Cached"


# -- values ----------------------------------------------------------------------------


class Person(BaseModel):
    name: str


@dataclass
class Point:
    x: int


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x

    def __repr__(self) -> str:
        return f"Plain({self.x})"  # the same in each worker of the tests


@pytest.mark.rule("CACHE-19")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, "a"}, {"a", 2, 1}),
        (Person(name="Ada"), Person(name="Ada")),
        (Point(1), Point(1)),
        (Plain(1), Plain(1)),
        ({1: "a", "1": "b"}, {"1": "b", 1: "a"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_the_same_type_and_content_have_one_key(one: Any, other: Any) -> None:
    it = cached(lambda x: None)

    assert keys_of(it, args=(one,)) == keys_of(it, args=(other,))


@pytest.mark.rule("CACHE-19")
@pytest.mark.parametrize(
    "values",
    [
        ([1], (1,)),
        (1, 1.0, True, "1", b"1"),
        ({1: 2}, {"1": 2}),
        (Person(name="Ada"), Person(name="Bob"), {"name": "Ada"}),
        (Point(1), Point(2)),
        (Plain(1), Plain(2)),
        (0.0, -0.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_and_other_content_have_other_keys(values: Any) -> None:
    it = cached(lambda x: None)

    keys = [keys_of(it, args=(value,))[0] for value in values]

    assert len(set(keys)) == len(values)


@pytest.mark.rule("CACHE-18", "CACHE-19")
def test_what_is_of_this_process_only_has_no_key_and_one_warning_says_where(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = cached(lambda x: None, name="it")

    with Runtime():
        for _ in range(2):
            state = it({"rows": [threading.Lock()]}, return_state=True)
            assert state.name == "Completed"
            assert state.state_details.cache_key is None

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "runs of the task 'it' are not cached" in record.getMessage()
    assert "['rows'][0]" in record.getMessage()


@pytest.mark.rule("CACHE-19")
def test_a_generator_is_not_consumed_by_its_key() -> None:
    it = cached(list)

    with Runtime():
        assert it(n for n in (1, 2)) == [1, 2]


PROGRAM = """
import enum, sys
from dataclasses import dataclass
from headrace import Runtime, task, task_input_hash

@dataclass(frozen=True)
class Point:
    x: int

class Colour(enum.Enum):
    RED = 1

class Plain:
    def __init__(self, x):
        self.x = x

@task(cache_key_fn=task_input_hash)
def it(*values):
    print("computed")

with Runtime():
    it({"a", "b", "c"}, frozenset({Point(1), "z"}), Colour.RED, Plain({"p", "q"}))
"""


@pytest.mark.slow
@pytest.mark.rule("CACHE-20", "CACHE-07")
def test_keys_are_the_same_in_another_process_with_other_hashes(home: Path) -> None:
    said = [
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", PROGRAM],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "HEADRACE_HOME": str(home),
                "HEADRACE_CACHE_INDEX": "sqlite",
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    ]

    assert said == ["computed\n", ""]


# -- by themselves ---------------------------------------------------------------------


@pytest.mark.rule("CACHE-18", "CACHE-22")
def test_hash_objects_gives_digits_for_any_values_or_none() -> None:
    found = hash_objects([1, {"a": {2, 3}}], name=b"x")

    assert found == hash_objects([1, {"a": {3, 2}}], name=b"x")
    assert found != hash_objects([1, {"a": {2, 3}}], b"x")
    assert len(found or "") == 32
    assert hash_objects(threading.Lock()) is None


@pytest.mark.rule("CACHE-22")
def test_stable_hash_joins_texts_and_bytes() -> None:
    assert stable_hash("ab", b"c") == stable_hash("a", "bc")
    assert stable_hash("a", hash_algo=hashlib.md5) == (
        hashlib.md5(b"a").hexdigest()  # noqa: S324 - what is asked for
    )
    with pytest.raises(TypeError, match="not int"):
        stable_hash(1)  # pyright: ignore[reportArgumentType]


# -- policies --------------------------------------------------------------------------


def counted(policy: Any) -> Any:
    """A task that gives the number of its run."""
    calls: list[Any] = []

    @task(cache_key_fn=policy)
    def it(x: int, session: object = None) -> int:
        calls.append(x)
        return len(calls)

    return it


def test_inputs_without_one_argument() -> None:
    it = counted(INPUTS - "session")

    with Runtime():
        assert [it(1, threading.Lock()), it(1), it(2)] == [1, 1, 2]


def given(x: int) -> int:
    return x


def test_the_source_alone() -> None:
    it = task(cache_key_fn=TASK_SOURCE)(given)

    with Runtime():
        assert [it(1), it(2)] == [1, 1]


def test_a_run_id_shares_within_one_flow_run() -> None:
    it = counted(INPUTS + RUN_ID)

    @flow
    def main() -> list[int]:
        return [it(1), it(1), it(2)]

    with Runtime():
        assert [main(), main()] == [[1, 1, 2], [3, 3, 4]]


def test_no_cache_and_functions_added_to_policies() -> None:
    never = counted(NO_CACHE)
    by_half = task(
        cache_key_fn=TASK_SOURCE + (lambda context, inputs: str(inputs["x"] // 2))
    )(given)

    with Runtime():
        assert [never(1), never(1)] == [1, 2]
        assert [by_half(2), by_half(3), by_half(4)] == [2, 2, 4]


def test_a_key_is_explained_with_what_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    it = counted(INPUTS)

    with Runtime():
        it(1)
        explained = it.explain_cache(2)

    assert not explained.is_cached
    assert [*map(str, explained.changes)] == ["argument x changed"]
    assert str(explained) in capsys.readouterr().out
