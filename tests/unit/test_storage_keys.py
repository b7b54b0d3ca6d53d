from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.exceptions import InvalidStorageKey
from headrace.storage_keys import check_storage_key, filled_storage_key

FLOW_RUN = SimpleNamespace(name="brave-otter", flow_name="reports")
TASK_RUN = SimpleNamespace(name="load-0", tags=["a"])


def filled(template: str, **parameters: Any) -> str:
    return filled_storage_key(
        check_storage_key(template),
        parameters=parameters,
        flow_run=FLOW_RUN,
        task_run=TASK_RUN,
    )


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("plain.json", "plain.json"),
        ("{flow_run.flow_name}/{task_run.name}-{parameters[x]}.json", "reports/load-0-1.json"),
        ("{parameters[x]:03d}", "001"),
        ("{parameters[y][0]!r}", "'z'"),
        ("{parameters[x]:{parameters[x]}}", "1"),
        ("{{x}}", "{x}"),
    ],
)  # fmt: skip
def test_a_template_is_filled_in(template: str, key: str) -> None:
    assert filled(template, x=1, y="z") == key


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{", "is no template: Single '{'"),
        ("{nope}", "the placeholder 'nope', and 'nope' alone tells no key"),
        ("{}", "the placeholder '', and '' alone"),
        ("{0}", "the placeholder '0'"),
        ("{parameters}", "'parameters' alone tells no key"),
        ("{parameters.x}", "'parameters' alone"),
        ("{flow_run}", "'flow_run' alone"),
        ("{flow_run.__class__}", "'flow_run' alone"),
        ("{task_run[name]}", "'task_run' alone"),
        ("{parameters[x]:{nope}}", "the placeholder 'nope'"),
        ("{parameters[z]}", r"asks for the parameter 'z', .*It has: x, y\."),
        ("", "a name in it is empty"),
        ("../x", "is '.' or '..'"),
    ],
)
def test_a_template_that_cannot_be_is_refused_at_definition(
    template: str, text: str
) -> None:
    with pytest.raises(InvalidStorageKey, match=text):
        check_storage_key(template, ["x", "y"])


@pytest.mark.parametrize("template", [None, 3, b"x", str.format])
def test_what_is_no_text_is_refused(template: object) -> None:
    with pytest.raises(TypeError, match="is no text"):
        check_storage_key(template)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{parameters[nope]}", "cannot be filled in: KeyError: 'nope'"),
        ("{task_run.nope}", "cannot be filled in: AttributeError"),
        ("{parameters[x]:q}", "cannot be filled in: ValueError"),
        ("{parameters[path]}", "a name in it is empty"),
        ("{parameters[up]}/x", "is '.' or '..'"),
    ],
)
def test_what_cannot_be_filled_in_is_an_error(template: str, text: str) -> None:
    with pytest.raises(InvalidStorageKey, match=text):
        filled(template, x=1, path="/etc/passwd", up="..")
