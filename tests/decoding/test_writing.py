"""Tokens into text: pieces join to the whole, characters come whole, stop sequences never show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.decoding.writing import LONGEST, Writer


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


@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_text_come_out_as_they_are_decoded(data: bytes) -> None:
    writer = Writer(bytes_of)
    pieces = [writer.add(byte) for byte in data]
    assert writer.written == len("".join(pieces))
    assert "".join(pieces) + writer.end() == bytes_of(list(data)) or len(data) > LONGEST


def test_what_never_becomes_a_character_is_shown_in_the_end() -> None:
    writer = Writer(bytes_of)
    pieces = [writer.add(0x80) for _ in range(LONGEST + 1)]
    assert "".join(pieces[:-1]) == ""
    assert pieces[-1] == "\ufffd" * (LONGEST + 1)
    assert "".join(writer.add(byte) for byte in "né".encode()) == "né"


def words(ids: list[int]) -> str:
    """A tokenizer whose tokens are words, a space between two of them."""
    return " ".join("zero one two three".split()[number] for number in ids)


def test_a_space_between_the_prompt_and_the_answer_comes_out() -> None:
    assert [Writer(words).add(2), Writer(words, before=[0, 1]).add(2)] == ["two", " two"]


def test_text_that_waits_is_known_but_not_written() -> None:
    writer = Writer(bytes_of, ["END"])
    assert "".join(writer.add(byte) for byte in b"an EN") == "an "
    assert (writer.written, writer.known) == (3, 5)
    assert writer.add(ord("D")) == ""
    assert (writer.written, writer.known, writer.stopped) == (3, 3, True)
    assert writer.add(ord("x")) + writer.end() == ""
