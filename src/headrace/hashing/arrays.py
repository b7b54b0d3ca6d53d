"""Arrays of numpy, frames and series of pandas: by content, and without an import.

Equal content gives one key, however it lies in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from headrace.hashing.shapes import Shape, attributes, leaf, module_name

__all__ = ("array_shape",)


def array_shape(value: Any, cls: Any) -> Shape | bytes | None:
    """That of a value of one of these packages; None for all that is not known here."""
    package = module_name(cls).partition(".")[0]
    if package == "numpy":
        for base, make in _OF_NUMPY.items():
            if any(each.__name__ == base for each in cls.__mro__[:-1]):
                return make(value)
    if package == "pandas":
        for base, make in _OF_PANDAS.items():
            if any(each.__name__ == base for each in cls.__mro__[:-1]):
                return make(value)
    return None


def _array(array: Any) -> Shape | bytes | None:
    if type(array).__name__ != "ndarray":
        return None
    if array.dtype.hasobject:
        return Shape(("array", array.dtype.str, *array.shape), array.ravel().tolist())
    dtype = array.dtype.str if array.dtype.names is None else repr(array.dtype)
    try:
        content = memoryview(array).cast("B") if array.flags.c_contiguous else None
    except (TypeError, ValueError):
        content = None  # such as of datetime64, and of nothing
    if content is None:
        content = array.tobytes()
    shape = tuple(map(int, array.shape))
    return leaf("array", dtype, shape, hashlib.sha256(content).digest())


def _scalar(scalar: Any) -> bytes | None:
    dtype = scalar.dtype
    if dtype.hasobject:
        return None
    return leaf("scalar", dtype.str, repr(dtype.names), scalar.tobytes())


def _dtype(dtype: Any) -> bytes:
    return leaf("dtype", repr(dtype))


def _frame(frame: Any) -> Shape:
    columns = [_values(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return attributes(
        "frame",
        {
            "attrs": frame.attrs,
            "columns": frame.columns,
            "index": frame.index,
            "values": columns,
        },
    )


def _series(series: Any) -> Shape:
    parts = {
        "attrs": series.attrs,
        "index": series.index,
        "name": series.name,
        "values": _values(series),
    }
    return attributes("series", parts)


def _index(index: Any) -> Shape:
    return attributes("index", {"names": list(index.names), "values": _values(index)})


def _values(column: Any) -> tuple[Any, ...]:
    """The type of a column and its values, numpy's own or Python's."""
    dtype = column.dtype
    categories = getattr(dtype, "categories", None)
    if categories is None:
        return str(dtype), column.to_numpy()
    ordered = getattr(dtype, "ordered", None)
    return str(dtype), ordered, categories, column.to_numpy(dtype=object)


# Exactly an array: masked ones and the like have more to them, and tell it themselves.
_OF_NUMPY: Final[Mapping[str, Callable[[Any], Shape | bytes | None]]] = {
    "ndarray": _array,
    "generic": _scalar,
    "dtype": _dtype,
}
_OF_PANDAS: Final[Mapping[str, Callable[[Any], Shape]]] = {
    "DataFrame": _frame,
    "Series": _series,
    "Index": _index,
}
