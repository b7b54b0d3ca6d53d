"""What dataclasses that users hold have in common, written once.

`dataclass` would compile these methods anew for each class, which takes 1.5 ms of every
import for all of ours. So they are ``@dataclass(..., repr=False, eq=False)``, and inherit.
"""

from __future__ import annotations

from dataclasses import fields
from reprlib import recursive_repr
from typing import Any

__all__ = ("Shown", "Value")


class Shown:
    """A dataclass that shows its fields, as dataclasses do."""

    __slots__ = ()

    @recursive_repr()
    def __repr__(self) -> str:
        this: Any = self
        shown = (f"{f.name}={getattr(this, f.name)!r}" for f in fields(this) if f.repr)
        return f"{type(this).__qualname__}({', '.join(shown)})"


class Value(Shown):
    """One that equals another of its class whose fields are equal too."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _fields_of(self) == _fields_of(other)

    def __hash__(self) -> int:
        return hash(_fields_of(self))


def _fields_of(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, f.name) for f in fields(value) if f.compare)
