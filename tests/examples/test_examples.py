"""The examples do what they say, as scripts and as the functions in them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import httpx
import pytest
import uvicorn

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    """A fresh copy of an example."""
    spec = importlib.util.spec_from_file_location(f"{name}_example", EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def run_script(name: str, *args: str, **environ: str) -> str:
    """What an example prints, run as the README says, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *args]
    done = subprocess.run(  # noqa: S603 - our own script
        command,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
        env={**os.environ, **environ},
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_every_example_is_tested_here() -> None:
    here = Path(__file__).read_text("utf-8")

    examples = {path.name for path in EXAMPLES.glob("*.py")}

    assert {name for name in examples if name not in here} == set()


# -- the census ------------------------------------------------------------------


def test_the_census_counts_and_ranks_the_packages_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large"
    large.mkdir()
    (large / "__init__.py").write_text("def a(): ...\nasync def b(): ...\n", "utf-8")
    (large / "more.py").write_text("class C:\n    def d(self): ...\n\n\n", "utf-8")
    (tmp_path / "small.py").write_text("x = 1\n", "utf-8")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "skipped.py").write_text("y = 2\n", "utf-8")

    load("stdlib_census.py").main(tmp_path)

    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert ["large", "2", "6", "3", "1", "85.7%"] in rows
    assert ["small", "1", "1", "0", "0", "14.3%"] in rows
    assert ["all", "of", "it", "3", "7", "3", "1", "100.0%"] in rows
    assert printed.index("large") < printed.index("small")


def test_the_census_tolerates_the_planted_file_after_two_retries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fine.py").write_text("x = 1\n", "utf-8")

    load("stdlib_census.py").main(tmp_path)

    printed = capsys.readouterr().out
    assert "not parsed after three attempts: 1" in printed
    assert "broken.py: SyntaxError" in printed
    assert "Failed 1 (and 2 retries on the way)" in printed
    # The order that wait_for set.
    assert printed.index("all of it") < printed.index("not parsed")


@pytest.mark.slow
def test_the_census_runs_as_a_script_on_a_part_of_the_standard_library() -> None:
    printed = run_script("stdlib_census.py", str(Path(asyncio.__file__).parent))

    runs = re.search(r"(\d+) runs in [\d.]+ s: \d+ runs and [\d,]+ lines", printed)
    assert runs is not None
    assert int(runs[1]) > 60


@pytest.mark.slow
def test_the_second_census_finds_what_the_first_has_cached(tmp_path: Path) -> None:
    folder, home = str(Path(asyncio.__file__).parent), str(tmp_path)

    first, second = (
        run_script("stdlib_census.py", folder, HEADRACE_HOME=home) for _ in range(2)
    )

    files = len(list(Path(folder).glob("*.py")))
    assert f"0 of {files} files came from the cache" in first
    assert f"{files} of {files} files came from the cache" in second
    assert _table_of(first) == _table_of(second)


def _table_of(printed: str) -> str:
    return printed.partition("\nruns by final state")[0]


def test_the_census_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no folder"):
        load("stdlib_census.py").main(tmp_path / "missing")


# -- the small ones ---------------------------------------------------------------


def test_the_plain_script_asks_again_for_each_page() -> None:
    example = load("plain_script.py")

    value, retried = example.best_page(example.FlakyServer(), pages=20)

    assert retried == 20
    assert value == max(
        sum(example.random.Random(page).choices(range(1000), k=100))
        for page in range(20)
    )


@pytest.mark.slow
def test_the_plain_script_runs_as_a_script() -> None:
    assert "50 of 50 pages were asked for again" in run_script("plain_script.py")


@pytest.mark.slow
async def test_fan_out_takes_the_first_answers_and_cancels_the_rest() -> None:
    example = load("fan_out.py")
    started = anyio.current_time()

    answers, ends = await example.first_answers(10_000, wanted=1_000)

    assert len(answers) == 1_000
    assert ends == {"Completed": 1_000, "Cancelled": 9_000}
    assert anyio.current_time() - started == pytest.approx(0.9)


# -- the service -------------------------------------------------------------------


