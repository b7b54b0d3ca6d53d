from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from headrace._engine.mapping import spread
from headrace._engine.streams.rows import OVER, Closing, Rows
from headrace.annotations import allow_failure, quote, unmapped
from headrace.exceptions import MappingLengthMismatch, MappingMissingIterable
from headrace.parameters import Binder

Call = tuple[list[Any], dict[str, Any]]


def two(a: Any, b: Any = 0, *args: Any, key: Any = None, **kwargs: Any) -> None:
    """What is streamed."""


BINDER = Binder(two, "two")


def rows_of(*args: Any, prefers_async: bool = False, **kwargs: Any) -> Rows:
    return Rows("two", BINDER, args, kwargs, prefers_async=prefers_async)


def calls_of(rows: Rows) -> list[Call]:
    found = [rows.split(row) for row in rows.read()]
    return [(list(args), dict(named)) for args, named in found]


def read(rows: Rows) -> list[Call]:
    """The same of asynchronous sources."""

    async def main() -> list[Any]:
        found: list[Any] = []
        while (row := await rows.aread()) is not OVER:
            found.append(rows.split(row))
        return found

    return [(list(args), dict(named)) for args, named in asyncio.run(main())]


async def later(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


columns = st.lists(st.integers(), min_size=3, max_size=3)
values = st.one_of(columns, st.integers(), st.text(), columns.map(quote))
kwargs = st.dictionaries(st.sampled_from(["key", "x", "y"]), values, max_size=3)


@given(first=columns, rest=st.lists(values, max_size=3), kwargs=kwargs)
def test_rows_are_what_a_map_would_split_its_arguments_into(
    first: list[int], rest: list[Any], kwargs: dict[str, Any]
) -> None:
    args = [first, *rest]
    _, mapped = spread("two", BINDER, args, kwargs, share=lambda value: value)

    calls = calls_of(rows_of(*args, **kwargs))

    assert calls == [(list(row), dict(named)) for row, named in mapped]


@given(first=columns, rest=st.lists(values, max_size=3), kwargs=kwargs)
def test_rows_are_the_same_of_an_asynchronous_source(
    first: list[int], rest: list[Any], kwargs: dict[str, Any]
) -> None:
    plain = calls_of(rows_of(first, *rest, **kwargs))

    rows = rows_of(later(first), *rest, **kwargs)

    assert rows.is_async
    assert read(rows) == plain


class Both:
    """Something that can be read in either way."""

    def __iter__(self) -> Iterator[str]:
        return iter(["plain"])

    def __aiter__(self) -> AsyncIterator[str]:
        return later(["async"])


@pytest.mark.parametrize("prefers_async", [True, False])
def test_what_can_be_read_in_either_way_is_read_as_preferred(
    prefers_async: bool,
) -> None:
    rows = rows_of(Both(), prefers_async=prefers_async)

    found = read(rows) if prefers_async else calls_of(rows)

    assert rows.is_async is prefers_async
    assert found == [(["async" if prefers_async else "plain"], {})]


def test_nothing_is_read_ahead() -> None:
    given: list[int] = []

    def source() -> Iterator[int]:
        for number in range(9):
            given.append(number)
            yield number

    rows = rows_of(source(), unmapped([1]), key=2).read()

    assert given == []
    assert next(rows) == (0, [1], 2)
    assert given == [0]


@pytest.mark.parametrize("marked", [allow_failure, quote])
def test_a_mark_goes_to_each_element(marked: Any) -> None:
    rows = rows_of(marked([[1], "a"]), 1)

    ((first, _), _), ((second, _), _) = calls_of(rows)

    assert type(first) is marked
    assert first.value == [1]
    assert second == "a"


def test_values_that_all_runs_get_can_be_replaced() -> None:
    rows = rows_of([1, 2], "x")

    rows.share(str.upper)

    assert calls_of(rows) == [([1, "X"], {}), ([2, "X"], {})]


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize(
    ("lengths", "told"), [((2, 3), {"a": 2, "b": 3}), ((3, 2), {"a": 3, "b": 2})]
)
def test_a_source_that_is_over_before_another_says_so(
    lengths: tuple[int, int], told: dict[str, int], is_async: bool
) -> None:
    first, second = (range(length) for length in lengths)
    rows = rows_of(later(first) if is_async else iter(first), iter(second))

    with pytest.raises(MappingLengthMismatch) as raised:
        _ = read(rows) if is_async else calls_of(rows)

    assert raised.value.lengths == told
    assert "2 runs" in raised.value.__notes__[0]


def test_known_lengths_are_compared_before_anything_is_read() -> None:
    with pytest.raises(MappingLengthMismatch, match="stream"):
        rows_of([1], (1, 2))


def test_what_cannot_be_split_says_so() -> None:
    with pytest.raises(MappingMissingIterable, match=r"two\.stream\(a=1, b='x'\)"):
        rows_of(1, "x")


def test_generators_and_our_own_are_closed_and_nothing_else() -> None:
    class Ours(Closing):
        def __iter__(self) -> Ours:
            return self

        def __next__(self) -> int:
            raise StopIteration

    generator, later_one, ours = iter(x for x in []), later([]), Ours()

    rows = rows_of(generator, later_one, ours, iter([]), key=[])

    assert rows.to_close() == [generator, later_one, ours]
