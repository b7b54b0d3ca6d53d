"""What a value is made of, as far as a key is concerned: a tag, and parts in an order."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from headrace._text import shown

__all__ = (
    "AS_ATTRIBUTES",
    "AS_ELEMENTS",
    "AS_ITEMS",
    "AS_PAIRS",
    "PRIMITIVES",
    "Shape",
    "Unstable",
    "are_primitive",
    "attributes",
    "class_of",
    "leaf",
    "module_name",
    "type_name",
)

# By what the path to a part is told: list[0], {...}, dict['x'], thing.x
AS_ITEMS: Final = "items"
AS_ELEMENTS: Final = "elements"
AS_PAIRS: Final = "pairs"
AS_ATTRIBUTES: Final = "attributes"

# Exactly these are written by `marshal`, of which version 2 knows no identities: equal
# values give equal bytes, in each process, and values of different types never do. By
# id, since the classes of users may have metaclasses whose __hash__ is theirs.
# `type`, of which checkers know nothing more.
class_of: Final[Callable[[Any], Any]] = type

_ELLIPSIS: Final = type(...)
PRIMITIVES: Final = frozenset(
    map(id, (int, float, complex, bool, str, bytes, type(None), _ELLIPSIS))
)
_VERSION: Final = 2

# One byte that begins nothing that `marshal` writes.
_LEAF: Final = b"\x84"


class Unstable(Exception):
    """A value has nothing that would be the same in another process.

    Args:
        reason: Why.
    """


@dataclass(slots=True, eq=False)
class Shape:
    """A value taken apart.

    Attributes:
        tag: What kind of value it is: texts and numbers.
        children: Its parts. Pairs are flat: a key, its value, the next key, ...
        form: How the path to a part is told. Elements and pairs come in no order.
        names: Of attributes.
        keep: Is given the encoding, to save the work next time.
    """

    tag: Any
    children: Sequence[Any]
    form: str = AS_ITEMS
    names: Sequence[str] = ()
    keep: Callable[[bytes], None] | None = None

    def label(self, i: int) -> str:
        """What leads from the value to one of its children."""
        if self.form == AS_ATTRIBUTES:
            return self.names[i]
        if self.form == AS_PAIRS:
            key = shown(self.children[i - i % 2])
            return f"[{key}]" if i % 2 else f".keys() at {key}"
        return f"[{i}]" if self.form == AS_ITEMS else " (an element)"


def attributes(tag: Any, named: dict[str, Any], prefix: str = ".") -> Shape:
    """A shape of named parts, in the order of their names."""
    names = sorted(named)
    return Shape(
        tag,
        [named[name] for name in names],
        AS_ATTRIBUTES,
        [f"{prefix}{name}" for name in names],
    )


def leaf(*parts: Any) -> bytes:
    """The encoding of a value without parts that could be of any type.

    Args:
        parts: Its kind, then what tells it apart: numbers, texts, bytes.
    """
    return _LEAF + marshal.dumps(parts, _VERSION)


def are_primitive(values: Any) -> bool:
    """Whether all values of an iterable are exactly of primitive types."""
    return PRIMITIVES.issuperset(map(id, map(type, values)))


def module_name(thing: Any) -> str:
    """The module of a class or function, by the same name in a spawned process."""
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        return "builtins"
    return "__main__" if module == "__mp_main__" else module


def type_name(cls: Any) -> str:
    """The full name of a class."""
    return f"{module_name(cls)}.{type.__dict__['__qualname__'].__get__(cls)}"
