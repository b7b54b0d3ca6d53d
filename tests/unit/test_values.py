"""What dataclasses have in common, compared with what `dataclass` makes by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from headrace._values import Shown, Value


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ours(Value):
    name: str
    parts: Any = ()
    hidden: int = field(default=0, repr=False)
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Usual:
    name: str
    parts: Any = ()
    hidden: int = field(default=0, repr=False)
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Longer(Ours):
    more: int = 1


@dataclass(slots=True, eq=False, repr=False)
class Only(Shown):
    parts: Any


@pytest.mark.parametrize("given", [("a",), ("b", (1, 2)), ("b", (1, 2), 3, "x")])
def test_it_is_shown_and_hashed_as_a_dataclass_is(given: tuple[Any, ...]) -> None:
    ours, usual = Ours(*given), Usual(*given)

    assert repr(ours) == repr(usual).replace("Usual", "Ours")
    assert hash(ours) == hash(usual)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a",), ("a",)),
        (("a",), ("b",)),
        (("a", (1,)), ("a", (1,))),
        (("a", (), 1), ("a", (), 2)),
        (("a", (), 1, "x"), ("a", (), 1, "y")),
    ],
)
def test_it_equals_where_a_dataclass_does(
    one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    assert (Ours(*one) == Ours(*other)) is (Usual(*one) == Usual(*other))


def test_it_equals_nothing_of_another_class() -> None:
    assert Ours("a") != Usual("a")
    assert Ours("a") != Longer("a")
    assert Ours("a") != "a"


def test_a_class_derived_from_it_shows_its_own_fields_too() -> None:
    assert repr(Longer("a", more=2)) == "Longer(name='a', parts=(), note='', more=2)"


def test_what_holds_itself_is_shown() -> None:
    only = Only([])
    only.parts.append(only)

    assert repr(only) == "Only(parts=[...])"


def test_what_is_only_shown_equals_itself_alone() -> None:
    assert Only(1) != Only(1)
