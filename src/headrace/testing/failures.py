"""Have tasks fail when a test wants it, and have nothing retried."""

from __future__ import annotations

import copy
import dataclasses
import functools
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from headrace.context import CURRENT, RETRIES_OFF
from headrace.definitions import Definition
from headrace.exceptions import InjectedFailure
from headrace.runs import Record

__all__ = ("Failures", "fail_on", "no_retries")

# What makes the exception of one attempt: a class, or a function without arguments.
Maker: TypeAlias = Callable[[], BaseException]

# Held for moments, by whoever enters or leaves a block: the list of a task's failures
# and the options that it stands in have to change together.
_LOCK: Final = threading.Lock()


class Failures:
    """The failures of one `fail_on` block.

    Attributes:
        count: How many attempts it has made to fail so far.
    """

    def __init__(
        self, attempts: frozenset[int] | None, make: Callable[[str], BaseException]
    ) -> None:
        self.count = 0
        self._attempts = attempts
        self._make = make
        self._lock = threading.Lock()

    def raise_if_due(self, run: Any) -> None:
        """Raise, if the present attempt of a run is one that has to fail."""
        if self._attempts is not None and run.attempts not in self._attempts:
            return
        with self._lock:
            self.count += 1
        raise self._make(f"attempt {run.attempts} of the run {run.name!r}")


class _Faults:
    """What has to fail of one task, as long as any block wants that.

    Attributes:
        spec: The options of the task without it.
    """

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.failures: tuple[Failures, ...] = ()

    def faulty_spec(self) -> Any:
        """The same options, with functions that may fail."""
        spec = self.spec
        fn = _Faulty(spec.fn, self)
        call = _FaultyCoroutine(spec.call, self) if spec.is_async else fn
        return dataclasses.replace(spec, fn=fn, call=call, is_lasting=False)

    def raise_if_due_here(self) -> None:
        """`raise_if_due` for the run that the present code belongs to."""
        run = CURRENT.get(None)
        # Not a call of the bare function, ``task.fn(...)``, by other code.
        if isinstance(run, Record) and run.spec.key == self.spec.key:
            self.raise_if_due(run)

    def raise_if_due(self, run: Any) -> None:
        """Raise, if the present attempt of a run is one that has to fail."""
        for failures in self.failures:
            failures.raise_if_due(run)


class _Faulty:
    """Stands for the function of a task while attempts of it may have to fail.

    A worker process gets the function alone: what has to fail is decided here.
    """

    def __init__(self, fn: Callable[..., Any], faults: _Faults) -> None:
        functools.update_wrapper(self, fn)
        self.headrace_fn = fn  # see `headrace.runnable.Runnable.fn`
        self.faults = faults

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        self.faults.raise_if_due_here()
        return self.headrace_fn(*args, **kwargs)

    def headrace_before(self, run: Any) -> None:
        """Called in this process before the body of a run begins in another."""
        self.faults.raise_if_due(run)

    def __reduce__(self) -> Any:
        return _itself, (self.headrace_fn,)


class _FaultyCoroutine(_Faulty):
    """The same for a coroutine function: it is made before the body's context is."""

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        self.faults.raise_if_due_here()
        return await self.headrace_fn(*args, **kwargs)


