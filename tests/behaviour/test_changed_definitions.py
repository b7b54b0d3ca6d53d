"""Tasks with other options: copied with some, assigned, copied as objects, pickled."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import cloudpickle
import pytest

from headrace import Flow, Task, flow, task, temporary_settings
from headrace._types import NOT_SET


def double(x: int) -> int:
    """Twice as much."""
    return x * 2


def triple(x: int) -> int:
    """Three times as much."""
    return x * 3


async def shout(text: str) -> str:
    return text.upper()


def growing(retries: int) -> list[float]:
    return [float(i) for i in range(retries)]


def always(task: object, task_run: object, state: object) -> bool:
    return True


def note(task: object, task_run: object, state: object) -> None: ...


async def note_too(task: object, task_run: object, state: object) -> None: ...


class Adder:
    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, x: int) -> int:
        return x + self.more

    @task
    def add(self, x: int) -> int:
        return x + self.more


FULL: dict[str, Any] = {
    "name": "full",
    "description": "All.",
    "tags": {"a"},
    "version": "1",
    "task_run_name": "double-{x}",
    "retries": 3,
    "retry_delay_seconds": 2.5,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": always,
    "timeout_seconds": 60.0,
    "log_prints": True,
    "interrupt": False,
}


def options_of(made: Task[..., Any]) -> dict[str, Any]:
    return {name: getattr(made, name) for name in FULL}


# -- with_options ----------------------------------------------------------------------


@pytest.mark.rule("OPT-01", "OPT-03", "OPT-04")
def test_with_options_keeps_all_that_is_not_named_and_leaves_the_original() -> None:
    full = task(double, **FULL)

    other = full.with_options(retries=1)

    assert options_of(other) == FULL | {"retries": 1}
    assert options_of(full) == FULL
    assert (other.fn, type(other), other(2)) == (double, Task, 4)


@pytest.mark.parametrize(
    ("option", "given", "shown"),
    [
        pytest.param("name", "new", "new", id="name"),
        pytest.param("name", None, "double", id="name-none"),
        pytest.param("description", "new", "new", id="description"),
        pytest.param("description", None, "Twice as much.", id="description-none"),
        pytest.param("tags", ["b", "c"], {"b", "c"}, id="tags-are-replaced"),
        pytest.param("tags", [], set(), id="tags-empty"),
        pytest.param("tags", None, set(), id="tags-none"),
        pytest.param("version", "2", "2", id="version"),
        pytest.param("version", None, None, id="version-none"),
        pytest.param("task_run_name", "{x}", "{x}", id="run-name"),
        pytest.param("task_run_name", None, None, id="run-name-none"),
        pytest.param("task_run_name", "", None, id="run-name-empty"),
        pytest.param("retries", 0, 0, id="retries-zero"),
        pytest.param("retries", None, 0, id="retries-none"),
        pytest.param("retry_delay_seconds", 0, 0, id="delay-zero"),
        pytest.param("retry_delay_seconds", None, 0.0, id="delay-none"),
        pytest.param("retry_delay_seconds", [1, 2], [1.0, 2.0], id="delay-list"),
        pytest.param("retry_jitter_factor", None, None, id="jitter-none"),
        pytest.param("retry_condition_fn", None, None, id="condition-none"),
        pytest.param("timeout_seconds", None, None, id="limit-none"),
        pytest.param("timeout_seconds", 0, None, id="limit-zero"),
        pytest.param("log_prints", False, False, id="log-prints"),
        pytest.param("log_prints", None, None, id="log-prints-none"),
        pytest.param("interrupt", True, True, id="interrupt"),
    ],
)
@pytest.mark.rule("OPT-03", "OPT-02", "OPT-05")
def test_what_is_given_is_applied_also_when_it_is_none_or_empty(
    option: str, given: object, shown: object
) -> None:
    changes: dict[str, Any] = {option: given}

    other = task(double, **FULL).with_options(**changes)

    assert options_of(other) == FULL | {option: shown}


def test_not_set_is_the_same_as_not_given() -> None:
    changes: dict[str, Any] = {"retries": NOT_SET, "name": "other"}

    other = task(double, **FULL).with_options(**changes)

    assert options_of(other) == FULL | {"name": "other"}


@pytest.mark.rule("KEY-03", "OPT-09")
def test_with_options_keeps_the_key() -> None:
    made = task(double)
    swapped = task(double)
    swapped.fn = triple

    assert made.with_options(name="other").task_key == made.task_key
    assert swapped.with_options(name="other").task_key == made.task_key


@pytest.mark.parametrize("option", ["fn", "retrys", "task_key"])
@pytest.mark.rule("OPT-02")
def test_with_options_refuses_an_option_that_there_is_not(option: str) -> None:
    changes: dict[str, Any] = {option: double}

    with pytest.raises(TypeError, match=rf"has no option '{option}'.*timeout_seconds"):
        task(double).with_options(**changes)


@pytest.mark.rule("OPT-06", "PRM-10")
def test_a_function_of_delays_is_kept_and_asked_again() -> None:
    made = task(double, retries=2, retry_delay_seconds=growing)

    assert made.retry_delay_seconds == [0.0, 1.0]
    assert made.with_options(retries=4).retry_delay_seconds == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.rule("OPT-07")
def test_the_tags_of_a_copy_are_its_own() -> None:
    made = task(double, tags=["a"])

    made.tags.add("b")

    assert made.tags == made.with_options(name="other").tags == {"a"}


@pytest.mark.rule("OPT-07", "OPT-03")
def test_the_hooks_of_a_copy_are_its_own() -> None:
    given: list[Any] = [note]
    made = task(double, on_failure=given)

    copy_of_it = made.with_options(name="other")
    copy_of_it.on_failure(note_too)
    given.append(note_too)
    made.hooks["on_failure"].append(note_too)
    without = made.with_options(on_failure=[])

    assert made.hooks["on_failure"] == [note]
    assert copy_of_it.hooks["on_failure"] == [note, note_too]
    assert without.hooks["on_failure"] == []


@pytest.mark.rule("OPT-08")
def test_with_options_gives_the_same_class() -> None:
    class Mine(Task[..., Any]):
        pass

    class MyFlow(Flow[..., Any]):
        pass

    assert type(Mine(double).with_options(retries=1)) is Mine
    assert type(MyFlow(double).with_options(name="other")) is MyFlow


@pytest.mark.rule("FLOW-09")
def test_a_flow_keeps_its_options_too() -> None:
    made = flow(
        double,
        description="D.",
        version="1",
        timeout_seconds=60,
        flow_run_name="{x}",
        retries=2,
        validate_parameters=False,
    )

    other = made.with_options(name="other", timeout_seconds=None)
    bare = made.with_options(name=None, description="", version=None)

    assert (other.name, other.description, other.version) == ("other", "D.", "1")
    assert (made.timeout_seconds, other.timeout_seconds) == (60.0, None)
    assert (bare.name, bare.description, bare.version) == (
        "double",
        "Twice as much.",
        None,
    )
    assert (bare.timeout_seconds, bare.fn, bare(2)) == (60.0, double, 4)
    for each in (other, bare):
        assert (each.flow_run_name, each.retries) == ("{x}", 2)
        assert each.validate_parameters is False
    assert made.with_options(retries=0, flow_run_name=None).retries == 0
    assert made.with_options(retries=0, flow_run_name=None).flow_run_name is None


# -- defaults and checks ---------------------------------------------------------------


@pytest.mark.rule("PRM-09", "PRM-10", "SET-01")
def test_settings_give_retries_at_definition_and_copies_keep_them() -> None:
    with temporary_settings(
        task_default_retries=3, task_default_retry_delay_seconds=7.0
    ):
        made = task(double)
    made.name = "other"

    for each in (made, made.with_options(version="1"), copy.copy(made)):
        assert (each.retries, each.retry_delay_seconds) == (3, 7.0)
    assert made.with_options(retries=None).retries == 0


@pytest.mark.rule("RETRY-19")
@pytest.mark.parametrize("how", ["block", "environment"])
def test_what_is_given_wins_over_a_setting_also_when_it_is_nothing(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"task_default_retries": 2, "task_default_retry_delay_seconds": 7.0}
    if how == "environment":
        for name, value in settings.items():
            monkeypatch.setenv(f"HEADRACE_{name.upper()}", str(value))
    with temporary_settings(settings if how == "block" else {}):
        by_setting = task(double)
        given = task(double, retries=0, retry_delay_seconds=0)
        one_given = task(double, retries=5)

    shown = [(t.retries, t.retry_delay_seconds) for t in (by_setting, given, one_given)]
    assert shown == [(2, 7.0), (0, 0), (5, 7.0)]
    assert (task(double).retries == 0) is (how == "block")


@pytest.mark.rule("RETRY-04", "PRM-10")
def test_a_function_of_delays_is_given_the_retries_there_will_be() -> None:
    asked: list[int] = []

    def delays(retries: int) -> list[float]:
        asked.append(retries)
        return growing(retries)

    assert task(double, retry_delay_seconds=delays).retry_delay_seconds == []
    with temporary_settings(task_default_retries=3):
        by_setting = task(double, retry_delay_seconds=delays)

    assert by_setting.retry_delay_seconds == [0.0, 1.0, 2.0]
    assert task(double, retries=1, retry_delay_seconds=lambda _: 5.0)(2) == 4
    assert asked == [0, 3]


@pytest.mark.rule("RETRY-05")
@pytest.mark.parametrize(
    "delays", [[1, 2.5], (1, 2.5), (Fraction(1), 2.5)], ids=["list", "tuple", "numbers"]
)
def test_delays_may_be_any_sequence_of_numbers(delays: Any) -> None:
    made = task(double, retries=2, retry_delay_seconds=delays)

    assert made.retry_delay_seconds == [1.0, 2.5]


@pytest.mark.rule("RETRY-05")
@pytest.mark.parametrize(
    ("delays", "error"),
    [
        pytest.param("5", TypeError, id="text"),
        pytest.param(["5"], TypeError, id="text-inside"),
        pytest.param((1, None), TypeError, id="none-inside"),
        pytest.param((1, -1), ValueError, id="negative-inside"),
        pytest.param((0,) * 51, ValueError, id="too-many"),
        pytest.param(lambda _: [1] * 51, ValueError, id="too-many-made"),
        pytest.param(lambda _: "5", TypeError, id="text-made"),
    ],
)
def test_what_is_no_delay_is_refused_at_once(
    delays: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="retry_delay_seconds"):
        task(double, retries=2, retry_delay_seconds=delays)


@pytest.mark.parametrize(
    ("option", "given", "error", "text"),
    [
        pytest.param("name", 5, TypeError, "no text", id="name"),
        pytest.param("description", 5, TypeError, "no text", id="description"),
        pytest.param("version", 1.0, TypeError, "no text", id="version"),
        pytest.param("tags", 5, TypeError, "texts", id="tags"),
        pytest.param("tags", ["a", 5], TypeError, "texts", id="tag"),
        pytest.param("retries", -1, ValueError, "negative", id="retries-negative"),
        pytest.param("retries", True, TypeError, "whole number", id="retries-bool"),
        pytest.param("retries", 1.0, TypeError, "whole number", id="retries-float"),
        pytest.param("retry_delay_seconds", -1, ValueError, ">= 0", id="delay"),
        pytest.param("retry_delay_seconds", [0] * 51, ValueError, "50", id="delays"),
        pytest.param("retry_jitter_factor", -0.1, ValueError, ">= 0", id="jitter"),
        pytest.param("retry_condition_fn", 5, TypeError, "function", id="condition"),
        pytest.param("timeout_seconds", -1, ValueError, "no limit", id="limit"),
        pytest.param(
            "timeout_seconds", float("inf"), ValueError, "no limit", id="endless"
        ),
        pytest.param("timeout_seconds", float("nan"), ValueError, "no limit", id="nan"),
        pytest.param("timeout_seconds", "5", TypeError, "no limit", id="limit-text"),
        pytest.param("timeout_seconds", False, TypeError, "no limit", id="limit-bool"),
        pytest.param("task_run_name", 5, TypeError, "of type int", id="run-name"),
        pytest.param("task_run_name", "{y}", ValueError, "'y'", id="placeholder"),
        pytest.param("log_prints", 1, TypeError, "True or False", id="log-prints"),
        pytest.param("interrupt", 1, TypeError, "True or False", id="interrupt"),
    ],
)
@pytest.mark.rule("PRM-09", "PRM-17", "DEF-21")
def test_a_wrong_option_is_refused_however_it_is_given(
    option: str, given: object, error: type[Exception], text: str
) -> None:
    wrong: dict[str, Any] = {option: given}
    made = task(double)
    before = getattr(made, option)

    for act in (
        lambda: task(double, **wrong),
        lambda: made.with_options(**wrong),
        lambda: setattr(made, option, given),
    ):
        with pytest.raises(error, match=text):
            act()

    assert getattr(made, option) == before


@pytest.mark.rule("PRM-08", "DEF-21")
def test_a_run_name_is_a_template_or_a_function_and_not_asked_before_a_run() -> None:
    def name() -> str:
        raise AssertionError("asked at definition")

    for given in ("double-{x}", name):
        assert task(double, task_run_name=given).task_run_name is given
    wrong: Any
    for wrong in (5, ["double"], object()):
        with pytest.raises(TypeError, match=f"of type {type(wrong).__name__}"):
            task(double, task_run_name=wrong)


@pytest.mark.rule("PRM-18")
def test_whether_prints_are_logged_is_left_open_in_every_form() -> None:
    assert task(double).log_prints is None
    assert Task(double).log_prints is None
    assert flow(double).log_prints is None


@pytest.mark.parametrize("option", ["on_completion", "on_failure"])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param(note, r"must be a list of functions, not note", id="function"),
        pytest.param("note", "must be a list of functions", id="text"),
        pytest.param([note, "note"], "holds 'note', which cannot be called", id="item"),
        pytest.param([lambda state: 0], "with three arguments", id="one-argument"),
    ],
)
@pytest.mark.rule("PRM-20", "PRM-21")
def test_what_is_no_list_of_hooks_is_refused_at_definition(
    option: str, given: object, text: str
) -> None:
    wrong: dict[str, Any] = {option: given}
    made = task(double)

    for act in (
        lambda: task(double, **wrong),
        lambda: made.with_options(**wrong),
        lambda: setattr(made, option, given),
    ):
        with pytest.raises(TypeError, match=text):
            act()

    assert made.hooks[option] == []


@pytest.mark.rule("PRM-04")
def test_a_text_is_one_tag() -> None:
    assert task(double, tags="abc").tags == {"abc"}
    assert task(double, tags=(tag for tag in "ab")).tags == {"a", "b"}


# -- assignment ------------------------------------------------------------------------


@pytest.mark.rule("DEF-21")
def test_options_can_be_assigned_and_nothing_else_changes() -> None:
    made = task(double, **FULL)

    made.timeout_seconds = 5
    made.tags = "b"

    assert options_of(made) == FULL | {"timeout_seconds": 5.0, "tags": {"b"}}


@pytest.mark.rule("DEF-21")
def test_an_assigned_function_is_run_and_name_and_key_stay() -> None:
    made = task(double)

    made.fn = triple

    assert made(2) == 6
    assert (made.name, made.description) == ("double", "Twice as much.")
    assert made.task_key.endswith(".double")
    assert inspect.signature(made) == inspect.signature(triple)


@pytest.mark.rule("DEF-21")
async def test_an_assigned_function_may_be_of_the_other_kind() -> None:
    made: Any = task(double)

    made.fn = shout

    assert made.isasync
    assert await made("a") == "A"


@pytest.mark.rule("DEF-21", "DEF-05")
def test_a_wrong_function_is_refused_and_the_old_one_stays() -> None:
    made: Any = task(double)

    for wrong in (5, None, lambda wait_for: 0):
        with pytest.raises(TypeError):
            made.fn = wrong

    assert (made.fn, made(2)) == (double, 4)


def test_what_a_task_is_cannot_be_assigned() -> None:
    made: Any = task(double)

    for name in ("task_key", "isasync"):
        with pytest.raises(AttributeError):
            setattr(made, name, "x")


# -- copies and pickles ----------------------------------------------------------------


def pickled(made: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(made))


TWINS = pytest.mark.parametrize(
    "twin_of", [copy.copy, copy.deepcopy, pickled], ids=["copy", "deepcopy", "pickle"]
)


@TWINS
@pytest.mark.rule("DEF-20", "PICK-01", "PICK-03")
def test_a_twin_works_and_has_the_same_options(
    twin_of: Callable[[Any], Any],
) -> None:
    made = task(double, **FULL)

    twin = twin_of(made)

    expected = FULL | {"retry_condition_fn": twin.retry_condition_fn}
    assert options_of(twin) == expected
    assert (twin.task_key, twin(2), flow(lambda: twin.submit(3).value())()) == (
        made.task_key,
        4,
        6,
    )


@TWINS
@pytest.mark.rule("DEF-20")
def test_a_twin_is_another_task(twin_of: Callable[[Any], Any]) -> None:
    made = task(double)

    twin = twin_of(made)
    twin.retries = 5

    assert twin != made
    assert len({made, twin}) == 2
    assert (made.retries, twin.spec.owner) == (0, twin)


@TWINS
@pytest.mark.parametrize(
    ("make", "argument", "value"),
    [
        pytest.param(lambda: task(lambda x: x + 1), 1, 2, id="lambda"),
        pytest.param(lambda: task(Adder(3)), 1, 4, id="callable"),
        pytest.param(lambda: Adder(3).add, 1, 4, id="bound-method"),
        pytest.param(lambda: task(staticmethod(double)), 2, 4, id="static-method"),
        pytest.param(lambda: flow(double), 2, 4, id="flow"),
    ],
)
@pytest.mark.rule("DEF-20", "PICK-01")
def test_every_kind_of_task_has_twins(
    make: Callable[[], Any], argument: int, value: int, twin_of: Callable[[Any], Any]
) -> None:
    twin = twin_of(make())

    assert twin(argument) == value
    assert twin.with_options(name="other")(argument) == value


@pytest.mark.rule("DEF-20")
def test_a_deep_copy_of_a_bound_method_has_an_instance_of_its_own() -> None:
    adder = Adder(1)

    twin, its_adder = copy.deepcopy((adder.add, adder))
    adder.more = 100

    assert twin.__self__ is its_adder
    assert twin(1) == 2


def test_a_deep_copy_keeps_the_very_default_of_a_parameter() -> None:
    missing = object()

    def is_missing(value: object = missing) -> bool:
        return value is missing

    assert copy.deepcopy(task(is_missing))() is True


def test_the_signature_of_a_bound_method_has_no_self() -> None:
    assert list(inspect.signature(Adder(1).add).parameters) == ["x"]
