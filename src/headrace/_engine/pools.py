"""The worker threads of one scheduler: of plain bodies, of runners, of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from headrace._concurrency.brakes import Brake
from headrace._concurrency.threads import Threads

__all__ = ("Pools",)

_MOST_SAVERS: Final = 8


class Pools:
    """All pools of a scheduler. No thread is started before the first job of its pool.

    Args:
        perform: Does one job, in its thread.
        host: Says how many threads there may be.
    """

    __slots__ = (
        "_all", "_hook_threads", "_host", "_perform", "_savers", "_workers", "brake",
    )  # fmt: skip

    def __init__(self, perform: Callable[..., object], host: Any) -> None:
        self._perform = perform
        self._host = host
        self._all: list[Threads[Any]] = []
        self.brake = Brake()
        self._workers: Threads[Any] | None = None
        self._savers: Threads[Any] | None = None
        self._hook_threads: Threads[Any] | None = None

    def __iter__(self) -> Iterator[Threads[Any]]:
        return iter(self._all)

    def workers(self) -> Threads[Any]:
        """Those of plain bodies."""
        if self._workers is None:
            self._workers = self.new(None)
        return self._workers

    def savers(self) -> Threads[Any]:
        """Those that store results and read them, beside those of plain bodies."""
        if self._savers is None:
            self._savers = self.new(_MOST_SAVERS)
        return self._savers

    def hook_threads(self) -> Threads[Any]:
        """Those that call plain hooks: long bodies do not keep a run from ending."""
        if self._hook_threads is None:
            self._hook_threads = self.new(None)
        return self._hook_threads

    def own(self) -> list[Threads[Any]]:
        """Those that end with the host; those of a flow's runner end with that."""
        all_own = (self._workers, self._savers, self._hook_threads)
        return [threads for threads in all_own if threads is not None]

    def new(self, limit: int | None) -> Threads[Any]:
        """Another pool, of so many bodies at once; None for as the host says."""
        threads: Threads[Any] = Threads(
            self._perform,
            limit or self._host.max_threads,
            self._host.settings.max_lent_threads,
            self.brake,
        )
        self._all.append(threads)
        return threads
