from __future__ import annotations

import dataclasses
import gc
import sys
from collections import OrderedDict, UserDict, UserList, defaultdict, deque
from collections.abc import Callable
from types import FrameType, MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, strategies as st

from headrace.annotations import allow_failure, quote, unmapped
from headrace.exceptions import HeadraceError
from headrace.futures.resolve import Sources, Substitution, data_of, find, substitute
from headrace.states import Completed, Failed, Running, State


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Box:
    inside: Any
    beside: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sealed:
    inside: Any


# -- Structures, as small programs that make one for any leaf --------------------------

ATOMS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary()


@dataclasses.dataclass
class Leaf:
    """Where a source goes, or in a plain structure its data."""

    number: int


def holding(child: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(child, max_size=4)
    keyed = st.dictionaries(st.text(max_size=2), child, max_size=3)
    return st.one_of(
        st.tuples(st.just(list), some),
        st.tuples(st.just(tuple), some),
        st.tuples(st.just(deque), some),
        st.tuples(st.just(UserList), some),
        st.tuples(st.just(dict), keyed),
        st.tuples(st.just(OrderedDict), keyed),
        st.tuples(st.just(UserDict), keyed),
        st.tuples(st.just(MappingProxyType), keyed),
        st.tuples(st.just(Point), st.tuples(child, child)),
        st.tuples(st.just(Box), st.tuples(child, child)),
        st.tuples(st.just(Sealed), st.tuples(child)),
    )


PLANS = st.recursive(ATOMS | st.builds(Leaf, st.integers(0, 9)), holding, max_leaves=30)


def built(plan: Any, leaf: Callable[[int], Any]) -> Any:
    """The structure of a plan: the reference that copies are compared with."""
    if isinstance(plan, Leaf):
        return leaf(plan.number)
    if not isinstance(plan, tuple) or not plan or not isinstance(plan[0], type):
        return plan
    kind, parts = plan
    if isinstance(parts, dict):
        held = {key: built(part, leaf) for key, part in parts.items()}
        return kind(held)
    items = [built(part, leaf) for part in parts]
    return kind(*items) if kind in (Point, Box, Sealed) else kind(items)


def is_same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    return repr(one) == repr(other) and type(one) is type(other)


@given(PLANS)
def test_a_structure_without_sources_is_the_very_same_object(plan: Any) -> None:
    value = built(plan, lambda number: number)
    required: Sources = []
    tolerated: Sources = []

    found = find(value, required, tolerated)

    assert not found
    assert required == tolerated == []
    assert substitute(value) is value


@given(PLANS)
def test_replacing_gives_what_would_have_been_built_with_the_data(plan: Any) -> None:
    given_value = built(plan, lambda number: Completed(data=number))

    value = substitute(given_value)

    assert is_same(value, built(plan, lambda number: number))


@given(PLANS)
def test_replacing_leaves_the_original_as_it_was(plan: Any) -> None:
    states = [Completed(data=number) for number in range(10)]
    given_value = built(plan, states.__getitem__)
    before = repr(given_value)

    substitute(given_value)

    assert repr(given_value) == before


@given(PLANS)
def test_every_source_is_found_once(plan: Any) -> None:
    states = [Completed(data=number) for number in range(10)]
    used: list[int] = []
    value = built(plan, lambda number: used.append(number) or states[number])
    required: Sources = []
    tolerated: Sources = []

    find(value, required, tolerated)

    assert sorted(data_of(state) for state in required) == sorted(set(used))
    assert tolerated == []


@given(PLANS)
def test_what_is_quoted_is_neither_found_nor_replaced(plan: Any) -> None:
    value = built(plan, lambda number: Completed(data=number))
    required: Sources = []
    tolerated: Sources = []

    found = find([quote(value)], required, tolerated)

    assert found
    assert required == tolerated == []
    assert substitute([quote(value)])[0] is value


@given(PLANS)
def test_marks_are_taken_off(plan: Any) -> None:
    value = built(plan, lambda number: unmapped(allow_failure(number)))

    assert is_same(substitute(value), built(plan, lambda number: number))


@given(st.lists(st.sampled_from("abc")))
def test_sources_are_found_in_the_order_of_the_structure(names: list[str]) -> None:
    states = {name: Completed(data=name) for name in "abc"}
    required: Sources = []

    find([{"x": (states[name],)} for name in names], required, [])

    assert [data_of(state) for state in required] == list(dict.fromkeys(names))


# -- What is found -----------------------------------------------------------------


def test_sources_under_allow_failure_are_kept_apart() -> None:
    bare, covered = Completed(data=1), Completed(data=2)
    required: Sources = []
    tolerated: Sources = []

    find([bare, allow_failure([{"a": covered}])], required, tolerated)

    assert required == [bare]
    assert tolerated == [covered]


def test_a_state_that_will_never_end_is_required_under_allow_failure_too() -> None:
    running = Running()
    required: Sources = []
    tolerated: Sources = []

    find(allow_failure([running]), required, tolerated)

    assert required == [running]
    assert tolerated == []


@pytest.mark.parametrize(
    ("value", "is_found"),
    [
        pytest.param([1, "x"], False, id="plain"),
        pytest.param([object()], False, id="object"),
        pytest.param([Completed()], True, id="state"),
        pytest.param({"a": unmapped(1)}, True, id="unmapped"),
        pytest.param((quote(1),), True, id="quote"),
        pytest.param(allow_failure(1), True, id="allow-failure"),
    ],
)
def test_it_is_told_whether_there_is_anything_to_replace(
    value: Any, is_found: bool
) -> None:
    assert find(value, [], []) is is_found


@pytest.mark.rule("RES-01")
def test_a_list_of_100_000_numbers_is_searched_without_a_look_at_each() -> None:
    few, many = [0], list(range(100_000))
    find(few, [], [])

    assert steps_of(lambda: find(many, [], [])) == steps_of(lambda: find(few, [], []))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(tuple, id="tuple"),
        pytest.param(set, id="set"),
        pytest.param(frozenset, id="frozenset"),
        pytest.param(dict.fromkeys, id="dict"),
        pytest.param(deque, id="deque"),
        pytest.param(lambda numbers: [numbers], id="inside"),
    ],
)
@pytest.mark.rule("RES-01")
def test_no_container_of_numbers_is_searched_one_by_one(
    make: Callable[[list[int]], Any],
) -> None:
    few, many = make([0]), make(list(range(100_000)))
    for _ in range(2):  # the ways to look into a type are looked up once
        find(few, [], [])

    assert steps_of(lambda: find(many, [], [])) == steps_of(lambda: find(few, [], []))


