"""What type checkers make of records and of the inputs of runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from headrace import Runtime, task
from headrace.runs import FlowRun, RunInput, Runs, TaskRun


@task
def double(x: int) -> int:
    return 2 * x


def look_up(runtime: Runtime) -> None:
    runs = runtime.runs
    assert_type(runs, Runs)
    assert_type(iter(runs), Iterator[TaskRun | FlowRun])
    assert_type(len(runs), int)
    assert_type(runs.get("id"), TaskRun | FlowRun | None)
    assert_type(runs.task_runs(name="double-0", state_type="FAILED"), list[TaskRun])
    assert_type(runs.flow_runs(flow_name="main"), list[FlowRun])
    runs.task_runs(flow_name="main")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Runtime(history="last")
    Runtime(history="some")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def inputs(runtime: Runtime) -> None:
    run = double.submit(1).task_run
    assert_type(run.task_inputs, dict[str, list[RunInput]])
    assert_type(run.task_inputs["x"][0].id, str)
    assert_type(run.parent_run_id, str | None)
    runtime.runs.get(run.task_inputs["x"][0])
