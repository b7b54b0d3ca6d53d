"""What can be a task, and what a task is: function, name, key, description, kind."""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import sys
from collections.abc import Callable
from typing import Any

import pytest

from headrace import Flow, Task, flow, task
from headrace.exceptions import HeadraceError, ReservedArgumentError


def double(x: int) -> int:
    """Twice
    as much."""
    return x * 2


async def shout(text: str) -> str:
    return text.upper()


def numbers(stop: int) -> Any:
    yield from range(stop)


async def ticks(stop: int) -> Any:
    for number in range(stop):
        yield number


def later(x: int) -> Any:
    """A plain function that gives something to await."""
    return shout(str(x))


class Point:
    """A place."""

    def __init__(self, x: int, y: int = 0) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Adder:
    """Adds."""

    def __init__(self, more: int) -> None:
        self.more = more

    def __call__(self, x: int) -> int:
        return x + self.more

    def add(self, x: int) -> int:
        return x + self.more


class AsyncAdder:
    def __init__(self, more: int) -> None:
        self.more = more

    async def __call__(self, x: int) -> int:
        return x + self.more


class Bare:
    def __call__(self) -> int:
        return 1


class Falsy(Adder):
    def __bool__(self) -> bool:
        return False


@functools.wraps(shout)
def wrapping(*args: Any) -> Any:
    return shout(*args)


@functools.lru_cache
def remembered(x: int) -> int:
    return x


def ran_in_flow(fn: Callable[..., Any], *args: Any) -> list[Any]:
    """The values of a call and of a submit of what was made a task."""
    made = task(fn)

    @flow
    def both() -> list[Any]:
        return [made(*args), made.submit(*args).value()]

    return both()


# -- what can be a task ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "args", "value"),
    [
        pytest.param(double, (2,), 4, id="function"),
        pytest.param(shout, ("a",), "A", id="coroutine-function"),
        pytest.param(numbers, (3,), [0, 1, 2], id="generator"),
        pytest.param(ticks, (3,), [0, 1, 2], id="async-generator"),
        pytest.param(later, (1,), "1", id="function-that-gives-a-coroutine"),
        pytest.param(lambda x: x + 1, (1,), 2, id="lambda"),
        pytest.param(Point, (1, 2), Point(1, 2), id="class"),
        pytest.param(Adder(3), (1,), 4, id="callable"),
        pytest.param(AsyncAdder(3), (1,), 4, id="callable-with-async-call"),
        pytest.param(Falsy(3), (1,), 4, id="falsy-callable"),
        pytest.param(Adder(3).add, (1,), 4, id="bound-method"),
        pytest.param(len, ("abc",), 3, id="builtin"),
        pytest.param(max, (1, 3, 2), 3, id="builtin-without-signature"),
        pytest.param(dict, ([("a", 1)],), {"a": 1}, id="builtin-class"),
        pytest.param(str.upper, ("a",), "A", id="method-of-a-builtin-class"),
        pytest.param("a-b".split, ("-",), ["a", "b"], id="method-of-a-builtin"),
        pytest.param(operator.itemgetter(1), ("ab",), "b", id="itemgetter"),
        pytest.param(functools.partial(double, 4), (), 8, id="partial"),
        pytest.param(functools.partial(shout, "b"), (), "B", id="async-partial"),
        pytest.param(wrapping, ("c",), "C", id="wrapper-of-a-coroutine-function"),
        pytest.param(remembered, (5,), 5, id="cached-function"),
    ],
)
@pytest.mark.rule("DEF-01", "DEF-11", "DEF-12")
def test_anything_that_can_be_called_can_be_a_task(
    fn: Callable[..., Any], args: tuple[Any, ...], value: object
) -> None:
    assert ran_in_flow(fn, *args) == [value, value]


@pytest.mark.parametrize("made", [task, flow], ids=["task", "flow"])
@pytest.mark.parametrize("wrong", ["x", 5, 0, False, ""], ids=repr)
@pytest.mark.rule("DEF-04", "DEF-05")
def test_what_cannot_be_called_is_refused(made: Any, wrong: object) -> None:
    with pytest.raises(TypeError, match="fn must be callable"):
        made(wrong)


@pytest.mark.parametrize("kind", [Task, Flow])
@pytest.mark.rule("DEF-05")
def test_the_classes_refuse_what_cannot_be_called(kind: Any) -> None:
    method_object: Any = staticmethod

    for wrong in (None, 5, "x", method_object(5)):
        with pytest.raises(TypeError, match="fn must be callable"):
            kind(wrong)