def steps_of(act: Callable[[], object]) -> int:
    """How many lines of Python code it takes."""
    steps = 0

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal steps
        # Not opcodes: tracing those has sent CPython 3.11 round in circles.
        steps += event == "line"
        return step

    before = sys.gettrace()
    gc.collect()  # or what it frees meanwhile, of other tests, would be counted too
    gc.disable()
    sys.settrace(step)
    try:
        act()
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


# -- Cycles and sharing ------------------------------------------------------------


def test_parts_that_values_share_are_still_shared_afterwards() -> None:
    shared = [Completed(data=1)]
    substitution = Substitution([shared, {"a": shared}])

    first, second = substitution.of(shared), substitution.of({"a": shared}["a"])

    assert first == [1]
    assert first is second


def test_a_container_inside_and_outside_of_a_mark_is_copied_once() -> None:
    shared = [Completed(data=1)]

    value = substitute([shared, allow_failure(shared)])

    assert value[0] is value[1]


def test_one_datum_takes_all_the_places_of_its_source() -> None:
    state = Completed(data=object())

    value = substitute([state, {"a": state}])

    assert value[0] is value[1]["a"] is state.data


def around(*wraps: Callable[[Any], Any]) -> Any:
    """A structure that contains itself, with a state beside the way round."""
    inmost: list[Any] = [Completed(data=1)]
    value: Any = inmost
    for wrap in wraps:
        value = wrap(value)
    inmost.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "ways"),
    [
        pytest.param(around(), [1], id="list"),
        pytest.param(around(lambda x: (x,)), [0, 1], id="tuple"),
        pytest.param(around(lambda x: {"a": x}), ["a", 1], id="dict"),
        pytest.param(
            around(lambda x: (x,), lambda x: {"a": x}, lambda x: (0, x)),
            [1, "a", 0, 1],
            id="several",
        ),
        pytest.param(
            around(lambda x: MappingProxyType({"a": x})), ["a", 1], id="proxy"
        ),
    ],
)
def test_a_copy_goes_round_as_its_original_does(value: Any, ways: list[Any]) -> None:
    made = substitute(value)

    inside = made
    for way in ways:
        inside = inside[way]
    assert inside is made
    assert made is not value


