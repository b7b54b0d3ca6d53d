"""What single options add to a run of a map, in microseconds."""

from __future__ import annotations

from typing import Any

from benchmarks.bodies import inc, inc_task, mapped, plain_task
from benchmarks.maps import Listener, on_the_loop
from benchmarks.measure import Case, Row
from headrace import Runtime, tags, task

RUNS = 10_000

OPTIONS: dict[str, dict[str, Any]] = {
    "retries, not used": {"retries": 3},
    "timeout_seconds": {"timeout_seconds": 60},
    "tags": {"tags": ["a", "b"]},
    "task_run_name": {"task_run_name": "inc-{x}"},
    "log_prints": {"log_prints": True},
    "concurrency_limit, free": {"concurrency_limit": RUNS},
    "concurrency_limit=64": {"concurrency_limit": 64},
    "one coroutine hook": {"on_completion": [on_the_loop]},
}


def in_tags() -> Case:
    """A map inside `tags`."""

    async def case() -> Any:
        async with Runtime():
            with tags("a", "b"):
                return inc_task.map(range(RUNS))

    return case


def rows() -> list[Row]:
    """Each beside the same map without it."""
    usual = mapped(inc_task, RUNS)
    cases = {name: mapped(task(inc, **given), RUNS) for name, given in OPTIONS.items()}
    plain = mapped(plain_task.with_options(timeout_seconds=60), RUNS)
    cases |= {
        "a block with tags()": in_tags(),
        "one observer": mapped(inc_task, RUNS, observers=[Listener()]),
        'history="off"': mapped(inc_task, RUNS, history="off"),
    }
    return [
        *(
            Row(name=f"adds: {name}", bare=usual, ours=case, size=RUNS, kind="over")
            for name, case in cases.items()
        ),
        Row(
            name="adds: timeout_seconds, plain",
            bare=mapped(plain_task, RUNS),
            ours=plain,
            size=RUNS,
            kind="over",
        ),
    ]
