from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each process waits for the last line of its input, so that all begin at once.
PROGRAM = """
import sys
from pathlib import Path
from headrace.storage import Signer
print("ready", flush=True)
sys.stdin.read()
print(Signer(Path(sys.argv[1])).key.decode())
"""


@pytest.mark.slow
def test_processes_that_need_a_key_at_once_make_one(tmp_path: Path) -> None:
    home = tmp_path / "home"
    processes = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", PROGRAM, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None  # `communicate` would close it again

    keys = [process.communicate(timeout=15)[0].strip() for process in processes]

    assert set(keys) == {(home / "signing.key").read_text("ascii")}
    assert [path.name for path in home.iterdir()] == ["signing.key"]
