"""Who waits for the end of a run: nobody (None), one alone as it is, or a list.

Most runs have one at the most, and a list for that would be one more object for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

__all__ = ("each_of", "with_one", "without")

# Compared with instead of isinstance(): it is exactly this, and cheaper.
_LIST: Final[Any] = list


def with_one(waiters: Any, waiter: Any) -> Any:
    """Who waits, with one more."""
    if waiters is None:
        return waiter
    if type(waiters) is not _LIST:
        return [waiters, waiter]
    waiters.append(waiter)
    return waiters


def without(waiters: Any, waiter: Any) -> Any:
    """Who waits, without one of them; it may have been none."""
    if type(waiters) is not _LIST:
        # Equal, as of a method there are many objects.
        return None if waiters == waiter else waiters
    if waiter in waiters:
        waiters.remove(waiter)
    return waiters or None


def each_of(waiters: Any) -> Sequence[Any]:
    """Those who wait, in the order in which they came."""
    if waiters is None:
        return ()
    return waiters if type(waiters) is _LIST else (waiters,)
