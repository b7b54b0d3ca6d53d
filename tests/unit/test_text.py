"""Text that is not ours, in lines of ours."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from headrace._text import one_line, shown

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no")


class Forger:
    def __repr__(self) -> str:
        return "fine\nERROR all is lost \x1b[2J"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[2J\b\x00\x7f\x9b", r"\x1b[2J\x08\x00\x7f\x9b"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u202efdp.exe\u2066\u200f", r"\u202efdp.exe\u2066\u200f"),
        ("\ud800", r"\ud800"),
        (r"C:\new", r"C:\new"),
        ("naïve 漢字 שלום\u00a0!", "naïve 漢字 שלום\u00a0!"),
        (
            "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}",
            "\N{WOMAN}\u200d\N{PERSONAL COMPUTER}",
        ),
        ("", ""),
    ],
)
def test_what_ends_a_line_or_moves_a_cursor_is_escaped_and_nothing_else(
    text: str, line: str
) -> None:
    assert one_line(text) == line


@given(st.text())
def test_any_text_becomes_one_line_that_a_file_can_be_written_with(text: str) -> None:
    line = one_line(text)

    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(char) in {"Cc", "Cs"} for char in line)
    assert not DIRECTIONS & {unicodedata.bidirectional(char) for char in line}
    assert line.encode("utf-8").decode("utf-8") == line


def test_a_long_text_is_cut() -> None:
    assert one_line("abcdef", 3) == "abc..."
    assert one_line("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", r"'a\nb'"),
        ([1, {"k": (2,)}], "[1, {'k': (2,)}]"),
        (Forger(), r"fine\nERROR all is lost \x1b[2J"),
    ],
)
def test_a_value_is_shown_in_one_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    "value", ["x" * 10_000, list(range(10_000)), dict.fromkeys(range(10_000), 1)]
)
def test_a_large_value_is_cut_at_a_hundred_characters(value: object) -> None:
    assert len(shown(value)) == 103
    assert shown(value).endswith("...")


@pytest.mark.parametrize("value", [Unprintable(), [Unprintable()]])
def test_a_value_that_cannot_be_printed_is_shown_all_the_same(value: object) -> None:
    assert "Unprintable" in shown(value)
