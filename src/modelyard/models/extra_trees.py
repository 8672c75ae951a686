"""Extremely randomised trees (Geurts et al. 2006): many deep trees of random splits, averaged.

Weaker alone than boosting, but wrong elsewhere, which is what an ensemble needs.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.models import _forest, _inputs
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

FEWEST = 10
"""Trees grown to measure the time of one."""


class Part(FitModel):
    """Extra trees."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "tabular-classification", "tabular-regression")
    encoding: ClassVar[str | None] = "matrix"

    trees: int = Field(100, ge=1)
    """How many."""
    smallest_leaf: int = Field(3, ge=1)
    """Fewest training rows in a leaf."""
    column_share: float = Field(0.5, gt=0, le=1)
    """Share of the columns tried at a split."""
    terms: int = Field(1000, ge=0)
    """Words of each text column they may ask for."""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        return _inputs.fit_matrix(rows, target, state, terms=self.terms)

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        return {"matrix": _inputs.encode_matrix(rows, features)}

    def fit(
        self,
        train: Examples,
        validation: Examples,
        state: State,
        features: dict[str, Any],
        *,
        seed: int,
        threads: int,
        clock: Clock,
    ) -> Weights:
        def affordable() -> int:
            started = time.monotonic()
            self._grow(FEWEST, train, state, seed, threads)
            each = (time.monotonic() - started) / FEWEST
            return int(min(self.trees, max(FEWEST, 0.8 * clock.seconds / max(each, 1e-9))))

        # a few trees first, so that a small budget grows fewer
        count = clock.decide("trees", affordable) if self.trees > FEWEST else self.trees
        return self._grow(count, train, state, seed, threads)

    def _grow(self, count: int, train: Examples, state: State, seed: int, threads: int) -> Weights:
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        kind = ExtraTreesClassifier if state.classes else ExtraTreesRegressor
        learner = kind(
            n_estimators=count,
            min_samples_leaf=self.smallest_leaf,
            max_features=self.column_share,
            random_state=seed,
            n_jobs=threads,
        )
        learner.fit(train.arrays["matrix"], train.target)
        weights = _forest.from_sklearn([tree.tree_ for tree in learner.estimators_], learner, state)
        return {**weights, "value": weights["value"].astype(np.float32)}

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        return self._grow(len(chosen["root"]), train, state, seed, threads)

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        return _forest.session(weights, state.outputs, kind="vote" if state.classes else "mean")
