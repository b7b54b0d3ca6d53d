from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace.exceptions import (
    ParameterBindError,
    ReservedArgumentError,
    SignatureMismatchError,
)
from headrace.parameters import Binder, refuse_reserved, signature_of


def nothing() -> None: ...
def plain(a: Any, b: Any = 2) -> None: ...
def positional(a: Any, b: Any = 2, /, c: Any = 3) -> None: ...
def keyword(a: Any, *, k: Any, d: Any = 4) -> None: ...
def surplus(a: Any, *args: Any, k: Any = 5) -> None: ...
def spare(a: Any, /, **kw: Any) -> None: ...
def everything(a: Any, /, b: Any = 2, *args: Any, k: Any = 5, **kw: Any) -> None: ...
def defaults_first(a: Any = 1, b: Any = 2, /, c: Any = 3, *args: Any) -> None: ...


FUNCTIONS: list[Callable[..., Any]] = [
    *(nothing, plain, positional, keyword, surplus, spare, everything, defaults_first),
]

NAMES = st.sampled_from(["a", "b", "c", "d", "k", "args", "kw", "other", "self"])
ARGS = st.lists(st.integers(), max_size=5).map(tuple)
KWARGS = st.dictionaries(NAMES, st.integers(), max_size=4)


def binder(fn: Callable[..., Any], name: str = "load") -> Binder:
    return Binder(fn, name)


