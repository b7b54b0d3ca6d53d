"""What becomes of the results of a task or flow: stored, cached, found again.

Nothing here waits for the loop. What blocks is said, and done by `result_steps` in the
way that the run allows.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any, Final, TypeAlias

from headrace._engine.bodies import in_context
from headrace._engine.outcomes import Outcome
from headrace._engine.result_places import storage_key_of, store_of
from headrace._engine.scopes import context_of
from headrace._engine.stored import Dropped, StoredResult
from headrace._text import one_line, shown
from headrace.cached_values import ref_of, text_of
from headrace.caching import CacheEntry, MemoryCache
from headrace.caching.store import storable_key
from headrace.context import CURRENT, TaskRunContext
from headrace.exceptions import MissingResult, ResultTooLarge, StorageError
from headrace.hashing import KeyPolicy, explain, parts_to_text, stable_hash
from headrace.hashing.keys import task_input_hash
from headrace.result_options import ResultOptions
from headrace.results import ResultRef
from headrace.runs import result_of
from headrace.states import StateType, format_exception

__all__ = ("Await", "Block", "Board", "ResultPlan", "Steps")

log: Final = logging.getLogger("headrace.results")

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED

# What the index keeps itself; larger values have a place of their own.
_INLINE_BYTES: Final = 16 * 1024
# What is read on the loop, as that takes less than to have a thread do it.
_AT_ONCE_BYTES: Final = 64 * 1024
_OPTIONS: Final = ResultOptions()


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for something that can be awaited, and go on with its value."""

    awaitable: Any


@dataclass(frozen=True, slots=True)
class Block:
    """Make a call that may block, and go on with its value."""

    call: Any


@dataclass(frozen=True, slots=True)
class Board:
    """Take part in the flight of a key; go on when there may be something to find."""

    key: str


Step: TypeAlias = Await | Block | Board
Steps: TypeAlias = Generator[Step, Any, Outcome | None]


