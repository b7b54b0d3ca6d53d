"""Tasks and flows as methods: bound like functions, and still so after other options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace import Flow, Task, flow, task


class Account:
    def __init__(self, balance: int) -> None:
        self.balance = balance

    @task
    def plus(self, amount: int) -> int:
        return self.balance + amount

    @task
    async def times(self, factor: int) -> int:
        return self.balance * factor

    @task
    @classmethod
    def kind(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @task
    @staticmethod
    def same(value: int) -> int:
        return value

    @flow
    def grown(self, amount: int) -> int:
        return self.plus.submit(amount).result()

    @flow
    async def multiplied(self, factor: int) -> int:
        return await self.times(factor)

    @flow
    @classmethod
    def named(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @flow
    @staticmethod
    def fixed(value: int) -> int:
        return value


class Savings(Account):
    pass


# To type checkers a class or static method under @task is a method like others.
ACCOUNT: Any = Account
SAVINGS: Any = Savings


@pytest.mark.parametrize(
    ("call", "value"),
    [
        pytest.param(lambda: Account(10).plus(1), 11, id="task"),
        pytest.param(lambda: Account.plus(Account(10), 1), 11, id="task-of-the-class"),
        pytest.param(lambda: ACCOUNT.kind("!"), "Account!", id="class-method"),
        pytest.param(lambda: SAVINGS(1).kind("!"), "Savings!", id="of-a-subclass"),
        pytest.param(lambda: ACCOUNT(10).same(3), 3, id="static-method"),
        pytest.param(lambda: Account(10).grown(1), 11, id="flow"),
        pytest.param(lambda: Account.grown(Account(10), 1), 11, id="flow-of-the-class"),
        pytest.param(lambda: SAVINGS.named("!"), "Savings!", id="class-method-flow"),
        pytest.param(lambda: ACCOUNT(10).fixed(3), 3, id="static-method-flow"),
    ],
)
@pytest.mark.rule("DEF-14", "DEF-15", "DEF-16")
def test_a_method_is_bound_as_a_function_would_be(
    call: Callable[[], Any], value: object
) -> None:
    assert call() == value


async def test_a_coroutine_method_is_bound_too() -> None:
    account = Account(10)

    assert await account.times(2) == 20
    assert await account.multiplied(3) == 30


@pytest.mark.parametrize(
    ("look_up", "argument", "value"),
    [
        pytest.param(lambda: Account(10).plus, 1, 11, id="task"),
        pytest.param(lambda: SAVINGS.kind, "!", "Savings!", id="class-method"),
        pytest.param(lambda: Account.same, 3, 3, id="static-method"),
        pytest.param(lambda: Account(10).grown, 1, 11, id="flow"),
    ],
)
def test_a_bound_method_stays_bound_with_other_options(
    look_up: Callable[[], Any], argument: object, value: object
) -> None:
    copy = look_up().with_options(name="other", timeout_seconds=60)

    assert copy.name == "other"
    assert copy(argument) == value


def test_a_bound_method_stays_bound_when_an_option_is_assigned() -> None:
    plus = Account(10).plus

    plus.retries = 2

    assert (plus.retries, plus(1)) == (2, 11)
    assert Account.plus.retries == 0


def test_a_bound_method_is_not_bound_again_by_another_class() -> None:
    class Other:
        plus = Account(10).plus

    assert Other().plus(1) == 11


def test_a_method_that_gets_too_few_arguments_says_what_it_takes() -> None:
    with pytest.raises(TypeError, match=r"plus\(amount: 'int'\)"):
        Account(10).plus()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def test_what_a_look_up_gives_knows_its_instance() -> None:
    account = Account(10)

    assert account.plus.__self__ is account
    assert isinstance(account.plus, Task)
    assert isinstance(account.grown, Flow)
