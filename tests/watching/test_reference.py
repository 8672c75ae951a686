"""The reference holds counts and nobody's row; bins do what their names say; what moved is told in the right words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import PackageError
from modelyard.features.images import png
from modelyard.rows import Array, Column, Rows
from modelyard.watching.measures import Binner, cuts_of, learnt
from modelyard.watching.reference import FILE, Reference, make_reference, read_reference

WORDS = ("invoice", "meeting", "lunch", "contract", "holiday", "printer", "budget", "coffee")
COLUMNS = (
    Column(name="age", type="number"),
    Column(name="town", type="category"),
    Column(name="note", type="text"),
    Column(name="photo", type="image"),
    Column(name="pulse", type="sequence"),
)


def objects(values: list[Any]) -> Array:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def make_rows(count: int, seed: int, *, shouting: bool = False, older: float = 0.0, town: str = "") -> Rows:
    rng = np.random.default_rng(seed)
    notes = [" ".join(rng.choice(WORDS, size=4)) + f" {rng.integers(100)}" for _ in range(count)]
    columns: dict[str, Array] = {
        "age": np.where(rng.random(count) < 0.1, np.nan, rng.normal(50 + older, 10, count).round()),
        "town": objects([town or str(each) for each in rng.choice(["Aix", "Bonn", "Cork"], size=count)]),
        "note": objects([note.upper() if shouting else note for note in notes]),
        "photo": objects([png(rng.integers(60, 200, (8, 8, 1)).astype(np.uint8)) for _ in range(count)]),
        "pulse": objects([rng.normal(size=(int(rng.integers(5, 20)), 1)).astype(np.float32) for _ in range(count)]),
    }
    return Rows(columns, count)


def make_answers(rows: Rows, *, sure: float = 0.0) -> list[dict[str, Any]]:
    found = []
    for age in rows["age"]:
        p = 1 / (1 + math.exp(-((0 if math.isnan(age) else age - 50) / 10 + sure)))
        found.append({"answer": "good" if p >= 0.5 else "bad", "probabilities": {"bad": 1 - p, "good": p}})
    return found


@pytest.fixture(scope="module")
def reference() -> Reference:
    rows = make_rows(600, 1)
    return make_reference(
        rows, make_answers(rows), training=make_rows(600, 0), columns=COLUMNS, kind="classification", seed=0, window=200,
        resamples=2000,
    )  # fmt: skip


def judged(reference: Reference, rows: Rows, answers: list[dict[str, Any]] | None = None) -> Any:
    bins = reference.binner.bins(rows, make_answers(rows) if answers is None else answers)
    return reference.judge(reference.binner.counts(bins), len(rows), at=1.0)


# -- bins --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6) | st.integers(0, 5).map(float), min_size=1, max_size=300))
def test_cuts_rise_lie_between_values_and_leave_no_small_bin(values: list[float]) -> None:
    known = np.array(values)
    cuts = cuts_of(known)
    assert list(cuts) == sorted(set(cuts)) and len(cuts) <= 20
    counts = np.bincount(np.searchsorted(cuts, known, side="right"), minlength=len(cuts) + 1)
    if not (len(cuts) == 2 and cuts[1] == math.nextafter(cuts[0], math.inf)):  # one value alone
        assert counts.min() >= max(0.02 * len(values), 1)


@pytest.mark.parametrize("values", [[0.0] * 200, [0.0] * 198 + [1.0, 2.0], [1e-320] * 3, [np.nan]])
def test_leaving_a_value_that_nearly_all_have_shows(values: list[float]) -> None:
    (feature,) = learnt("x", "number", np.array(values))
    stays, leaves = (Binner([feature]).bins(Rows({"x": np.full(9, value)}, 9), [])[:, 0] for value in (values[0], 7.0))
    assert (stays != leaves).all()


def test_numbers_of_one_size_are_in_tenths_and_ties_have_their_own() -> None:
    (feature,) = learnt("x", "number", np.arange(1000.0))
    assert feature.counts == (100,) * 10 + (0,) and feature.freedom == 9
    (feature,) = learnt("x", "number", np.array([0.0] * 600 + list(np.arange(1.0, 401.0)) + [np.nan] * 50))
    assert feature.counts[0] == 600 and feature.counts[-1] == 50 and sum(feature.counts) == 1050


def test_rare_and_unseen_categories_are_the_rest() -> None:
    values = objects(["a"] * 150 + ["b"] * 48 + ["once", None])
    (feature,) = learnt("x", "category", values)
    assert feature.values == ("a", "b") and feature.counts == (150, 48, 1, 1)
    found = Binner([feature]).bins(Rows({"x": objects(["b", "never seen", None])}, 3), [])
    assert found[:, 0].tolist() == [1, 2, 3]
    (feature,) = learnt("x", "category", objects([f"c{n % 90}" for n in range(9000)]))
    assert feature.values == ()


def test_texts_are_measured_by_character_and_word() -> None:
    values = objects(["AB12  ,é", "a word", None, ""])
    features = learnt("x", "text", objects([f"{'word' if n % 2 else 'other'} {n}" for n in range(200)]))
    assert {feature.part for feature in features} >= {
        "length",
        "digits",
        "uppercase",
        "punctuation",
        "spaces",
        "other_scripts",
        "word",
    }
    words = [feature for feature in features if feature.part == "word"]
    assert len(words) == 2 and all(feature.counts == (100, 100, 0) for feature in words)
    bins = Binner(features).bins(Rows({"x": values}, 4), [])
    assert all(bins[2, number] == feature.bins - 1 for number, feature in enumerate(features))  # missing
    has = [int(bins[1, number]) for number, feature in enumerate(features) if feature.part == "word"]
    assert sorted(has) == [0, 1]


def test_a_script_without_spaces_has_words_too() -> None:
    features = learnt("x", "text", objects(["今天天气很好" if n % 2 else "明日会议取消" for n in range(200)]))
    assert sum(feature.part == "word" for feature in features) > 3


def test_an_image_that_cannot_be_read_is_missing() -> None:
    image = png(np.full((4, 4, 3), 128, dtype=np.uint8))
    features = learnt("x", "image", objects([image] * 5))
    bins = Binner(features).bins(Rows({"x": objects([image, b"no image", None])}, 3), [])
    assert (bins[1] == bins[2]).all() and (bins[0] != bins[1]).all()


@given(st.integers(1, 40), st.integers(1, 20))
def test_bins_are_the_same_row_by_row_and_together(count: int, piece: int) -> None:
    rows = Rows({"age": np.random.default_rng(count).normal(size=count)}, count)
    binner = Binner(learnt("age", "number", np.linspace(-2, 2, 100)))
    parts = [binner.bins(rows.take(slice(at, at + piece)), []) for at in range(0, count, piece)]
    assert (np.concatenate(parts) == binner.bins(rows, [])).all()
    assert binner.counts(binner.bins(rows, [])).sum() == count


# -- the reference -----------------------------------------------------------------------------------------------------


def test_it_is_the_same_twice_and_after_a_file(reference: Reference, tmp_path: Path) -> None:
    rows = make_rows(600, 1)
    again = make_reference(
        rows, make_answers(rows), training=make_rows(600, 0), columns=COLUMNS, kind="classification", seed=0, window=200,
        resamples=2000,
    )  # fmt: skip
    again.save(tmp_path)
    assert again == reference == read_reference(tmp_path)


def test_it_holds_no_text_no_word_and_no_rare_value(tmp_path: Path) -> None:
    rows = make_rows(300, 4)
    rows = rows.replace(town=objects(["Secretville", *list(rows["town"][1:])]))
    make_reference(rows, [], training=rows, columns=COLUMNS, seed=0, resamples=200).save(tmp_path)
    text = (tmp_path / FILE).read_text()
    assert "Secretville" not in text and not any(word in text for word in WORDS) and "Aix" in text
    for feature in json.loads(text)["features"]:
        assert sum(feature["counts"]) == 300


def test_a_clean_window_is_calm_and_planted_shifts_are_found_and_named(reference: Reference) -> None:
    assert not any(judged(reference, make_rows(200, seed)).drift for seed in range(10, 15))
    shouting = judged(reference, make_rows(200, 20, shouting=True))
    assert (
        shouting.drift
        and shouting.features[0].feature == "note.uppercase"
        and shouting.features[0].shift.key == "above"
    )
    assert shouting.features[0].shift.before < 0.05 and shouting.features[0].shift.now > 0.95
    older = judged(reference, make_rows(200, 21, older=10))
    assert older.drift and older.features[0].feature in ("age.value", "answer.confidence", "answer.class")
    elsewhere = judged(reference, make_rows(200, 22, town="Delft"))
    assert elsewhere.features[0].feature == "town.value"
    assert (elsewhere.features[0].shift.key, elsewhere.features[0].shift.now) == ("rest", 1.0)
    rows = make_rows(200, 23)
    surer = judged(reference, rows, make_answers(rows, sure=1.5))
    assert surer.drift and surer.features[0].feature.startswith("answer.")


def test_each_features_bins_add_up(reference: Reference) -> None:
    for moved in judged(reference, make_rows(200, 30)).features:
        assert sum(each.before for each in moved.bins) == pytest.approx(1, abs=0.002)
        assert sum(each.now for each in moved.bins) == pytest.approx(1, abs=0.002)


def test_too_few_rows_or_nothing_to_watch_is_told(tmp_path: Path) -> None:
    rows = make_rows(50, 0)
    few = make_reference(rows, [], training=rows, columns=COLUMNS, seed=0)
    none = make_reference(rows, [], training=rows, columns=(), seed=0)
    assert "50 held-out rows are too few" in few.reason and "nothing that could shift" in none.reason
    none.save(tmp_path)
    assert read_reference(tmp_path) == none and read_reference(tmp_path / "elsewhere") is None


def test_a_spoilt_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"format": 7}')
    with pytest.raises(PackageError, match=r"reference\.json cannot be read"):
        read_reference(tmp_path)