class ResultPlan:
    """For all runs of one task in one scope, or of one flow.

    Args:
        scope: That of the runs; of a flow run its own.
        spec: Of the task or flow. Not held on to.

    Attributes:
        has_work: Whether there is anything to do.
        caches: What is shared with the other runs of the runtime.
    """

    __slots__ = (
        "_has_complained", "_index", "_inline", "_is_asked", "_is_refused", "_name",
        "_options", "_refreshes", "_store", "caches", "has_work",
    )  # fmt: skip

    def __init__(self, scope: Any, spec: Any) -> None:
        options = self._options = spec.results or _OPTIONS
        asks = options.asks_to_store
        self._is_asked = scope.stores_results if asks is None else asks
        self._is_refused = asks is False
        is_cached = options.cache_key is not None
        self.has_work = self._is_asked or is_cached or not options.in_memory
        self._name = spec.name
        self._has_complained = False
        self.caches: Any = None
        if not self.has_work:
            return
        host = scope.host
        settings = host.settings
        self._store = store_of(scope, spec, settings, settings.max_result_bytes)
        if not options.in_memory:
            host.drops_results = True
        if is_cached:
            self.caches = host.caches
            index = self.caches.memory if self._is_refused else self.caches.index
            self._index = index
            self._inline = self._store
            if not isinstance(index, MemoryCache):
                most = min(settings.max_result_bytes or _INLINE_BYTES, _INLINE_BYTES)
                self._inline = store_of(scope, spec, settings, most)
            refresh = options.refresh
            default = settings.tasks_refresh_cache
            self._refreshes = default if refresh is None else refresh

    # -- before the first attempt ----------------------------------------------------

    def known(self, run: Any) -> Steps:
        """What a run gives that was cached, if anything: else it has to execute.

        May be begun again when a run was put aside meanwhile.
        """
        if self.caches is None:
            return None
        result = result_of(run)
        if not result.asked:
            result.asked = True
            result.flights = self.caches.flights
            result.refreshes = self._refreshes
            yield from self._ask(run)
        key = result.key
        if key is None or self._refreshes:
            return None
        if not self.caches.is_warm:
            yield Block(partial(self._index.get, key, time()))
            self.caches.is_warm = True
        leads = False
        while True:
            entry = self._index.get(key, time())
            if entry is not None:
                outcome = yield from self._hit(run, entry)
                if outcome is not None:
                    return outcome
            if leads:
                self._note_parts(run)
                return None
            leads = yield Board(key)

    def _ask(self, run: Any) -> Generator[Step, Any, None]:
        """Ask the user's function for the key, outside of the context of the run."""
        result = result_of(run)
        context = context_of(run)
        context.run(CURRENT.set, run.scope)
        found: Any = None
        try:
            found = context.run(self._asked, run)
            if inspect.isawaitable(found):
                found = yield Await(in_context(context, _awaited(found)))
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            self._complain(
                "%s: its cache_key_fn raised %s; it is not cached",
                one_line(run.name),
                one_line(format_exception(error)),
                error=error,
            )
            return
        if found is None or isinstance(found, str):
            result.key = found or None
            return
        self._complain(
            "%s: its cache_key_fn returned %s, which is neither a text nor None; it is "
            "not cached. Return a str",
            one_line(run.name),
            one_line(shown(found)),
        )

    def _asked(self, run: Any) -> Any:
        key_of: Any = self._options.cache_key
        return key_of(_context_of(run), run.parameters())

    def _hit(self, run: Any, entry: CacheEntry) -> Steps:
        """The outcome of a run whose key was cached; None if that cannot be read."""
        try:
            if entry.inline is not None and len(entry.inline) <= _AT_ONCE_BYTES:
                value = self._store.from_bytes(entry.inline, "the cache index")
            else:
                value = yield Block(partial(self._value_of, entry))
        except (MissingResult, ValueError, KeyError):
            self._index.remove(entry.key)
            return None
        except StorageError as error:
            self._complain(
                "%s: a cached result is not used: %s", self._name, str(error)
            )
            return None
        result, rare = result_of(run), run.rarely()
        result.is_cached, result.expires = True, entry.expires
        rare.name, rare.message = "Cached", entry.message
        if entry.ref is not None and not entry.ref.startswith("object "):
            result.ref = ref_of(entry.ref)
        return _COMPLETED, self._in_hand(result.ref, value)

    def _value_of(self, entry: CacheEntry) -> Any:
        if entry.inline is not None:
            return self._store.from_bytes(entry.inline, "the cache index")
        text = entry.ref or ""
        if text.startswith("object "):
            return self.caches.object_of(text)
        return self._store.load(ref_of(text))

    def _in_hand(self, ref: ResultRef | None, value: Any) -> Any:
        """The value, or what stands for it where it is not to stay in memory."""
        if self._options.in_memory or value is None:
            return value
        return Dropped(self._name) if ref is None else StoredResult(self._store, ref)

    def _note_parts(self, run: Any) -> None:
        """What the key of a run is made of, before its body may change its arguments."""
        key_of: Any = self._options.cache_key
        result = result_of(run)
        if not isinstance(key_of, KeyPolicy) and key_of is not task_input_hash:
            name = getattr(key_of, "__qualname__", type(key_of).__qualname__)
            result.parts = f"{stable_hash(result.key or '')} key of {name}"
            return
        try:
            found = explain(key_of, _context_of(run), run.parameters())
            result.parts = parts_to_text(found)
        except Exception:  # noqa: BLE001 - users' objects may raise anything
            result.parts = ""

    # -- after an attempt ------------------------------------------------------------

    def save(self, run: Any, outcome: Outcome) -> Outcome:
        """Store and cache what an attempt gave. Blocks, and raises nothing.

        Returns:
            The outcome of the attempt: Failed if what was to be stored could not be.
        """
        phase, data = outcome
        if phase is _FAILED:
            if self._is_asked and isinstance(data, BaseException):
                self._save_error(run, data)
            return outcome
        if phase is not _COMPLETED:
            return outcome
        result = result_of(run)
        if self._is_asked:
            try:
                result.ref = self._store.save(self._key_of(run), data)
            except Exception as error:  # noqa: BLE001 - users' code may raise anything
                return _unstored(run, error)
        if result.key is not None:
            self._cache(run, data)
        return phase, self._in_hand(result.ref, data)

    def _save_error(self, run: Any, error: BaseException) -> None:
        try:
            result_of(run).ref = self._store.save(self._key_of(run), error)
        except Exception as problem:  # noqa: BLE001 - users' code may raise anything
            self._complain(
                "%s: the exception that it failed with is not stored: %s",
                one_line(run.name),
                one_line(format_exception(problem)),
            )

    def _key_of(self, run: Any) -> str:
        return storage_key_of(run, self._options.storage_key)

    def _cache(self, run: Any, value: Any) -> None:
        result = result_of(run)
        now, seconds = time(), self._options.cache_seconds
        result.expires = None if seconds is None else now + seconds
        try:
            inline, ref, size = self._place_of(result, value)
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            self._complain(
                "%s: its result is not cached: %s",
                one_line(run.name),
                one_line(format_exception(error)),
                level=logging.WARNING,
            )
            self.caches.flights.land(run)
            return
        entry = CacheEntry(
            key=result.key or "",
            created=now,
            expires=result.expires,
            task_key=run.spec.key,
            task_name=run.spec.name,
            state_name=run.name_of_end(_COMPLETED),
            message=None if run.rare is None else run.rare.message,
            inline=inline,
            ref=ref,
            size=size,
            parts=result.parts,
        )
        self._index.put(entry)

    def _place_of(
        self, result: Any, value: Any
    ) -> tuple[bytes | None, str | None, int]:
        """The bytes of a value, or where it is; and how many bytes it has."""
        if self._is_asked:
            ref: ResultRef = result.ref
            return None, text_of(ref, is_own=False), ref.size_bytes
        try:
            blob = self._inline.to_bytes(value)
        except Exception as error:
            if self._is_refused:
                return None, self.caches.keep_object(value), 0
            if self._inline is self._store or not _is_size(error):
                raise
        else:
            return blob, None, len(blob)
        key = f"cache/{stable_hash(storable_key(result.key))}"
        ref = self._store.save(key, value)
        return None, text_of(ref, is_own=True), ref.size_bytes

    def _complain(
        self,
        text: str,
        *values: object,
        error: BaseException | None = None,
        level: int = logging.ERROR,
    ) -> None:
        """Log what goes wrong, the first time in this plan: it may at each run."""
        if not self._has_complained:
            self._has_complained = True
            log.log(level, text, *values, exc_info=error)


def _context_of(run: Any) -> TaskRunContext:
    """What key functions are given as their context."""
    return TaskRunContext(
        task=run.spec.owner,
        task_run=run.view(),
        parameters=run.parameters(),
        log_prints=False,
        start_time=None,
    )


def _unstored(run: Any, error: Exception) -> Outcome:
    """The outcome of a run whose body completed and whose result was to be stored."""
    rare = run.rarely()
    rare.name = rare.message = None
    # Another attempt would give the same. A storage may be back by then.
    rare.is_last = not isinstance(error, StorageError)
    return _FAILED, error


def _is_size(error: Exception) -> bool:
    return isinstance(error, ResultTooLarge)


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
