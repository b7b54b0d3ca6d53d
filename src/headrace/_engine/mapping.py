"""Spread the arguments of ``task.map(...)`` over one call for each run.

Pure: it is given values and gives values back; it starts nothing.
"""

from __future__ import annotations

import io
import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from headrace.annotations import is_mark, quote, unmapped
from headrace.exceptions import MappingLengthMismatch, MappingMissingIterable
from headrace.futures import Submission, TaskFuture, future_in
from headrace.futures.contents import is_model
from headrace.futures.resolve import ATOMS, Source
from headrace.parameters import Binder
from headrace.states import State, is_state

__all__ = ("NO_KWARGS", "Calls", "is_whole", "spread", "whole_futures", "with_data")

Calls: TypeAlias = Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]

NO_KWARGS: Final[Mapping[str, Any]] = {}

# Could be iterated, some of them, and go to every run all the same.
_WHOLE: Final = (str, bytes, io.IOBase, TaskFuture, Submission, State)


def spread(
    task_name: str,
    binder: Binder,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    share: Callable[[Any], Any],
) -> tuple[int, Calls]:
    """How many runs a map makes, and the arguments of each, in order.

    Every positional and keyword argument stands for itself, also those that
    ``*args`` and ``**kwargs`` take. Iterables are split; strings, bytes, open files,
    pydantic models, data frames and ``unmapped(...)`` values go to every run.

    Args:
        task_name: For messages.
        binder: Knows the names of the parameters.
        args: Whole arguments.
        kwargs: Those by keyword.
        share: What a value that goes to every run is replaced by.

    Raises:
        MappingMissingIterable: No argument can be split.
        MappingLengthMismatch: The split arguments differ in length.
    """
    columns = [_column(value) for value in args]
    named = {name: _column(value) for name, value in kwargs.items()}
    lengths = {
        len(column) for column in (*columns, *named.values()) if column is not None
    }
    if not lengths:
        shown = binder.partial(args, kwargs)
        raise MappingMissingIterable(
            task_name, {name: reprlib.repr(value) for name, value in shown.items()}
        )
    if len(lengths) > 1:
        raise MappingLengthMismatch(task_name, _lengths(binder, columns, named))
    count = lengths.pop()
    if not count:
        return 0, ()
    rows = _rows(columns, args, count, share)
    if not kwargs:
        return count, zip(rows, itertools.repeat(NO_KWARGS), strict=False)
    values = _rows(list(named.values()), list(kwargs.values()), count, share)
    names = list(kwargs)
    keywords = (dict(zip(names, row, strict=True)) for row in values)
    return count, zip(rows, keywords, strict=False)


def _rows(
    columns: Sequence[Sequence[Any] | None],
    values: Sequence[Any],
    count: int,
    share: Callable[[Any], Any],
) -> Iterator[tuple[Any, ...]]:
    """One tuple for each run."""
    if not columns:
        return itertools.repeat((), count)
    return zip(
        *(
            itertools.repeat(share(_unmarked(value)), count)
            if column is None
            else column
            for column, value in zip(columns, values, strict=True)
        ),
        strict=True,
    )


def _column(value: object) -> Sequence[Any] | None:
    """The elements to split a value into, or None when it goes to every run."""
    if is_mark(value):
        if isinstance(value, unmapped):
            return None
        # allow_failure([...]) and quote([...]) mark each element instead.
        inner = _column(value.value)
        if inner is None:
            return None
        return [x if type(x) in ATOMS else value.rewrap(x) for x in inner]
    kind = type(value)
    if kind is list or kind is tuple or kind is range:
        return cast("Sequence[Any]", value)
    if is_whole(value):
        return None
    try:
        items = iter(cast("Iterable[Any]", value))
    except TypeError:
        return None
    return list(items)


def is_whole(value: object) -> bool:
    """Whether a value goes to every run as it is, although it may be iterable."""
    kind = type(value)
    return (
        issubclass(kind, _WHOLE)
        or is_model(kind)
        or hasattr(kind, "__dataframe__")
        or _is_file(value)
    )


def _is_file(value: object) -> bool:
    """Whether it is a file by what it can do, as what `tempfile` gives is."""
    try:
        return hasattr(value, "readline")
    except Exception:  # noqa: BLE001 - a __getattr__ of the user's may raise anything
        return False


def _unmarked(value: object) -> Any:
    """A value that goes to every run, without the mark that said so."""
    return value.value if is_mark(value) and isinstance(value, unmapped) else value


def _lengths(
    binder: Binder,
    columns: Sequence[Sequence[Any] | None],
    named: Mapping[str, Sequence[Any] | None],
) -> dict[str, int]:
    """The length of each split argument, by the name of its parameter."""
    positional = binder.positional_names(len(columns))
    return {
        name: len(column)
        for name, column in (*zip(positional, columns, strict=True), *named.items())
        if column is not None
    }


def whole_futures(values: Iterable[Any]) -> list[Source]:
    """The futures and states given as whole arguments, whose data is to be split."""
    found: list[Source] = []
    for value in values:
        inner = value
        while is_mark(inner) and not isinstance(inner, (unmapped, quote)):
            inner = inner.value
        source = inner if is_state(inner) else future_in(inner)
        if source is not None:
            found.append(source)
    return found


def with_data(value: Any, data: Mapping[int, Any]) -> Any:
    """A whole argument with its future replaced by the data, its marks kept.

    Args:
        value: The argument.
        data: Data by the id of the future or state.
    """
    if is_mark(value):
        if isinstance(value, (unmapped, quote)):
            return value
        inner = with_data(value.value, data)
        return value if inner is value.value else value.rewrap(inner)
    source = value if is_state(value) else future_in(value)
    if source is None or id(source) not in data:
        return value
    # What a run gave is passed on as it is: nothing in it is looked for (RES-15).
    return quote(data[id(source)])
