"""The pytest plugin, seen from the projects that use it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from headrace import Runtime, flow, task
from headrace.testing import RecordedRuns, VirtualClock, VirtualTimeLoop

ROOT = Path(__file__).parents[2]
TASKS = """
import asyncio, pytest
from headrace import flow, task

attempts = []

@task(retries=3, retry_delay_seconds=3600)
async def fetch(page):
    attempts.append(page)
    if len(attempts) < 4:
        raise ConnectionError
    return f"page {page}"

@task
def double(x):
    return 2 * x
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project of a user, whose pytest finds the plugin and nothing of ours else."""
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider -p pytest_headrace\n")
    return pytester


def outcomes_of(project: pytest.Pytester, code: str, *options: str) -> dict[str, int]:
    project.makepyfile(TASKS + "\n" + code)
    return project.runpytest_subprocess(*options).parseoutcomes()


# -- in this very project ----------------------------------------------------------


@task
def double(x: int) -> int:
    return 2 * x


@task(retries=3, retry_delay_seconds=3600)
async def flaky(failures: list[int]) -> str:
    if failures:
        failures.pop()
        raise ConnectionError
    return "page"


async def test_a_coroutine_test_that_asks_for_the_runtime_runs_in_virtual_time(
    runtime: Runtime, recorded_runs: RecordedRuns
) -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

    assert await (await flaky.submit([1, 2, 3])) == "page"

    assert runtime.stats()["open_runs"] == 0
    assert recorded_runs.path("flaky-0") == [
        "Pending",
        *("Running", "AwaitingRetry"),
        *("Retrying", "AwaitingRetry"),
        *("Retrying", "AwaitingRetry"),
        *("Retrying", "Completed"),
    ]


def test_a_plain_test_with_a_clock_has_the_runtime_in_what_runs_on_it(
    runtime: Runtime, virtual_clock: VirtualClock, recorded_runs: RecordedRuns
) -> None:
    async def main() -> int:
        return await (await double.submit(2))

    assert [virtual_clock.run(main()), virtual_clock.run(main())] == [4, 4]
    assert recorded_runs.names == ["double-0", "double-1"]


def test_a_plain_test_has_the_runtime_itself(
    runtime: Runtime, recorded_runs: RecordedRuns
) -> None:
    assert double.submit(2).value() == 4
    assert double(3) == 6
    assert recorded_runs.names == ["double-0", "double-1"]


def test_runs_are_found_by_name_and_by_definition(
    recorded_runs: RecordedRuns,
) -> None:
    @flow
    def main() -> None:
        double.submit(1)
        double.submit(2)

    main()

    assert len(recorded_runs) == 3
    assert [run.name for run in recorded_runs] == recorded_runs.names
    assert [run.name for run in recorded_runs.of(double)] == ["double-0", "double-1"]
    assert [run.name for run in recorded_runs.of(main)] == ["main-0"]
    assert recorded_runs["double-1"].state_name == "Completed"
    assert "double-1" in repr(recorded_runs)


def test_a_run_that_is_not_there_is_told_with_those_that_are(
    recorded_runs: RecordedRuns,
) -> None:
    double(1)

    with pytest.raises(KeyError, match=r"no run 'double-7'. There are: \['double-0'\]"):
        recorded_runs.path("double-7")


def test_what_goes_on_when_the_test_ends_is_cancelled(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        TASKS
        + """
@task
async def beat(ended):
    try:
        while True:
            await asyncio.sleep(1)
    finally:
        ended.append(True)

ended = []

async def test_leaves_a_run(runtime):
    await beat.submit(ended)
    await asyncio.sleep(5)

def test_leaves_another(runtime):
    beat.submit(ended)

def test_both_have_ended():
    assert ended[:1] == [True]
"""
    )

    project.runpytest_inprocess().assert_outcomes(passed=3)


# -- in a project of a user --------------------------------------------------------


@pytest.mark.slow
def test_a_project_needs_no_other_plugin(project: pytest.Pytester) -> None:
    code = """
def test_retries(virtual_clock):
    assert virtual_clock.run(fetch(7)) == "page 7"
    assert virtual_clock.now == pytest.approx(3 * 3600)

async def test_in_a_coroutine(runtime, virtual_clock, recorded_runs, tmp_path):
    assert tmp_path.exists()
    assert await (await double.submit(2)) == 4
    await asyncio.sleep(3600)
    assert virtual_clock.now == pytest.approx(3600)
    assert recorded_runs.names == ["double-0"]

@pytest.mark.parametrize("x", [1, 2])
async def test_with_parameters(runtime, x):
    assert await double.acall(x) == 2 * x

class TestIt:
    async def test_a_method(self, virtual_clock):
        await asyncio.sleep(60)
        assert virtual_clock.now == 60
