"""Spread the arguments of ``task.map(...)`` over one call for each run.

Pure: it is given values and gives values back; it starts nothing.
"""

from __future__ import annotations

import io
import itertools
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from headrace._engine.resolve import Source
from headrace.annotations import BaseAnnotation, unmapped
from headrace.exceptions import MappingLengthMismatch, MappingMissingIterable
from headrace.futures import Submission, TaskFuture
from headrace.parameters import Binder
from headrace.states import State

__all__ = ("NO_KWARGS", "Calls", "spread", "whole_futures", "with_data")

Calls: TypeAlias = Iterable[tuple[tuple[Any, ...], Mapping[str, Any]]]

NO_KWARGS: Final[Mapping[str, Any]] = {}


def spread(
    task_name: str,
    binder: Binder,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[int, Calls]:
    """How many runs a map makes, and the arguments of each, in order.

    Every positional and keyword argument stands for itself, also those that
    ``*args`` and ``**kwargs`` take. Iterables are split; strings, bytes, open files,
    pydantic models, data frames and ``unmapped(...)`` values go to every run.

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
    rows = _rows(columns, args, count)
    if not kwargs:
        return count, zip(rows, itertools.repeat(NO_KWARGS), strict=False)
    values = _rows(list(named.values()), list(kwargs.values()), count)
    names = list(kwargs)
    keywords = (dict(zip(names, row, strict=True)) for row in values)
    return count, zip(rows, keywords, strict=False)


def _rows(
    columns: Sequence[Sequence[Any] | None], values: Sequence[Any], count: int
) -> Iterator[tuple[Any, ...]]:
    """One tuple for each run."""
    if not columns:
        return itertools.repeat((), count)
    return zip(
        *(
            itertools.repeat(_shared(value), count) if column is None else column
            for column, value in zip(columns, values, strict=True)
        ),
        strict=True,
    )


def _column(value: Any) -> Sequence[Any] | None:
    """The elements to split a value into, or None when it goes to every run."""
    if isinstance(value, unmapped):
        return None
    if isinstance(value, BaseAnnotation):
        # allow_failure([...]) and quote([...]) mark each element instead.
        marked = cast("BaseAnnotation[Any]", value)
        inner = _column(marked.value)
        return None if inner is None else [marked.rewrap(item) for item in inner]
    kind = type(value)
    if kind is list or kind is tuple or kind is range:
        return cast("Sequence[Any]", value)
    if (
        isinstance(value, (str, bytes, io.IOBase, TaskFuture, Submission, State))
        or hasattr(kind, "__pydantic_fields__")
        or hasattr(kind, "__dataframe__")
    ):
        return None
    try:
        items = iter(value)
    except TypeError:
        return None
    return list(items)


def _shared(value: Any) -> Any:
    """A value that goes to every run, without the mark that said so."""
    if isinstance(value, unmapped):
        return cast("unmapped[Any]", value).value
    if isinstance(value, BaseAnnotation):
        marked = cast("BaseAnnotation[Any]", value)
        if isinstance(marked.value, unmapped):
            return marked.rewrap(cast("unmapped[Any]", marked.value).value)
    return value


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
        while isinstance(inner, BaseAnnotation) and not isinstance(inner, unmapped):
            inner = cast("BaseAnnotation[Any]", inner).value
        if isinstance(inner, State):
            found.append(cast("State[Any]", inner))
        elif type(inner) is not TaskFuture and isinstance(inner, Submission):
            found.append(cast("Submission[Any]", inner).future)
        elif isinstance(inner, TaskFuture):
            found.append(cast("TaskFuture[Any]", inner))
    return found


def with_data(value: Any, data: Mapping[Any, Any]) -> Any:
    """A whole argument with its future replaced by the data, its marks kept.

    Args:
        value: The argument.
        data: Data by the id of the future or state.
    """
    if isinstance(value, unmapped):
        return value
    if isinstance(value, BaseAnnotation):
        marked = cast("BaseAnnotation[Any]", value)
        inner = with_data(marked.value, data)
        return value if inner is marked.value else marked.rewrap(inner)
    source = (
        cast("Submission[Any]", value).future
        if type(value) is not TaskFuture and isinstance(value, Submission)
        else value
    )
    return data.get(id(source), value)
