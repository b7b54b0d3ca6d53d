"""A call's arguments, bound to the parameters of a function, and back again."""

from __future__ import annotations

import inspect
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, Signature
from typing import Any, Final

from headrace.exceptions import (
    ParameterBindError,
    ReservedArgumentError,
    SignatureMismatchError,
)

__all__ = ("Binder", "ParameterNames", "refuse_reserved", "signature_of")

# What every call of a task takes itself, in the order in which they are looked for.
_RESERVED: Final = ("return_state", "wait_for")

_NEVER: Final = sys.maxsize

_ANY_ARGUMENTS: Final = Signature(
    [
        Parameter("args", Parameter.VAR_POSITIONAL),
        Parameter("kwargs", Parameter.VAR_KEYWORD),
    ]
)


def signature_of(fn: Callable[..., Any]) -> Signature:
    """The signature of a callable; ``(*args, **kwargs)`` if it does not tell."""
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        # Such as `max` and `dict`, which are written in C and have more than one.
        return _ANY_ARGUMENTS


def refuse_reserved(task_name: str, signature: Signature) -> None:
    """Refuse a function with a parameter that every call of a task takes.

    Raises:
        ReservedArgumentError: It has ``return_state`` or ``wait_for``.
    """
    for name in _RESERVED:
        if name in signature.parameters:
            raise ReservedArgumentError(task_name, name)


class ParameterNames:
    """What the parameters of a function are called, and nothing else of it.

    Args:
        signature: That of the function.

    Attributes:
        all: The names, in the order of the signature.
    """

    __slots__ = ("_by_keyword", "_keywords", "_positional", "_surplus", "all")

    def __init__(self, signature: Signature) -> None:
        parameters = signature.parameters.values()
        self.all = tuple(signature.parameters)
        self._positional = tuple(
            p.name
            for p in parameters
            if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        )
        self._by_keyword = frozenset(
            p.name
            for p in parameters
            if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        )
        self._surplus = _name_of(parameters, Parameter.VAR_POSITIONAL)
        self._keywords = _name_of(parameters, Parameter.VAR_KEYWORD)

    def of(self, place: int | str) -> str:
        """The parameter that takes an argument, given its position or its keyword.

        Of a call that fits: what is too many goes to ``*args`` and ``**kwargs``.
        """
        if isinstance(place, int):
            if place < len(self._positional):
                return self._positional[place]
            return self._surplus or str(place)
        return place if place in self._by_keyword else self._keywords or place