"""

    assert outcomes_of(project, code, "-p", "no:anyio", "-W", "error") == {"passed": 5}


@pytest.mark.slow
def test_a_failing_test_shows_where_and_a_deadlock_who(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        TASKS
        + """
@task
async def never():
    await asyncio.Event().wait()

async def test_fails(runtime):
    assert await double.acall(1) == 3

async def test_hangs(runtime):
    await (await never.submit())

def test_goes_on(virtual_clock):
    virtual_clock.run(asyncio.sleep(1))
"""
    )

    result = project.runpytest_subprocess()

    assert result.parseoutcomes() == {"failed": 2, "passed": 1}
    result.stdout.fnmatch_lines(["E * assert 2 == 3*"])
    result.stdout.fnmatch_lines(
        ["E *this test would hang*never-0' waits in its body (*never at *Event.wait *"]
    )


@pytest.mark.slow
def test_a_failing_seed_is_shown_and_fails_again(project: pytest.Pytester) -> None:
    code = """
from headrace.testing import explore

async def lose_an_update():
    box = [0]
    async def add(waits):
        for _ in range(waits):
            await asyncio.sleep(0)
        value = box[0]
        await asyncio.sleep(0)
        box[0] = value + 1
    await asyncio.gather(add(0), add(9))
    assert box == [2]

@explore(seeds=SEEDS)
async def test_updates():
    await lose_an_update()
"""
    project.makepyfile(TASKS + code.replace("SEEDS", "range(1000)"))
    result = project.runpytest_subprocess()
    note = next(line for line in result.outlines if "this was seed" in line)
    seed = note.partition("seed ")[2].partition(".")[0]

    project.makepyfile(TASKS + code.replace("SEEDS", f"[{seed}]"))
    again = project.runpytest_subprocess()

    assert again.parseoutcomes() == {"failed": 1}
    again.stdout.fnmatch_lines([f"E *this was seed {seed}.*explore(seeds=[[]{seed}])*"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_it_works_beside_the_plugin_of_anyio(
    project: pytest.Pytester, mode: str
) -> None:
    code = """
from headrace.testing import VirtualTimeLoop

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def number():
    return 7

@pytest.mark.anyio
async def test_of_anyio(number):
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
    assert await double.acall(number) == 14

@pytest.mark.anyio
async def test_of_ours(runtime):
    assert await (await double.submit(1)) == 2
    await asyncio.sleep(3600)
"""

    options = ("-p", "anyio", "-o", f"anyio_mode={mode}", "-W", "error")
    assert outcomes_of(project, code, *options) == {"passed": 2}


@pytest.mark.slow
def test_it_works_beside_pytest_asyncio(project: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    code = """
from headrace import Runtime
from headrace.testing import VirtualTimeLoop

@pytest.mark.asyncio
async def test_of_pytest_asyncio():
    async with Runtime():
        assert await (await double.submit(1)) == 2

async def test_of_ours(runtime):
    assert isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

@pytest.mark.asyncio
async def test_of_both(runtime):
    raise AssertionError("it is not begun")
"""

    found = outcomes_of(project, code, "-o", "asyncio_mode=strict")

    assert found == {"passed": 2, "errors": 1}


def test_a_test_that_pytest_asyncio_runs_cannot_have_the_clock(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
import pytest

@pytest.mark.asyncio
async def test_of_both(runtime):
    raise AssertionError("it is not begun")
"""
    )

    unknown = "ignore::pytest.PytestUnknownMarkWarning"
    result = project.runpytest_inprocess("-W", unknown)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pytest-asyncio runs it on a loop of its own*"])


@pytest.mark.slow
def test_the_tests_in_the_docs_pass(project: pytest.Pytester) -> None:
    page = (ROOT / "docs/testing.md").read_text("utf-8")
    definitions = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[
        0
    ]
    tests = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    used = "import pytest\nfrom headrace.testing import VirtualTimeLoop\n"
    project.makepyfile("\n".join([definitions, used, *tests]))

    result = project.runpytest_subprocess()

    assert result.parseoutcomes() == {"passed": 2}


# -- what it costs those who do not use it -----------------------------------------


def test_pytest_finds_it_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    assert project["project"]["entry-points"]["pytest11"] == {
        "pytest_headrace": "pytest_headrace"
    }
    assert (
        "src/pytest_headrace.py"
        in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    )


@pytest.mark.slow
def test_it_imports_nothing_of_the_package_when_pytest_starts() -> None:
    code = "import sys, pytest_headrace; print(*sys.modules)"

    ran = subprocess.run(  # noqa: S603 - the code is ours
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert [name for name in ran.stdout.split() if name.startswith("headrace")] == []
