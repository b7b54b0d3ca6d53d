from __future__ import annotations

import copy
import itertools
import pickle

import pytest

from headrace.annotations import BaseAnnotation, allow_failure, quote, unmapped

KINDS: list[type[BaseAnnotation[object]]] = [unmapped, allow_failure, quote]

each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@pytest.mark.rule("ANN-01")
def test_a_mark_gives_back_what_it_wraps(kind: type[BaseAnnotation[object]]) -> None:
    value = [1, 2]

    assert kind(value).value is value
    assert kind(value).unwrap() is value


@each_kind
@pytest.mark.rule("ANN-01")
def test_a_mark_can_be_put_on_another_value(
    kind: type[BaseAnnotation[object]],
) -> None:
    again = kind(1).rewrap("x")

    assert type(again) is kind
    assert again.value == "x"


@pytest.mark.rule("ANN-01")
@pytest.mark.parametrize(("one", "other"), list(itertools.product(KINDS, KINDS)))
def test_marks_are_equal_by_exact_type_and_value(
    one: type[BaseAnnotation[object]], other: type[BaseAnnotation[object]]
) -> None:
    assert (one([1]) == other([1])) is (one is other)
    assert one([1]) != other([2])
    assert one(1) != 1


@each_kind
def test_a_mark_on_nan_equals_itself(kind: type[BaseAnnotation[object]]) -> None:
    nan = float("nan")

    assert kind(nan) == kind(nan)


@each_kind
@pytest.mark.rule("ANN-01")
def test_a_mark_is_hashable_when_its_value_is(
    kind: type[BaseAnnotation[object]],
) -> None:
    assert len({kind(1), kind(1), kind(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind([]))


@pytest.mark.rule("ANN-01")
def test_a_mark_reads_as_it_is_written() -> None:
    assert repr(unmapped([1])) == "unmapped([1])"
    assert repr(allow_failure("x")) == "allow_failure('x')"
    assert repr(quote(unmapped(1))) == "quote(unmapped(1))"


@pytest.mark.rule("ANN-02")
def test_every_item_of_an_unmapped_value_is_the_value() -> None:
    value = object()

    assert unmapped(value)[0] is value
    assert unmapped(value)["any"] is value


@each_kind
def test_a_mark_survives_copies_and_pickling(
    kind: type[BaseAnnotation[object]],
) -> None:
    mark = kind([1])

    assert copy.deepcopy(mark) == mark
    assert pickle.loads(pickle.dumps(mark)) == mark


@each_kind
def test_a_mark_holds_nothing_but_its_value(
    kind: type[BaseAnnotation[object]],
) -> None:
    assert not hasattr(kind(1), "__dict__")
