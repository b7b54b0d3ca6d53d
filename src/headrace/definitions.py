"""What tasks and flows have in common: a function, options, and how they change."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, overload

from headrace._types import NOT_SET
from headrace.callables import coroutine_form, named
from headrace.parameters import Binder

__all__ = ("Definition", "Option", "is_method_object")

T = TypeVar("T")


class Option(Generic[T]):
    """An option as an attribute: read from the spec, checked when assigned."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Definition, owner: type) -> T: ...
    def __get__(self, instance: Definition | None, owner: type) -> T | Self:
        return self if instance is None else self._read(instance.spec)

    def __set__(self, instance: Definition, value: Any) -> None:
        instance.redefine({self._name: value})


class Definition:
    """A decorated function: it carries the function's metadata and its options."""

    spec: Any
    _noun: ClassVar[str]  # "task" or "flow"
    _known: ClassVar[frozenset[str]]  # the names of its options
    _given: dict[str, Any]
    _fn: Any

    def __init__(self, fn: Any, given: Mapping[str, Any]) -> None:
        self._refuse_unknown(f"a {self._noun}", given)
        self._fn = fn
        self._given = self._settled(given)
        self.spec = self._make_spec(self._function_of(fn), self._given, None)
        self._wrap()

    def _settled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options given, and those that settings give: copies are to keep them."""
        return dict(given)

    def _make_spec(
        self, fn: Callable[..., Any], given: dict[str, Any], key: str | None
    ) -> Any:
        raise NotImplementedError

    def _refuse_unknown(self, who: str, options: Mapping[str, Any]) -> None:
        for name in options:
            if name not in self._known:
                known = ", ".join(sorted(self._known))
                raise TypeError(f"{who} has no option {name!r}. There are: {known}.")

    def _function_of(self, fn: Any) -> Callable[..., Any]:
        """The callable in what was decorated: static and class methods are unwrapped.

        Raises:
            TypeError: It cannot be called, or is a task or flow already.
        """
        inner: Any = getattr(fn, "__func__", fn) if is_method_object(fn) else fn
        if isinstance(inner, Definition):
            raise TypeError(
                f"@{self._noun} got {inner!r}, which is decorated already. For a copy "
                f"with other options write .with_options(...); for its function, .fn."
            )
        if not callable(inner):
            raise TypeError(
                f"fn must be callable, but @{self._noun} got {inner!r}. Decorate a "
                f"function, or write {self._noun}(some_function, ...)."
            )
        return cast("Callable[..., Any]", inner)

    def _wrap(self) -> None:
        """Look like the function: its name, docstring, signature, own attributes."""
        wrapper: Any = self
        fn = self.spec.fn
        functools.update_wrapper(wrapper, named(fn), updated=())
        wrapper.__wrapped__ = fn
        if inspect.isroutine(fn):
            # Not those of callable objects, and none that would hide ours.
            ours = {*vars(self), *dir(type(self)), "__self__"}
            for name, value in getattr(fn, "__dict__", {}).items():
                if name not in ours:
                    setattr(self, name, value)

    # -- other options -------------------------------------------------------------

    def redefine(self, changes: Mapping[str, Any]) -> None:
        """Change options in place; the new ones are checked like the first."""
        given = self._settled({**self._given, **changes})
        fn = given.pop("fn", self._fn)
        if fn is not self._fn:
            # As with any other attribute, nothing changes but what was assigned.
            given["name"] = given.get("name") or self.spec.name
            given["description"] = given.get("description") or self.spec.description
        self.spec = self._make_spec(self._function_of(fn), given, self.spec.key)
        self._fn, self._given = fn, given
        vars(self).pop("_method_binder", None)
        if "fn" in changes:
            self._wrap()
        if self._is_bound:
            self._bind(vars(self)["__self__"])

    def _with_options(self, changes: Mapping[str, Any]) -> Self:
        self._refuse_unknown(f"{self.spec.name}.with_options()", changes)
        given = {k: v for k, v in changes.items() if v is not NOT_SET}
        make: Any = type(self)
        other: Self = make(self._fn, **{**self._given, **given})
        other.spec = dataclasses.replace(other.spec, key=self.spec.key)
        if self._is_bound:
            bound: Self = other.bound_to(type(self), vars(self)["__self__"])
            return bound
        return other

    # -- as a method ---------------------------------------------------------------

    def bound_to(self, kind: type[Any], instance: object) -> Any:
        """A copy whose function is a method of an instance or class."""
        bound: Any = object.__new__(kind)
        bound.__dict__.update(vars(self), _method_binder=self._method_binder)
        bound._bind(instance)  # noqa: SLF001 - of our own kind
        return bound

    def _looked_up(
        self, kind: type[Any], instance: object | None, owner: type | None
    ) -> Any:
        """What a look-up on an instance or class gives: itself, or a bound copy."""
        if self._is_bound:
            return self
        if isinstance(self._fn, classmethod):
            return self.bound_to(kind, owner if owner is not None else type(instance))
        if instance is None or not _is_method_of(self._fn):
            return self
        return self.bound_to(kind, instance)

    @property
    def _is_bound(self) -> bool:
        return "__self__" in vars(self)

    def _bind(self, instance: object) -> None:
        spec = self.spec
        method = types.MethodType(spec.fn, instance)
        self.spec = spec.with_method(
            fn=method,
            call=coroutine_form(method) if spec.is_async else method,
            binder=self._method_binder,
        )
        vars(self).update(__self__=instance, __wrapped__=method)

    @functools.cached_property
    def _method_binder(self) -> Binder:
        # Of any instance: what is left of the signature is the same for all.
        return Binder(types.MethodType(self.spec.fn, object()), self.spec.name)

    # -- as an object --------------------------------------------------------------

    def __copy__(self) -> Self:
        return self._twin({}, lambda value, _: value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._twin(memo, copy.deepcopy)

    def _twin(
        self, memo: dict[int, Any], copied: Callable[[Any, dict[int, Any]], Any]
    ) -> Self:
        twin = memo[id(self)] = object.__new__(type(self))
        made = {"_fn", "_method_binder", "__wrapped__", "spec"}
        state = {name: value for name, value in vars(self).items() if name not in made}
        vars(twin).update(copied(state, memo))
        # There are no copies of static and class method objects, as of functions.
        fn = self._fn if is_method_object(self._fn) else copied(self._fn, memo)
        twin._remade(fn, self.spec.key)
        return twin

    def _remade(self, fn: Any, key: str) -> None:
        function = self._function_of(fn)
        self._fn = fn
        self.spec = self._make_spec(function, self._given, key)
        vars(self)["__wrapped__"] = function
        if self._is_bound:
            self._bind(vars(self)["__self__"])

    def __task_hash__(self) -> tuple[str, Any]:
        """What it is in a cache key: the key of the task and its function."""
        return self.spec.key, self.spec.fn

    def __repr__(self) -> str:
        spec = self.spec
        kind = "coroutine" if spec.is_async else "plain"
        return f"<{type(self).__name__} {spec.name!r} ({kind}) of {spec.key}>"


def is_method_object(fn: object) -> bool:
    """Whether it is what ``@staticmethod`` or ``@classmethod`` gave."""
    return isinstance(fn, (staticmethod, classmethod))


def _is_method_of(fn: object) -> bool:
    """Whether looking it up on an instance binds it, as for functions."""
    return hasattr(type(fn), "__get__") and not isinstance(
        fn, (type, types.MethodType, staticmethod)
    )
