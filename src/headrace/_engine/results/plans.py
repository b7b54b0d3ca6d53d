"""What becomes of the results of a task or flow: stored, cached, found again."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from headrace._engine.outcomes import Outcome, Told, of_error
from headrace._engine.results.cached_runs import CachedRuns
from headrace._engine.results.keys import Complaints
from headrace._engine.results.places import storage_key_of, store_of
from headrace._engine.results.stored import Dropped, StoredResult
from headrace._engine.results.walks import Steps
from headrace.exceptions import StorageError
from headrace.result_options import ResultOptions
from headrace.results import ResultRef
from headrace.runs import result_of
from headrace.specs import FlowSpec
from headrace.states import StateType, format_exception

__all__ = ("ResultPlan",)

_COMPLETED: Final = StateType.COMPLETED
_FAILED: Final = StateType.FAILED
_OPTIONS: Final = ResultOptions()


class ResultPlan:
    """For all runs of one task in one scope, or of one flow.

    Args:
        scope: That of the runs; of a flow run its own.
        spec: Of the task or flow. Not held on to.

    Attributes:
        has_work: Whether there is anything to do.
        at_once: See `CachedRuns.at_once`.
        known: See `CachedRuns.known`.
    """

    __slots__ = (
        "_cached", "_complaints", "_is_asked", "_kind", "_name", "_options", "_store",
        "at_once", "has_work", "known",
    )  # fmt: skip

    def __init__(self, scope: Any, spec: Any) -> None:
        options = self._options = spec.results or _OPTIONS
        asks = options.asks_to_store
        self._is_asked: bool = scope.stores_results if asks is None else asks
        is_cached = options.cache_key is not None
        self.has_work = self._is_asked or is_cached or not options.in_memory
        if not self.has_work:
            return
        self._name = spec.name
        self._kind = "Flow" if isinstance(spec, FlowSpec) else "Task"
        self._complaints = Complaints()
        settings = scope.host.settings
        signer = scope.host.caches.signer if is_cached else None
        most = settings.max_result_bytes
        self._store = store_of(scope, spec, settings, most, signer)
        if not options.in_memory:
            scope.host.drops_results = True
        self._cached: CachedRuns | None = None
        self.at_once: Callable[[Any], Outcome | None] = _not_cached
        self.known: Callable[[Any], Steps] = _nothing
        if is_cached:
            in_hand = None if options.in_memory else self._in_hand
            cached = CachedRuns(scope, spec, self._store, self._complaints, in_hand)
            self._cached = cached
            self.at_once, self.known = cached.at_once, cached.known

    @property
    def flights(self) -> Any:
        """Who computes what just now."""
        return None if self._cached is None else self._cached.caches.flights

    def save(self, run: Any, outcome: Outcome) -> Outcome:
        """Store and cache what an attempt gave. Blocks, and raises nothing.

        Returns:
            The outcome of the attempt, not yet noted: Failed if what was to be stored
            could not be.
        """
        try:
            return self._stored(run, outcome)
        except BaseException as error:  # noqa: BLE001 - users' code may raise anything
            return of_error(run, error, kind=self._kind, apart=True)

    def _stored(self, run: Any, outcome: Outcome) -> Outcome:
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
                return _unstored(error)
        if self._cached is not None and result.key is not None:
            self._cached.put(run, outcome)
        data = self._in_hand(result.ref, data)
        return outcome.with_data(data) if type(outcome) is Told else (phase, data)

    def _save_error(self, run: Any, error: BaseException) -> None:
        try:
            result_of(run).ref = self._store.save(self._key_of(run), error)
        except Exception as problem:  # noqa: BLE001 - users' code may raise anything
            self._complaints.log(
                "%s: the exception that it failed with is not stored: %s",
                run.name,
                format_exception(problem),
            )

    def _key_of(self, run: Any) -> str:
        return storage_key_of(run, self._options.storage_key)

    def _in_hand(self, ref: ResultRef | None, value: Any) -> Any:
        """The value, or what stands for it where it is not to stay in memory."""
        if self._options.in_memory or value is None:
            return value
        return Dropped(self._name) if ref is None else StoredResult(self._store, ref)


def _unstored(error: Exception) -> Outcome:
    """The outcome of a run whose body completed and whose result was to be stored."""
    told = Told((_FAILED, error))
    # Another attempt would give the same. A storage may be back by then.
    told.is_last = not isinstance(error, StorageError)
    return told


def _not_cached(_: object) -> None: ...


def _nothing(_: object) -> Generator[Any, Any, Outcome | None]:
    yield from ()
    return None
