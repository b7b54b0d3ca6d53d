"""House rules for behaviour rules: those of the docs and those that tests cite agree."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs/behaviour.md", *sorted((ROOT / "docs/behaviour").glob("*.md"))]
LEFT_OUT = ROOT / "docs/behaviour/left-out.md"
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))

RULE = re.compile(r"[A-Z]{2,6}-\d{2}")
MOST_RULES = 3

# Rules of the docs whose feature is not there yet. A test that cites one shows that it
# is: take it out of here then.
BEING_BUILT: frozenset[str] = frozenset()


# -- the docs and the tests ------------------------------------------------------------


def test_every_rule_of_the_docs_is_cited_and_every_cited_rule_is_in_the_docs() -> None:
    in_scope = [rule for page in PAGES if page != LEFT_OUT for rule in rows_of(page)]
    cited = {rule for path in TESTS for rule in cited_in(path)}

    assert len(in_scope) > 300
    assert disagreements(in_scope, rows_of(LEFT_OUT), BEING_BUILT, cited) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, None, id="all-agree"),
        pytest.param({"in_scope": ["ABC-01", "XYZ-99"]}, "XYZ-99: no test cites", id="no-test"),
        pytest.param({"cited": ["ABC-01", "XYZ-99"]}, "XYZ-99: is cited, and in no", id="no-row"),
        pytest.param({"in_scope": ["ABC-01", "ABC-01", "NEW-01"]}, "ABC-01: has two", id="two-rows"),
        pytest.param({"left_out": ["ABC-01"]}, "ABC-01: is left out, and", id="left-out-and-in"),
        pytest.param({"left_out": ["XYZ-99"], "cited": ["ABC-01", "XYZ-99"]}, "XYZ-99: is left out, and", id="left-out-and-cited"),
        pytest.param({"cited": ["ABC-01", "NEW-01"]}, "NEW-01: is cited now", id="built-by-now"),
        pytest.param({"being_built": ["NEW-01", "XYZ-99"]}, "XYZ-99: is being built, and", id="built-and-no-row"),
    ],
)  # fmt: skip
def test_every_disagreement_is_found(
    changes: dict[str, list[str]], text: str | None
) -> None:
    given: dict[str, Any] = {
        "in_scope": ["ABC-01", "NEW-01"],
        "left_out": [],
        "being_built": ["NEW-01"],
        "cited": ["ABC-01"],
    }

    found = disagreements(**(given | changes))

    if text is None:
        assert found == []
    else:
        assert any(text in each for each in found), found


def test_a_made_up_rule_is_found_among_the_real_ones(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("| rule | what |\n|---|---|\n| MADE-01 | Never shown. |\n", "utf-8")
    source = tmp_path / "test_made_up.py"
    source.write_text(
        "@pytest.mark.rule('MADE-02', 'MADE-03')\ndef test_it() -> None: ...\n"
        "@pytest.mark.rule('MADE-04')\nclass TestIt: ...\n"
        "@pytest.mark.rule('MADE-05')\ndef no_test() -> None: ...\n"
        "# @pytest.mark.rule('MADE-06')\n",
        "utf-8",
    )

    assert rows_of(page) == ["MADE-01"]
    assert sorted(cited_in(source)) == ["MADE-02", "MADE-03", "MADE-04"]


def disagreements(
    in_scope: Collection[str],
    left_out: Collection[str],
    being_built: Collection[str],
    cited: Collection[str],
) -> list[str]:
    """What is wrong between the rows of the docs and the marks of the tests."""
    rules, cited = {*in_scope}, {*cited}
    twice = [rule for rule, count in Counter(in_scope).items() if count > 1]
    found = {
        "has two rows in the docs": twice,
        "no test cites it": rules - cited - {*being_built},
        "is cited, and in no row of the docs": cited - rules - {*left_out},
        "is left out, and in scope or cited": {*left_out} & (rules | cited),
        "is cited now: take it out of BEING_BUILT": {*being_built} & cited,
        "is being built, and in no row of the docs": {*being_built} - rules,
    }
    return [
        f"{rule}: {what}" for what, wrong in found.items() for rule in sorted(wrong)
    ]


def rows_of(page: Path) -> list[str]:
    """The rules in the first column of a page's tables."""
    return re.findall(
        rf"^\| ({RULE.pattern}) \|", page.read_text("utf-8"), re.MULTILINE
    )


def cited_in(path: Path) -> Iterator[str]:
    """The rules that the tests of a file cite: read, so that none has to be collected."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and node.name.lower().startswith("test"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == (
                    "pytest.mark.rule"
                ):
                    yield from map(ast.literal_eval, mark.args)


# -- the marks themselves --------------------------------------------------------------


def test_a_test_names_one_to_three_behaviour_rules(
    request: pytest.FixtureRequest,
) -> None:
    wrong = [
        f"{item.nodeid}: {mark.args} {mark.kwargs or ''}"
        for item in request.session.items
        for mark in item.iter_markers("rule")
        if not is_well_formed(mark)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(pytest.mark.rule("MAP-04"), id="one"),
        pytest.param(pytest.mark.rule("MAP-04", "RNAME-06", "ST-01"), id="three"),
    ],
)
def test_a_well_formed_rule_marker_is_accepted(mark: pytest.MarkDecorator) -> None:
    assert is_well_formed(mark.mark)


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(pytest.mark.rule(), id="none"),
        pytest.param(pytest.mark.rule("A-1", "B-2", "C-3", "D-4"), id="four"),
        pytest.param(pytest.mark.rule("MAP-01", "MAP-01"), id="one-twice"),
        pytest.param(pytest.mark.rule("map-4"), id="another-form"),
        pytest.param(pytest.mark.rule("MAP-01", why="because"), id="a-keyword"),
    ],
)
def test_any_other_rule_marker_is_refused(mark: pytest.MarkDecorator) -> None:
    assert not is_well_formed(mark.mark)


def is_well_formed(mark: pytest.Mark) -> bool:
    return (
        not mark.kwargs
        and 1 <= len(mark.args) <= MOST_RULES
        and len(set(mark.args)) == len(mark.args)
        and all(isinstance(rule, str) and RULE.fullmatch(rule) for rule in mark.args)
    )
