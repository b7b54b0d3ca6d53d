"""The fixtures of `tests/conftest.py`, seen from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
SETTINGS = """
[pytest]
anyio_mode = auto
addopts = -p no:cacheprovider
markers = real_loops
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(SETTINGS)
    pytester.makeconftest(CONFTEST.read_text("utf-8"))
    return pytester


def test_a_test_that_leaves_a_thread_of_ours_behind_fails(
    project: pytest.Pytester,
) -> None:
    done = "import threading; done = threading.Event()"
    project.makepyfile(
        f"""
        {done}
        def test_leaves_a_thread():
            threading.Thread(target=done.wait, name="headrace-worker-1").start()
        def test_starts_one_that_ends():
            threading.Thread(target=lambda: done.wait(0.1), name="headrace-2").start()
        def teardown_module():
            done.set()
        """
    )

    result = project.runpytest_inprocess()

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["threads left behind: headrace-worker-1"])


def test_a_test_that_leaves_a_task_behind_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio
        async def test_leaves_a_task():
            global task
            task = asyncio.create_task(asyncio.sleep(3600), name="forgotten")
        async def test_ends_its_task():
            await asyncio.create_task(asyncio.sleep(3600))
        """
    )

    result = project.runpytest_inprocess()

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["tasks left behind: *name='forgotten'*"])


def test_a_test_in_which_everyone_waits_harms_no_other(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        """
        import asyncio
        async def test_hangs():
            await asyncio.Event().wait()
        async def test_sleeps():
            await asyncio.sleep(3600)
        """
    )

    result = project.runpytest_subprocess()

    # The error is its own fixtures, which cannot be torn down either.
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*this test would hang*test_hangs at *.py:3 > Event.wait *"]
    )


def test_real_loops_are_the_debugging_one_and_uvloop(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio, pytest
        seen = []
        @pytest.mark.real_loops
        async def test_on_each():
            loop = asyncio.get_running_loop()
            seen.append((type(loop).__module__.partition(".")[0], loop.get_debug()))
        def test_which():
            assert seen == [("asyncio", True), ("uvloop", False)]
        """
    )

    project.runpytest_inprocess().assert_outcomes(passed=3)
