"""What `import headrace` brings along: users wait for it at each start."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each takes from 3 ms to 50 ms, and has its time when something is used that needs it.
NOT_AT_ONCE = {
    "anyio",
    "cloudpickle",
    "concurrent.futures.process",
    "headrace.caching",
    "headrace.hashing",
    "headrace.results",
    "headrace.runtime.asgi",
    "headrace.serializers",
    "headrace.storage",
    "headrace.testing",
    "importlib.metadata",
    "multiprocessing",
    "pytest",
    "pydantic",
    "sqlite3",
    "unittest",
    "urllib",
    "uvloop",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import headrace",
        "import headrace; headrace.task(retries=2)(lambda x: x)",
        "import headrace; headrace.flow(lambda x: x)(1)",
        "import headrace; headrace.Runtime(max_threads=2)",
    ],
    ids=["import", "task", "flow", "runtime"],
)
def test_what_few_programs_need_is_not_imported_at_once(code: str) -> None:
    assert loaded_by(code) & NOT_AT_ONCE == set()


@pytest.mark.slow
def test_pydantic_is_imported_when_a_flow_with_annotations_is_defined() -> None:
    # Not at its first call, which may be on a loop that would stand still meanwhile.
    defined = "import headrace\ndef f(x: int) -> None: ...\nheadrace.flow(f)"

    assert "pydantic" in loaded_by(defined)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["persist_result=True", "cache_key_fn=str"])
def test_what_stores_is_imported_when_a_task_that_stores_is_defined(
    option: str,
) -> None:
    # For the same reason.
    defined = f"import headrace\nheadrace.task({option})(lambda x: x)"

    assert {"headrace.results", "pydantic"} <= loaded_by(defined)


@pytest.mark.slow
def test_its_first_call_imports_nothing_more() -> None:
    # pydantic reads what is installed when it is first asked to check anything.
    defined = "import headrace\nasync def f(x: int) -> None: ...\nf = headrace.flow(f)"
    called = f"{defined}\nimport asyncio\nasyncio.run(f(1))"

    assert loaded_by(called) - loaded_by(f"{defined}\nimport asyncio") == set()


def loaded_by(code: str) -> set[str]:
    """The names of the modules that a fresh interpreter has after some code."""
    # Without `site`, what is installed for other projects cannot be loaded at its start.
    code = f"import sys; sys.path[:] = {sys.path!r}\n{code}\nprint(*sys.modules)"
    ran = subprocess.run(  # noqa: S603 - the code is ours
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())
