"""Runs that are cached: found by their key before they execute, kept when they have.

Nothing here waits for the loop. What waits is said, as steps, and `result_steps` takes
these in the way that a run allows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import time
from typing import Any, Final

from headrace._engine.outcomes import Outcome, Told, of_error, told
from headrace._engine.results.held_values import HeldValues
from headrace._engine.results.keys import Complaints, KeyAsker
from headrace._engine.results.places import store_of
from headrace._engine.results.walks import Await, Block, Board, Steps
from headrace.cached_values import ref_of, text_of
from headrace.caching import CacheEntry, MemoryCache
from headrace.caching.store import storable_key
from headrace.exceptions import ResultTooLarge, StorageError
from headrace.hashing import stable_hash
from headrace.results import ResultRef, ResultStore
from headrace.runs import RunResult, result_of
from headrace.states import StateType, format_exception

__all__ = ("CachedRuns",)

_COMPLETED: Final = StateType.COMPLETED

# What the index keeps itself; larger values have a place of their own.
_INLINE_BYTES: Final = 16 * 1024
# What is read on the loop, as that takes less than to have a thread do it.
_AT_ONCE_BYTES: Final = 64 * 1024


class CachedRuns:
    """The runs of one task in one scope, by their cache keys.

    Args:
        scope: The scope.
        spec: That of the task, which has a key function. Not held on to.
        store: Stores and reads the values that no index keeps.
        complaints: Are told of what goes wrong.
        in_hand: Makes of a value, and of where it is, the outcome of a run; None for the
            value itself.

    Attributes:
        caches: What is shared with the other runs of the runtime.
    """

    __slots__ = (
        "_asker", "_complaints", "_in_hand", "_index", "_inline", "_is_in_memory", "_name",
        "_refreshes", "_seconds", "_store", "caches",
    )  # fmt: skip

    def __init__(
        self,
        scope: Any,
        spec: Any,
        store: ResultStore,
        complaints: Complaints,
        in_hand: Callable[[ResultRef | None, Any], Any] | None,
    ) -> None:
        options, settings = spec.results, scope.host.settings
        self._asker = KeyAsker(options.cache_key, complaints)
        self._complaints = complaints
        self._name: str = spec.name
        self._in_hand = in_hand
        self._store = store
        self._seconds: float | None = options.cache_seconds
        default = settings.tasks_refresh_cache
        self._refreshes = default if options.refresh is None else options.refresh
        self.caches: Any = scope.host.caches
        # With persist_result=False: kept, but not stored (CACHE-12).
        in_memory = options.persist is False
        self._index: Any = self.caches.memory if in_memory else self.caches.index
        self._inline: ResultStore | HeldValues
        # What is in memory waits for no file.
        self._is_in_memory = isinstance(self._index, MemoryCache)
        if self._is_in_memory:
            self._inline = HeldValues(store)
        else:
            most = min(settings.max_result_bytes or _INLINE_BYTES, _INLINE_BYTES)
            self._inline = store_of(scope, spec, settings, most, self.caches.signer)

    # -- before the first attempt ----------------------------------------------------

    def at_once(self, run: Any) -> Outcome | None:
        """What a run gives that was cached, not yet noted, if found without waiting.

        Else None, and `known` looks again.
        """
        result = result_of(run)
        try:
            if not result.asked and self._asked(run, result) is not None:
                return None
        except BaseException as error:  # noqa: BLE001 - users' code may raise anything
            return of_error(run, error, apart=True)
        key = result.key
        if (
            key is None
            or result.refreshes
            or not (self._is_in_memory or self._is_open())
        ):
            return None
        entry = self._entry(key)
        result.is_missed = entry is None
        if entry is None or not self._is_short(entry):
            return None
        return self._opened(run, entry)

    def known(self, run: Any) -> Steps:
        """What a run gives that was cached, not yet noted; if none, it has to execute.

        May be begun again when a run was put aside meanwhile.
        """
        result = result_of(run)
        if not result.asked:
            self._asked(run, result)
        awaitable, result.awaited = result.awaited, None
        if awaitable is not None:
            found, error = yield Await(awaitable)
            if error is None:
                self._asker.take(run, found)
            elif isinstance(error, Exception):
                self._asker.refuse(run, error)
            else:
                return of_error(run, error, apart=True)
        if result.key is None or result.refreshes:
            return None
        computes = not self._can_be_shared()
        # `at_once` may have looked just now. Who boards a flight looks once more: the one
        # before may have landed meanwhile, having kept what it gave.
        is_missed, result.is_missed = result.is_missed, False
        while True:
            outcome = None if is_missed else (yield from self._found(run, result.key))
            if outcome is not None:
                return outcome
            is_missed = False
            # Who waited in vain computes: else all of them might, one after the other.
            if computes or (result.has_followed and result.flight is None):
                self._asker.note_parts(run)
                return None
            computes = yield Board(result.key)

    def _can_be_shared(self) -> bool:
        """Whether what a run gives will be there for others when it has ended."""
        return self._seconds is None or self._seconds > 0

    def _asked(self, run: Any, result: RunResult) -> Any:
        """Ask for the key; what to await for it, if anything."""
        result.asked = True
        result.refreshes = self._refreshes
        result.awaited = self._asker.ask(run)
        return result.awaited

    def _found(self, run: Any, key: str) -> Steps:
        if self._is_in_memory or self._is_open():
            entry = self._entry(key)
        else:
            entry = yield Block(partial(self._entry, key))
        if entry is None:
            return None
        read = None
        if not self._is_short(entry):
            # What that gives or raises is known when it is opened.
            read = yield Block(partial(_result_of_call, partial(self._value_of, entry)))
        return self._opened(run, entry, read)

    def _is_open(self) -> bool:
        """Whether the index may be asked on a loop: it has no file to open first."""
        return bool(getattr(self._index, "is_open", True))

    def _is_short(self, entry: CacheEntry) -> bool:
        """Whether its value may be read on a loop: it is here, and so is its key."""
        inline = entry.inline
        is_small = inline is not None and len(inline) <= _AT_ONCE_BYTES
        return is_small and (self._is_in_memory or self._inline.is_ready)

    def _entry(self, key: str) -> CacheEntry | None:
        try:
            found: CacheEntry | None = self._index.get(key, time())
        except Exception as error:  # noqa: BLE001 - an index of the user's
            self._complain("%s: the cache index cannot be read: %s", error)
            return None
        return found

    def _complain(self, text: str, error: Exception) -> None:
        """Warn of what is not cached. A storage that is away is away for all tasks."""
        if not isinstance(error, StorageError) or self.caches.may_warn():
            told = format_exception(error)
            self._complaints.log(text, self._name, told, level=logging.WARNING)

    def _opened(
        self, run: Any, entry: CacheEntry, read: Callable[[], Any] | None = None
    ) -> Outcome | None:
        """The outcome of a run whose key was cached; None if that cannot be read.

        Args:
            run: The run.
            entry: What was found under its key.
            read: Gives the value, if that was read before.
        """
        try:
            value = self._value_of(entry) if read is None else read()
        except StorageError as error:
            self._complain("%s: a cached result is not used: %s", error)
            return None
        except Exception:  # noqa: BLE001 - users' classes may refuse what they were
            self._index.remove(entry.key)
            return None
        except BaseException as error:  # noqa: BLE001 - and raise anything
            return of_error(run, error, apart=True)
        result = result_of(run)
        result.is_cached, result.expires = True, entry.expires
        if entry.ref is not None and not self.caches.is_object(entry.ref):
            result.ref = ref_of(entry.ref)
        if self._in_hand is not None:
            value = self._in_hand(result.ref, value)
        if not run.spec.is_async:
            return told(_COMPLETED, value, "Cached", entry.message)
        # On the loop: noted at once, with no object for what is to be told.
        run.rare.name, run.rare.message = "Cached", entry.message
        return _COMPLETED, value

    def _value_of(self, entry: CacheEntry) -> Any:
        if entry.inline is not None:
            return self._inline.from_bytes(entry.inline, "the cache index")
        text = entry.ref or ""
        if self.caches.is_object(text):
            return self.caches.object_of(text)
        return self._store.load(ref_of(text))

    # -- after an attempt ------------------------------------------------------------

    def put(self, run: Any, outcome: Outcome) -> None:
        """Cache what a run gave. Blocks, and raises nothing that is an ``Exception``."""
        result, value = result_of(run), outcome[1]
        now, seconds = time(), self._seconds
        result.expires = None if seconds is None else now + seconds
        try:
            place = self._place_of(result, value)
            self._index.put(self._made(run, _naming(run, outcome), now, *place))
        except Exception as error:  # noqa: BLE001 - users' code may raise anything
            self._complain("%s: its result is not cached: %s", error)
            self.caches.flights.land(run)

    def _made(
        self,
        run: Any,
        naming: tuple[str, str | None],
        now: float,
        inline: bytes | None,
        ref: str | None,
        size: int,
    ) -> CacheEntry:
        result = result_of(run)
        return CacheEntry(
            key=result.key or "",
            created=now,
            expires=result.expires,
            task_key=run.spec.key,
            task_name=run.spec.name,
            state_name=naming[0],
            message=naming[1],
            inline=inline,
            ref=ref,
            size=size,
            parts=result.parts,
        )

    def _place_of(
        self, result: Any, value: Any
    ) -> tuple[bytes | None, str | None, int]:
        """The bytes of a value, or where it is; and how many bytes it has."""
        if result.ref is not None:
            return None, text_of(result.ref, is_own=False), result.ref.size_bytes
        try:
            blob = self._inline.to_bytes(value)
        except Exception as error:
            if self._index is self.caches.memory:
                return None, self.caches.keep_object(value), 0
            is_held = isinstance(self._inline, HeldValues)
            if is_held or not isinstance(error, ResultTooLarge):
                raise
        else:
            return blob, None, len(blob)
        key = f"cache/{stable_hash(storable_key(result.key))}"
        ref = self._store.save(key, value)
        return None, text_of(ref, is_own=True), ref.size_bytes


def _naming(run: Any, outcome: Outcome) -> tuple[str, str | None]:
    """The name and the message of the state that a run completes in."""
    if type(outcome) is Told:
        return outcome.name or _COMPLETED.title(), outcome.message
    return run.name_of_end(_COMPLETED), run.message_of_end(_COMPLETED)


def _result_of_call(call: Callable[[], Any]) -> Callable[[], Any]:
    """What gives again what a call gave, or raises again what it raised."""
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - raised again by who looks
        return partial(_raise, error)
    return lambda: value


def _raise(error: BaseException) -> None:
    raise error
