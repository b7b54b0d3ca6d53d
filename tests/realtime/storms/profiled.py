"""A program that is profiled while a thread that was left behind has yet to be interrupted."""

from __future__ import annotations

import sys
import threading

from headrace import Runtime, Settings, task

moment = threading.Event()
never = threading.Lock()
never.acquire()


@task(timeout_seconds=0.05)
def stuck() -> None:
    """Wait in code that no interrupt reaches."""
    never.acquire()


def same(number: int) -> int:
    return number


def main() -> None:
    """Leave a thread behind, and be profiled after that."""
    with Runtime(settings=Settings(abandon_after_seconds=0.05)) as runtime:
        stuck.submit().wait()
        while not runtime.stats()["abandoned_threads"]:
            moment.wait(0.01)
        moment.wait(0.1)
        calls = 0

        def note(*_: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(note)
        for number in range(1000):
            same(number)
        sys.setprofile(None)
        sys.stdout.write("survived" if calls >= 1000 else str(calls))


main()
