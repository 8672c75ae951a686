"""Series of numbers as padded arrays: scales, gaps, lengths, and what a table's model reads of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from modelyard.features import sequences
from modelyard.rows import Rows

NAN = float("nan")


def column(*series: Any) -> Rows:
    """Lists of numbers, or of lists of numbers; None lacks."""
    values = np.empty(len(series), dtype=object)
    for place, one in enumerate(series):
        if one is not None:
            values[place] = np.asarray(one, dtype=np.float32).reshape(len(one), -1)
    return Rows({"wave": values}, len(series))


def learnt(rows: Rows, longest: int = 100) -> dict[str, Any]:
    return sequences.fit(rows, "wave", longest=longest)


def test_each_channel_is_standardised_over_all_steps() -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal([5.0, -100.0], [0.1, 30.0], (length, 2)) for length in rng.integers(3, 30, 40)]
    features = learnt(column(*series))
    encoded = sequences.encode(column(*series), features)
    inside = np.concatenate([row[:length] for row, length in zip(encoded["values"], encoded["length"], strict=True)])
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=1e-3)
    assert sequences.width(features) == 2 and encoded["values"].dtype == np.float32


def test_what_lies_beyond_the_end_is_zero_and_lengths_are_told() -> None:
    rows = column([1.0, 2.0, 3.0], [7.0], None)
    encoded = sequences.encode(rows, learnt(rows))
    assert encoded["length"].tolist() == [3, 1, 1] and encoded["length"].dtype == np.int64
    assert encoded["values"].shape == (3, 3, 1)
    assert not encoded["values"][1, 1:].any() and not encoded["values"][2].any()


def test_a_gap_is_the_mean_and_is_flagged_where_training_had_one() -> None:
    rows = column([[1.0, 10.0], [NAN, 30.0], [3.0, 20.0]])
    features = learnt(rows)
    assert features["missing"] == [True, False] and sequences.width(features) == 3
    values = sequences.encode(rows, features)["values"][0]
    assert values[1, 0] == 0.0 and values[:, 2].tolist() == [0.0, 1.0, 0.0]
    late = sequences.encode(column([[1.0, NAN]]), features)["values"][0, 0]
    assert late[1] == 0.0 and len(late) == 3, "a gap that training never had has no flag, and is the mean all the same"


def test_a_longer_series_is_thinned_and_keeps_its_ends() -> None:
    long = np.arange(1000.0)
    features = learnt(column(long, long), longest=10)
    assert features["length"] == 10
    encoded = sequences.encode(column(long), features)
    shown = encoded["values"][0, :, 0] * features["scale"][0] + features["mean"][0]
    assert encoded["length"].tolist() == [10]
    np.testing.assert_allclose(shown, np.linspace(0, 999, 10).round(), atol=0.1)


def test_the_usual_length_is_that_of_nearly_all() -> None:
    assert learnt(column(*[[0.0] * 5] * 200, [0.0] * 90))["length"] == 5
    assert learnt(column(None, None))["length"] == 1


def test_absurd_values_are_cut() -> None:
    features = learnt(column([0.0, 1.0, 2.0], [1.0, 1.5]))
    encoded = sequences.encode(column([1e30, -1e30]), features)["values"][0, :, 0]
    assert encoded.tolist() == [sequences.CUT, -sequences.CUT]


def test_features_are_json_even_of_absurd_and_constant_series() -> None:
    for rows in (column([3e38, -3e38]), column([4.0, 4.0]), column([NAN, NAN]), column(None)):
        features = json.loads(json.dumps(learnt(rows), allow_nan=False))
        assert np.isfinite(sequences.encode(rows, features)["values"]).all()


def test_statistics_by_hand() -> None:
    rows = column([1.0, NAN, 3.0, 2.0], None, [NAN], [5.0])
    told = sequences.statistics(rows, learnt(rows))
    assert told.shape == (4, len(sequences.STATISTICS))
    named = dict(zip(sequences.STATISTICS, told[0], strict=True))
    assert named.pop("slope") == pytest.approx(1.0)  # through 1, 3, 2 at 0, 1/2, 1
    assert named == pytest.approx(
        {
            "mean": 2.0, "deviation": np.std([1.0, 3.0, 2.0]), "lowest": 1.0, "highest": 3.0, "first": 1.0, "last": 2.0,
            "roughness": 1.5, "length": 4.0,
        }
    )  # fmt: skip
    assert np.isnan(told[1:3]).all()
    assert dict(zip(sequences.STATISTICS, told[3], strict=True))["slope"] == 0.0


def test_statistics_of_a_series_without_gaps_are_those_of_each_channel_alone() -> None:
    rng = np.random.default_rng(0)
    both = [rng.normal(size=(length, 2)).astype(np.float32) for length in (1, 2, 3, 29)]
    rows = column(*both)
    told = sequences.statistics(rows, learnt(rows)).reshape(len(both), 2, -1)
    for place, series in enumerate(both):
        for channel in (0, 1):
            one = series[:, channel].astype(np.float64)
            named = dict(zip(sequences.STATISTICS, told[place, channel], strict=True))
            slope = np.polyfit(np.linspace(0, 1, len(one)), one, 1)[0] if len(one) > 1 else 0.0
            assert named["slope"] == pytest.approx(slope) and named["length"] == len(one)
            assert (named["mean"], named["deviation"]) == pytest.approx((one.mean(), one.std()))
            assert named["roughness"] == pytest.approx(np.abs(np.diff(one)).mean() if len(one) > 1 else 0.0)


def test_channels_stand_side_by_side_in_the_statistics() -> None:
    rows = column([[0.0, 10.0], [2.0, 30.0]])
    told = sequences.statistics(rows, learnt(rows))[0]
    count = len(sequences.STATISTICS)
    assert (told[0], told[count]) == (1.0, 20.0)


def test_no_rows_are_encoded_to_no_rows() -> None:
    features = learnt(column([1.0, 2.0]))
    encoded = sequences.encode(column(), features)
    assert len(encoded["values"]) == len(encoded["length"]) == 0
