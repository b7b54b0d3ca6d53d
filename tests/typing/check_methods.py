"""Tasks and flows as methods: bound through instances, and class and static methods."""

from __future__ import annotations

from typing import Generic, TypeVar, assert_type

from headrace import Flow, Task, flow, task
from headrace.flows import BoundFlow
from headrace.futures import AsyncSubmission, Submission, TaskFutures
from headrace.tasks import BoundTask

T = TypeVar("T")


class Account:
    @task
    def plus(self, amount: int) -> str:
        return str(amount)

    @task(retries=1)
    async def times(self, factor: int) -> str:
        return str(factor)

    @task
    @classmethod
    def kind(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @task(tags="a")
    @classmethod
    def tagged(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @task
    @staticmethod
    def same(value: int) -> int:
        return value

    @task(tags="a")
    @staticmethod
    def none_taken() -> int:
        return 1

    @task
    @staticmethod
    def anything(value: object) -> str:
        return repr(value)

    @classmethod
    @task
    def below_classmethod(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    @staticmethod
    @task
    def below_staticmethod(value: int) -> int:
        return value

    @flow
    def grown(self, amount: int) -> str:
        return self.plus(amount)

    @flow
    @classmethod
    def named(cls, suffix: str) -> str:
        return cls.kind(suffix)

    @flow
    @staticmethod
    def fixed(value: int) -> int:
        return value


class Savings(Account): ...


class Box(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value

    @task
    def swap(self, value: T) -> T:
        return value


def check_methods(account: Account, savings: Savings) -> None:
    assert_type(account.plus(1), str)
    assert_type(account.plus.submit(1), Submission[str])
    assert_type(account.times.submit(2), AsyncSubmission[str])
    assert_type(account.plus.map([1, 2]), TaskFutures[str])
    assert_type(account.plus.with_options(retries=2).submit(1), Submission[str])
    assert_type(savings.plus(1), str)
    assert_type(Account.plus(account, 1), str)
    assert_type(Account.plus.submit(savings, 1), Submission[str])
    assert_type(Box("a").swap("b"), str)
    assert_type(Box(1).swap.submit(2), Submission[int])
    account.plus("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    account.plus.submit()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Account.plus(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Box(1).swap("b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def check_class_methods(account: Account) -> None:
    assert_type(Account.kind("!"), str)
    assert_type(Account.kind.submit("!"), Submission[str])
    assert_type(account.kind.submit("!"), Submission[str])
    assert_type(Savings.tagged.submit("!"), Submission[str])
    assert_type(Account.below_classmethod("!"), str)
    assert_type(account.below_classmethod("!"), str)
    Account.kind(1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def check_static_methods(account: Account) -> None:
    assert_type(Account.same(1), int)
    assert_type(account.same.submit(1), Submission[int])
    assert_type(account.none_taken(), int)
    assert_type(Account.none_taken.submit(), Submission[int])
    assert_type(account.anything(None), str)
    assert_type(Account.anything.submit(value=None), Submission[str])
    assert_type(Account.below_staticmethod(1), int)
    assert_type(account.below_staticmethod(1), int)
    account.same("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def check_flows_as_methods(account: Account) -> None:
    assert_type(account.grown(1), str)
    assert_type(Account.grown(account, 1), str)
    assert_type(Savings.named("!"), str)
    assert_type(account.fixed(1), int)
    account.grown("1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def one_more(x: int, /) -> int:
    return x + 1


def check_method_objects() -> None:
    assert_type(task(staticmethod(one_more)), BoundTask[[int], int])
    assert_type(flow(staticmethod(one_more)), BoundFlow[[int], int])
    of_task: Task[[int], int] = task(retries=1)(staticmethod(one_more))
    of_flow: Flow[[int], int] = flow(timeout_seconds=1)(staticmethod(one_more))
    assert_type(of_task(1) + of_flow(1), int)
