"""What a stream reads: the arguments of one run after the other, from iterables.

Nothing is read ahead here, and nothing runs: whoever asks for a row causes one step of
each source.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import (
    AsyncGenerator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, Final, TypeAlias

from headrace._engine.mapping import NO_KWARGS, is_whole
from headrace.annotations import is_mark, unmapped
from headrace.exceptions import MappingLengthMismatch, MappingMissingIterable
from headrace.futures.resolve import ATOMS
from headrace.parameters import Binder

__all__ = ("OVER", "Closing", "Row", "Rows")

# The values of one run: positional arguments, then those by keyword.
Row: TypeAlias = tuple[Any, ...]

# Instead of a value, when a source has no more.
OVER: Final = object()


class Closing:
    """An iterator of ours that is closed when what reads it is."""

    __slots__ = ()


_CLOSING: Final = (Generator, AsyncGenerator, Closing)


class _Column:
    """One argument that is split: where its values come from.

    Args:
        name: The parameter, for messages.
        source: An iterator, or an asynchronous one.
        mark: Puts the marks on each value; None if there were none.
        length: How many values there are, where that is known.
        is_async: Which of the two kinds of iterator it is.
    """

    __slots__ = ("_mark", "is_async", "length", "name", "source")

    def __init__(
        self,
        name: str,
        source: Any,
        mark: Callable[[Any], Any] | None,
        length: int | None,
        *,
        is_async: bool,
    ) -> None:
        self.name = name
        self.source: Any = source
        self._mark = mark
        self.length = length
        self.is_async = is_async

    def values(self) -> Iterator[Any]:
        """Its values, of a plain one."""
        return self.source if self._mark is None else map(self._mark, self.source)

    def next_value(self) -> Any:
        """The next value of a plain one, or `OVER`."""
        return self.marked(next(self.source, OVER))

    async def anext_value(self) -> Any:
        """The next value, or `OVER`."""
        if not self.is_async:
            return self.next_value()
        return self.marked(await anext(self.source, OVER))

    def marked(self, value: Any) -> Any:
        """A value with the marks that were around the whole argument."""
        if self._mark is None or value is OVER or type(value) in ATOMS:
            return value
        return self._mark(value)


def _column_of(name: str, value: Any, *, prefers_async: bool) -> _Column | None:
    """How a value is split, or None when it goes to every run."""
    marks: list[Any] = []
    while is_mark(value):
        if isinstance(value, unmapped):
            return None
        # allow_failure([...]) and quote([...]) mark each element instead.
        marks.append(value)
        value = value.value
    if is_whole(value):
        return None
    return _split(name, value, marks, prefers_async=prefers_async)


def _split(
    name: str, value: Any, marks: list[Any], *, prefers_async: bool
) -> _Column | None:
    is_async = _has(value, "__aiter__") and (
        prefers_async or not _has(value, "__iter__")
    )
    try:
        source = aiter(value) if is_async else iter(value)
    except TypeError:
        return None
    length = len(value) if source is not value and _has(value, "__len__") else None
    mark = _remarked(marks) if marks else None
    return _Column(name, source, mark, length, is_async=is_async)


def _has(value: object, method: str) -> bool:
    return hasattr(type(value), method)


def _remarked(marks: Sequence[Any]) -> Callable[[Any], Any]:
    def mark(value: Any) -> Any:
        if type(value) in ATOMS:
            return value
        for each in reversed(marks):
            value = each.rewrap(value)
        return value

    return mark


class Rows:
    """The arguments of the runs of a stream, split as those of a map are.

    Args:
        task_name: For messages.
        binder: Knows the names of the parameters.
        args: Whole arguments.
        kwargs: Those by keyword.
        prefers_async: Whether to read what is both as an async iterable.

    Attributes:
        names: The keywords, whose values are the last of each row.
        is_async: Whether a row can only be awaited.

    Raises:
        MappingMissingIterable: No argument can be split.
        MappingLengthMismatch: Those of a known length differ in it.
    """

    __slots__ = ("_cells", "_columns", "_count", "_task_name", "is_async", "names")

    def __init__(
        self,
        task_name: str,
        binder: Binder,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        prefers_async: bool,
    ) -> None:
        self._task_name = task_name
        self.names = tuple(kwargs)
        names = [*binder.positional_names(len(args)), *kwargs]
        values = [*args, *kwargs.values()]
        # For each place either a column or the value that all runs get.
        self._cells: list[Any] = [
            _column_of(name, value, prefers_async=prefers_async) or _whole(value)
            for name, value in zip(names, values, strict=True)
        ]
        self._columns = [cell for cell in self._cells if type(cell) is _Column]
        self._count = 0
        if not self._columns:
            shown = binder.partial(args, kwargs)
            texts = {name: reprlib.repr(value) for name, value in shown.items()}
            raise MappingMissingIterable(task_name, texts, "stream")
        self.is_async = any(column.is_async for column in self._columns)
        known = {c.name: c.length for c in self._columns if c.length is not None}
        if len(set(known.values())) > 1:
            raise MappingLengthMismatch(task_name, known, "stream")

    @property
    def width(self) -> int:
        """How many arguments a row has by position; 0 if there are any by keyword."""
        return 0 if self.names else len(self._cells)

    def share(self, share: Callable[[Any], Any]) -> None:
        """Replace each value that goes to every run."""
        self._cells = [
            cell if type(cell) is _Column else share(cell) for cell in self._cells
        ]

    def split(self, row: Row) -> tuple[Row, Mapping[str, Any]]:
        """A row as the arguments of a call."""
        names = self.names
        if not names:
            return row, NO_KWARGS
        count = len(row) - len(names)
        return row[:count], dict(zip(names, row[count:], strict=True))

    def read(self) -> Iterator[Row]:
        """The rows, if all sources are plain.

        Raises:
            MappingLengthMismatch: One source has ended before another.
        """
        if len(self._columns) > 1:
            return self._read_several()
        # At C speed: this is read for every run.
        cells = self._cells
        return zip(
            *(
                cell.values() if type(cell) is _Column else itertools.repeat(cell)
                for cell in cells
            ),
            strict=False,
        )

    def _read_several(self) -> Iterator[Row]:
        while True:
            row = [
                cell.next_value() if type(cell) is _Column else cell
                for cell in self._cells
            ]
            if not self._is_whole(row):
                return
            yield tuple(row)

    async def aread(self) -> Any:
        """The next row, or `OVER`.

        Raises:
            MappingLengthMismatch: One source has ended before another.
        """
        cells = self._cells
        if len(cells) == 1:
            value = cells[0].marked(await anext(cells[0].source, OVER))
            return value if value is OVER else (value,)
        row = [
            await cell.anext_value() if type(cell) is _Column else cell
            for cell in cells
        ]
        return tuple(row) if self._is_whole(row) else OVER

    def _is_whole(self, row: Sequence[Any]) -> bool:
        """Whether a row is one; False if all sources are over."""
        over = [
            value is OVER
            for value, cell in zip(row, self._cells, strict=True)
            if type(cell) is _Column
        ]
        if not any(over):
            self._count += 1
            return True
        if all(over):
            return False
        lengths = {
            column.name: self._count + (not is_over)
            for column, is_over in zip(self._columns, over, strict=True)
        }
        error = MappingLengthMismatch(self._task_name, lengths, "stream")
        error.add_note(
            f"{self._task_name}.stream() found that out when the shorter one was over, "
            f"and the longer one may have more. The {self._count} runs before were made."
        )
        raise error

    def to_close(self) -> list[Any]:
        """The sources that end with whoever reads them: generators, and streams."""
        sources = [column.source for column in self._columns]
        return [each for each in sources if isinstance(each, _CLOSING)]


def _whole(value: Any) -> Any:
    """A value that goes to every run, without the mark that said so."""
    if is_mark(value) and isinstance(value, unmapped):
        return value.value
    return value
