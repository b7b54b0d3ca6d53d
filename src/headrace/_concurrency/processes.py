"""Worker processes for functions that compute: kept warm, and killed if need be.

Each worker is a process and a thread of ours that talks with it: it pickles, sends,
waits for the answer and reads it, so that none of this holds up the event loop. A call
that is given up has its process killed, and another one is started when it is needed.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import multiprocessing
import operator
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, cast

import cloudpickle  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]

from headrace._concurrency.outlasting import outlast
from headrace.exceptions import HeadraceError, NotPicklable, WorkerDied

__all__ = ("Processes", "processor_count")

_SECONDS_TO_END: Final = 2.0
_SECONDS_TO_CLEAN_UP: Final = 0.1

# Started anew, and not forked: a copy of a process with threads may hang.
_SPAWN: Final = multiprocessing.get_context("spawn")
_dumps: Final[Callable[[object], bytes]] = cast("Any", cloudpickle).dumps
_loads: Final[Callable[[bytes], Any]] = cast("Any", cloudpickle).loads


def processor_count() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Processes:
    """A pool of worker processes, used on one event loop.

    Args:
        max_workers: Most processes at once; None for one for each processor.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = max_workers or processor_count()
        self._free = asyncio.Semaphore(self.max_workers)  # first come, first served
        self._idle: list[_Worker] = []

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Call a plain function in a worker; generators come back as lists.

        If this is cancelled, the process is ended, and gone when this returns: the body
        gets `SystemExit`, and a moment to clean up.

        Raises:
            BaseException: What the function raised, with the trace of there as a note.
            WorkerDied: The process ended meanwhile.
            NotPicklable: The call, or its result, cannot go from process to process.
        """
        async with self._free:
            worker = self._idle.pop() if self._idle else _Worker()
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(
                worker.thread, worker.call, name, fn, args, kwargs
            )
            try:
                value = await asyncio.shield(call)
            except asyncio.CancelledError:
                await self._give_up(worker, call)
                raise
            except BaseException:
                self._take_back(worker)
                raise
            self._take_back(worker)
            return value

    async def _give_up(self, worker: _Worker, call: asyncio.Future[Any]) -> None:
        """End a process whose call is not wanted, however often this is cancelled."""
        loop = asyncio.get_running_loop()
        worker.kill(signal.SIGTERM)
        timer = loop.call_later(_SECONDS_TO_CLEAN_UP, worker.kill, signal.SIGKILL)
        await _outlasted(call)
        timer.cancel()
        worker.kill(signal.SIGKILL)
        await _outlasted(loop.run_in_executor(worker.thread, worker.finish))
        worker.end()

    def _take_back(self, worker: _Worker) -> None:
        if worker.is_alive:
            self._idle.append(worker)
        else:
            worker.end()

    async def aclose(self) -> None:
        """End all processes. Every call has ended."""
        loop = asyncio.get_running_loop()
        idle, self._idle = self._idle, []
        ends = [loop.run_in_executor(each.thread, each.finish) for each in idle]
        if ends:
            await asyncio.wait(ends)
        for worker in idle:
            worker.end()


async def _outlasted(call: asyncio.Future[Any]) -> None:
    """Wait for something in a thread; what it raises is no news."""
    await outlast(
        lambda: asyncio.wait([call]), is_over=call.done, when_cancelled=lambda: None
    )
    call.exception()


class _Worker:
    """One process, started at its first call, and the thread that talks with it."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="headrace-process")
        self._lock = threading.Lock()  # between a start and a kill
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._is_killed = False

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def call(
        self,
        name: str,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """In its thread: make one call, and wait for the outcome."""
        try:
            payload = _dumps((_by_name(fn), args, dict(kwargs)))
        except Exception as error:
            what, type_name = _culprit(fn, args, kwargs)
            raise NotPicklable(name, what, type_name, _told(error)) from error
        pipe, process = self._started()
        try:
            pipe.send_bytes(payload)
            kind, answer = _read(pipe.recv_bytes())
        except (EOFError, OSError):
            process.join(_SECONDS_TO_END)
            raise _death_of(name, process) from None
        if kind == "value":
            return answer
        if kind == "raised":
            raise answer
        type_name, reason = answer
        raise NotPicklable(name, kind, type_name, reason)

    def _started(self) -> tuple[Connection, SpawnProcess]:
        with self._lock:
            if self._is_killed:
                raise EOFError
            if self._process is None or self._pipe is None:
                self._pipe, theirs = _SPAWN.Pipe()
                self._process = _SPAWN.Process(
                    target=_serve, args=(theirs,), daemon=True
                )
                _refuse_in_worker()
                self._process.start()
                theirs.close()
            return self._pipe, self._process

    def kill(self, how: signal.Signals) -> None:
        """End the process: at SIGTERM its body cleans up. Any thread."""
        with self._lock:
            self._is_killed = True
            process = self._process
            if process is not None and process.pid and process.is_alive():
                os.kill(process.pid, how)

    def finish(self) -> None:
        """In its thread: let the process end, and wait for that."""
        process, pipe = self._process, self._pipe
        if process is None or pipe is None:
            return
        pipe.close()
        process.join(_SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join(_SECONDS_TO_END)

    def end(self) -> None:
        """Let go of the thread, and of a process that is gone."""
        if self._pipe is not None:
            self._pipe.close()
        self.thread.shutdown(wait=False)


class _Named:
    """A function that is to be found by the name of the task it was made."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def find(self) -> Callable[..., Any]:
        fn: Callable[..., Any] = _looked_up(importlib.import_module(self.module), self)
        return fn


def _looked_up(module: Any, named: _Named) -> Any:
    return operator.attrgetter(f"{named.name}.fn")(module)


def _culprit(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[str, str]:
    """Which part of a call cannot be pickled, and its type."""
    parts = [(f"argument {number}", arg) for number, arg in enumerate(args, start=1)]
    parts += [(f"the argument {name!r}", value) for name, value in kwargs.items()]
    for what, value in parts:
        try:
            _dumps(value)
        except Exception:  # noqa: BLE001 - the `__reduce__` of a user's class may raise
            return what, type(value).__name__
    return "the function", type(fn).__name__


def _by_name(fn: Callable[..., Any]) -> Callable[..., Any] | _Named:
    """A decorated function by its name, if that leads to it; else as it is.

    Its name leads to the task, so that it would be pickled by value, with all that it
    uses: the globals of its module would be copied for each call.
    """
    named = _Named(str(fn.__module__), getattr(fn, "__qualname__", ""))
    module = sys.modules.get(named.module)
    if module is None or named.module == "__main__":
        return fn
    try:
        return named if _looked_up(module, named) is fn else fn
    except AttributeError:
        return fn


def _death_of(name: str, process: SpawnProcess) -> WorkerDied:
    code = process.exitcode
    if code is not None and code < 0:
        return WorkerDied(name, process.pid or 0, None, signal.Signals(-code).name)
    return WorkerDied(name, process.pid or 0, code)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _read(answer: bytes) -> tuple[str, Any]:
    try:
        kind, value = _loads(answer)
    except Exception as error:  # noqa: BLE001 - loading users' objects may raise anything
        return "what came back", ("unknown", _told(error))
    return kind, value


# -- in the worker process ------------------------------------------------------------


def _refuse_in_worker() -> None:
    """Raise in a worker that would start workers of its own, and those in turn.

    So does a script that calls its flow outside of ``if __name__ == "__main__":``, as
    each worker imports the script.
    """
    if multiprocessing.parent_process() is not None:
        raise HeadraceError(
            "a worker process was about to start worker processes. If this is a "
            "script, put what it does under `if __name__ == '__main__':`, as each "
            "worker imports it; in a task, use threads."
        )


def _serve(pipe: Connection) -> None:
    """Take calls and answer them, until there is nobody to take them from."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    while True:
        try:
            payload = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(_answered(payload))


def _exit(*_: object) -> None:
    sys.exit(1)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _answered(payload: bytes) -> bytes:
    try:
        fn, args, kwargs = _loads(payload)
        if isinstance(fn, _Named):
            fn = fn.find()
    except Exception as error:  # noqa: BLE001 - loading users' objects may raise anything
        return _dumps(("the call", ("unknown", _told(error))))
    try:
        value = fn(*args, **kwargs)
        if inspect.isgenerator(value):
            value = list(value)
    except BaseException as error:  # noqa: BLE001 - a body may raise anything
        error.add_note(f"In the worker process:\n{traceback.format_exc()}")
        return _packed("raised", "the exception", error)
    return _packed("value", "the result", value)


def _packed(kind: str, what: str, value: object) -> bytes:
    try:
        return _dumps((kind, value))
    except Exception as error:  # noqa: BLE001 - pickling users' objects may raise anything
        return _dumps((what, (type(value).__name__, _told(error))))
