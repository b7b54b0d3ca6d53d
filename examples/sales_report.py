"""A nightly report, written as users of Prefect 2 write flows; only imports changed.

It reads the sales of some shops, one of which is closed and one unreliable, cleans
them, sums them up by region, and writes a report. Run it: it needs nothing.
"""

# Type checkers do not know that a future may stand for a value, nor that of a state.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# pyright: reportCallIssue=false, reportOptionalMemberAccess=false, reportReturnType=false

from __future__ import annotations

import argparse
import json
import logging
import random
import tempfile
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

from headrace import allow_failure, flow, get_run_logger, tags, task, unmapped
from headrace.context import get_run_context
from headrace.runtime import flow_run, task_run
from headrace.states import Completed, Failed
from headrace.task_runners import ConcurrentTaskRunner
from headrace.tasks import exponential_backoff

REGIONS = {
    "north": ["Aarhus", "Bergen", "Turku"],
    "south": ["Lyon", "Porto"],
    "closed": ["Atlantis"],
}
ALERTS: list[str] = []
ATTEMPTS: defaultdict[str, int] = defaultdict(int)


# -- hooks ----------------------------------------------------------------------------


def alert_on_failure(task, task_run, state):
    """Tell somebody that a task failed for good."""
    ALERTS.append(f"{task_run.name} is {state.name}: {state.message}")


def say_flow_completed(flow, flow_run, state):
    """Tell somebody that the night is over."""
    ALERTS.append(f"{flow.name} completed")


async def note_flow_failed(flow, flow_run, state):
    """The same, if it went wrong."""
    ALERTS.append(f"{flow.name} failed: {state.message}")


# -- extract --------------------------------------------------------------------------


@task(
    name="Read sales",
    task_run_name="read-{shop}-{day:%Y%m%d}",
    description="Reads the sales of one shop on one day.",
    retries=3,
    retry_delay_seconds=exponential_backoff(backoff_factor=0.01),
    retry_jitter_factor=0.5,
    timeout_seconds=30,
    tags=["extract"],
    on_failure=[alert_on_failure],
)
def read_sales(shop: str, day: date, seed: int) -> list[dict]:
    logger = get_run_logger()
    ATTEMPTS[shop] += 1
    if shop == "Atlantis":
        raise FileNotFoundError(f"no shop in {shop}")
    if shop == "Porto" and ATTEMPTS[shop] < 3:
        raise ConnectionError(f"{shop} does not answer")
    draw = random.Random(f"{shop}{day}{seed}")
    rows = [
        {"shop": shop, "article": article, "amount": draw.randint(-1, 9)}
        for article in ("hat", "coat", "shoe")
    ]
    logger.info("%s sold %d kinds of things", shop, len(rows))
    return rows


@task(log_prints=True, tags=["extract"])
def price_list() -> dict[str, float]:
    prices = {"hat": 20.0, "coat": 120.0, "shoe": 80.0}
    print(f"{len(prices)} prices, run {task_run.name} of {flow_run.flow_name}")
    return prices


# -- transform --------------------------------------------------------------------------


@task(tags=["transform"])
def clean(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["amount"] > 0]


@task(tags=["transform"])
async def revenue(rows: list[dict], prices: dict[str, float]) -> float:
    return sum(row["amount"] * prices[row["article"]] for row in rows)


@task
def check(region: str, total: float):
    """A task may return the state that it wants to end in."""
    if total < 0:
        return Failed(message=f"{region} has a revenue of {total}")
    return Completed(message="plausible", data=total)


@flow(
    name="Region", flow_run_name="region-{region}", task_runner=ConcurrentTaskRunner()
)
def process_region(region: str, shops: list[str], day: date, seed: int = 7) -> float:
    logger = get_run_logger()
    prices = price_list.submit()
    sales = read_sales.map(shops, day=unmapped(day), seed=seed)
    cleaned = clean.map(sales)
    revenues = revenue.map(cleaned, prices=unmapped(prices))
    total = sum(future.result() for future in revenues)
    checked = check.submit(region, total, wait_for=[cleaned])
    state = checked.wait()
    logger.info("%s: %s", region, state.message)
    return checked.result()


# -- load ---------------------------------------------------------------------------------


@task(version="1.2", tags=["load"], on_failure=[alert_on_failure])
def write_report(folder: Path, day: date, totals: dict[str, float]) -> Path:
    context = get_run_context()
    report = {
        "day": day.isoformat(),
        "totals": totals,
        "written by": context.task_run.name,
        "tags": sorted(context.task_run.tags),
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"sales-{day}.json"
    path.write_text(json.dumps(report, indent=2))
    return path


@task
def summary(report: Path, worst: object) -> str:
    totals = json.loads(report.read_text())["totals"]
    best = max(totals, key=totals.get)
    excuse = worst if isinstance(worst, Exception) else "all shops answered"
    return f"best region: {best} ({totals[best]:.0f}); {excuse}"


@flow(
    name="Nightly sales",
    description="Sums up the sales of all regions.",
    retries=1,
    retry_delay_seconds=0.01,
    on_completion=[say_flow_completed],
    on_failure=[note_flow_failed],
)
def nightly(day: date, folder: Path, seed: int = 7) -> str:
    logger = get_run_logger()
    totals: dict[str, float] = {}
    for region, shops in REGIONS.items():
        with tags(region):
            state = process_region(region, shops, day, seed, return_state=True)
        if state.is_completed():
            totals[region] = state.result()
        else:
            logger.warning("no figures for %s: %s", region, state.message)

    with tags("report"):
        report = write_report.submit(folder, day, totals)
        again = write_report.with_options(name="Archive", retries=2)
        archived = again.submit(folder / "archive", day, totals, wait_for=[report])
        lost = read_sales.submit("Atlantis", day, seed)
        text = summary.submit(report, allow_failure(lost))

    logger.info("archived: %s", archived.wait().name)
    return text.result()


def main(arguments: list[str] | None = None) -> str:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--day", type=date.fromisoformat)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(arguments)
    level = logging.INFO if given.verbose else logging.CRITICAL
    logging.basicConfig(level=level, format="%(levelname)-8s %(message)s")
    day = given.day or date(2024, 2, 29) - timedelta(days=1)
    with tempfile.TemporaryDirectory() as folder:
        text = nightly(day.isoformat(), Path(folder))
    print(text)
    for alert in ALERTS:
        print("-", alert)
    return text


if __name__ == "__main__":
    main()
