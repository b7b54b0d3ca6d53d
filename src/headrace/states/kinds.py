"""The kinds of state there are, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

__all__ = ("ALLOWED", "FINAL", "StateType", "is_allowed")


class StateType(StrEnum):
    """What the engine acts on. A state's name refines it for people."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


_S = StateType

FINAL: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.CRASHED, _S.CANCELLED})

# Any run that is not over can be told to stop, can lose its ground (the process
# ends, the engine fails), or can fail before its body is entered.
_STOPS: Final = frozenset({_S.CANCELLING, _S.CANCELLED, _S.CRASHED, _S.FAILED})

# The whole state machine. Nothing follows a final state.
ALLOWED: Final[Mapping[StateType, frozenset[StateType]]] = MappingProxyType(
    {
        # SCHEDULED is AwaitingRetry, or a body that asked to be run again later.
        _S.SCHEDULED: _STOPS | {_S.RUNNING},
        # COMPLETED straight from PENDING is a cache hit. CANCELLED from it is a run
        # that was withdrawn, or held back by its upstream (NotReady).
        _S.PENDING: _STOPS | {_S.SCHEDULED, _S.RUNNING, _S.COMPLETED, _S.PAUSED},
        # RUNNING follows itself in a flow's second attempt and in a task that is
        # run again at once.
        _S.RUNNING: _STOPS | {_S.SCHEDULED, _S.RUNNING, _S.COMPLETED, _S.PAUSED},
        _S.PAUSED: _STOPS | {_S.SCHEDULED, _S.RUNNING},
        # A body that was told to stop may have been done by then.
        _S.CANCELLING: frozenset({_S.CANCELLED, _S.FAILED, _S.CRASHED, _S.COMPLETED}),
        _S.COMPLETED: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.CRASHED: frozenset(),
    }
)


def is_allowed(before: StateType, after: StateType) -> bool:
    """Whether a run in a state of type ``before`` may enter one of type ``after``."""
    return after in ALLOWED[before]
