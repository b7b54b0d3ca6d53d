"""Where cached values are that are too large for the index, in words that it keeps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Final

from headrace.exceptions import HeadraceError
from headrace.results import ResultRef, ResultStore

__all__ = ("ref_of", "remove_values", "text_of")

# A value that was stored for the cache alone, and goes with its entry. Others belong to
# whoever asked for them to be stored.
_OWN: Final = "own "


def text_of(ref: ResultRef, *, is_own: bool) -> str:
    """What an index keeps of a stored value.

    Args:
        ref: Where it is.
        is_own: Whether it was stored for the cache alone.
    """
    return f"{_OWN if is_own else ''}{ref.to_json()}"


def ref_of(text: str) -> ResultRef:
    """Where a value is of which `text_of` made this.

    Raises:
        ValueError: It is no such text.
    """
    return ResultRef.from_json(text.removeprefix(_OWN))


def remove_values(texts: Iterable[str]) -> int:
    """Remove values whose entries are gone, if they were stored for the cache alone.

    Those in folders only, as others cannot be found without what led there. Values that
    cannot be removed stay.

    Args:
        texts: What an index kept of them.

    Returns:
        How many were removed.
    """
    removed = 0
    for text in texts:
        with contextlib.suppress(ValueError, OSError, HeadraceError):
            if not text.startswith(_OWN):
                continue
            ref = ref_of(text)
            storage = ref.open_storage()
            if storage is not None:
                removed += ResultStore(storage).remove(ref)
    return removed
