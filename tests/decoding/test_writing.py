"""Tokens into text: pieces join to the whole, characters come whole, stop sequences never show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.decoding.writing import Writer


def bytes_of(ids: list[int]) -> str:
    """A tokenizer whose tokens are bytes."""
    return bytes(ids).decode("utf-8", errors="replace")


@given(text=st.text(max_size=40))
def test_the_pieces_join_to_the_text_and_none_is_half_a_character(text: str) -> None:
    writer = Writer(bytes_of)
    pieces = [writer.add(byte) for byte in text.encode("utf-8", errors="ignore")]
    if "\ufffd" not in text:
        assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + writer.end() == text


@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two END three", ["END"], "one two "),
        ("abababac rest", ["abac"], "abab"),
        ("no stop E", ["END"], "no stop E"),
        ("first\n\nsecond", ["\n\n", "second"], "first"),
        ("é…END", ["…END"], "é"),
        ("plain", ["", "x"], "plain"),
    ],
)
def test_nothing_of_a_stop_sequence_is_written(text: str, stops: list[str], shown: str) -> None:
    writer = Writer(bytes_of, stops)
    pieces = []
    for byte in text.encode():
        pieces.append(writer.add(byte))
        assert shown.startswith("".join(pieces))
    assert "".join(pieces) + writer.end() == shown
    assert writer.stopped == (shown != text)
