"""Our metrics give scikit-learn's numbers, on the rows and on any resample of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.metrics import Sample, find, names

sk = pytest.importorskip("sklearn.metrics")


def rows(seed: int, classes: int, count: int, *, coarse: bool) -> tuple[np.ndarray, np.ndarray]:
    """Random truth and probabilities; `coarse` makes ties."""
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.7), size=count)
    if coarse:
        scores = np.round(scores * 4) + 0.25
        scores /= scores.sum(axis=1, keepdims=True)
    target = np.where(rng.uniform(size=count) < 0.5, scores.argmax(1), rng.integers(0, classes, count))
    return target, scores


def reference(name: str, target: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """scikit-learn's answer."""
    macro = {"average": "macro", "zero_division": 0}
    two = scores.shape[1] == 2
    onehot = np.eye(scores.shape[1])[target]
    score = scores[:, 1] if two else scores
    calls = {
        "accuracy": lambda: sk.accuracy_score(target, labels),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(target, labels),
        "f1_macro": lambda: sk.f1_score(target, labels, **macro),
        "precision_macro": lambda: sk.precision_score(target, labels, **macro),
        "recall_macro": lambda: sk.recall_score(target, labels, **macro),
        "f1": lambda: sk.f1_score(target, labels, zero_division=0),
        "precision": lambda: sk.precision_score(target, labels, zero_division=0),
        "recall": lambda: sk.recall_score(target, labels, zero_division=0),
        "matthews_corrcoef": lambda: sk.matthews_corrcoef(target, labels),
        "roc_auc": lambda: sk.roc_auc_score(
            target, score, **({} if two else {"multi_class": "ovr", "average": "macro"})
        ),
        "average_precision": lambda: sk.average_precision_score(target if two else onehot, score),
        "log_loss": lambda: sk.log_loss(target, scores, labels=range(scores.shape[1])),
        "brier": lambda: sk.brier_score_loss(target, score, labels=None if two else range(scores.shape[1])),
    }
    return float(calls[name]())


COMPARED = [
    "accuracy", "balanced_accuracy", "f1_macro", "precision_macro", "recall_macro", "f1", "precision", "recall",
    "matthews_corrcoef", "roc_auc", "average_precision", "log_loss", "brier",
]  # fmt: skip


@pytest.mark.parametrize("name", COMPARED)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 4), count=st.integers(12, 60), coarse=st.booleans())
def test_classification_as_scikit_learn(name: str, seed: int, classes: int, count: int, coarse: bool) -> None:
    metric = find(name)
    if not metric.applies(classes):
        return
    target, scores = rows(seed, classes, count, coarse=coarse)
    if len(np.unique(target)) < classes:
        return
    labels = scores.argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metric(target, scores) == pytest.approx(reference(name, target, scores, labels), abs=1e-9)
        # a resample is its rows written out
        drawn = np.random.default_rng(seed).integers(0, count, count)
        if len(np.unique(target[drawn])) < classes:
            return
        weights = np.bincount(drawn, minlength=count).astype(float)[None, :]
        weighted = metric.over(Sample.of(target, scores))(weights)[0]
        assert weighted == pytest.approx(reference(name, target[drawn], scores[drawn], labels[drawn]), abs=1e-9)


NUMBERS = {
    "root_mean_squared_error": "root_mean_squared_error",
    "mean_squared_error": "mean_squared_error",
    "mean_absolute_error": "mean_absolute_error",
    "r2": "r2_score",
    "mean_absolute_percentage_error": "mean_absolute_percentage_error",
    "median_absolute_error": "median_absolute_error",
}


def test_every_number_metric_is_compared() -> None:
    assert set(NUMBERS) == set(names("regression"))
    assert set(COMPARED) | {"precision_at_k", "expected_calibration_error"} == set(names("classification"))


@pytest.mark.parametrize("name", NUMBERS)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 60), level=st.sampled_from([0.0, 5.0, 1e6]))
def test_regression_as_scikit_learn(name: str, seed: int, count: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    target = rng.normal(level, 1.0, count)
    scores = target + rng.normal(0, 0.5, count)
    theirs = getattr(sk, NUMBERS[name])
    assert find(name)(target, scores) == pytest.approx(theirs(target, scores), rel=1e-7)
    drawn = rng.integers(0, count, count)
    if len(np.unique(drawn)) < 2:
        return
    weights = np.bincount(drawn, minlength=count).astype(float)[None, :]
    assert find(name).over(Sample.of(target, scores))(weights)[0] == pytest.approx(
        theirs(target[drawn], scores[drawn]), rel=1e-6
    )


def test_unknown_class_counts_as_a_class_never_answered() -> None:
    target, scores = rows(1, 3, 40, coarse=False)
    named = np.array(["a", "b", "c"])
    labels = named[scores.argmax(1)]
    truth = named[target].astype(object)
    target[:5], truth[:5] = -1, "new"
    for name, theirs in (
        ("f1_macro", sk.f1_score),
        ("recall_macro", sk.recall_score),
        ("precision_macro", sk.precision_score),
    ):
        expected = theirs(truth.astype(str), labels, average="macro", zero_division=0)
        assert find(name)(target, scores) == pytest.approx(expected)
    assert find("accuracy")(target, scores) == pytest.approx(sk.accuracy_score(truth.astype(str), labels))
    for name in names("classification"):
        if find(name).applies(3):
            assert np.isfinite(find(name)(target, scores))
