"""`headrace.runtime.task_run` and `headrace.runtime.flow_run`."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from headrace import Runtime, flow, get_run_context, runtime, tags, task
from headrace.runtime import flow_run, task_run

OF_TASK = ["id", "name", "parameters", "run_count", "tags", "task_name"]
OF_FLOW = [
    "flow_name", "id", "name", "parameters", "run_count", "scheduled_start_time",
    "tags",
]  # fmt: skip


def facts() -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {name: getattr(task_run, name) for name in OF_TASK},
        {name: getattr(flow_run, name) for name in OF_FLOW},
    )


@pytest.mark.rule("CTX-05", "CTX-06")
def test_in_a_task_they_tell_of_its_run_and_of_its_flow_run(every_door: Any) -> None:
    def body() -> Any:
        return facts(), get_run_context()

    with tags("b", "a"):
        (of_task, of_flow), context = every_door(body, tags=["own"])

    assert of_task == {
        "id": context.task_run.id,
        "name": "it-0",
        "parameters": {"x": 0},
        "run_count": 1,
        "tags": ["a", "b", "own"],
        "task_name": "it",
    }
    if every_door.in_flow:
        assert (of_flow["flow_name"], of_flow["name"]) == ("main", "main-0")
        assert of_flow["id"] == context.task_run.flow_run_id
        assert of_flow["tags"] == ["a", "b"]
        assert of_flow["run_count"] == 1
    else:
        del of_flow["scheduled_start_time"]
        assert of_flow == {
            "flow_name": None,
            "id": None,
            "name": None,
            "parameters": {},
            "run_count": 0,
            "tags": [],
        }


@pytest.mark.rule("CTX-06")
def test_in_a_flow_they_tell_of_its_run() -> None:
    @flow(name="main")
    def main(x: int) -> Any:
        return facts(), get_run_context()

    (of_task, of_flow), context = main(4)

    assert of_task["id"] is None
    assert of_flow == {
        "flow_name": "main",
        "id": context.flow_run.id,
        "name": "main-0",
        "parameters": {"x": 4},
        "run_count": 1,
        "scheduled_start_time": context.flow_run.expected_start_time,
        "tags": [],
    }


@pytest.mark.rule("CTX-05", "CTX-06")
@pytest.mark.parametrize("place", ["nothing", "runtime"])
def test_outside_of_runs_they_are_none_or_empty(place: str) -> None:
    before = datetime.now(UTC)
    if place == "nothing":
        of_task, of_flow = facts()
    else:
        with Runtime():
            of_task, of_flow = facts()

    assert of_task == {
        "id": None,
        "name": None,
        "parameters": {},
        "run_count": 0,
        "tags": [],
        "task_name": None,
    }
    assert before <= of_flow["scheduled_start_time"] <= datetime.now(UTC)
    assert of_flow["tags"] == []


@pytest.mark.rule("CTX-05")
async def test_the_run_count_grows_with_each_attempt() -> None:
    counts: list[int] = []

    @task(retries=2, retry_delay_seconds=60)
    async def flaky() -> None:
        counts.append(task_run.run_count)
        if len(counts) < 3:
            raise ValueError

    await flaky()

    assert counts == [1, 2, 3]


@pytest.mark.rule("CTX-05", "CTX-06")
@pytest.mark.parametrize(
    ("module", "names"), [(task_run, OF_TASK), (flow_run, OF_FLOW)]
)
def test_an_unknown_name_is_an_error_that_lists_the_names(
    module: Any, names: list[str]
) -> None:
    with pytest.raises(AttributeError) as caught:
        _ = module.nmae

    assert f"There are: {', '.join(names)}." in str(caught.value)
    assert dir(module) == names


@pytest.mark.rule("CTX-05", "CTX-06")
def test_they_are_modules_however_they_are_imported() -> None:
    assert runtime.task_run is task_run
    assert runtime.flow_run is flow_run
    assert importlib.import_module("headrace.runtime.task_run") is task_run
    assert runtime.Runtime is Runtime


# -- overridden by the environment, for tests ------------------------------------------


@pytest.mark.rule("CTX-07")
@pytest.mark.parametrize(
    ("module", "name", "text", "value"),
    [
        pytest.param(task_run, "name", "mine", "mine", id="a-text"),
        pytest.param(task_run, "id", "", "", id="an-empty-text"),
        pytest.param(task_run, "run_count", "7", 7, id="a-number"),
        pytest.param(flow_run, "flow_name", "mine", "mine", id="of-a-flow"),
        pytest.param(
            flow_run,
            "scheduled_start_time",
            "2026-01-31T12:00:00",
            datetime(2026, 1, 31, 12, tzinfo=UTC),
            id="a-time",
        ),
        pytest.param(
            flow_run,
            "scheduled_start_time",
            "2026-01-31T12:00:00+02:00",
            datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
            id="a-time-elsewhere",
        ),
        pytest.param(task_run, "my_own", "42", "42", id="an-unknown-name"),
    ],
)
def test_a_variable_overrides_a_fact_as_a_value_of_its_type(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, text: str, value: object
) -> None:
    noun = "TASK_RUN" if module is task_run else "FLOW_RUN"
    monkeypatch.setenv(f"HEADRACE__RUNTIME__{noun}__{name.upper()}", text)
    ask = task(lambda: getattr(module, name))

    assert getattr(module, name) == value
    assert ask() == value


@pytest.mark.rule("CTX-07")
@pytest.mark.parametrize("name", ["tags", "parameters"])
def test_a_list_or_dict_cannot_be_overridden(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable = f"HEADRACE__RUNTIME__TASK_RUN__{name.upper()}"
    monkeypatch.setenv(variable, "a")

    with pytest.raises(ValueError, match=f"{variable} cannot override a"):
        getattr(task_run, name)


@pytest.mark.rule("CTX-07")
@pytest.mark.parametrize(
    ("module", "name", "advice"),
    [
        (task_run, "run_count", "Set it to a whole number"),
        (flow_run, "scheduled_start_time", "Set it to a time such as 2026-"),
    ],
)
def test_a_variable_of_the_wrong_form_says_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, advice: str
) -> None:
    noun = "TASK_RUN" if module is task_run else "FLOW_RUN"
    monkeypatch.setenv(f"HEADRACE__RUNTIME__{noun}__{name.upper()}", "many")

    with pytest.raises(ValueError, match=f"cannot be 'many'. {advice}"):
        getattr(module, name)
