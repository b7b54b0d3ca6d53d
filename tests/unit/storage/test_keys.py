from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from headrace.exceptions import InvalidStorageKey
from headrace.storage import LocalFileSystem, checked_key, random_key
from headrace.storage.keys import file_names

SPECIAL = st.text(st.sampled_from("ab./\\:%~ \0\n*CON")) | st.text()


def test_a_random_key_is_32_hexadecimal_digits() -> None:
    keys = {random_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("a", ["a"]),
        ("a/b c/d.json", ["a", "b c", "d.json"]),
        ("2026-01-31T12:00", ["2026-01-31T12%3A00"]),
        ("C:/x", ["C%3A", "x"]),
        ("50%", ["50%25"]),
        (".hidden", ["%2Ehidden"]),
        ("...", ["%2E.%2E"]),
        ("end. ", ["end.%20"]),
        ("con", ["%63on"]),
        ("NUL.txt", ["%4EUL.txt"]),
        ("com1", ["%63om1"]),
        ("console", ["console"]),
        ("~/x", ["~", "x"]),
        ("é", ["é"]),
    ],
)
def test_a_key_becomes_names_that_every_system_takes(
    key: str, names: list[str]
) -> None:
    assert file_names(key) == names
    assert checked_key(key) == key


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "a name in it is empty"),
        ("/etc/passwd", "a name in it is empty"),
        ("a//b", "a name in it is empty"),
        ("a/", "a name in it is empty"),
        ("..", "is '.' or '..'"),
        ("a/../../b", "is '.' or '..'"),
        ("./a", "is '.' or '..'"),
        ("a\\b", r"has the character '\\'"),
        ("C:\\x", r"has the character '\\'"),
        ("a\0b", r"has the character '\x00'"),
        ("a\nb", r"has the character '\n'"),
        ("\ud800", r"has the character '\ud800'"),
        ("a" * 201, "it has 201 bytes, 201 of them in one name"),
        ("ä" * 101, "it has 202 bytes"),
        ("/".join(["a" * 199] * 5), "it has 995 bytes"),
        ("/".join("a" * 17), "it has 17 names, and at most 16 fit"),
    ],
)
def test_a_key_that_cannot_be_is_refused(key: str, reason: str) -> None:
    with pytest.raises(InvalidStorageKey) as caught:
        checked_key(key)

    assert reason in str(caught.value)


@pytest.mark.parametrize("key", [None, 3, b"a", Path("a")])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="is no text"):
        checked_key(key)


@given(SPECIAL)
@example("..")
@example("%2e%2e/x")
@example("a/..\0")
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    root = Path("/data/results")
    try:
        place = Path(LocalFileSystem(root)._place(key))
    except InvalidStorageKey:
        return

    assert root in place.parents
    assert ".." not in place.parts
    assert ".parts" not in place.parts


@given(st.lists(SPECIAL, min_size=2, max_size=2, unique=True))
def test_different_keys_are_different_files(keys: list[str]) -> None:
    try:
        first, second = map(file_names, keys)
    except InvalidStorageKey:
        return

    assert first != second
