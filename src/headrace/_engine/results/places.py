"""Where the results of a run are stored: by which store, and under which key."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from headrace._engine.scopes import context_of
from headrace.context.facts import FLOW_RUN, TASK_RUN
from headrace.result_options import ResultOptions
from headrace.results import ResultStore
from headrace.runs import result_of
from headrace.storage import Signer, random_key
from headrace.storage_keys import filled_storage_key

__all__ = ("storage_key_of", "store_of")


def _chain(scope: Any, spec: Any) -> Iterator[ResultOptions]:
    """What was said of results, from the nearest: the task, its flow, those around."""
    if spec.results is not None:
        yield spec.results
    while scope is not None:
        owner = scope.owner
        if owner is not None and owner.spec is not spec and owner.spec.results:
            yield owner.spec.results
        scope = scope.parent


def store_of(
    scope: Any, spec: Any, settings: Any, most: int | None, signer: Signer | None
) -> ResultStore:
    """Where and how the results of a task in a scope are stored (PERS-04).

    Args:
        scope: That of the run.
        spec: Of the task or flow.
        settings: Of the runtime.
        most: How many bytes a result may have; None for any number.
        signer: Signs pickles; None for one with the key of the settings.
    """
    said = [*_chain(scope, spec)]
    storages = [each.storage for each in said if each.storage is not None]
    serializers = [each.serializer for each in said if each.serializer is not None]
    folder = settings.local_storage_path or Path(settings.home) / "storage"
    return ResultStore(
        storages[0] if storages else folder,
        serializers[0] if serializers else settings.results_default_serializer,
        max_bytes=most,
        signer=signer or Signer.of_settings(settings),
    )


def storage_key_of(run: Any, template: str | None) -> str:
    """The key of a run's result, the same for all its attempts.

    Raises:
        InvalidStorageKey: The template makes none of what the run was given.
    """
    if template is not None:
        key: str = context_of(run).run(partial(_filled, run, template))
        return key
    result = result_of(run)
    if result.storage_key is None:
        result.storage_key = random_key()
    return result.storage_key


def _filled(run: Any, template: str) -> str:
    return filled_storage_key(
        template,
        parameters=run.parameters(),
        flow_run=FLOW_RUN,
        task_run=TASK_RUN,
    )