@pytest.mark.parametrize("inner", [task(double), flow(double)], ids=["task", "flow"])
@pytest.mark.parametrize("outer", [task, flow, Task, Flow, task(retries=1)])
@pytest.mark.rule("DEF-17")
def test_a_task_of_a_task_is_refused(outer: Any, inner: Any) -> None:
    with pytest.raises(TypeError, match=r"is decorated already.*with_options"):
        outer(inner)


@pytest.mark.parametrize(
    ("fn", "parameter"),
    [
        pytest.param(lambda return_state: 0, "return_state", id="return_state"),
        pytest.param(lambda *, wait_for=None: 0, "wait_for", id="wait_for"),
        pytest.param(lambda wait_for, return_state: 0, "return_state", id="both"),
        pytest.param(lambda *wait_for: 0, "wait_for", id="variadic"),
    ],
)
@pytest.mark.rule("DEF-18", "PRM-01")
def test_a_reserved_parameter_name_is_refused(
    fn: Callable[..., Any], parameter: str
) -> None:
    for made in (task, flow):
        with pytest.raises(ReservedArgumentError, match=parameter) as caught:
            made(fn)

        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, HeadraceError)
        assert caught.value.parameter == parameter


# -- how it is made --------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: task(double), id="bare"),
        pytest.param(lambda: task()(double), id="empty"),
        pytest.param(lambda: task(retries=0)(double), id="options"),
        pytest.param(lambda: task(None)(double), id="none"),
        pytest.param(lambda: task(double, retries=0), id="functional"),
        pytest.param(lambda: Task(double), id="class"),
        pytest.param(lambda: Task(fn=double), id="class-by-keyword"),
    ],
)
@pytest.mark.rule("DEF-02", "DEF-03")
def test_every_form_of_the_decorator_makes_the_same_task(
    make: Callable[[], Task[..., Any]],
) -> None:
    made = make()

    assert type(made) is Task
    assert (made.fn, made.name, made.retries) == (double, "double", 0)
    assert made(4) == 8


@pytest.mark.rule("DEF-02")
def test_the_decorator_takes_options_by_keyword_only() -> None:
    decorators: list[Any] = [task, flow]

    for made in decorators:
        with pytest.raises(TypeError, match="positional argument"):
            made(double, "name")


@pytest.mark.rule("DEF-03")
def test_the_classes_take_some_options_by_position() -> None:
    made = Task(double, "twice", "Doubles.", ["a", "b"], "1")
    other = Flow(double, "twice", "Doubles.", "1")

    assert (made.name, made.description) == ("twice", "Doubles.")
    assert (made.tags, made.version) == ({"a", "b"}, "1")
    assert (other.name, other.description, other.version) == ("twice", "Doubles.", "1")


def test_an_unknown_option_is_named_and_so_are_the_known_ones() -> None:
    wrong: dict[str, Any] = {"retrys": 3}
    of_tasks: dict[str, Any] = {"interrupt": False}

    for made in (task, Task):
        with pytest.raises(TypeError, match=r"'retrys'.*retries"):
            made(double, **wrong)
    with pytest.raises(TypeError, match="a flow has no option 'interrupt'"):
        flow(double, **of_tasks)


@pytest.mark.rule("PRM-22")
@pytest.mark.parametrize("name", ["viz_return_value", "asset_deps", "on_rollback"])
def test_options_that_need_a_server_or_assets_are_unknown(name: str) -> None:
    option: dict[str, Any] = {name: []}

    with pytest.raises(TypeError, match=f"a task has no option '{name}'"):
        task(double, **option)
    assert task(double, retry_condition_fn=print).retry_condition_fn is print


def test_an_option_that_is_wrong_is_refused_by_the_decorator_that_has_it() -> None:
    decorate = task(retries=-1)

    with pytest.raises(ValueError, match="double: retries must not be negative"):
        decorate(double)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"name": 5}, r"name=5 is no text", id="name-first"),
        pytest.param({"tags": [1]}, "tags must be texts", id="then-tags"),
        pytest.param({"retry_delay_seconds": print}, "must be a number", id="delays"),
        pytest.param(
            {"retry_delay_seconds": [1] * 51}, "more than 50", id="number-of-delays"
        ),
        pytest.param({"retry_jitter_factor": -1}, "must be >= 0", id="jitter"),
    ],
)
@pytest.mark.rule("PRM-23", "PRM-11")
def test_options_are_checked_in_a_fixed_order(options: Any, error: str) -> None:
    later = {"retry_jitter_factor": -1, "timeout_seconds": -1} | options
    if "tags" in options:
        later["retry_delay_seconds"] = [1] * 51

    with pytest.raises((TypeError, ValueError), match=error):
        task(double, **later)


