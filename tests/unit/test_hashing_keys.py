"""Keys of tasks: code and arguments, policies, and what a key is made of."""

from __future__ import annotations

import enum
import functools
import logging
import operator
import threading
import types
from typing import Any

import pytest

from headrace.hashing import (
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    KeyChange,
    KeyPart,
    KeyPolicy,
    compare_parts,
    explain,
    parts_from_text,
    parts_to_text,
    task_input_hash,
)


class FakeTask:
    """As much of a task as a key function looks at."""

    def __init__(self, fn: Any, task_key: str = "app.load") -> None:
        self.fn, self.task_key, self.name = fn, task_key, "load"


def context(fn: Any = len, *, task_key: str = "app.load", **run: Any) -> Any:
    run = {"id": "run-1", "flow_run_id": "flow-1", **run}
    return types.SimpleNamespace(
        task=FakeTask(fn, task_key), task_run=types.SimpleNamespace(**run)
    )


def compiled(source: str) -> Any:
    """The function ``f`` of a source."""
    names: dict[str, Any] = {}
    exec(compile(source, "<a test>", "exec"), names)  # noqa: S102
    return names["f"]


def key_of(source: str, **parameters: Any) -> str | None:
    return task_input_hash(context(compiled(source)), parameters)


# -- task_input_hash -------------------------------------------------------------------

FIRST = "def f(x):\n return x * 2"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def f(x):\n return x * 3", id="constant"),
        pytest.param("def f(x):\n return x * 2.0", id="type-of-a-constant"),
        pytest.param("def f(x):\n return x + 2", id="operation"),
        pytest.param("def f(y):\n return y * 2", id="name"),
        pytest.param("def f(x=1):\n return x * 2", id="default"),
        pytest.param("def f(*, x):\n return x * 2", id="kind-of-parameter"),
        pytest.param("async def f(x):\n return x * 2", id="coroutine"),
        pytest.param("def f(x):\n return (lambda: x * 2)()", id="inner-function"),
        pytest.param("def g(n):\n def f(x):\n  return x * n\n return f\nf = g(2)", id="closure"),
    ],
)  # fmt: skip
def test_a_key_changes_with_the_code(source: str) -> None:
    assert key_of(FIRST, x=1) != key_of(source, x=1) is not None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("\n\n# why\n" + FIRST, id="lines-and-comments"),
        pytest.param("def f(x: int) -> int:\n return x * 2", id="annotations"),
        pytest.param("f = lambda x: x * 2", id="name-of-the-function"),
    ],
)
def test_a_key_stays_where_the_code_does_the_same(source: str) -> None:
    assert key_of(FIRST, x=1) == key_of(source, x=1) is not None


def test_inner_functions_count_with_their_constants() -> None:
    source = "def f():\n def g():\n  def h():\n   return 1 in {}\n  return h\n return g"

    assert key_of(source.format((1,))) != key_of(source.format((2,)))
    assert key_of(source.format("{'a', 'b'}")) == key_of(source.format("{'b', 'a'}"))


def test_a_value_of_an_enclosing_function_counts_as_it_is_now() -> None:
    factor = [2]
    keys = []
    fn = context(lambda x: x * factor[0])
    for each in (2, 3, 2):
        factor[0] = each
        keys.append(task_input_hash(fn, {"x": 1}))

    assert keys[0] == keys[2] != keys[1]


def test_a_key_changes_with_the_task_and_with_each_argument() -> None:
    keys = {
        task_input_hash(context(), {"x": 1, "y": 2}),
        task_input_hash(context(task_key="app.save"), {"x": 1, "y": 2}),
        task_input_hash(context(), {"x": 2, "y": 2}),
        task_input_hash(context(), {"x": 1, "y": 3}),
        task_input_hash(context(), {"x": 1}),
        task_input_hash(context(), {}),
    }

    assert len(keys - {None}) == 6
    assert task_input_hash(context(), {"y": 2, "x": 1}) in keys


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return x + self.n

    def add(self, x: int) -> int:
        return x + self.n

    @classmethod
    def made(cls, n: int) -> Adder:
        return cls(n)


@functools.lru_cache
def remembered(x: int) -> int:
    return x


