"""House rules for the marker that says which behaviour rules a test shows."""

from __future__ import annotations

import re

import pytest

RULE = re.compile(r"[A-Z]{2,6}-\d{2}")
MOST_RULES = 3


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
