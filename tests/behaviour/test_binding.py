"""Arguments are bound with the function's signature, before any run is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from headrace import Runtime, flow, task
from headrace.exceptions import HeadraceError, ParameterBindError
from headrace.testing import Recorder


@task
def show(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple[Any, ...]:
    return a, b, rest, c, more


class Adder:
    def __call__(self, x: int) -> int:
        return x


def called(made: Any, *args: Any, **kwargs: Any) -> Any:
    return made(*args, **kwargs)


def submitted(made: Any, *args: Any, **kwargs: Any) -> Any:
    return made.submit(*args, **kwargs).value()


WAYS = pytest.mark.parametrize("way", [called, submitted])


@WAYS
@pytest.mark.rule("BIND-04", "BIND-05", "BIND-02")
def test_every_kind_of_parameter_gets_its_argument(way: Callable[..., Any]) -> None:
    with Runtime():
        assert way(show, 1) == (1, 2, (), 3, {})
        assert way(show, 1, c=5, b=4) == (1, 4, (), 5, {})
        assert way(show, 1, 2, 3, 4, c=5, d=6) == (1, 2, (3, 4), 5, {"d": 6})
        assert way(show, 1, a=7) == (1, 2, (), 3, {"a": 7})


@WAYS
@pytest.mark.rule("BIND-05")
def test_parameters_may_have_the_names_that_methods_use(
    way: Callable[..., Any],
) -> None:
    @task
    def odd(self: int, fn: int, spec: int, args: int, kwargs: int) -> list[int]:
        return [self, fn, spec, args, kwargs]

    values = {"self": 1, "fn": 2, "spec": 3, "args": 4, "kwargs": 5}

    with Runtime():
        assert way(odd, **values) == [1, 2, 3, 4, 5]


@pytest.mark.rule("BIND-06")
def test_values_are_not_checked_against_annotations() -> None:
    def double(x: int) -> int:
        return x * 2

    made: Any = task(double)

    assert made("a") == "aa"


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda t: t(1, 2, 3), id="call"),
        pytest.param(lambda t: t(1, 2, 3, return_state=True), id="state"),
        pytest.param(lambda t: t.submit(1, 2, 3), id="submit"),
        pytest.param(lambda t: t.map([1], [2], [3]), id="map"),
    ],
)
@pytest.mark.rule("BIND-01")
def test_arguments_that_do_not_fit_raise_to_the_caller_and_make_no_run(
    act: Callable[[Any], Any],
) -> None:
    recorder = Recorder()

    @task
    def add(x: int, y: int = 0) -> int:
        return x + y

    with Runtime(observers=[recorder]), pytest.raises(ParameterBindError) as caught:
        act(add)

    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, HeadraceError)
    assert "add" in str(caught.value)
    assert "too many positional arguments" in str(caught.value)
    assert "(x: 'int', y: 'int' = 0)" in str(caught.value)
    assert recorder.events == []


async def test_arguments_that_do_not_fit_raise_before_anything_is_awaited() -> None:
    @task
    async def fetch(url: str) -> str:
        return url

    @flow
    async def page(url: str) -> str:
        return url

    for made in (fetch, page):
        wrong: Any = made
        with pytest.raises(ParameterBindError, match="'url'"):
            wrong()
        with pytest.raises(ParameterBindError, match="'url'"):
            await wrong.acall()


@pytest.mark.parametrize("fn", [Adder(), partial(Adder())], ids=["object", "partial"])
@pytest.mark.rule("BIND-07", "CALL-08")
def test_a_callable_without_a_name_is_called_as_its_task(fn: Any) -> None:
    made: Any = task(fn, name="adder")

    with pytest.raises(ParameterBindError, match="cannot call adder"):
        made.submit(1, 2, 3)


@pytest.mark.rule("BIND-09")
def test_a_default_reaches_the_body_as_the_very_object() -> None:
    default: list[int] = []

    @task
    def give(items: list[int] = default) -> list[int]:
        return items

    assert give() is default


@pytest.mark.rule("BIND-09")
def test_a_default_that_a_body_changes_stays_changed_as_in_python() -> None:
    @task
    def collect(item: int, into: list[int] = []) -> list[int]:  # noqa: B006
        into.append(item)
        return into

    with Runtime():
        assert submitted(collect, 1) == [1]
        assert collect(2) == [1, 2]


@pytest.mark.rule("BIND-08")
async def test_a_run_keeps_the_function_it_was_submitted_with() -> None:
    @task
    async def add(x: int, y: int) -> int:
        return x + y

    async def negative(z: int) -> int:
        return -z

    made: Any = add

    async with Runtime():
        before = made.submit(1, 2)
        made.fn = negative
        after = made.submit(z=5)
        with pytest.raises(ParameterBindError, match=r"add\(z: 'int'\)"):
            made.submit(1, 2)

        assert [await before.aresult(), await after.aresult()] == [3, -5]