@pytest.mark.parametrize(
    ("fn", "other"),
    [
        pytest.param(Adder(1), Adder(2), id="instance"),
        pytest.param(Adder(1).add, Adder(2).add, id="method"),
        pytest.param(functools.partial(pow, 2), functools.partial(pow, 3), id="partial"),
        pytest.param(len, abs, id="built-in"),
        pytest.param(Adder, FakeTask, id="class"),
        pytest.param(Adder.made, Adder, id="class-method"),
        pytest.param(remembered, functools.lru_cache(len), id="lru-cache"),
        pytest.param(str.upper, str.lower, id="method-of-c"),
    ],
)  # fmt: skip
def test_callables_of_all_kinds_have_keys(fn: Any, other: Any) -> None:
    key = task_input_hash(context(fn), {"x": 1})

    assert key == task_input_hash(context(fn), {"x": 1}) is not None
    assert key != task_input_hash(context(other), {"x": 1}) is not None


def test_a_class_counts_with_the_code_of_its_methods() -> None:
    source = "class f:\n limit = {}\n def do(self):\n  return {}"

    keys = {key_of(source.format(*each)) for each in ((1, 1), (2, 1), (1, 2))}

    assert len(keys - {None}) == 3


def test_what_has_no_key_is_named_in_one_warning_a_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = types.SimpleNamespace(lock=threading.Lock())
    of_task = context()

    for _ in range(3):
        assert task_input_hash(of_task, {"session": session}) is None
        assert INPUTS(of_task, {"session": session}) is None
    assert task_input_hash(context(), {"x": threading.Lock()}) is None

    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2
    text = caplog.messages[0]
    assert "runs of the task 'load' are not cached: args['session'].lock" in text
    assert "_thread.lock" in text
    assert 'INPUTS - "session"' in text


def test_what_the_code_holds_is_named_as_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lock = threading.Lock()

    assert task_input_hash(context(lambda x: (x, lock)), {"x": 1}) is None

    assert "fn.__closure__['lock'], of type _thread.lock" in caplog.text
    assert "Use a key without the code" in caplog.text


def test_an_enum_counts_with_its_members() -> None:
    one, other = (
        enum.Enum("Colour", {"RED": number}, module="app") for number in (1, 2)
    )

    assert task_input_hash(context(), {"x": one}) != task_input_hash(
        context(), {"x": other}
    )


# -- policies --------------------------------------------------------------------------


def test_inputs_are_the_arguments_of_one_task() -> None:
    key = INPUTS(context(), {"x": 1})

    assert key == INPUTS(context(abs), {"x": 1}) is not None
    assert key != INPUTS(context(), {"x": 2})
    assert key != INPUTS(context(task_key="app.save"), {"x": 1})


def test_the_source_alone_shares_between_all_arguments() -> None:
    key = TASK_SOURCE(context(), {"x": 1})

    assert key == TASK_SOURCE(context(), {"x": 2}) is not None
    assert key != TASK_SOURCE(context(abs), {"x": 1})


def test_a_run_id_is_that_of_the_flow_run_else_of_the_task_run() -> None:
    assert RUN_ID(context(), {}) == RUN_ID(context(id="run-2"), {}) is not None
    assert RUN_ID(context(), {}) != RUN_ID(context(flow_run_id="flow-2"), {})
    alone = [context(flow_run_id=None, id=f"run-{i}") for i in range(2)]
    assert RUN_ID(alone[0], {}) != RUN_ID(alone[1], {})


def test_no_cache_gives_no_key_and_adds_nothing() -> None:
    assert NO_CACHE(context(), {"x": 1}) is None
    assert NO_CACHE + INPUTS == INPUTS == INPUTS + NO_CACHE


def test_policies_add_up() -> None:
    both = INPUTS + TASK_SOURCE

    assert both == TASK_SOURCE + INPUTS
    keys = {both(context(fn), {"x": x}) for fn in (len, abs) for x in (1, 2)}
    assert len(keys - {None}) == 4
    assert both(context(), {"x": 1}) != INPUTS(context(), {"x": 1})


def test_an_argument_that_is_left_out_makes_no_difference() -> None:
    policy = INPUTS - "session"

    key = policy(context(), {"x": 1, "session": threading.Lock()})

    assert key == policy(context(), {"x": 1, "session": None}) is not None
    assert key != policy(context(), {"x": 2, "session": None})
    assert INPUTS - "a" - "b" == INPUTS - ("a", "b")
    assert (INPUTS - "a") + TASK_SOURCE == (INPUTS + TASK_SOURCE) - "a"


