"""Which part of a value it is that cannot be turned into bytes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

from headrace.exceptions import SerializationError
from headrace.states.outcomes import safe_text

__all__ = ("blamed", "class_of", "named_type")

# Each level tries its parts one by one, so a large value is not looked into for ever.
_MOST_LEVELS: Final = 20
_MOST_PARTS: Final = 1000


def blamed(
    serializer: str, value: object, error: Exception, store: Callable[[object], object]
) -> SerializationError:
    """An error that names the innermost part that cannot be stored.

    Args:
        serializer: The type of the serializer.
        value: What it was to store.
        error: What was raised.
        store: Tries to store a part, and raises if that fails.
    """
    path = ""
    # A value that changes meanwhile, or whose methods raise, is looked into no further.
    with contextlib.suppress(Exception):
        for _ in range(_MOST_LEVELS):
            found = _failing_part(value, store)
            if found is None:
                break
            step, value, error = found
            path += step
    reason = f"{type(error).__name__}: {safe_text(error)}".rstrip(". ")
    return SerializationError(serializer, named_type(value), path, reason)


def class_of(value: object) -> type[Any]:
    """The type of a value, of which type checkers ask no more."""
    return cast("type[Any]", type(value))


def named_type(value: object) -> str:
    """The type of a value by its full name, as in ``"socket.socket"``."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _failing_part(
    value: object, store: Callable[[object], object]
) -> tuple[str, object, Exception] | None:
    for step, part in itertools.islice(_parts(value), _MOST_PARTS):
        try:
            store(part)
        except Exception as error:  # noqa: BLE001 - methods of the user's classes
            return step, part, error
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in cast("Any", value).items():
            yield f"[{key!r}]", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, part in enumerate(cast("list[Any]", value)):
            yield f"[{index}]", part
    elif not isinstance(value, type) and hasattr(value, "__dict__"):
        for name, part in list(vars(value).items()):
            yield f".{name}", part
