"""Edits change what they say they change, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.audit import edits
from modelyard.features import images
from modelyard.rows import Rows
from tests.toys import png

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


# -- images and series ---------------------------------------------------------------------------------------------------

PICTURES = {"picture": "image", "age": "number"}


def pictures(count: int = 12) -> Rows:
    """Grey and coloured images of several sizes, one of them missing."""
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    column = np.empty(count, dtype=object)
    column[:] = [
        png(rng.integers(60, 180, (20 + number, 30, 3) if number % 2 else (20 + number, 30)).astype(np.uint8))
        for number in range(count)
    ]
    column[3] = None
    return Rows({"picture": column, "age": np.arange(count) * 1.0}, count)


@pytest.mark.parametrize(
    ("edit", "most"),
    [(edits.brightness(0.1), 20.0), (edits.blur(0.0045), 60.0), (edits.shift(0.05), 60.0), (edits.resaved(50), 60.0)],
    ids=["brightness", "blur", "shift", "resaved"],
)
def test_edited_images_are_images_of_the_same_size_that_differ(edit: edits.Edit, most: float) -> None:
    given_rows = pictures()
    before = list(given_rows["picture"])
    edited = edit(given_rows, PICTURES, np.random.default_rng(0))
    assert list(given_rows["picture"]) == before  # never edited in place
    assert edited["picture"][3] is None and (edited["age"] == given_rows["age"]).all()
    for number, data in enumerate(before):
        if data is not None:
            old, new = (images.pixels(each, channels=3).astype(float) for each in (data, edited["picture"][number]))
            assert old.shape == new.shape and 0 < np.abs(old - new).mean() < most


def test_brightness_goes_either_way_by_its_share() -> None:
    given_rows = pictures(40)
    edited = edits.brightness(0.1)(given_rows, PICTURES, np.random.default_rng(0))
    ratios = [
        images.pixels(new, channels=3).mean() / images.pixels(old, channels=3).mean()
        for old, new in zip(given_rows["picture"], edited["picture"], strict=True)
        if old is not None
    ]
    assert {round(ratio, 1) for ratio in ratios} == {0.9, 1.1}


def test_a_shift_moves_every_pixel_by_its_share() -> None:
    ramp = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    column = np.array([png(ramp), None], dtype=object)[:1]
    edited = edits.shift(0.05)(Rows({"picture": column}, 1), {"picture": "image"}, np.random.default_rng(0))
    moved = images.pixels(edited["picture"][0], channels=1)[50, :, 0].astype(int)
    assert set((moved - np.arange(100))[5:95]) in ({5}, {-5})
    assert (moved[0], moved[-1]) in ((0, 94), (5, 99)), "the border is repeated"


def test_large_images_are_shrunk_first() -> None:
    column = np.array([png(np.zeros((700, 1400), dtype=np.uint8)), None], dtype=object)[:1]
    edited = edits.resaved(50)(Rows({"picture": column}, 1), {"picture": "image"}, np.random.default_rng(0))
    assert images.size_of(edited["picture"][0])[:2] == (edits.MOST_PIXELS, edits.MOST_PIXELS // 2)


def test_noise_on_series_is_of_each_channels_own_size() -> None:
    rng = np.random.default_rng(0)
    column = np.empty(41, dtype=object)
    column[:40] = [rng.normal([0, 0], [1, 100], (50, 2)).astype(np.float32) for _ in range(40)]
    given_rows = Rows({"wave": column}, 41)
    edited = edits.noise(0.1)(given_rows, {"wave": "sequence"}, np.random.default_rng(1))
    assert edited["wave"][40] is None and column[40] is None
    moved = np.concatenate([new - old for new, old in zip(edited["wave"][:40], column[:40], strict=True)])
    np.testing.assert_allclose(moved.std(axis=0), [0.1, 10.0], rtol=0.1)
    gaps = Rows({"wave": np.array([np.full((3, 1), np.nan, np.float32), None], dtype=object)}, 2)
    assert np.isnan(edits.noise(0.1)(gaps, {"wave": "sequence"}, rng)["wave"][0]).all()
