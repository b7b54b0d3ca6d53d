"""Every Python block of the pages runs, and prints what its `# ->` comments say.

In README.md each block is a program of its own; the blocks of another page are one. A
block may await, as if it stood in a coroutine function. Its `# ->` comments, in order,
are the lines that it prints; `...` stands for any text.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import logging
import re
import sys
import types
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    """A Python block of a page."""

    page: Path
    line: int
    source: str

    @property
    def promised(self) -> list[str]:
        return re.findall(r"# -> (.*)", self.source)


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start(1)) + 1, found[1])
        for found in re.finditer(
            r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
        )
    ]


def programs() -> Iterator[Any]:
    for page in PAGES:
        blocks = blocks_of(page)
        if page.name == "README.md":
            for block in blocks:
                yield pytest.param([block], id=f"{page.name}:{block.line}")
        else:
            yield pytest.param(blocks, id=page.name)


def run(block: Block, names: dict[str, Any]) -> list[str]:
    """The lines that a block prints."""
    padded = "\n" * (block.line - 1) + block.source  # so that traces name the line
    code = compile(
        padded, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = eval(code, names)  # noqa: S307 - our own pages
        if inspect.iscoroutine(made):
            asyncio.run(made)
    return printed.getvalue().splitlines()


def fits(promised: str, line: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in promised.split("..."))
    return re.fullmatch(pattern, line) is not None


@pytest.fixture
def _logging_is_restored() -> Generator[None]:
    """A page may set up logging, as its reader would."""
    logger = logging.getLogger("headrace")
    level, handlers = logger.level, logger.handlers[:]
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.mark.usefixtures("_logging_is_restored")
@pytest.mark.parametrize("program", list(programs()))
def test_a_program_in_the_docs_prints_what_it_promises(
    program: list[Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)

    for block in program:
        printed = run(block, vars(module))

        wrong = [
            f"{block.page.name}: promised {promised!r}, printed {line!r}"
            for promised, line in zip(block.promised, printed, strict=False)
            if not fits(promised, line)
        ]
        assert wrong == []
        assert len(printed) == len(block.promised), printed


def test_every_page_has_something_to_run() -> None:
    without = [page.name for page in PAGES if not blocks_of(page)]

    assert without == []


def test_what_is_no_python_says_what_it_is() -> None:
    bare = [
        f"{page.name}:{number}"
        for page in PAGES
        for number, line in enumerate(fences(page), 1)
        if line == "```" and number % 2
    ]

    assert bare == []


def fences(page: Path) -> list[str]:
    return [
        line for line in page.read_text("utf-8").splitlines() if line.startswith("```")
    ]