def test_a_proxy_in_its_own_dict_is_copied() -> None:
    owner: dict[str, Any] = {"state": Completed(data=1)}
    owner["self"] = MappingProxyType(owner)
    owner["values"] = owner.values()

    made = substitute(owner["self"])

    assert made["state"] == 1
    assert made["self"]["self"]["state"] == 1
    assert 1 in made["values"]


def test_a_dataclass_that_holds_itself_is_copied() -> None:
    box = Box(Completed(data=1))
    box.beside = [box]

    made = substitute(box)

    assert made.inside == 1
    assert made.beside[0] is made


def test_a_tuple_in_two_lists_that_it_holds_is_one_tuple() -> None:
    left: list[Any] = [Completed(data=1)]
    right: list[Any] = []
    both = (left, right)
    left.append(both)
    right.append(both)

    made = substitute(both)

    assert made[0][1] is made[1][0]
    assert made[0][1] is made


def test_a_mark_that_holds_itself_is_refused() -> None:
    mark: Any = unmapped([Completed(data=1)])
    mark.value = (mark, Completed(data=1))

    with pytest.raises(HeadraceError, match="contains itself"):
        substitute(mark)


def test_a_deep_structure_takes_no_stack() -> None:
    value: Any = Completed(data=1)
    for _ in range(10_000):
        value = [(value,)]

    value = substitute(value)

    for _ in range(10_000):
        ((value,),) = value
    assert value == 1


# -- What takes the place of a source -------------------------------------------------


@pytest.mark.parametrize(
    ("state", "data"),
    [
        pytest.param(Completed(data=[1]), [1], id="data"),
        pytest.param(Completed(), None, id="no-data"),
        pytest.param(Failed(data=5), 5, id="failed-with-anything"),
    ],
)
def test_a_state_is_replaced_by_its_data(state: State[Any], data: Any) -> None:
    assert substitute([state]) == [data]


def test_a_failed_state_is_replaced_by_its_exception() -> None:
    error = ValueError("boom")

    assert substitute(Failed(data=error)) is error


def test_data_is_not_looked_into() -> None:
    inside = [Completed(data=1), quote(2), unmapped(3)]

    assert substitute([Completed(data=inside)])[0] is inside


def test_what_a_flow_returned_keeps_its_marks_and_states() -> None:
    value = [Completed(data=1), unmapped(2), {"a": quote(3)}]

    assert substitute(value, is_returned=True) is value


def test_an_error_says_where_and_why() -> None:
    with pytest.raises(
        HeadraceError, match=r"into a set: TypeError: .*quote\("
    ) as caught:
        substitute({Completed(data=[])})

    assert isinstance(caught.value.__cause__, TypeError)


def test_a_defaultdict_in_a_structure_makes_no_keys() -> None:
    value = defaultdict(list, a=Completed(data=1))

    assert dict(substitute(value)) == {"a": 1}
