"""Marks that a caller puts on an argument to say how a run should receive it."""

from __future__ import annotations

from typing import Any, Generic, TypeGuard, TypeVar, cast

__all__ = ("BaseAnnotation", "allow_failure", "is_mark", "quote", "unmapped")

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


# A plain slotted class: a frozen dataclass takes three times as long to build, and
# a map makes one mark for each element. Treat instances as frozen all the same.
class BaseAnnotation(Generic[T_co]):
    """A value together with one instruction for the engine.

    Two are equal when they are of exactly one type and hold equal values; one is
    hashable when its value is.

    Attributes:
        value: What was wrapped.
    """

    __slots__ = ("value",)

    def __init__(self, value: T_co) -> None:
        self.value = value

    def unwrap(self) -> T_co:
        """What was wrapped, without the mark."""
        return self.value

    def rewrap(self, value: U) -> BaseAnnotation[U]:
        """The same mark around another value."""
        kind = cast("type[BaseAnnotation[U]]", type(self))
        return kind(value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        theirs = cast("BaseAnnotation[object]", other).value
        return self.value is theirs or bool(self.value == theirs)

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class unmapped(BaseAnnotation[T_co]):
    """Give the whole value to every run of a ``map()``, also if it is iterable."""

    __slots__ = ()

    def __getitem__(self, _: object) -> T_co:
        return self.value


class allow_failure(BaseAnnotation[T_co]):
    """Run although an upstream in this argument did not complete.

    The body gets the upstream's exception in place of its value. Covers every
    future and state inside the value, and every end: failed, crashed, cancelled,
    held back.
    """

    __slots__ = ()


class quote(BaseAnnotation[T_co]):
    """Hand the value over as it is: nothing inside is looked at or waited for."""

    __slots__ = ()


def is_mark(value: object) -> TypeGuard[BaseAnnotation[Any]]:
    """Whether a value is one of the marks of this module."""
    return isinstance(value, BaseAnnotation)
