"""Fan out: ten thousand runs at once, take the first that end, cancel the rest.

    python examples/fan_out.py

Coroutine tasks run on the event loop of the program, so they may share its
connections and locks. A run that waits for its turn is a small record.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from headrace import as_completed, flow, task


@task
async def ask(server: int) -> str:
    """Ask one of many servers; some are slow."""
    await asyncio.sleep(server % 100 / 10)
    return f"server {server}"


@flow
async def first_answers(servers: int, wanted: int) -> tuple[list[str], dict[str, int]]:
    """The first answers, and how all runs ended."""
    # Awaiting map() gives the futures; awaiting a future gives its value.
    futures = await ask.map(range(servers))

    answers: list[str] = []
    async for future in as_completed(futures):
        answers.append(await future)
        if len(answers) == wanted:
            break

    futures.cancel()
    states = await futures.wait()
    return answers, Counter(state.name for state in states if state)


async def main() -> None:
    """Run the flow on this loop: no thread, no second loop."""
    started = time.perf_counter()
    answers, ends = await first_answers(10_000, wanted=1_000)
    seconds = time.perf_counter() - started
    print(f"{len(answers)} answers, the first from {answers[0]}")
    print(f"10000 runs in {seconds:.2f} s, by final state: {dict(ends)}")


if __name__ == "__main__":
    asyncio.run(main())