def by_python(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> inspect.BoundArguments | None:
    try:
        return inspect.signature(fn).bind(*args, **kwargs)
    except TypeError:
        return None


# -- What Python says, we say -------------------------------------------------


@pytest.mark.rule("BIND-01", "BIND-05")
@given(st.sampled_from(FUNCTIONS), ARGS, KWARGS)
def test_a_call_fits_when_python_says_so(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    if by_python(fn, args, kwargs) is not None:
        binder(fn).check(args, kwargs)
        return

    for verb in (binder(fn).check, binder(fn).parameters, binder(fn).partial):
        with pytest.raises(ParameterBindError):
            verb(args, kwargs)


@pytest.mark.rule("BIND-02", "BIND-03", "BIND-04")
@given(st.sampled_from(FUNCTIONS), ARGS, KWARGS)
def test_parameters_are_those_that_python_binds(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    bound = by_python(fn, args, kwargs)
    if bound is None:
        return

    assert binder(fn).partial(args, kwargs) == bound.arguments
    bound.apply_defaults()
    found = binder(fn).parameters(args, kwargs)
    assert list(found.items()) == list(bound.arguments.items())


@pytest.mark.rule("BIND-05")
@given(st.sampled_from(FUNCTIONS), ARGS, KWARGS)
def test_parameters_make_the_call_that_they_came_from(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    if by_python(fn, args, kwargs) is None:
        return
    made = binder(fn)
    whole = made.parameters(args, kwargs)

    for parameters in (whole, made.partial(args, kwargs)):
        again = made.call_arguments(parameters)
        assert made.parameters(*again) == whole


# -- Binding ------------------------------------------------------------------


@pytest.mark.rule("BIND-02")
def test_one_call_written_three_ways_has_the_same_parameters() -> None:
    made = binder(plain)

    assert made.parameters((1, 2), {}) == {"a": 1, "b": 2}
    assert made.parameters((1,), {"b": 2}) == {"a": 1, "b": 2}
    assert list(made.parameters((), {"b": 2, "a": 1})) == ["a", "b"]
    assert made.parameters((1,), {}) == {"a": 1, "b": 2}


@pytest.mark.rule("BIND-03")
def test_partial_parameters_leave_out_the_defaults() -> None:
    assert binder(plain).partial((1,), {}) == {"a": 1}
    assert binder(everything).partial((1,), {"x": 2}) == {"a": 1, "kw": {"x": 2}}


@pytest.mark.rule("BIND-04")
def test_variadics_stand_under_their_own_names() -> None:
    found = binder(everything).parameters((1, 2, 3, 4), {"x": 5})

    assert found == {"a": 1, "b": 2, "args": (3, 4), "k": 5, "kw": {"x": 5}}
    assert binder(everything).variadic_positional == "args"
    assert binder(everything).variadic_keyword == "kw"
    assert binder(plain).variadic_positional is None
    assert binder(plain).variadic_keyword is None


@pytest.mark.rule("BIND-01")
def test_a_call_that_does_not_fit_is_told_in_full() -> None:
    with pytest.raises(ParameterBindError) as caught:
        binder(plain).check((1,), {"c": 3})

    assert str(caught.value) == (
        "cannot call load: got an unexpected keyword argument 'c'. It takes "
        "load(a: 'Any', b: 'Any' = 2) -> 'None', and got args (1,) and kwargs {'c': 3}."
    )
    assert caught.value.__cause__ is None


@pytest.mark.rule("BIND-07")
@pytest.mark.parametrize(
    "fn", [functools.partial(plain, 1), type("C", (), {"__call__": plain})()]
)
def test_a_callable_without_a_name_is_called_by_that_of_its_task(fn: Any) -> None:
    with pytest.raises(ParameterBindError, match="cannot call load: "):
        binder(fn).check((1, 2, 3, 4), {})


def test_what_does_not_fit_is_shown_in_short() -> None:
    with pytest.raises(ParameterBindError) as caught:
        binder(nothing).check(("x" * 10_000,), {})

    assert len(str(caught.value)) < 300


@pytest.mark.rule("DEF-12")
@pytest.mark.parametrize("fn", [max, dict])
def test_a_callable_without_a_signature_takes_anything(fn: Any) -> None:
    made = binder(fn)

    made.check((1, 2), {"x": 3})
    assert made.parameters((1, 2), {"x": 3}) == {"args": (1, 2), "kwargs": {"x": 3}}
    assert made.call_arguments({"args": (1,), "kwargs": {"x": 3}}) == ((1,), {"x": 3})


@pytest.mark.rule("DEF-12")
def test_a_builtin_with_a_signature_is_bound_by_it() -> None:
    assert binder(len).parameters(([],), {}) == {"obj": []}
    with pytest.raises(ParameterBindError):
        binder(len).check((), {})


# -- The call that parameters make --------------------------------------------


@pytest.mark.rule("BIND-05")
@pytest.mark.parametrize(
    ("fn", "parameters", "args", "kwargs"),
    [
        (plain, {"b": 2, "a": 1}, (1, 2), {}),
        (plain, {"b": 2}, (), {"b": 2}),
        (keyword, {"a": 1, "k": 2}, (1,), {"k": 2}),
        (positional, {"a": 1, "c": 3}, (1,), {"c": 3}),
        (defaults_first, {"b": 9}, (1, 9), {}),
        (defaults_first, {"c": 9}, (), {"c": 9}),
        (defaults_first, {"args": (9,)}, (1, 2, 3, 9), {}),
        (defaults_first, {"args": ()}, (), {}),
        (spare, {"a": 1, "kw": {"a": 2}}, (1,), {"a": 2}),
        (everything, {"a": 1, "args": (8,), "kw": {"x": 9}}, (1, 2, 8), {"x": 9}),
        (nothing, {}, (), {}),
    ],
)
def test_parameters_are_passed_as_the_signature_wants(
    fn: Callable[..., Any],
    parameters: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    assert binder(fn).call_arguments(parameters) == (args, kwargs)


@pytest.mark.rule("BIND-08")
@pytest.mark.parametrize(
    ("fn", "parameters"),
    [
        (plain, {"a": 1, "z": 2}),
        (plain, {"a": 1, "b": 2, "z": 3}),
        (everything, {"z": 1}),
        (positional, {"b": 1}),
        (surplus, {"args": (1,)}),
    ],
)
def test_parameters_that_no_longer_fit_are_refused(
    fn: Callable[..., Any], parameters: dict[str, Any]
) -> None:
    with pytest.raises(SignatureMismatchError) as caught:
        binder(fn).call_arguments(parameters)

    assert caught.value.expected == tuple(inspect.signature(fn).parameters)
    assert caught.value.provided == tuple(parameters)


# -- Reserved names -----------------------------------------------------------


@pytest.mark.rule("DEF-18")
@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (lambda wait_for: None, "wait_for"),
        (lambda wait_for, return_state: None, "return_state"),
        (lambda *return_state: None, "return_state"),
    ],
)
def test_a_reserved_parameter_is_refused(fn: Callable[..., Any], name: str) -> None:
    with pytest.raises(ReservedArgumentError, match=f"'{name}', which is reserved"):
        refuse_reserved("load", signature_of(fn))


def test_other_parameters_are_not_reserved() -> None:
    for fn in (*FUNCTIONS, max):
        refuse_reserved("load", signature_of(fn))
