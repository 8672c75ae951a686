"""The metrics shelf: names, kinds, edges and worked examples."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from modelyard.errors import UnknownPart, UserError
from modelyard.metrics import Bootstrap, Kind, Sample, TopK, estimates, find, names


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownPart, match=r"no metric 'f1_makro'\. Did you mean 'f1_macro'\? Allowed: accuracy"):
        find("f1_makro")


def test_metric_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"'r2' is for regression; this task is classification\. Allowed: accuracy"):
        find("r2", "classification")
    assert find("r2", "regression").greater_is_better


def test_names_are_of_one_kind() -> None:
    every = [name for kind in get_args(Kind) for name in names(kind)]
    assert len(every) == len(set(every)) and set(every) == set(names())


def test_positive_metrics_need_a_positive_class() -> None:
    scores = np.eye(3)
    with pytest.raises(UserError, match=r"f1 needs a positive class among 3\. Name one as evaluate\.positive"):
        find("f1")([0, 1, 2], scores)
    assert find("f1")([0, 1, 2], scores, positive=2) == 1.0
    assert not find("f1").applies(3) and find("f1").applies(3, positive=0) and find("f1").applies(2)
    assert find("r2").applies(0) and not find("r2").applies(2) and not find("f1_macro").applies(0)


def test_lengths_must_agree() -> None:
    with pytest.raises(UserError, match="must be of one length"):
        find("accuracy")([0, 1], [[1.0, 0.0]])


def test_threshold_labels_are_used_and_positive_may_be_the_first_class() -> None:
    target, scores = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    labels = (scores[:, 1] >= 0.35).astype(int)
    assert find("recall")(target, scores) == 0.5
    assert find("recall")(target, scores, labels=labels) == 1.0
    assert find("roc_auc")(target, scores, positive=0) == find("roc_auc")(target, scores, positive=1) == 1.0


def test_precision_at_k_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
    target = np.array([1, 1, 0, 0, 1])
    metric = find("precision_at_k")

    def at(k: int) -> float:
        return metric(target, np.stack([1 - scores, scores], axis=1), k=k)

    assert at(1) == 1.0
    assert at(2) == pytest.approx((1 + 1 / 3) / 2)  # one of three tied rows, a third of them positive
    assert at(4) == pytest.approx(2 / 4)
    assert at(100) == pytest.approx(3 / 5)


def test_precision_at_k_of_each_day() -> None:
    days = np.array([0, 0, 0, 1, 1, 1])
    score = np.array([0.9, 0.8, 0.1, 0.5, 0.4, 0.3])
    target = np.array([1, 0, 1, 0, 1, 1])
    sample = Sample.of(target, np.stack([1 - score, score], axis=1), positive=1, top_k=TopK(2, days))
    assert find("precision_at_k").of(sample) == pytest.approx((1 + 1) / 4)  # one hit of two on each day
    assert find("precision_at_k").of(sample.take(days == 1)) == 0.5
    assert find("precision_at_k").of(sample.take(np.array([5, 0, 3, 1, 4, 2]))) == 0.5  # rows in any order


def test_precision_at_k_counts_a_card_once() -> None:
    cards = np.array([7, 7, 7, 8, 9])  # the first card has the three highest scores, and one fraud
    score = np.array([0.9, 0.8, 0.7, 0.5, 0.2])
    target = np.array([0, 0, 1, 0, 1])
    scores = np.stack([1 - score, score], axis=1)
    rows, by_card = (Sample.of(target, scores, positive=1, top_k=top_k) for top_k in (TopK(2), TopK(2, None, cards)))
    metric = find("precision_at_k")
    assert metric.of(rows) == 0.0 and metric.of(by_card) == 1 / 2
    days = np.array([0, 0, 1, 1, 1])  # on the second day the card is asked about again
    assert metric.of(Sample.of(target, scores, positive=1, top_k=TopK(1, days, cards))) == (0 + 1) / 2
    found = estimates([metric], by_card, bootstrap=Bootstrap(count=200))["precision_at_k"]
    assert found.low < 1 / 2 < found.high


def test_calibration_error_by_hand() -> None:
    probability = np.array([0.1, 0.1, 0.9, 0.9])
    target = np.array([0, 1, 1, 1])
    value = find("expected_calibration_error")(target, np.stack([1 - probability, probability], axis=1))
    assert value == pytest.approx((abs(0.5 - 0.1) * 2 + abs(1 - 0.9) * 2) / 4)


def test_undefined_is_nan_and_never_a_crash() -> None:
    scores = np.array([[0.4, 0.6], [0.3, 0.7]])
    assert np.isnan(find("roc_auc")([1, 1], scores))
    assert np.isnan(find("average_precision")([0, 0], scores))
    for name in names("classification"):
        assert np.isnan(find(name)(np.empty(0, int), np.empty((0, 2))))
    constant = find("r2")
    assert constant([2.0, 2.0], [2.0, 2.0]) == 1.0 and constant([2.0, 2.0], [2.0, 3.0]) == 0.0


def test_binary_cross_entropy_law() -> None:
    p = np.array([0.2, 0.8, 0.1, 0.9])
    assert find("log_loss")([0, 1, 0, 1], np.stack([1 - p, p], axis=1)) == pytest.approx(0.1643, abs=5e-5)


def test_many_classes_need_no_square_of_memory() -> None:
    rng = np.random.default_rng(0)
    target, scores = rng.integers(0, 300, 900), rng.uniform(size=(900, 300))
    sample = Sample.of(target, scores)
    assert find("f1_macro").over(sample)(np.ones((50, 900))).shape == (50,)
