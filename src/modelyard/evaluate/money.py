"""What the two errors cost: declared costs of a row at one threshold or another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modelyard.blueprint import Costs
from modelyard.evaluate._rows import Trial
from modelyard.metrics import mean_of
from modelyard.metrics.costs import cost_of
from modelyard.records._base import Estimate
from modelyard.records.evaluated import Money
from modelyard.rows import Array

SHOWN = 200
"""Resamples behind the curve's band, which is looked at and not decided by."""


class Prices:
    """The declared cost of a wrong answer, for each test row. In the unit of `evaluate.costs`."""

    def __init__(self, costs: Costs, test: Trial) -> None:
        assert test.positive is not None
        self.positive = test.positive
        self.truth = test.target == self.positive
        self.false_positive, self.false_negative = (
            cost_of(test.frame, test.types, cost, f"evaluate.costs.{name}")
            for name, cost in (("false_positive", costs.false_positive), ("false_negative", costs.false_negative))
        )

    def of(self, answered: Array) -> Array:
        """(n,) cost of answering the positive class where `answered` is true."""
        wrong = np.where(answered, self.false_positive, self.false_negative)
        return np.where(answered == self.truth, 0.0, wrong)

    def curve(self, probability: Array, test: Trial, points: int = 51) -> dict[str, list[float]]:
        """Mean cost with its interval at thresholds spread over the rows and over 0 to 1. For showing only: nothing is chosen from it."""
        edges = np.concatenate([np.quantile(probability, np.linspace(0, 1, points)), np.linspace(0, 1, points)])
        thresholds = np.unique(np.round(edges, 6))
        costs = [mean_of(self.of(probability >= threshold)) for threshold in thresholds]
        bootstrap = replace(test.bootstrap, count=min(test.bootstrap.count, SHOWN))
        found = [one for one in bootstrap.of(costs, len(probability), groups=test.groups) if one is not None]
        series = {"cost": "value", "low": "low", "high": "high"}
        return {
            "threshold": thresholds.tolist(),
            **{name: [float(getattr(one, key)) for one in found] for name, key in series.items()},
        }


def value(prices: Prices, test: Trial, labels: Array, scores: Array) -> Money:
    """Costs at the chosen threshold (`labels`), at 0.5, never and always positive, on the same resamples."""
    chosen = prices.of(labels == prices.positive)
    half = prices.of(scores[:, prices.positive] >= 0.5)
    never, always = prices.of(np.zeros(len(labels), dtype=bool)), prices.of(np.ones(len(labels), dtype=bool))
    parts = {
        "chosen": chosen,
        "at_half": half,
        "never": never,
        "always": always,
        "saved": half - chosen,
        "saved_against_never": never - chosen,
    }
    return Money(**means(parts, test))


def means(values: dict[str, Array], test: Trial) -> dict[str, Estimate]:
    """The mean of each, with its interval."""
    found = test.bootstrap.of([mean_of(each) for each in values.values()], len(test.target), groups=test.groups)
    return {name: one for name, one in zip(values, found, strict=True) if one is not None}
