"""Why a run would be found in the cache, or not: the parts of its key, and what changed."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from types import SimpleNamespace
from typing import Any

from headrace._text import one_line
from headrace._values import Value
from headrace.context import CURRENT, present_flow_run
from headrace.settings import current_settings
from headrace.specs import TaskSpec

__all__ = ("CacheExplanation", "explain_cache")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CacheExplanation(Value):
    """What `headrace.tasks.Task.explain_cache` tells.

    Attributes:
        task: The name of the task.
        key: The key; None if such a run is not cached.
        is_cached: Whether there is something to be found under it.
        parts: What the key is made of, each a `headrace.hashing.KeyPart`.
        compared_to: When the run ended that was cached last; None if there is none.
        changes: In which parts that one's key differs: `headrace.hashing.KeyChange`.
    """

    task: str
    key: str | None
    is_cached: bool
    parts: list[Any]
    compared_to: datetime | None
    changes: list[Any]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Generator[str]:
        task = one_line(self.task)
        if self.key is None:
            yield f"A run of {task} with these arguments is not cached: it has no key."
        else:
            found = "is cached" if self.is_cached else "is not cached yet"
            yield f"A run of {task} with these arguments {found}. Key: {self.key}"
        width = max((len(part.name) for part in self.parts), default=0)
        for part in self.parts:
            told = part.digest or f"no key: {part.problem}"
            yield f"  {one_line(part.name).ljust(width)}  {one_line(told, 200)}"
        if self.compared_to is None:
            yield "No run of it is in the cache to compare with."
        else:
            at = f"{self.compared_to:%Y-%m-%d %H:%M:%S} UTC"
            changes = ", ".join(one_line(str(change)) for change in self.changes)
            yield f"Against the run that was cached last, at {at}: " + (
                changes or "nothing changed"
            )


def explain_cache(
    spec: TaskSpec, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> CacheExplanation:
    """See `headrace.tasks.Task.explain_cache`."""
    results = spec.results
    if results is None or results.cache_key is None:
        raise ValueError(
            f"the task {spec.name!r} caches nothing. Give it cache_key_fn, such as "
            f"headrace.task_input_hash."
        )
    if results.is_key_async:
        raise TypeError(
            f"the cache_key_fn of {spec.name!r} is a coroutine function, and cannot be "
            f"asked here."
        )
    spec.binder.check(args, dict(kwargs))
    parameters = spec.binder.parameters(args, kwargs)
    run_id = "that of the run"  # a part that differs each time
    flow_run = present_flow_run()
    flow_run_id = None if flow_run is None else flow_run.id
    run = SimpleNamespace(id=run_id, flow_run_id=flow_run_id, name=spec.name)
    context = SimpleNamespace(task=spec.owner, task_run=run, parameters=parameters)
    explanation = _explained(spec, context, parameters)
    sys.stdout.write(f"{explanation}\n")
    return explanation


def _explained(
    spec: TaskSpec, context: Any, parameters: dict[str, Any]
) -> CacheExplanation:
    # Late: most programs cache nothing.
    from headrace.hashing import (  # noqa: PLC0415
        compare_parts,
        explain,
        parts_from_text,
    )

    key_of: Any = spec.results and spec.results.cache_key
    key = key_of(context, parameters) or None
    parts = explain(key_of, context, parameters)
    with _index() as index:
        is_cached = key is not None and index.get(key, time()) is not None
        latest = index.latest(spec.key)
    before = [] if latest is None else parts_from_text(latest.parts)
    return CacheExplanation(
        task=spec.name,
        key=key,
        is_cached=is_cached,
        parts=parts,
        compared_to=(
            None if latest is None else datetime.fromtimestamp(latest.created, UTC)
        ),
        changes=[] if latest is None else compare_parts(before, parts),
    )


@contextmanager
def _index() -> Generator[Any]:
    """That of the runtime around, else the one that settings name."""
    holder: Any = CURRENT.get(None)
    if holder is not None:
        yield holder.scope.host.caches.index
        return
    from headrace.caching import index_path, open_index  # noqa: PLC0415 - see above

    with closing(open_index(index_path(current_settings().home))) as index:
        yield index
