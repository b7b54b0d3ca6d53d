"""A submitted run that waits for its next attempt: a record and a timer."""

from __future__ import annotations

from random import random
from time import time
from typing import Any

from headrace._engine.deferred import prepare_retry
from headrace._engine.hooks import hooking
from headrace._engine.outcomes import retry_delay

__all__ = ("retry_later",)


def retry_later(scheduler: Any, run: Any, data: object) -> None:
    """Have a run whose attempt failed with ``data`` attempted again when it is due."""
    run.handle = None  # nothing runs until the next attempt
    now = time()
    delay = retry_delay(run, random, now)
    prepare_retry(run, data, now, delay)
    if scheduler.announcer is not None:
        scheduler.announce(run)
    run.scope.waiting.add(run)
    hooks = run.spec.hooks
    if hooks is None or not hooks.retry:
        _wait(scheduler, run, delay)
        return
    due = now + delay
    hooking.before_retry(
        scheduler, run, lambda run: _wait(scheduler, run, due - time())
    )


def _wait(scheduler: Any, run: Any, delay: float) -> None:
    if run.is_settled:
        return  # cancelled while its hooks were called
    timer = scheduler.loop.call_later(max(delay, 0.0), _again, scheduler, run)
    run.rarely().timer = timer


def _again(scheduler: Any, run: Any) -> None:
    run.scope.waiting.discard(run)
    run.rarely().timer = None
    scheduler.admit(run)
