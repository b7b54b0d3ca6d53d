from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from headrace.callables import is_of_module


def of_module(x: int = 1) -> int:
    return x


class Owner:
    def method(self) -> None: ...

    @staticmethod
    def static() -> None: ...


def local() -> Callable[..., Any]:
    def inner() -> None: ...

    return inner


def closure(value: object) -> Callable[..., Any]:
    @functools.wraps(of_module)
    def wrapper() -> object:
        return value

    return wrapper


@pytest.mark.parametrize("fn", [of_module, Owner.method, Owner.static, lambda: None])
def test_a_function_of_a_module_or_class_is_told(fn: Callable[..., Any]) -> None:
    # The lambda is one of this module, as the list of parameters is.
    assert is_of_module(fn)


@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(local(), id="local"),
        pytest.param(closure(1), id="closure-with-the-name-of-another"),
        pytest.param(Owner().method, id="bound-method"),
        pytest.param(functools.partial(of_module, 1), id="partial"),
        pytest.param(Owner, id="class"),
        pytest.param(len, id="written-in-c"),
    ],
)
def test_what_may_hold_other_values_is_not(fn: Callable[..., Any]) -> None:
    assert not is_of_module(fn)