def test_an_argument_to_leave_out_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="'sesion', and the task has no such"
    ) as raised:
        (INPUTS - "sesion")(context(), {"x": 1, "session": 2})

    assert "x, session" in str(raised.value)
    with pytest.raises(ValueError, match="'y'"):
        (INPUTS - "y").check(["x"])


@pytest.mark.parametrize(
    "subtract",
    [
        pytest.param(lambda: TASK_SOURCE - "x", id="without-arguments"),
        pytest.param(lambda: NO_CACHE - "x", id="from-nothing"),
        pytest.param(lambda: INPUTS - SOME_NUMBER, id="no-name"),
    ],
)
def test_only_names_of_arguments_can_be_left_out(subtract: Any) -> None:
    with pytest.raises(TypeError, match='INPUTS - "session"'):
        subtract()


SOME_NUMBER: Any = [1]


def by_day(context: Any, parameters: dict[str, Any]) -> Any:
    return parameters["day"]


def test_a_key_function_of_the_users_can_be_added() -> None:
    policy = INPUTS - "day" + by_day

    assert policy == by_day + (INPUTS - "day")
    keys = {policy(context(), {"x": x, "day": day}) for x in (1, 2) for day in "ab"}
    assert len(keys - {None}) == 4
    assert policy(context(), {"x": 1, "day": None}) is None
    with pytest.raises(TypeError, match="neither a text nor None"):
        policy(context(), {"x": 1, "day": 5})


def test_a_coroutine_function_cannot_be_added() -> None:
    async def key(context: Any, parameters: Any) -> str:
        return "x"

    with pytest.raises(TypeError, match="coroutine function"):
        operator.add(INPUTS, key)
    with pytest.raises(TypeError, match="unsupported operand"):
        operator.add(INPUTS, 1)


def test_a_policy_reads_as_it_was_written() -> None:
    assert repr(INPUTS + TASK_SOURCE - "a") == "INPUTS + TASK_SOURCE - 'a'"
    assert repr(NO_CACHE) == "NO_CACHE"
    assert "by_day" in repr(RUN_ID + by_day)
    assert hash(INPUTS) == hash(KeyPolicy(inputs=True))


# -- explain ---------------------------------------------------------------------------


def names(parts: list[KeyPart]) -> list[str]:
    return [part.name for part in parts]


def test_the_parts_of_a_key_are_told_by_name() -> None:
    given = {"x": 1, "y": [2]}

    assert names(explain(task_input_hash, context(), given)) == [
        "task key",
        "task source",
        "argument x",
        "argument y",
    ]
    assert names(explain(INPUTS - "y", context(), given)) == ["task key", "argument x"]
    assert names(explain(RUN_ID + by_day, context(), {"day": "a"})) == [
        "task key",
        "run id",
        "key of by_day",
    ]
    assert names(explain(by_day, context(), {"day": "a"})) == ["key of by_day"]
    assert explain(NO_CACHE, context(), given) == []


def test_a_part_without_a_digest_says_why() -> None:
    parts = explain(INPUTS, context(), {"x": [threading.Lock()]})

    assert parts[1].digest is None
    assert "args['x'][0], of type _thread.lock" in parts[1].problem
    none = explain(by_day, context(), {"day": None})
    assert (none[0].digest, "not cached" in none[0].problem) == (None, True)


def test_two_keys_differ_in_the_parts_that_changed() -> None:
    before = explain(task_input_hash, context(), {"x": 1, "y": 2, "z": 3})
    after = explain(task_input_hash, context(abs), {"x": 1, "y": 3, "w": 4})

    changes = compare_parts(before, after)

    assert [str(change) for change in changes] == [
        "task source changed",
        "argument y changed",
        "argument w is new",
        "argument z is gone",
    ]
    assert compare_parts(before, before) == []


def test_a_part_without_a_digest_may_have_changed() -> None:
    parts = [KeyPart("argument x", None, "it is a lock")]

    assert compare_parts(parts, parts) == [KeyChange("argument x", None, None)]


def test_parts_survive_being_written() -> None:
    parts = explain(task_input_hash, context(), {"x": 1, "l": threading.Lock()})

    read = parts_from_text(parts_to_text(parts))

    assert [(p.name, p.digest) for p in read] == [(p.name, p.digest) for p in parts]
    assert parts_from_text("") == parts_from_text("garbage\n\n") == []
