"""Two tasks of one name in one module: a warning, at the line of whoever made the other."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from headrace import Flow, Task, flow, task, temporary_settings
from headrace.registry import get_instances

CONFLICT = "conflicts with another task"


def double(x: int) -> int:
    return x * 2


def triple(x: int) -> int:
    return x * 3


def made_of(fn: Callable[..., Any], **options: Any) -> Task[..., Any]:
    """A task made without a word about its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return task(fn, **options)


@pytest.fixture(autouse=True)
def _no_tasks_of_other_tests() -> Generator[None]:
    gc.collect()
    yield
    gc.collect()


@pytest.fixture
def _any_warning_is_an_error() -> Generator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- the tasks there are ---------------------------------------------------------------


@pytest.mark.rule("REG-01")
def test_the_tasks_that_are_alive_can_be_listed() -> None:
    before = set(get_instances(Task))
    first = task(double)
    other = first.with_options(name="other")
    around = flow(double)

    assert set(get_instances(Task)) - before == {first, other}
    assert around not in get_instances(Flow)


@pytest.mark.rule("REG-01", "REG-05")
def test_a_task_that_nobody_holds_is_forgotten() -> None:
    before = len(get_instances(Task))

    for number in range(100):
        made_of(lambda: None, name=f"job-{number % 7}")
    gc.collect()

    assert len(get_instances(Task)) == before


# -- when there is a warning -----------------------------------------------------------


@pytest.mark.rule("REG-02")
def test_a_second_task_of_a_name_makes_a_warning_and_works() -> None:
    first = task(double, name="load")

    with pytest.warns(UserWarning, match=CONFLICT) as caught:
        second = task(triple, name="load")

    assert (first(2), second(2)) == (4, 6)
    (warning,) = caught
    text = str(warning.message)
    lines = [inspect.getsourcelines(fn)[1] for fn in (triple, double)]
    assert f"the task 'load' at {__file__}:{lines[0]} conflicts" in text
    assert f"in {__name__}, at {__file__}:{lines[1]}:" in text
    assert '@task(name="...")' in text


@pytest.mark.rule("REG-02", "DEF-13")
def test_lambdas_share_a_name() -> None:
    first = task(lambda: 1)

    with pytest.warns(UserWarning, match="the task '<lambda>'"):
        second = task(lambda: 2)

    assert (first(), second()) == (1, 2)


@pytest.mark.rule("REG-02", "OPT-01")
def test_a_copy_that_takes_the_name_of_another_task_makes_a_warning() -> None:
    first, other = task(double, name="one"), task(triple, name="two")

    with pytest.warns(UserWarning, match=CONFLICT):
        other.with_options(name=first.name)


@pytest.mark.usefixtures("_any_warning_is_an_error")
@pytest.mark.rule("REG-03", "OPT-09")
def test_another_task_of_the_same_function_makes_none() -> None:
    first = task(double)

    again = [first.with_options(retries=1), task(double), Task(double), task()(double)]

    assert {each.name for each in again} == {"double"}


@pytest.mark.rule("REG-03")
def test_wrapping_a_function_again_makes_one_once_another_has_its_name() -> None:
    first = task(double, name="load")
    second = made_of(triple, name="load")

    with pytest.warns(UserWarning, match=CONFLICT):
        again = task(double, name="load")

    assert (first(1), second(1), again(1)) == (2, 3, 2)


@pytest.mark.rule("REG-04")
def test_what_has_no_source_is_at_an_unknown_place() -> None:
    first = task(len, name="size")

    with pytest.warns(UserWarning, match=r"'size' at unknown .* at unknown:"):
        second = task(max, name="size")

    assert (first("ab"), second(1, 2)) == (2, 2)


def test_what_has_a_source_and_no_code_of_its_own_is_at_that_place() -> None:
    class Adder:
        def __call__(self) -> int:
            return 1

    adder = Adder()
    line = inspect.getsourcelines(Adder)[1]
    held = task(functools.partial(adder), name="add")

    with pytest.warns(UserWarning, match=rf"'add' at {__file__}:{line} conflicts"):
        task(adder, name="add")

    assert held() == 1


# -- when there is none ----------------------------------------------------------------