def _itself(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


@contextmanager
def fail_on(
    task: Any,
    *,
    attempts: Iterable[int] | None = None,
    exception: BaseException | Maker | None = None,
) -> Generator[Failures]:
    """Have attempts of a task, or flow, fail in place of running its function.

    For all runs that are made while the block goes on, in every thread and through
    every door; retries, states and hooks follow as from a body that raises. Blocks may
    be nested and overlap: the one entered first decides first.

        with fail_on(fetch, attempts=[1, 2], exception=ConnectionError("down")):
            assert await fetch(7) == "page 7"  # at the third attempt

    Args:
        task: The task. Its bound methods, and copies of it made in the block by
            lookup, fail too; what ``with_options`` makes is another task.
        attempts: Which attempts of each run fail, from 1; None for all.
        exception: What they raise: an exception, of which each gets a copy, or a class
            or function that makes one; by default an
            `headrace.exceptions.InjectedFailure`.

    Yields:
        A count of the failures so far.

    Raises:
        TypeError: This is no task and no flow, or something has a wrong type.
        ValueError: An attempt is less than 1, or there are none.
    """
    if not isinstance(task, Definition):
        raise TypeError(
            f"fail_on() got {task!r}, which is no task and no flow. Give it what @task "
            f"made."
        )
    failures = Failures(_checked(attempts), _maker(exception))
    faults = _begin(task, failures)
    try:
        yield failures
    finally:
        _end(task, faults, failures)


def _begin(task: Definition, failures: Failures) -> _Faults:
    with _LOCK:
        fn = task.spec.fn
        if isinstance(fn, _Faulty):
            faults = fn.faults
        else:
            faults = _Faults(task.spec)
            task.spec = faults.faulty_spec()
        faults.failures = (*faults.failures, failures)
    return faults


def _end(task: Definition, faults: _Faults, failures: Failures) -> None:
    with _LOCK:
        # Runs that have not begun keep the faulty functions, which do nothing then.
        faults.failures = tuple(f for f in faults.failures if f is not failures)
        fn = task.spec.fn
        # Not if options were assigned meanwhile: they hold the function itself.
        if not faults.failures and isinstance(fn, _Faulty) and fn.faults is faults:
            task.spec = faults.spec


def _checked(attempts: Any) -> frozenset[int] | None:
    if attempts is None:
        return None
    if isinstance(attempts, int):
        raise TypeError(
            f"fail_on(attempts={attempts!r}) may mean one attempt or so many. Write "
            f"attempts=[{attempts!r}], or attempts=range(1, {attempts + 1!r}) for the "
            f"first {attempts!r}."
        )
    numbers = frozenset(attempts)
    if not all(isinstance(number, int) for number in numbers):
        raise TypeError(f"fail_on(attempts={attempts!r}): attempts are whole numbers.")
    if not numbers or min(numbers) < 1:
        raise ValueError(
            f"fail_on(attempts={attempts!r}): the first attempt is 1. Leave it out to "
            f"have all of them fail."
        )
    return numbers


def _maker(exception: Any) -> Callable[[str], BaseException]:
    if exception is None:
        return InjectedFailure
    if isinstance(exception, BaseException):
        # One for each attempt: they have tracebacks of their own.
        return _copier(exception)
    if not callable(exception):
        raise TypeError(
            f"fail_on(exception={exception!r}): give it an exception, or a class or "
            f"function that makes one."
        )
    if isinstance(exception, type):
        _made_by(exception)  # one that wants arguments is told here, not in the run
    return lambda _: _made_by(exception)


def _copier(exception: BaseException) -> Callable[[str], BaseException]:
    try:
        copy.copy(exception)
    except Exception as error:
        raise TypeError(
            f"fail_on(exception={exception!r}) cannot be copied, and each attempt has "
            f"to raise one of its own. Give it a function that makes them, as in "
            f"exception=lambda: {type(exception).__name__}(...)."
        ) from error
    return lambda _: copy.copy(exception)


def _made_by(make: Any) -> BaseException:
    made = make()
    if not isinstance(made, BaseException):
        raise TypeError(
            f"fail_on(exception={make!r}) made {made!r}, which is no exception."
        )
    return made


@contextmanager
def no_retries() -> Generator[None]:
    """Have no run retried that code in the block starts, nor any that those start.

    A failed attempt is final, whatever the task or flow says: what is tested is the
    failure, and nobody waits for the delays. Code that other threads start by
    themselves is left alone, as the block is a matter of context variables.
    """
    token = RETRIES_OFF.set(True)
    try:
        yield
    finally:
        RETRIES_OFF.reset(token)
