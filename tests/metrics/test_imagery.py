"""Figures of made images: against slow direct sums, against answers that are known, and with planted faults that must show."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modelyard.errors import DataError, UnknownPart, UserError
from modelyard.metrics import Bootstrap, imagery
from modelyard.metrics.imagery import Discriminant, Pair, copies, find
from modelyard.rows import Array

NAMES = [figure.name for figure in imagery.FIGURES]
RNG = np.random.default_rng


def value(name: str, pair: Pair) -> float:
    return find(name).of(pair)


def clusters(count: int, *, of: tuple[int, ...], seed: int, width: int = 6) -> Array:
    """Rows around the corners 10 e_k of the classes in `of`, in turn."""
    label = np.resize(of, count)
    return RNG(seed).normal(size=(count, width)) + 10.0 * np.eye(width)[label]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagery, "_BLOCK", 37)


# -- kernel distance ---------------------------------------------------------------------------------------------------


def slow_kernel_distance(real: Array, made: Array, weights: Array) -> float:
    """Draws one by one, as (row, draw) pairs; two draws of one row are no pair."""
    drawn = [
        [row for row, times in enumerate(part) for _ in range(int(times))]
        for part in (weights[: len(real)], weights[len(real) :])
    ]

    def kernel(x: Array, y: Array) -> float:
        return float(x @ y / len(x) + 1) ** 3

    within = [
        np.mean([kernel(rows[i], rows[j]) for i in own for j in own if i != j])
        for rows, own in zip((real, made), drawn, strict=True)
    ]
    return float(sum(within) - 2 * np.mean([kernel(real[i], made[j]) for i in drawn[0] for j in drawn[1]]))


@pytest.mark.parametrize("blocks", [None, 37])
def test_kernel_distance_is_the_slow_sum_at_any_weights(blocks: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if blocks:
        monkeypatch.setattr(imagery, "_BLOCK", blocks)
    rng = RNG(0)
    real, made = rng.normal(size=(9, 4)), rng.normal(0.5, 1.2, size=(11, 4))
    weights = np.vstack([np.ones((1, 20)), rng.integers(0, 4, size=(5, 20))]).astype(np.float64)
    found = find("kernel_distance").over(Pair.of(real, made))(weights)
    np.testing.assert_allclose(found, [slow_kernel_distance(real, made, each) for each in weights], rtol=1e-5)


def test_kernel_distance_of_one_distribution_is_nothing_and_its_interval_holds_nothing() -> None:
    """Unbiased: over many draws the mean is 0, below as often as above."""
    found = [
        value("kernel_distance", Pair.of(*(RNG([seed, side]).normal(size=(60, 8)) for side in (0, 1))))
        for seed in range(80)
    ]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))
    assert 20 < sum(each < 0 for each in found) < 65
    pair = Pair.of(RNG(1).normal(size=(300, 8)), RNG(2).normal(size=(300, 8)))
    (same,) = Bootstrap(count=200).of([find("kernel_distance").over(pair)], 600)
    moved = Pair.of(pair.real, pair.made + 0.5)
    (other,) = Bootstrap(count=200).of([find("kernel_distance").over(moved)], 600)
    assert same is not None and same.low < 0 < same.high
    assert other is not None and 0 < other.low < other.value < other.high


# -- Frechet distance --------------------------------------------------------------------------------------------------


def test_frechet_distance_of_moved_and_widened_rows_is_its_closed_form() -> None:
    real = RNG(0).normal(size=(200, 5)) @ RNG(1).normal(size=(5, 5))
    spread = float(np.trace(np.cov(real.T)))
    step = np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    assert value("frechet_distance", Pair.of(real, real)) == pytest.approx(0.0, abs=1e-4)
    assert value("frechet_distance", Pair.of(real, real + step)) == pytest.approx(5.25, rel=1e-4)
    middle = real.mean(axis=0)
    wider = middle + 1.5 * (real - middle)  # (1 - 1.5)^2 tr S
    assert value("frechet_distance", Pair.of(real, wider)) == pytest.approx(0.25 * spread, rel=1e-6)


def test_frechet_distance_is_scipys_root_and_weights_are_repetitions() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    real = RNG(0).normal(size=(80, 4)) @ RNG(1).normal(size=(4, 4))
    made = RNG(2).normal(1.0, 2.0, size=(60, 4))
    weights = RNG(3).integers(0, 3, 60)
    repeated = np.repeat(made, weights, axis=0)
    first, second = np.cov(real.T), np.cov(repeated.T)
    gap = ((real.mean(axis=0) - repeated.mean(axis=0)) ** 2).sum()
    expected = gap + np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)
    found = find("frechet_distance").over(Pair.of(real, made))(weights[None].astype(np.float64))
    assert float(found[0]) == pytest.approx(float(expected), rel=1e-6)


# -- surroundings ------------------------------------------------------------------------------------------------------


def slow_surroundings(real: Array, made: Array, k: int) -> dict[str, float]:
    def apart(x: Array, y: Array) -> float:
        return float(np.sqrt(((x - y) ** 2).sum()))

    def reach(rows: Array) -> list[float]:
        return [sorted(apart(x, y) for j, y in enumerate(rows) if j != i)[k - 1] for i, x in enumerate(rows)]

    of_real, of_made = reach(real), reach(made)
    inside = [[apart(x, y) <= r for y, r in zip(real, of_real, strict=True)] for x in made]
    around = [[apart(x, y) <= r for y, r in zip(made, of_made, strict=True)] for x in real]
    return {
        "generative_precision": float(np.mean([any(row) for row in inside])),
        "generative_recall": float(np.mean([any(row) for row in around])),
        "density": sum(map(sum, inside)) / (k * len(made)),
        "coverage": float(np.mean([any(row) for row in zip(*inside, strict=True)])),
    }


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_surroundings_are_the_slow_counts(k: int) -> None:
    real, made = RNG(0).normal(size=(40, 3)), RNG(1).normal(1.4, 0.8, size=(31, 3))
    pair = Pair.of(real, made, neighbours=k)
    found = {name: value(name, pair) for name in ("generative_precision", "generative_recall", "density", "coverage")}
    assert found == pytest.approx(slow_surroundings(real, made, k))
    assert 0 < found["generative_recall"] < 1 and 0 < found["generative_precision"] < 1


def test_images_as_good_as_real_ones_score_as_real_ones() -> None:
    pair = Pair.of(clusters(600, of=(0, 1, 2), seed=0), clusters(600, of=(0, 1, 2), seed=1))
    assert value("generative_precision", pair) > 0.85 and value("generative_recall", pair) > 0.85
    assert 0.9 < value("density", pair) < 1.1
    assert (
        0.93 < value("coverage", pair) <= 1 - 1 / 2**5 + 0.03
    )  # 1 - 2^-k for equal counts (Naeem et al. 2020, section 3.2.2)


def test_a_missing_mode_lowers_recall_and_coverage_but_not_precision() -> None:
    real = clusters(600, of=(0, 1, 2), seed=0)
    whole, lacking = (Pair.of(real, clusters(600, of=of, seed=1)) for of in ((0, 1, 2), (0, 1)))
    assert value("generative_precision", lacking) > value("generative_precision", whole) - 0.05
    for name in ("generative_recall", "coverage"):
        assert value(name, lacking) == pytest.approx(value(name, whole) * 2 / 3, abs=0.06)


def test_a_mode_of_nothing_real_lowers_precision_but_not_recall() -> None:
    real = clusters(600, of=(0, 1, 2), seed=0)
    whole, beside = (Pair.of(real, clusters(600, of=of, seed=1)) for of in ((0, 1, 2), (0, 1, 2, 3)))
    assert value("generative_recall", beside) > value("generative_recall", whole) - 0.08
    assert value("generative_precision", beside) == pytest.approx(
        value("generative_precision", whole) * 3 / 4, abs=0.06
    )
    assert value("density", beside) == pytest.approx(value("density", whole) * 3 / 4, abs=0.08)


def test_one_image_again_and_again_has_no_recall() -> None:
    real = clusters(300, of=(0, 1, 2), seed=0)
    pair = Pair.of(real, np.repeat(real[:1], 300, axis=0))
    assert value("generative_precision", pair) == 1.0 and value("generative_recall", pair) == pytest.approx(1 / 300)
    assert value("coverage", pair) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_bears_resampling(name: str) -> None:
    pair, figure = Pair.of(clusters(60, of=(0, 1), seed=0), clusters(50, of=(0, 1), seed=1) + 0.3), find(name)
    (found,) = Bootstrap(count=50).of([figure.over(pair)], pair.count(figure.rows))
    assert found is not None and found.low < found.high and found.low <= found.value <= found.high
    far = Pair.of(pair.real, pair.made + 20.0)
    assert (figure.of(far) > found.value) == (not figure.greater_is_better)


# -- classes -----------------------------------------------------------------------------------------------------------


def test_the_discriminant_is_scikit_learns() -> None:
    theirs = pytest.importorskip("sklearn.discriminant_analysis")
    features, labels = RNG(0).normal(size=(90, 12)), np.arange(90) % 3
    features = features + 0.8 * np.eye(12)[labels]
    ours = Discriminant.fit(features, labels, classes=3, shrinkage=0.2)
    model = theirs.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2).fit(features, labels)
    fresh = RNG(1).normal(size=(500, 12))
    assert np.array_equal(ours(fresh), model.predict(fresh))


def test_a_class_without_rows_is_never_answered() -> None:
    found = Discriminant.fit(clusters(40, of=(0, 2), seed=0), np.resize((0, 2), 40), classes=4)
    assert set(found(clusters(80, of=(0, 1, 2, 3), seed=1))) == {0, 2}


def test_shares_of_classes() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    once = np.ones((1, 6))
    np.testing.assert_allclose(imagery.class_shares(labels, classes=4), [1 / 2, 1 / 3, 1 / 6, 0])
    assert imagery.least_share(labels, classes=3)(once)[0] == pytest.approx(1 / 6)
    assert imagery.least_share(labels, classes=4)(once)[0] == 0
    even, one = imagery.class_entropy(np.arange(8) % 4, classes=4), imagery.class_entropy(np.zeros(8), classes=4)
    assert even(np.ones((1, 8)))[0] == pytest.approx(1.0) and one(np.ones((1, 8)))[0] == pytest.approx(0.0)
    expected = -(0.5 * math.log(0.5) + math.log(1 / 3) / 3 + math.log(1 / 6) / 6) / math.log(4)
    assert imagery.class_entropy(labels, classes=4)(once)[0] == pytest.approx(expected)
    weights = np.array([[0.0, 0, 0, 1, 0, 3]])
    assert imagery.least_share(labels[3:], classes=3)(weights[:, 3:])[0] == 0
    assert imagery.class_entropy(labels, classes=4)(weights)[0] == pytest.approx(
        -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(4)
    )


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_blocks")
def test_the_nearest_row_and_its_distance() -> None:
    images, among = RNG(0).normal(size=(30, 5)) + 1e4, RNG(1).normal(size=(25, 5)) + 1e4
    every = np.sqrt(((images[:, None] - among[None]) ** 2).sum(axis=2))
    distance, number = imagery.closest(images, among)
    assert np.array_equal(number, every.argmin(axis=1))
    np.testing.assert_allclose(distance, every.min(axis=1), rtol=1e-9)
    own = np.sqrt(((among[:, None] - among[None]) ** 2).sum(axis=2)) + np.diag(np.full(25, np.inf))
    distance, number = imagery.closest_other(among)
    assert np.array_equal(number, own.argmin(axis=1))
    np.testing.assert_allclose(distance, own.min(axis=1), rtol=1e-9)


def test_planted_copies_are_found_and_new_images_are_not() -> None:
    training, fresh = (RNG(seed).normal(size=(1000, 6)) for seed in (0, 1))
    new = copies(fresh, training, share=0.05)
    assert 0.03 < new.near.mean() < 0.075, "as many as the name says: too few is also wrong"
    planted = fresh.copy()
    planted[:300] = training[500:800] + 1e-6
    found = copies(planted, training, share=0.05)
    assert found.near[:300].all() and np.array_equal(found.number[:300], np.arange(500, 800))
    assert found.statistic(np.ones((1, 1000)))[0] == pytest.approx(0.3 + 0.7 * new.near.mean(), abs=0.03)


def test_exact_copies_count_where_the_training_images_hold_twins() -> None:
    training = RNG(0).normal(size=(50, 4))
    training[25:] = training[:25]
    found = copies(np.vstack([training[:5], training[:5] + 1.0]), training)
    assert found.limit == 0 and found.near.tolist() == [True] * 5 + [False] * 5


# -- what is given -----------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_said() -> None:
    rows = np.zeros((10, 3))
    with pytest.raises(UserError, match=r"equally many features \(got 3 and 2\)"):
        Pair.of(rows, rows[:, :2])
    with pytest.raises(UserError, match=r"made must be \(n, d\).* of 6 and more \(got \(4, 3\)\)"):
        Pair.of(rows, rows[:4])
    with pytest.raises(DataError, match="real must be finite numbers: 1 rows are not"):
        Pair.of(np.vstack([rows, [[np.nan, 0, 0]]]), rows)
    with pytest.raises(UserError, match="neighbours"):
        Pair.of(rows, rows, neighbours=0)
    with pytest.raises(UserError, match="share"):
        copies(rows, rows, share=1.0)
    with pytest.raises(UnknownPart, match="Did you mean 'generative_precision'"):
        find("generative_precison")
