"""Arguments of flows, checked and converted by their annotations."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Annotated, Any

import pydantic
import pytest

import headrace
from headrace import Flow, task
from headrace.exceptions import ParameterTypeError

# Arguments of other types than the annotations say are what these tests are about.
flow: Any = headrace.flow
DEFAULT: Any = "default"


class Model(pydantic.BaseModel):
    x: int


@dataclasses.dataclass
class Point:
    x: int


class Opaque:
    pass


def plain_body(x: int, y: list[float] | None = None, **more: int) -> Any:
    return x, y, more


async def coroutine_body(x: int, y: list[float] | None = None, **more: int) -> Any:
    return x, y, more


BODIES = pytest.mark.parametrize("body", [plain_body, coroutine_body])


@BODIES
@pytest.mark.rule("FLOW-05")
async def test_arguments_are_converted_to_their_annotations(body: Any) -> None:
    assert await flow(body).acall("5", y=["1.5", 2], z="7") == (5, [1.5, 2.0], {"z": 7})


@BODIES
@pytest.mark.rule("FLOW-05")
async def test_an_argument_that_does_not_fit_fails_the_run_before_its_body(
    body: Any,
) -> None:
    ran: list[int] = []

    def noting(x: int, y: list[float] | None = None) -> None:
        ran.append(1)

    main: Any = flow(noting, retries=3, name="main")
    state = await main.acall("five", y=["no"], return_state=True)

    assert state.is_failed()
    with pytest.raises(
        ParameterTypeError, match=r"main got arguments.*x='five'.*y\[0\]='no'.*validate"
    ):
        state.result()
    assert ran == []


@BODIES
@pytest.mark.rule("FLOW-05")
async def test_validation_can_be_left_out(body: Any) -> None:
    main: Any = flow(body, validate_parameters=False)

    assert await main.acall("5") == ("5", None, {})
    assert main.validate_parameters is False
    assert main.with_options(validate_parameters=True).validate_parameters is True


@pytest.mark.rule("FLOW-05")
async def test_futures_are_resolved_before_they_are_validated() -> None:
    @task
    async def text() -> str:
        return "41"

    @flow
    async def inner(x: int) -> int:
        return x + 1

    @flow
    async def outer() -> int:
        return await inner(text.submit())

    assert await outer() == 42


@pytest.mark.rule("FLOW-05")
async def test_models_dataclasses_and_other_types_are_taken() -> None:
    opaque = Opaque()
    model = Model(x=1)

    @flow
    async def main(
        a: Model,
        b: Point,
        c: Opaque,
        d: dt.date,
        e: Annotated[int, pydantic.Field(gt=0)],
    ) -> Any:
        return a, b, c, d, e

    given: Any = ({"x": "3"}, {"x": 4}, opaque, "2024-01-01", 1)
    assert await main(*given) == (Model(x=3), Point(4), opaque, dt.date(2024, 1, 1), 1)
    assert (await main(model, Point(1), opaque, dt.date(2024, 1, 1), 1))[0] is model
    with pytest.raises(ParameterTypeError, match="greater than 0"):
        await main(model, Point(1), opaque, "2024-01-01", -1)
    with pytest.raises(ParameterTypeError, match="instance of Opaque"):
        await main(model, Point(1), 5, "2024-01-01", 1)


async def test_every_argument_of_a_variadic_parameter_is_converted() -> None:
    @flow
    async def main(first: str, /, *numbers: int, flag: bool = False) -> Any:
        return first, numbers, flag

    given: Any = ("a", "1", "2")
    assert await main(*given, flag="yes") == ("a", (1, 2), True)


async def test_what_has_no_annotation_and_what_is_left_out_is_not_touched() -> None:
    @flow
    async def main(a, b: int = DEFAULT):
        return a, b

    thing = [1]
    assert (await main(thing, 1))[0] is thing
    with pytest.raises(ParameterTypeError, match="b='default'"):
        await main(thing)


async def test_a_method_flow_validates_what_follows_its_instance() -> None:
    class Account:
        @flow
        async def add(self, x: int) -> int:
            return x

    assert await Account().add("3") == 3


async def test_names_known_to_type_checkers_only_are_left_alone() -> None:
    async def body(x: Any, y: int) -> Any:
        return x, y

    body.__annotations__["x"] = "OnlyForTypeCheckers"

    assert await Flow(body)("a", 1) == ("a", 1)


def test_the_option_must_be_true_or_false() -> None:
    with pytest.raises(
        TypeError, match="validate_parameters='no' must be True or False"
    ):
        flow(plain_body, validate_parameters="no")
