from __future__ import annotations

import array
import dataclasses
import enum
import io
import os
import time
import weakref
from collections import ChainMap, OrderedDict, UserString, deque
from collections.abc import Mapping, MutableSequence, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any, Generic, TypeVar
from unittest.mock import MagicMock

import pydantic
import pytest

from headrace.futures.contents import container_of, is_model

T = TypeVar("T")


def replaced(item: Any, old: Any, new: Any) -> Any:
    """A copy of a container that holds something else in one place."""
    container = container_of(type(item))
    assert container is not None
    shell = container.shell(item)
    held = [new if child is old else child for child in container.held(item)]
    return container.filled(item, shell, held)


def held(item: Any) -> list[Any]:
    container = container_of(type(item))
    return [] if container is None else list(container.held(item))


OLD, NEW = object(), object()


@pytest.mark.parametrize(
    "item",
    [
        pytest.param("text", id="text"),
        pytest.param(UserString("text"), id="user-string"),
        pytest.param(b"x", id="bytes"),
        pytest.param(bytearray(b"x"), id="bytearray"),
        pytest.param(memoryview(b"x"), id="memoryview"),
        pytest.param(range(3), id="range"),
        pytest.param(array.array("i", [1]), id="array"),
        pytest.param(io.StringIO("x"), id="file"),
        pytest.param(iter([OLD]), id="iterator"),
        pytest.param((x for x in [OLD]), id="generator"),
        pytest.param(SimpleNamespace(x=OLD), id="namespace"),
        pytest.param(MagicMock(spec=dict), id="mock"),
        pytest.param(ValueError(OLD), id="exception"),
        pytest.param(dict, id="class"),
        pytest.param(slice(OLD), id="slice"),
        pytest.param(list[int], id="alias"),
        pytest.param(weakref.WeakSet(), id="weak-set"),
    ],
)
def test_nothing_of_interest_is_held_by(item: Any) -> None:
    assert OLD not in held(item)


def test_the_environment_is_not_asked_for_its_variables() -> None:
    assert not any(isinstance(part, str) for part in held(os.environ))


class Slotted:
    __slots__ = ("first", "second")


class Listed(Slotted, MutableSequence[Any]):
    """A sequence that keeps what it holds in slots, in a dict, or nowhere yet."""

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("asked")

    __setitem__ = __delitem__ = __len__ = insert = __getitem__  # pyright: ignore[reportAssignmentType]


def test_attributes_in_slots_and_in_a_dict_are_both_held() -> None:
    item = Listed()
    item.first = OLD
    item.third = OLD  # pyright: ignore[reportAttributeAccessIssue]

    made: Any = replaced(item, OLD, NEW)

    assert (made.first, made.third) == (NEW, NEW)
    assert not hasattr(made, "second")
    assert vars(made) == {"third": NEW}
    assert item.first is OLD


class AttrDict(dict[str, Any]):
    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return self[name]


def test_a_dict_whose_attributes_are_its_items_is_copied() -> None:
    made = replaced(AttrDict(a=OLD), OLD, NEW)

    assert type(made) is AttrDict
    assert made.a is NEW


class Tagged(list[Any]):
    __slots__ = ("tag",)


def test_attributes_of_a_list_are_kept() -> None:
    item = Tagged([OLD])
    item.tag = "kept"

    made = replaced(item, OLD, NEW)

    assert (type(made), list(made), made.tag) == (Tagged, [NEW], "kept")


def test_the_order_of_an_ordered_dict_is_kept() -> None:
    item = OrderedDict(a=1, b=OLD)
    item.move_to_end("a")

    made = replaced(item, OLD, NEW)

    assert list(made) == ["b", "a"]
    made.move_to_end("b")
    assert list(made.values()) == [1, NEW]


def test_a_view_of_an_ordered_dict_keeps_its_order() -> None:
    owner: OrderedDict[str, Any] = OrderedDict(a=1, b=OLD)
    owner.move_to_end("a")
    container = container_of(type(owner.values()))
    assert container is not None

    made = container.filled(owner.values(), None, [owner])

    assert list(made) == [OLD, 1]


def test_what_a_proxy_or_a_view_holds_is_its_mapping() -> None:
    owner = {"a": OLD}

    assert held(MappingProxyType(owner))[0] is owner
    assert held(owner.keys())[0] is owner
    assert held(owner.values())[0] is owner
    assert held(owner.items())[0] is owner


def test_a_chain_of_dicts_holds_the_dicts() -> None:
    maps = [{"a": 1}, {"b": OLD}]

    assert held(ChainMap(*maps)) == [maps]


def test_a_bounded_deque_keeps_its_bound() -> None:
    made = replaced(deque([1, OLD], maxlen=2), OLD, NEW)

    assert made == deque([1, NEW])
    assert made.maxlen == 2


@dataclasses.dataclass
class Problem(Exception):
    part: Any


def test_an_exception_that_is_a_dataclass_is_copied_as_one() -> None:
    made = replaced(Problem(OLD), OLD, NEW)

    assert type(made) is Problem
    assert made.part is NEW


@dataclasses.dataclass
class Shape(Generic[T]):
    side: T


def test_a_generic_dataclass_remembers_its_parameters() -> None:
    made: Any = replaced(Shape[object](OLD), OLD, NEW)

    assert made.side is NEW
    assert made.__orig_class__ == Shape[object]


@dataclasses.dataclass(frozen=True)
class Data:
    part: Any


class Planet(Data, enum.Enum):
    EARTH = 1


def test_a_member_of_an_enum_of_dataclasses_can_be_looked_into() -> None:
    assert OLD not in held(Planet.EARTH)


@dataclasses.dataclass(frozen=True, slots=True)
class Late:
    part: Any
    later: Any = dataclasses.field(init=False)


def test_a_frozen_slotted_dataclass_may_have_unset_fields() -> None:
    made = replaced(Late(OLD), OLD, NEW)

    assert made.part is NEW
    assert not hasattr(made, "later")


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    part: Any = None
    _hidden: Any = pydantic.PrivateAttr(default=OLD)


def test_private_attributes_of_a_model_are_not_looked_at() -> None:
    assert OLD not in held(Model())


def test_the_copy_of_a_model_shares_no_book_keeping_with_it() -> None:
    model = Model(part=OLD)

    made = replaced(model, OLD, NEW)
    made.extra_part = 1

    assert model.model_extra == {}
    assert model.model_fields_set == {"part"}
    assert made.model_fields_set == {"part", "extra_part"}


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        pytest.param(Model, True, id="model"),
        pytest.param(pydantic.RootModel[list[int]], True, id="root-model"),
        pytest.param(Data, False, id="dataclass"),
        pytest.param(pydantic.dataclasses.dataclass(Shape), False, id="checked"),
        pytest.param(dict, False, id="dict"),
    ],
)
def test_models_are_told_from_other_classes(kind: type[Any], is_one: bool) -> None:
    assert is_model(kind) is is_one


def test_a_time_is_a_tuple_that_holds_numbers_only() -> None:
    assert all(isinstance(part, int) for part in held(time.gmtime(0)))


class Countless(Sequence[Any]):
    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("asked")

    def __len__(self) -> int:
        raise AssertionError("asked")


class Remote(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise AssertionError("asked")

    def __iter__(self) -> Any:
        raise AssertionError("asked")

    def __len__(self) -> int:
        raise AssertionError("asked")


@pytest.mark.parametrize("kind", [Countless, Remote])
def test_a_collection_is_not_asked_for_what_it_holds(kind: type[Any]) -> None:
    assert held(kind()) == []