@pytest.mark.real_loops
@pytest.mark.slow
async def test_the_service_answers_concurrent_requests_and_stops_cleanly() -> None:
    app = load("embed_in_fastapi.py").app
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[listener]))
        async with httpx.AsyncClient(base_url=base, timeout=10) as client:
            quotes = [group.create_task(client.get(f"/quote/{n}")) for n in range(20)]
            seals = [group.create_task(client.get(f"/seal/{n}")) for n in range(20)]
            await asyncio.wait([*quotes, *seals])
            stats = (await client.get("/stats")).json()
        server.should_exit = True
        await serving

    for number, quote in enumerate(quotes):
        assert quote.result().json()["price"] == pytest.approx(number * 1.05)
    assert len({seal.result().json()["seal"] for seal in seals}) == 20
    assert stats["open_runs"] == 0
    assert 1 <= stats["threads"] <= 8


@pytest.mark.slow
def test_the_service_ends_with_its_process() -> None:
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES)]
    command += ["--port", "0", "embed_in_fastapi:app"]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as service:
        assert service.stderr is not None
        log = ""
        while "running on" not in log:
            line = service.stderr.readline()
            assert line, log
            log += line
        address = re.findall(r"running on (http://[\d.:]+)", log)[0]

        answer = httpx.get(f"{address}/seal/me", timeout=10)
        service.terminate()
        rest = service.stderr.read()

    assert len(answer.json()["seal"]) == 64
    assert "Application shutdown complete" in rest
    assert "Traceback" not in rest
    assert "pending" not in rest


@asynccontextmanager
async def client_of(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client


async def until_stored(example: ModuleType, count: int) -> None:
    while example.progress["stored"] < count:  # noqa: ASYNC110 - it tells nobody
        await anyio.sleep(0.01)


async def test_the_larger_service_quotes_what_is_known_by_the_deadline() -> None:
    example = load("service.py")

    async with client_of(example.app) as client:
        whole = (await client.get("/quote/100")).json()
        part = (await client.get("/quote/100?seconds=0.07")).json()
        none = await client.get("/quote/100?seconds=0.01")

    assert whole == {"price": pytest.approx(105), "suppliers": 3}
    assert part == {"price": pytest.approx(105), "suppliers": 1}
    assert none.status_code == 504


@pytest.mark.slow
async def test_the_larger_service_imports_its_rows_at_the_pace_of_its_limit() -> None:
    example = load("service.py")

    async with client_of(example.app) as client:
        started = anyio.current_time()
        answer = await client.post("/import?count=4000")
        assert (await client.get("/runs")).json()[0].startswith("import_rows-0: ")
        await until_stored(example, 4_000)
        seconds = anyio.current_time() - started

    assert answer.json() == {"run": "import_rows-0"}
    assert seconds == pytest.approx(4_000 / 20_000, rel=0.2)


async def test_the_larger_service_reads_no_more_rows_once_it_stops() -> None:
    example = load("service.py")

    async with client_of(example.app) as client:
        await client.post("/import")
        await until_stored(example, 300)
        drained = await example.runtime.drain(10)

    assert drained.is_clean
    assert 300 <= example.progress["stored"] == example.progress["read"] < 1_000


# -- a report in the style of Prefect 2 ---------------------------------------------


def test_a_program_written_for_prefect_runs_with_its_imports_changed() -> None:
    lines = run_script("sales_report.py").splitlines()

    assert [line for line in lines if line.startswith("3 prices, run price_list-0")]
    assert "best region: north (3020); no shop in Atlantis" in lines
    assert lines[-1] == "- Nightly sales completed"
    failed = "- read-Atlantis-20240228 is Failed: Task run encountered an exception "
    assert lines.count(f"{failed}FileNotFoundError: no shop in Atlantis") == 2


def test_the_report_logs_what_its_flows_do(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    report = load("sales_report.py")

    text = report.main(["--day", "2024-03-01"])

    messages = [record.getMessage() for record in caplog.records]
    assert text.startswith("best region: ")
    assert "Turku sold 3 kinds of things" in messages
    assert "archived: Completed" in messages
    assert report.ATTEMPTS["Porto"] == 3
