"""Interrupts at every possible moment: none hits headrace's own bookkeeping.

Each storm is a program of its own, whose threads take turns as often as they can; where
lines are traced, most of the time would be spent in that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STORMS = Path(__file__).parent / "storms"


@pytest.mark.parametrize("storm", ["limits", "ctrl_c", "profiled"])
def test_the_program_survives_a_storm(storm: str) -> None:
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, STORMS / f"{storm}.py"],
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path("src").resolve())},
    )

    assert ended.stdout.splitlines()[-1:] == ["survived"], ended.stderr[-2000:]
    assert ended.returncode == 0
