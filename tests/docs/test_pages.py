"""The pages name what there is, all of it, and stay short."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import headrace
from headrace import exceptions
from headrace.options import FlowOptions, TaskOptions
from headrace.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/headrace"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
ALL = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *DOCS]


def text_of(*pages: Path) -> str:
    return "\n".join(page.read_text("utf-8") for page in pages)


@pytest.mark.parametrize(
    ("page", "most"),
    [("README.md", 150), ("ARCHITECTURE.md", 200), ("CONTRIBUTING.md", 200)],
)
def test_a_page_to_begin_with_stays_short(page: str, most: int) -> None:
    assert len((ROOT / page).read_text("utf-8").splitlines()) <= most


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page))

    assert [to for to in targets if not (page.parent / to).exists()] == []


def test_every_public_name_is_in_the_docs() -> None:
    text = text_of(*DOCS)

    assert [name for name in headrace.__all__ if name not in text] == []


def test_every_exception_has_its_advice() -> None:
    headings = re.findall(
        r"^### `(\w+)`", text_of(ROOT / "docs/errors.md"), re.MULTILINE
    )

    assert sorted(headings) == sorted(exceptions.__all__)


@pytest.mark.parametrize(
    ("page", "options"), [("tasks.md", TaskOptions), ("flows.md", FlowOptions)]
)
def test_every_option_is_in_the_docs(page: str, options: type) -> None:
    text = text_of(ROOT / "docs" / page)

    assert [name for name in options.__annotations__ if f"`{name}" not in text] == []


def test_every_setting_is_in_the_docs() -> None:
    text = text_of(ROOT / "docs/runtime.md")
    variables = [f"{PREFIX}{each.name.upper()}" for each in fields(Settings)]

    assert [name for name in variables if name not in text] == []


def test_the_architecture_names_files_that_exist() -> None:
    text = text_of(ROOT / "ARCHITECTURE.md")
    folders = (PACKAGE, PACKAGE / "_engine")

    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))

    assert named
    missing = {n for n in named if not any((f / n).exists() for f in folders)}
    assert missing == set()


def test_the_architecture_knows_every_file_of_the_engine() -> None:
    text = text_of(ROOT / "ARCHITECTURE.md")
    engine = PACKAGE / "_engine"
    files = [file.relative_to(engine) for file in engine.rglob("[!_]*.py")]

    assert [it for it in map(Path.as_posix, files) if f"`{it}`" not in text] == []


def test_the_architecture_knows_every_module_on_its_floors() -> None:
    text = text_of(ROOT / "ARCHITECTURE.md")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    floors = settings["tool"]["importlinter"]["contracts"][0]["layers"]

    modules = re.findall(r"\w+", " ".join(floors))

    assert [
        n for n in modules if f"`{n}`" not in text and f"`{n}.py`" not in text
    ] == []
