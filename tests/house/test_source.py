"""House rules for how each source file is written."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50

EVERY_SOURCE = pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)

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


@EVERY_SOURCE
def test_a_file_has_one_subject_and_so_few_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES_OF_A_FILE


@EVERY_SOURCE
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = [
        f"{node.name}: {lines_of_body(node)} lines"
        for node in ast.walk(parsed(path))
        if isinstance(node, Function) and lines_of_body(node) > MOST_LINES_OF_A_FUNCTION
    ]

    assert long == []


@EVERY_SOURCE
def test_imports_stand_at_the_top(path: Path) -> None:
    hidden = {
        name
        for scope in ast.walk(parsed(path))
        if isinstance(scope, Function | ast.ClassDef)
        for node in ast.walk(scope)
        for name in imported_by(node)
    }

    assert hidden == LATE.get(path.relative_to(ROOT).as_posix(), set())


@EVERY_SOURCE
def test_imports_are_the_same_for_type_checkers(path: Path) -> None:
    names = {n.id for n in ast.walk(parsed(path)) if isinstance(n, ast.Name)}
    attributes = {
        n.attr for n in ast.walk(parsed(path)) if isinstance(n, ast.Attribute)
    }

    assert "TYPE_CHECKING" not in names | attributes


@EVERY_SOURCE
def test_no_function_rebinds_a_name_of_its_module(path: Path) -> None:
    rebound = [
        f"line {node.lineno}: global {', '.join(node.names)}"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Global)
    ]

    assert rebound == []


@EVERY_SOURCE
def test_a_module_says_what_it_answers_for(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


def test_no_test_sleeps_in_real_time() -> None:
    sleeping = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]

    # A body that has to block waits for an event, with a bound: it can be let go.
    assert sleeping == []


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def lines_of_body(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
