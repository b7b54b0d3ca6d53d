"""What the runs of one runtime share of the cache: the index, and who computes what."""

from __future__ import annotations

import itertools
import time
from typing import Any, Final

from headrace._engine.results.flights import Flights
from headrace.settings import Settings

__all__ = ("Caches",)

_OBJECT: Final = "object "
_SECONDS_BETWEEN_WARNINGS: Final = 60.0


class Caches:
    """The cache of one runtime.

    Args:
        settings: Those of the runtime.
        given: An index that the runtime was given, and that others close; None for one
            as the settings say.

    Attributes:
        index: A `headrace.caching.CacheStore`.
        memory: The same for results that are not to be stored.
        flights: Who computes what just now.
        signer: Signs what is cached, so that its key is read once.
    """

    __slots__ = (
        "_is_own", "_not_before", "_numbers", "_objects", "_remove_values", "flights",
        "index", "memory", "signer",
    )  # fmt: skip

    def __init__(self, settings: Settings, given: Any) -> None:
        # Late: most programs cache nothing.
        from headrace.cached_values import remove_values  # noqa: PLC0415
        from headrace.caching import MemoryCache, index_path, open_index  # noqa: PLC0415
        from headrace.storage import Signer  # noqa: PLC0415

        self._is_own = given is None
        self._remove_values = remove_values
        self._objects: dict[str, object] = {}
        self._numbers = itertools.count()
        self._not_before = 0.0
        self.signer = Signer.of_settings(settings)
        most = settings.cache_max_bytes
        if given is not None:
            self.index: Any = given
        elif settings.cache_index == "memory":
            self.index = MemoryCache(max_bytes=most, on_dropped=remove_values)
        else:
            self.index = open_index(index_path(settings.home), most, remove_values)
        self.memory: Any = MemoryCache(max_bytes=most, on_dropped=self._forget)
        self.flights = Flights()

    def keep_object(self, value: object) -> str:
        """Keep a value itself, as it cannot be turned into bytes; how it is found."""
        ref = f"{_OBJECT}{next(self._numbers)}"
        self._objects[ref] = value
        return ref

    def is_object(self, ref: str) -> bool:
        """Whether it is how a value is found that was kept itself."""
        return ref.startswith(_OBJECT)

    def object_of(self, ref: str) -> object:
        """A value that was kept itself.

        Raises:
            KeyError: It had to go.
        """
        return self._objects[ref]

    def _forget(self, refs: tuple[str, ...]) -> None:
        for ref in refs:
            self._objects.pop(ref, None)

    def may_warn(self) -> bool:
        """Whether to warn that nothing can be stored: it was not said lately."""
        now = time.monotonic()
        # The index speaks for itself, of the same trouble if both are in one home.
        if now < self._not_before or getattr(self.index, "has_warned", False):
            return False
        self._not_before = now + _SECONDS_BETWEEN_WARNINGS
        return True

    def swept(self, swept: Any) -> Any:
        """The same account of what was removed from the index, its values removed too."""
        self._remove_values(swept.refs)
        return swept

    def close(self) -> None:
        """Let go of the index, if it is its own. Blocks for what is to be written."""
        self.memory.close()
        self._objects.clear()
        if self._is_own:
            self.index.close()
