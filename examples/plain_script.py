"""A plain script: no `async`, no `await`.

    python examples/plain_script.py

Plain functions become tasks that run in threads, beside each other. A flow is a
function too: call it, and it gives its value when all it started has ended.
"""

from __future__ import annotations

import logging
import random
import threading

from headrace import exponential_backoff, flow, ref, task


class FlakyServer:
    """Stands for something on the network: the first request for a page fails."""

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.lock = (
            threading.Lock()
        )  # tasks run in threads, so what they share is locked

    def get(self, page: int) -> list[int]:
        """The numbers on a page."""
        with self.lock:
            is_first = page not in self.asked
            self.asked.add(page)
        if is_first:
            raise ConnectionError(f"page {page}: connection reset")
        return random.Random(page).choices(range(1000), k=100)  # noqa: S311 - no secret


# Three more attempts, after 0.02, 0.04 and 0.08 seconds, each stretched at random by
# up to half so that not all come back at the same moment.
@task(
    retries=3,
    retry_delay_seconds=exponential_backoff(0.02),
    retry_jitter_factor=0.5,
    timeout_seconds=10,
)
def download(server: FlakyServer, page: int) -> list[int]:
    """One page."""
    return server.get(page)


@task
def total(numbers: list[int]) -> int:
    """The sum of a page."""
    return sum(numbers)


@task
def largest(totals: list[int]) -> int:
    """The best page."""
    return max(totals)


@flow
def best_page(server: FlakyServer, pages: int) -> tuple[int, int]:
    """The largest sum of a page, and how many pages were asked for again."""
    # One run for each page. `server` is not iterable, so every run gets it.
    downloads = download.map(server, range(pages))
    # Futures as inputs: each sum starts when its page is there.
    totals = total.map(downloads)
    # A list of futures too: starts when all are done, and gets their values.
    best = largest.submit(ref(totals))  # ref: only for type checkers

    # result() waits, and gives the value or raises what the task raised.
    value = best.result()
    retried = sum(future.task_run.run_count > 1 for future in downloads)
    return value, retried


if __name__ == "__main__":
    # Failed attempts are logged at ERROR. That there are some is the point here.
    logging.getLogger("headrace.task_runs").setLevel(logging.CRITICAL)
    value, retried = best_page(FlakyServer(), pages=50)
    print(f"the largest sum is {value}; {retried} of 50 pages were asked for again")
