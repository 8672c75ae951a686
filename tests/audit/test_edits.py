"""Edits change what they say they change, and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.audit import edits
from modelyard.rows import Rows

TYPES = {"body": "text", "home": "category", "age": "number", "yes": "boolean"}
TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=40)), min_size=1, max_size=12)


def rows(texts: list[str | None]) -> Rows:
    count = len(texts)
    body = np.empty(count, dtype=object)
    body[:] = texts
    home = np.array(["own", None] * count, dtype=object)[:count]
    return Rows({"body": body, "home": home, "age": np.arange(count) * 10.0, "yes": np.full(count, np.nan)}, count)


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(0, 1000))
def test_edits_keep_shape_types_and_the_given_rows(texts: list[str | None], seed: int) -> None:
    given_rows = rows(texts)
    for edit in (edits.typos(0.5), edits.case, edits.spaces(0.5), edits.missing(0.5), edits.noise(0.1)):
        edited = edit(given_rows, TYPES, np.random.default_rng(seed))
        assert len(edited) == len(texts) and set(edited.columns) == set(TYPES)
        assert all(edited[name].dtype == given_rows[name].dtype for name in TYPES)
        assert list(given_rows["body"]) == texts  # never edited in place
    spaced = edits.spaces(0.5)(given_rows, TYPES, np.random.default_rng(seed))
    for before, after in zip(texts, spaced["body"], strict=True):
        assert (before is None) == (after is None) and (before is None or before.split() == after.split())


def test_typos_by_hand() -> None:
    edited = edits.typos(1.0)(rows(["the invoice of yesterday"]), TYPES, np.random.default_rng(0))
    before, after = ["the", "invoice", "of", "yesterday"], edited["body"][0].split()
    assert after[0] == "the" and after[2] == "of" and after[1] != before[1] and after[3] != before[3]
    untouched = edits.typos(0.0)(rows(["the invoice"]), TYPES, np.random.default_rng(0))
    assert untouched["body"][0] == "the invoice"


def test_missing_leaves_every_row_a_field() -> None:
    edited = edits.missing(0.999)(rows(["a text"] * 50), {"body": "text", "age": "number"}, np.random.default_rng(0))
    lost = np.array([text is None for text in edited["body"]]).astype(int) + np.isnan(edited["age"])
    assert set(lost) <= {0, 1} and lost.sum() > 40


def test_noise_keeps_whole_numbers_whole() -> None:
    edited = edits.noise(0.5)(rows(["x"] * 9), TYPES, np.random.default_rng(0))
    assert (edited["age"] == np.round(edited["age"])).all() and (edited["age"] != np.arange(9) * 10.0).any()
