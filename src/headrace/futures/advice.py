"""What is said to code that takes a future for something else."""

from __future__ import annotations

import warnings

from headrace.exceptions import CrashedRun

__all__ = ("loop_closed", "not_callable", "too_late", "unpicklable", "warn_of_truth")


def too_late(name: str, timeout: float | None) -> TimeoutError:
    """For a result that was not there in time."""
    return TimeoutError(
        f"the run {name!r} did not end within {timeout} seconds; it goes on. "
        f"Wait again, or call cancel() on its future to end it."
    )


def loop_closed(name: str) -> CrashedRun:
    """For a run whose loop went away before it ended."""
    return CrashedRun(
        f"the event loop of the run {name!r} was closed before it ended. Leave its flow "
        f"or runtime first."
    )


def warn_of_truth(name: str) -> None:
    """For a future that was taken for its result; names the caller's caller."""
    warnings.warn(
        f"the future of {name!r} was used as a truth value, and is always true. "
        f"Did you mean its result: `await future`, or future.result()?",
        UserWarning,
        stacklevel=3,
    )


def unpicklable(name: str) -> TypeError:
    """For a future that was to leave its process."""
    return TypeError(
        f"the future of {name!r} cannot be pickled: it belongs to this process. "
        f"Pass its result or its state instead."
    )


def not_callable(given: object) -> TypeError:
    """For a callback that is none."""
    return TypeError(
        f"add_done_callback() got {given!r}, which cannot be called. Give it a "
        f"function that takes the future."
    )
