"""Ensemble selection, calibration and threshold: on validation scores alone."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.learn import ensemble
from modelyard.predictor import combine, temper


def scores_of(logits: np.ndarray) -> np.ndarray:
    """Two-class probabilities from the logit of the second."""
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=1)


@pytest.fixture
def sample() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three candidates: two that see different halves of the signal, one that sees noise."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=2000), rng.normal(size=2000)
    target = (left + right + rng.normal(0, 0.5, 2000) > 0).astype(int)
    found = {"left": left, "right": right, "noise": rng.normal(size=2000)}
    return {name: scores_of(logits) for name, logits in found.items()}, target


def test_an_ensemble_is_not_worse_than_its_best_member(sample: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    scores, target = sample

    def loss(values: np.ndarray) -> float:
        return ensemble.log_loss(values, target)

    weights = ensemble.select(scores, loss)
    assert sum(weights.values()) == pytest.approx(1)
    assert {"left", "right"} <= set(weights) and weights.get("noise", 0) < 0.15
    together = loss(combine([scores[name] for name in weights], list(weights.values())))
    assert together < min(map(loss, scores.values())) - 0.02


def test_one_good_candidate_stays_alone() -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 2, 500)
    scores = {"good": scores_of(6.0 * (target - 0.5)), "bad": scores_of(-6.0 * (target - 0.5))}
    assert ensemble.select(scores, lambda values: ensemble.log_loss(values, target)) == {"good": 1.0}


def test_equal_weights_until_leaving_out_is_surely_better(sample: tuple[dict[str, np.ndarray], np.ndarray]) -> None:
    scores, target = sample

    def loss(values: np.ndarray) -> float:
        return ensemble.log_loss(values, target)

    def better(new: np.ndarray, old: np.ndarray) -> bool:
        return loss(new) < loss(old)

    assert ensemble.keep(scores, loss, better) == {"left": 0.5, "right": 0.5}
    equal = pytest.approx(dict.fromkeys(scores, 1 / 3))
    assert ensemble.keep(scores, loss, lambda new, old: False) == equal  # nothing harms clearly


def test_calibration_finds_a_planted_temperature_and_bias() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, 20_000)
    target = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    twisted = scores_of(2.0 * (logits - 0.7))  # twice too sure, and shifted
    temperature, bias = ensemble.choose_temperature(twisted, target)
    assert temperature == pytest.approx(2.0, rel=0.08)
    assert bias[1] - bias[0] == pytest.approx(0.7, abs=0.08)
    assert temper(twisted, temperature, bias)[:, 1].mean() == pytest.approx(target.mean(), abs=0.005)


def test_rows_that_are_all_told_right_make_nobody_surer() -> None:
    """Log loss would fall with the temperature for ever; thirty rows a class cannot tell what one in a thousand is."""
    rng = np.random.default_rng(6)
    target = np.repeat(np.arange(9), 30)
    logits = rng.normal(0, 0.5, (270, 9)) + 5.0 * np.eye(9)[target]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert (scores.argmax(axis=1) == target).all()
    assert ensemble.log_loss(temper(scores, 0.25), target) < ensemble.log_loss(scores, target)
    assert ensemble.choose_temperature(scores, target)[0] > 0.8


def test_few_rows_get_a_temperature_alone() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 60)
    target = (rng.random(60) < 1 / (1 + np.exp(-logits))).astype(int)
    assert ensemble.choose_temperature(scores_of(3 * logits), target)[1] == ()


def test_perfect_calibration_is_left_alone_or_nearly() -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, 20_000)
    target = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
    temperature, bias = ensemble.choose_temperature(scores_of(logits), target)
    assert temperature == pytest.approx(1.0, abs=0.06)
    assert all(abs(value) < 0.08 for value in bias)


def test_the_threshold_stands_in_the_middle_of_its_plateau() -> None:
    thresholds = np.linspace(0, 1, 101)
    cost = np.where((thresholds > 0.3) & (thresholds < 0.6), 1.0, 2.0)
    assert ensemble.choose_threshold(thresholds, cost) == pytest.approx(0.45, abs=0.011)


def test_costs_move_the_threshold_where_theory_says() -> None:
    """Calibrated probabilities: answer the positive class from c_fp / (c_fp + c_fn) on (Elkan 2001)."""
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 2, 50_000)
    chance = 1 / (1 + np.exp(-logits))
    truth = rng.random(50_000) < chance
    thresholds = ensemble.grid(chance)
    cost = [(1.0 * ((chance >= t) & ~truth) + 4.0 * ((chance < t) & truth)).mean() for t in thresholds]
    assert ensemble.choose_threshold(thresholds, cost) == pytest.approx(0.2, abs=0.04)
