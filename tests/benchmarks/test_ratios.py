"""The statistics and tables of `benchmarks/`: signs, sizes and intervals on answers whose quality is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import ratios, tables
from modelyard.metrics import Sample, find
from modelyard.records._base import Estimate


def test_a_section_of_the_document_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("# Title\n\n<!-- one -->\nold\n<!-- /one -->\n\nafter\n")
    ratios.write_section(document, "one", "new")
    ratios.write_section(document, "two", "added")
    text = document.read_text()
    assert "old" not in text and text.index("new") < text.index("after") < text.index("added")
    ratios.write_section(document, "one", "new")
    assert document.read_text() == text


def test_a_table_escapes_bars_and_shows_every_row() -> None:
    told = ratios.Result("toy", [], [("Figures.", ["a", "b"], [["1", "x|y"]])], {}).markdown()
    assert told.endswith("| a | b |\n| --- | --- |\n| 1 | x\\|y |")


# -- statistics -----------------------------------------------------------------------------------------------------------


def answers(rng: np.random.Generator, target: np.ndarray, noise: float) -> Sample:
    score = 1 / (1 + np.exp(-(2 * target - 1 + rng.normal(0, noise, len(target)))))
    return Sample.of(target, np.stack([1 - score, score], axis=1), positive=1)


def repeated(ours: float, theirs: float, *, rows: int = 400, repetitions: int = 5) -> list[ratios.Pair]:
    rng = np.random.default_rng(0)
    target, found = rng.integers(0, 2, rows), []
    for _ in range(repetitions):
        for half in np.array_split(rng.permutation(rows), 2):
            samples = {
                name: answers(rng, target[half], noise)
                for name, noise in (("modelyard", ours), ("lightgbm", theirs), ("autogluon", theirs))
            }
            found.append(ratios.Pair(samples, half))
    return found


def test_the_loss_to_the_best_peer_has_the_right_sign_and_size() -> None:
    metric = find("roc_auc")
    worse, better = repeated(ours=3.0, theirs=1.0), repeated(ours=1.0, theirs=3.0)
    lost = tables.loss(metric, worse, tables.PEERS)
    means = {name: np.mean([metric.of(pair.samples[name]) for pair in worse]) for name in ("modelyard", *tables.PEERS)}
    assert lost.value == pytest.approx(max(means[peer] for peer in tables.PEERS) - means["modelyard"])
    assert 0 < lost.low < lost.value < lost.high
    assert tables.loss(metric, better, tables.PEERS).high < 0
    assert tables.loss(metric, worse, tables.PEERS).value >= tables.loss(metric, worse, ("lightgbm",)).value


def test_the_loss_of_an_error_is_a_share_of_the_best() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=300)
    off = {"modelyard": 0.22, "lightgbm": 0.2, "autogluon": 0.4}
    errors = rng.normal(size=300)
    samples = {name: Sample.of(truth, truth + size * errors) for name, size in off.items()}
    found = tables.loss(find("root_mean_squared_error"), [ratios.Pair(samples, np.arange(300))], tables.PEERS)
    assert found.value == pytest.approx(0.1) and found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)


def test_a_row_repeated_in_every_repetition_does_not_narrow_the_interval() -> None:
    once = repeated(ours=2.0, theirs=1.0, repetitions=1)
    five = [pair for _ in range(5) for pair in once]
    one, many = (tables.loss(find("roc_auc"), pairs, tables.PEERS) for pairs in (once, five))
    assert (many.value, many.low, many.high) == pytest.approx((one.value, one.low, one.high))


def test_over_folds_is_the_corrected_resampled_t_interval() -> None:
    values = [0.01, 0.03, -0.01, 0.02]
    found = ratios.over_folds(values, test_to_train=1.0)
    reach = 3.182446 * np.sqrt(np.var(values, ddof=1) * (1 / 4 + 1))  # t with 3 degrees of freedom at 0.975
    assert found.value == pytest.approx(0.0125) and found.high - found.value == pytest.approx(reach, rel=1e-6)


def test_times_faster() -> None:
    rng = np.random.default_rng(2)
    ours = [list(rng.lognormal(0, 0.1, 21)) for _ in range(12)]
    theirs = [[10 * second for second in reversed(part)] for part in ours]
    found = ratios.ratio(theirs, ours)
    assert found.value == pytest.approx(10) and found.low == pytest.approx(10) and found.high == pytest.approx(10)
    assert ratios.ratio(ours, theirs).value == pytest.approx(0.1)
    noisy = ratios.ratio([list(rng.lognormal(1, 0.5, 21)) for _ in ours], ours, groups=[row // 3 for row in range(12)])
    assert noisy.low < noisy.value < noisy.high


def test_an_interval_is_written_with_its_unit() -> None:
    assert (
        ratios.interval(Estimate(value=0.0123, low=0.001, high=0.02), 2, scale=100, unit=" %")
        == "1.23 % (0.10 to 2.00)"
    )
