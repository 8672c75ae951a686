"""Bootstrap intervals cover the truth as often as they say, and pairs and groups are honoured."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.errors import DataError, UserError
from modelyard.metrics import Bootstrap, Sample, estimate, estimates, find, mean_of, names, paired


def two(score: np.ndarray) -> np.ndarray:
    return np.stack([1 - score, score], axis=1)


def drawn(rng: np.random.Generator, count: int, gap: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two normal populations `gap` apart: their AUC is Phi(gap / sqrt 2)."""
    target = rng.integers(0, 2, count)
    return target, two(1 / (1 + np.exp(-(rng.normal(size=count) + gap * target - gap / 2))))


@pytest.mark.parametrize(("name", "truth"), [("accuracy", 0.69146), ("roc_auc", 0.76025)])  # Phi(1/2), Phi(1/sqrt 2)
def test_coverage_is_what_the_level_says(name: str, truth: float) -> None:
    rng, covered, times = np.random.default_rng(7), 0, 250
    for seed in range(times):
        target, scores = drawn(rng, 150)
        bootstrap = Bootstrap(count=200, level=0.9, seed=seed)
        found = estimate(find(name), target, scores, bootstrap=bootstrap)
        covered += found.low <= truth <= found.high
    # 0.9 less the small-sample optimism of the bootstrap; four standard errors of a share of 250 are 0.076
    assert 0.82 <= covered / times <= 0.965


def test_paired_is_narrower_than_unpaired_and_has_the_right_sign() -> None:
    rng = np.random.default_rng(3)
    target, good = drawn(rng, 800, gap=2.0)
    noisy = two(np.clip(good[:, 1] + rng.normal(0, 0.15, 800), 0.001, 0.999))
    ours, theirs = Sample.of(target, good), Sample.of(target, noisy)
    found = paired(find("roc_auc"), ours, theirs)
    assert found.low > 0 and found.value == pytest.approx(find("roc_auc").of(ours) - find("roc_auc").of(theirs))
    assert paired(find("log_loss"), ours, theirs).value < 0  # a loss: less is better, the sign is the plain difference
    alone = estimate(find("roc_auc"), target, good)
    assert found.high - found.low < alone.high - alone.low
    equal = paired(find("roc_auc"), ours, ours)
    assert (equal.value, equal.low, equal.high) == (0.0, 0.0, 0.0)


def test_groups_widen_the_interval_when_rows_repeat() -> None:
    rng = np.random.default_rng(5)
    target, scores = drawn(rng, 100)
    index = np.repeat(np.arange(100), 9)
    metric = find("accuracy")
    repeated = estimate(metric, target[index], scores[index])
    grouped = estimate(metric, target[index], scores[index], groups=index)
    once = estimate(metric, target, scores)
    assert repeated.high - repeated.low < 0.5 * (grouped.high - grouped.low)
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.15)
    assert grouped.value == once.value


def test_same_seed_same_interval_and_any_chunk() -> None:
    target, scores = drawn(np.random.default_rng(1), 50)
    metric = find("f1_macro")
    assert estimate(metric, target, scores) == estimate(metric, target, scores)
    assert estimate(metric, target, scores) != estimate(metric, target, scores, bootstrap=Bootstrap(seed=1))
    together = estimates([find(name) for name in names("classification")], Sample.of(target, scores))
    assert together["f1_macro"] == estimate(metric, target, scores)
    assert all(one.low <= one.high for one in together.values())


def test_bootstrap_mean_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).exponential(size=120)
    (ours,) = Bootstrap(count=4000).of([mean_of(values)], 120)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0)
    assert ours is not None
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_undefined_figures_are_refused_or_left_out() -> None:
    one_class = Sample.of(np.ones(5, int), two(np.linspace(0.1, 0.9, 5)))
    with pytest.raises(DataError, match="roc_auc is undefined on these 5 rows"):
        estimate(find("roc_auc"), one_class.target, one_class.scores)
    assert set(estimates([find("roc_auc"), find("accuracy")], one_class)) == {"accuracy"}
    assert estimates([find("accuracy")], one_class.take(np.empty(0, int))) == {}
    with pytest.raises(UserError, match="needs the same rows"):
        paired(find("accuracy"), one_class, one_class.take(np.arange(3)))
    with pytest.raises(UserError, match="one group a row"):
        estimate(find("accuracy"), one_class.target, one_class.scores, groups=np.arange(3))


def test_resamples_without_a_class_are_left_out() -> None:
    target = np.array([0] * 30 + [1])
    found = estimate(find("roc_auc"), target, two(np.linspace(0, 1, 31)))
    assert found.value == 1.0 and np.isfinite(found.low)


def test_one_or_two_rows_do_not_crash() -> None:
    few = Bootstrap(count=100)
    assert estimate(find("accuracy"), [1], two(np.array([0.9])), bootstrap=few).value == 1.0
    assert estimate(find("mean_absolute_error"), [1.0, 2.0], [1.5, 2.0], bootstrap=few).value == 0.25