class Binder:
    """Binds calls of one function; built once for each task.

    Attributes:
        name: What messages call the function.
        signature: Its signature.
        names: Those of its parameters.
        variadic_positional: The name of its ``*args``, or None.
        variadic_keyword: The name of its ``**kwargs``, or None.
        fewest: A call without keywords fits if it has at least so many arguments...
        most: ...and at most so many: asked before `check`, of every submit.
    """

    __slots__ = (
        "_all",
        "_by_keyword",
        "_defaults",
        "_keyword_only",
        "_names",
        "_positional",
        "_positional_only",
        "_required",
        "_required_keywords",
        "_variadic",
        "fewest",
        "most",
        "name",
        "names",
        "signature",
        "variadic_keyword",
        "variadic_positional",
    )

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self.name = name
        self.signature = signature_of(fn)
        self.names = ParameterNames(self.signature)
        parameters = self.signature.parameters.values()
        positional = [
            p
            for p in parameters
            if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        ]
        keyword_only = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
        self.variadic_positional = _name_of(parameters, Parameter.VAR_POSITIONAL)
        self.variadic_keyword = _name_of(parameters, Parameter.VAR_KEYWORD)
        self._positional = tuple(p.name for p in positional)
        self._positional_only = sum(
            p.kind is Parameter.POSITIONAL_ONLY for p in positional
        )
        self._keyword_only = tuple(p.name for p in keyword_only)
        self._names = (*self._positional, *self._keyword_only)
        self._variadic = len(self._names) < len(parameters)
        self._required = _required(positional)
        self._required_keywords = _required(keyword_only)
        self._defaults: dict[str, Any] = {
            p.name: p.default
            for p in (*positional, *keyword_only)
            if p.default is not Parameter.empty
        }
        # A name that may be given by keyword, to how many positional arguments leave
        # it free.
        self._by_keyword = {
            name: index
            for index, name in enumerate(self._positional)
            if index >= self._positional_only
        } | dict.fromkeys(self._keyword_only, _NEVER)
        # How many arguments a call without keywords has.
        self.fewest = _NEVER if self._required_keywords else len(self._required)
        self.most = _NEVER if self.variadic_positional else len(self._positional)
        # How many give each parameter its argument.
        is_simple = not self._variadic and not self._keyword_only
        self._all = len(self._names) if is_simple else _NEVER

    # -- From arguments to parameters -----------------------------------------

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse a call that does not fit the signature.

        Raises:
            ParameterBindError: It does not.
        """
        # Every submit comes through here. `Signature.bind` takes 20 times as long.
        if not kwargs and self.fewest <= len(args) <= self.most:
            return
        if not self._surely_fits(args, kwargs):
            self._bind(args, kwargs)

    def parameters(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What each parameter of the function gets, defaults included.

        ``*args`` are one tuple and ``**kwargs`` one dict, under the names that the
        signature gives them. In the order of the signature.

        Raises:
            ParameterBindError: The call does not fit the signature.
        """
        if not kwargs and len(args) == self._all:
            # `strict` would add 0.1 us, and they are as many.
            return dict(zip(self._names, args))  # noqa: B905
        if not self._variadic and self._surely_fits(args, kwargs):
            found = dict(zip(self._names, args, strict=False))
            for name in self._names[len(args) :]:
                found[name] = kwargs[name] if name in kwargs else self._defaults[name]
            return found
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def partial(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """`parameters` without those that the call leaves to their defaults.

        Raises:
            ParameterBindError: The call does not fit the signature.
        """
        return dict(self._bind(args, kwargs).arguments)

    def positional_names(self, count: int) -> list[str]:
        """What to call so many positional arguments in a message."""
        surplus = range(count - len(self._positional))
        more = [f"{self.variadic_positional}[{index}]" for index in surplus]
        return [*self._positional[:count], *more]

    def _surely_fits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a call fits and has nothing for ``**kwargs``; False if in doubt."""
        count = len(args)
        if not kwargs:
            return self.fewest <= count <= self.most
        if count > self.most:
            return False
        for name in kwargs:
            # -1 is a name unknown here, or positional only.
            if self._by_keyword.get(name, -1) < count:
                return False
        for name in (*self._required[count:], *self._required_keywords):
            if name not in kwargs:
                return False
        return True

    def _bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> inspect.BoundArguments:
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as mismatch:
            raise ParameterBindError(
                self.name,
                str(mismatch),
                str(self.signature),
                reprlib.repr(tuple(args)),
                reprlib.repr(dict(kwargs)),
            ) from None

    # -- From parameters to arguments -----------------------------------------

    def call_arguments(
        self, parameters: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for a call that gives each parameter its value.

        What is missing is left to its default.

        Raises:
            SignatureMismatchError: The function has no such parameter, or one is
                missing that cannot be left out.
        """
        if not self._variadic and len(parameters) == len(self._names):
            # The usual case: nothing is left out.
            try:
                args = tuple([parameters[name] for name in self._positional])
                return args, {name: parameters[name] for name in self._keyword_only}
            except KeyError:
                # As many names as there should be, and one is missing.
                raise self._mismatch(parameters) from None
        known = self.signature.parameters
        if any(name not in known for name in parameters):
            raise self._mismatch(parameters)
        surplus: Sequence[Any] = ()
        if self.variadic_positional is not None:
            surplus = parameters.get(self.variadic_positional, ())
        by_position = len(self._positional) if surplus else self._count(parameters)
        try:
            args = tuple(
                parameters[name] if name in parameters else self._defaults[name]
                for name in self._positional[:by_position]
            )
        except KeyError:
            raise self._mismatch(parameters) from None
        kwargs = {
            name: parameters[name]
            for name in (*self._positional[by_position:], *self._keyword_only)
            if name in parameters
        }
        if self.variadic_keyword is not None:
            kwargs.update(parameters.get(self.variadic_keyword, {}))
        return (*args, *surplus), kwargs

    def _count(self, parameters: Mapping[str, Any]) -> int:
        """How many parameters to pass by position when there are no ``*args``."""
        given = [name in parameters for name in self._positional]
        unbroken = given.index(False) if False in given else len(given)
        # A positional-only one takes all before it along.
        last = max((i + 1 for i in range(self._positional_only) if given[i]), default=0)
        return max(unbroken, last)

    def _mismatch(self, parameters: Mapping[str, Any]) -> SignatureMismatchError:
        expected = tuple(self.signature.parameters)
        return SignatureMismatchError(self.name, expected, tuple(parameters))


def _name_of(parameters: Iterable[Parameter], kind: object) -> str | None:
    return next((p.name for p in parameters if p.kind is kind), None)


def _required(parameters: Iterable[Parameter]) -> tuple[str, ...]:
    return tuple(p.name for p in parameters if p.default is Parameter.empty)
