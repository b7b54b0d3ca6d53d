from __future__ import annotations

import subprocess
import sys

import pytest

LATE = ["headrace.serializers", "headrace.storage", "headrace.results", "sqlite3"]


@pytest.mark.slow
def test_what_stores_results_is_not_imported_until_it_is_used() -> None:
    program = f"import headrace, sys; print([n for n in {LATE} if n in sys.modules])"

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == "[]\n"