# -- what it carries -------------------------------------------------------------------


def test_calling_a_task_makes_a_run_and_calling_its_function_makes_none() -> None:
    made = task(double)

    state = made(2, return_state=True)

    assert (state.name, state.result()) == ("Completed", 4)
    assert made.fn is double
    assert made.fn(2) == 4


@pytest.mark.rule("DEF-08")
def test_the_function_is_the_very_object_that_was_decorated() -> None:
    adder, method = Adder(1), Adder(1).add
    class_method: Any = classmethod

    assert task(adder).fn is adder
    assert task(method).fn is method
    assert task(staticmethod(double)).fn is double
    assert task(class_method(double)).fn is double


@pytest.mark.rule("DEF-07")
def test_a_task_looks_like_its_function() -> None:
    vars(double)["colour"] = "red"

    made: Any = task(double)

    assert made.__name__ == "double"
    assert made.__qualname__ == "double"
    assert made.__module__ == __name__
    assert made.__doc__ == double.__doc__
    assert made.__annotations__ == double.__annotations__
    assert made.__wrapped__ is double
    assert made.colour == "red"
    assert inspect.signature(made) == inspect.signature(double)
    assert not inspect.iscoroutinefunction(task(shout))


def test_attributes_of_the_function_never_hide_those_of_the_task() -> None:
    def odd(x: int) -> int:
        return x

    names = ["spec", "_given", "_fn", "_method_binder", "name", "submit", "__self__"]
    for name in names:
        vars(odd)[name] = "odd"

    made = task(odd)

    assert (made(1), made.name, made.with_options(retries=1)(2)) == (1, "odd", 2)
    assert vars(odd)["spec"] == "odd"


def test_a_callable_object_keeps_its_attributes_to_itself() -> None:
    made: Any = task(Adder(1))

    assert (made.__name__, made.__doc__) == ("Adder", "Adds.")
    assert not hasattr(made, "more")
    assert list(inspect.signature(made).parameters) == ["x"]


@pytest.mark.parametrize(
    ("fn", "isasync"),
    [
        pytest.param(double, False, id="function"),
        pytest.param(shout, True, id="coroutine-function"),
        pytest.param(numbers, False, id="generator"),
        pytest.param(ticks, True, id="async-generator"),
        pytest.param(later, False, id="function-that-gives-a-coroutine"),
        pytest.param(AsyncAdder(1), True, id="callable-with-async-call"),
        pytest.param(AsyncAdder, False, id="class-of-such"),
        pytest.param(functools.partial(shout, "a"), True, id="partial"),
        pytest.param(
            functools.partial(functools.partial(AsyncAdder(1)), 1), True, id="nested"
        ),
        pytest.param(wrapping, True, id="wrapper"),
        pytest.param(AsyncAdder(1).__call__, True, id="bound-method"),
        pytest.param(len, False, id="builtin"),
    ],
)
@pytest.mark.rule("DEF-06")
def test_a_task_is_async_if_its_bodies_run_on_the_loop(
    fn: Callable[..., Any], isasync: bool
) -> None:
    assert task(fn).isasync is isasync
    assert flow(fn).isasync is isasync


@pytest.mark.parametrize(
    ("fn", "name", "key"),
    [
        pytest.param(double, "double", f"{__name__}.double", id="function"),
        pytest.param(Adder(1), "Adder", f"{__name__}.Adder", id="callable"),
        pytest.param(Point, "Point", f"{__name__}.Point", id="class"),
        pytest.param(Adder(1).add, "add", f"{__name__}.Adder.add", id="bound-method"),
        pytest.param(len, "len", "builtins.len", id="builtin"),
        pytest.param([].append, "append", "builtins.list.append", id="of-a-builtin"),
        pytest.param(
            functools.partial(functools.partial(double, 1)),
            "double",
            f"{__name__}.double",
            id="partial",
        ),
        pytest.param(
            functools.partial(Adder(1), 1),
            "Adder",
            f"{__name__}.Adder",
            id="of-callable",
        ),
    ],
)
@pytest.mark.rule("KEY-01", "KEY-02", "DEF-10")
def test_name_and_key_are_those_of_the_function_or_class(
    fn: Callable[..., Any], name: str, key: str
) -> None:
    made = task(fn)

    assert (made.name, made.task_key) == (name, key)


