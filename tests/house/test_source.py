"""House rules for how each source file is written."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50

# What few programs use and all would wait for, by the file that may import it late. It
# says why there; `tests/house/test_import.py` shows that nothing else does it earlier.
LATE = {
    "src/headrace/_concurrency/outlasting.py": {"anyio"},
    "src/headrace/_engine/results/caches.py": {
        "headrace.cached_values",
        "headrace.caching",
        "headrace.storage",
    },
    "src/headrace/_engine/keeping.py": {"headrace.hashing"},
    "src/headrace/_engine/results/planning.py": {"headrace._engine.results.plans"},
    "src/headrace/cache_explanations.py": {"headrace.caching", "headrace.hashing"},
    "src/headrace/cache_keys.py": {"headrace.hashing"},
    "src/headrace/result_options.py": {
        "headrace.hashing",
        "headrace.serializers",
        "headrace.storage",
        "headrace.storage_keys",
    },
    "src/headrace/runtime/service.py": {"headrace.runtime.asgi"},
    "src/headrace/task_runners.py": {"headrace._concurrency.processes"},
    "src/pytest_headrace.py": {"headrace", "headrace.testing"},
    "src/headrace/validation.py": {"headrace.adapters"},
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_a_file_has_one_subject_and_so_few_lines() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    long = {name_of(p): n for p, n in lines.items() if n > MOST_LINES_OF_A_FILE}

    assert long == {}


@pytest.mark.slow
def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{name_of(path)}: {node.name}: {lines_of_body(node)} lines"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, Function) and lines_of_body(node) > MOST_LINES_OF_A_FUNCTION
    ]

    assert long == []


@pytest.mark.slow
def test_imports_stand_at_the_top() -> None:
    hidden = {name_of(path): late_imports_of(path) for path in SOURCES}

    assert {name: late for name, late in hidden.items() if late} == LATE


def test_imports_are_the_same_for_type_checkers() -> None:
    asking = [
        name_of(path)
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if getattr(node, "id", getattr(node, "attr", None)) == "TYPE_CHECKING"
    ]

    assert asking == []


def test_no_function_rebinds_a_name_of_its_module() -> None:
    rebound = [
        f"{name_of(path)}:{node.lineno}: global {', '.join(node.names)}"
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Global)
    ]

    assert rebound == []


def test_a_module_says_what_it_answers_for() -> None:
    assert [name_of(p) for p in SOURCES if not ast.get_docstring(parsed(p))] == []


def test_no_test_sleeps_in_real_time() -> None:
    texts = {path: path.read_text("utf-8") for path in TESTS}
    sleeping = [
        f"{name_of(path)}:{node.lineno}"
        for path, text in texts.items()
        if "time.sleep" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]

    # A body that has to block waits for an event, with a bound: it can be let go.
    assert sleeping == []


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def late_imports_of(path: Path) -> set[str]:
    return {
        name
        for scope in ast.walk(parsed(path))
        if isinstance(scope, Function | ast.ClassDef)
        for node in ast.walk(scope)
        for name in imported_by(node)
    }


@functools.cache  # five tests look at each
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def lines_of_body(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