@pytest.mark.usefixtures("_any_warning_is_an_error")
@pytest.mark.rule("REG-05")
def test_tasks_of_one_name_in_two_modules_make_no_warning() -> None:
    def elsewhere(x: int) -> int:
        return x

    elsewhere.__module__ = "another.module"

    held = [task(double, name="load"), task(elsewhere, name="load")]

    assert [each(2) for each in held] == [4, 2]


@pytest.mark.usefixtures("_any_warning_is_an_error")
@pytest.mark.rule("REG-05")
def test_the_name_of_a_task_that_is_gone_is_free() -> None:
    task(double, name="load")
    gc.collect()

    assert task(triple, name="load")(2) == 6


@pytest.mark.rule("REG-05")
def test_a_copy_keeps_the_name_of_an_original_that_is_gone() -> None:
    copy = task(double, name="load").with_options(retries=1)
    gc.collect()

    with pytest.warns(UserWarning, match=CONFLICT):
        task(triple, name="load")

    assert copy(2) == 4


@pytest.mark.usefixtures("_any_warning_is_an_error")
@pytest.mark.rule("REG-05")
def test_a_setting_switches_the_warning_off(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [task(double, name="load")]

    with temporary_settings(warn_of_duplicate_names=False):
        held.append(task(triple, name="load"))
    monkeypatch.setenv("HEADRACE_WARN_OF_DUPLICATE_NAMES", "0")
    held.append(task(lambda x: x, name="load"))

    assert [each(2) for each in held] == [4, 6, 2]


@pytest.mark.usefixtures("_any_warning_is_an_error")
def test_flows_and_methods_looked_up_on_many_instances_make_none() -> None:
    class Account:
        @task
        def total(self) -> int:
            return 1

    held = [flow(double), flow(triple, name="double"), Account().total, Account().total]
    wrapped = [task(Account.total.fn), task(Account.total.fn.__get__(Account()))]

    assert len({*held, *wrapped}) == 6


# -- where it points, and what it costs ------------------------------------------------


class MyTask(Task[..., Any]):
    def __init__(self, fn: Callable[..., Any], **options: Any) -> None:
        super().__init__(fn, **options)


def by_decorator() -> int:
    @task(name="load")
    def load() -> None: ...

    return inspect.getsourcelines(load.fn)[1]


def here() -> int:
    return sys._getframe(1).f_lineno


def by_function() -> int:
    line = here() + 1
    task(triple, name="load")
    return line


def by_class() -> int:
    line = here() + 1
    Task(triple, name="load")
    return line


def by_with_options() -> int:
    made = task(triple)
    line = here() + 1
    made.with_options(name="load")
    return line


def by_a_class_of_ones_own() -> int:
    line = inspect.getsourcelines(MyTask.__init__)[1] + 1
    MyTask(triple, name="load")
    return line


@pytest.mark.parametrize(
    "make",
    [by_decorator, by_function, by_class, by_with_options, by_a_class_of_ones_own],
)
@pytest.mark.rule("REG-05")
def test_the_warning_points_at_the_line_that_made_the_task(
    make: Callable[[], int],
) -> None:
    held = task(double, name="load")

    with pytest.warns(UserWarning, match=CONFLICT) as caught:
        line = make()

    (warning,) = caught
    assert (Path(warning.filename), warning.lineno) == (Path(__file__), line)
    assert held(1) == 2


@pytest.mark.rule("REG-05")
def test_a_task_takes_no_longer_to_make_the_more_there_are() -> None:
    first = made_of(lambda: None, name="job")

    few = lines_run_by(lambda: made_of(lambda: None, name="job"))
    held = [made_of(lambda: None, name="job") for _ in range(500)]
    held += [first.with_options(retries=1) for _ in range(500)]
    many = lines_run_by(lambda: made_of(lambda: None, name="job"))

    assert len(held) == 1000
    assert many < few + 100


def lines_run_by(act: Callable[[], object]) -> int:
    """How many lines of Python code it takes."""
    count = 0

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return step

    before = sys.gettrace()
    gc.disable()
    sys.settrace(step)
    try:
        act()
    finally:
        sys.settrace(before)
        gc.enable()
    return count