@pytest.mark.rule("KEY-01", "PRM-02")
def test_a_name_that_is_given_is_taken_and_an_empty_one_is_not() -> None:
    assert task(double, name="{any} Name/!").name == "{any} Name/!"
    assert task(double, name="").name == "double"
    assert task(double, name=None).name == "double"


@pytest.mark.rule("KEY-01")
def test_a_flow_writes_hyphens_for_the_underscores_of_a_name_it_was_not_given() -> None:
    def my_flow() -> None: ...

    assert flow(my_flow).name == "my-flow"
    assert flow(my_flow, name="my_flow").name == "my_flow"
    assert task(my_flow).name == "my_flow"


@pytest.mark.rule("KEY-02", "DEF-13")
def test_the_key_of_a_local_function_says_where_it_is() -> None:
    def local() -> None: ...

    here = "test_the_key_of_a_local_function_says_where_it_is.<locals>"
    assert task(local).task_key == f"{__name__}.{here}.local"
    assert task(lambda: 0).task_key == f"{__name__}.{here}.<lambda>"
    assert task(lambda: 0).name == "<lambda>"


@pytest.mark.rule("KEY-06", "PRM-03", "DEF-09")
def test_the_description_is_the_cleaned_docstring_unless_given() -> None:
    assert task(double).description == "Twice\nas much."
    assert task(double, description="").description == "Twice\nas much."
    assert task(double, description="Other.").description == "Other."
    assert task(Adder(1)).description == "Adds."
    assert task(Point).description == "A place."
    assert task(functools.partial(double, 1)).description == "Twice\nas much."
    assert task(lambda: 0).description is None
    assert task(Bare()).description is None
    assert flow(double).description == "Twice\nas much."


@pytest.mark.rule("DEF-19")
def test_the_repr_shows_name_key_and_kind() -> None:
    assert repr(task(double)) == f"<Task 'double' (plain) of {__name__}.double>"
    assert repr(flow(shout)) == f"<Flow 'shout' (coroutine) of {__name__}.shout>"


def test_every_builtin_function_can_be_a_task() -> None:
    found = [value for value in vars(builtins).values() if callable(value)]

    for fn in found:
        assert task(fn).fn is fn
        assert flow(fn).fn is fn


# -- class and static methods, in both orders --------------------------------------------


class Account:
    @task
    @classmethod
    def above(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @classmethod
    @task
    def below(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @task
    @staticmethod
    def static_above(value: int) -> int:
        return value

    @staticmethod
    @task
    def static_below(value: int) -> int:
        return value

    @task
    @functools.lru_cache  # noqa: B019 - what is tested
    def remembered(self, value: int) -> int:
        return value


class Savings(Account):
    pass


@pytest.mark.parametrize("name", ["above", "below"])
@pytest.mark.parametrize("owner", [Savings, Savings()], ids=["class", "instance"])
@pytest.mark.rule("DEF-16")
def test_a_class_method_gets_its_class_in_both_orders(owner: Any, name: str) -> None:
    assert getattr(owner, name)("!") == "Savings!"


@pytest.mark.parametrize("name", ["static_above", "static_below"])
@pytest.mark.parametrize("owner", [Account, Savings()], ids=["class", "instance"])
@pytest.mark.rule("DEF-15")
def test_a_static_method_can_be_called_and_submitted_in_both_orders(
    owner: Any, name: str
) -> None:
    made = getattr(owner, name)

    assert made(3) == 3
    assert flow(lambda: made.submit(3).value())() == 3


@pytest.mark.rule("DEF-16")
def test_a_task_above_a_class_method_can_be_submitted() -> None:
    assert flow(lambda: Savings.above.submit("!").value())() == "Savings!"


@pytest.mark.rule("DEF-16")
def test_a_task_below_a_class_method_is_submitted_or_says_how_to_write_it() -> None:
    below: Any = Savings.below

    def submit() -> str:
        return below.submit("!").value()

    if sys.version_info < (3, 13):
        assert flow(submit)() == "Savings!"
    else:
        with pytest.raises(TypeError) as caught:
            flow(submit)()
        assert "put @task above @classmethod" in caught.value.__notes__[0]


def test_what_python_binds_as_a_method_is_bound_as_one() -> None:
    assert Account().remembered(3) == 3


def test_what_python_does_not_bind_is_not_bound() -> None:
    class Holder:
        adder = task(Adder(1))
        length = task(len)
        place = task(Point)

    held = Holder()

    assert (held.adder(1), held.length("ab"), held.place(1).x) == (2, 2, 1)
