"""Gradient-boosted trees, grown by LightGBM and answered by our own walk over its nodes.

The number of trees is chosen by early stopping on the validation rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.errors import MissingLibrary
from modelyard.models import _forest, _inputs
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

FEW_CELLS = 2_000_000
"""Rows x columns up to which one thread grows the trees: two are 1.4 times as fast on a quiet machine, and spin ten times as
long on a busy one (3,000 x 13 cells: 0.07 s and 0.05 s quiet; 149 s instead of 12 s for a recipe's candidate at load 5)."""


class _Limit:
    """Stops at the round where the clock ran out, or where it did before; the best round so far is kept."""

    before_iteration = False
    order = 40  # after early stopping (30)

    def __init__(self, clock: Clock) -> None:
        self.clock, self.best, self.loss = clock, 0, float("inf")

    def __call__(self, environment: Any) -> None:
        from lightgbm.callback import EarlyStopException

        results = environment.evaluation_result_list
        if results[0][2] < self.loss:
            self.best, self.loss = environment.iteration, results[0][2]
        if self.clock.over("rounds", environment.iteration, 0.9):
            raise EarlyStopException(self.best, results)


class Part(FitModel):
    """LightGBM."""

    tasks: ClassVar[tuple[str, ...]] = (
        "text-classification",
        "tabular-classification",
        "tabular-regression",
        "image-classification",
        "sequence-classification",
    )
    encoding: ClassVar[str | None] = "matrix"

    trees: int = Field(2000, ge=1)
    """At most so many rounds."""
    learning_rate: float = Field(0.05, gt=0, le=1)
    """Share of each tree that is added."""
    leaves: int = Field(15, ge=2)
    """Leaves of a tree."""
    smallest_leaf: int = Field(20, ge=1)
    """Fewest training rows in a leaf."""
    column_share: float = Field(0.6, gt=0, le=1)
    """Share of the columns a tree may use."""
    row_share: float = Field(0.8, gt=0, le=1)
    """Share of the rows a tree sees."""
    l2: float = Field(1.0, ge=0)
    """L2 penalty of the leaf values."""
    extra_trees: bool = False
    """Random thresholds: more different trees."""
    patience: int = Field(100, ge=1)
    """Rounds without a better validation loss before stopping."""
    terms: int = Field(2000, ge=0)
    """Words of each text column it may ask for."""

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
        lightgbm = _library()
        known = validation.target >= 0 if state.classes else np.ones(len(validation), dtype=bool)
        data = lightgbm.Dataset(train.arrays["matrix"], label=train.target, free_raw_data=False)
        held = lightgbm.Dataset(validation.arrays["matrix"][known], label=validation.target[known], reference=data)
        booster = lightgbm.train(
            self._parameters(state, seed, threads, train.arrays["matrix"]), data, num_boost_round=self.trees, valid_sets=[held],
            callbacks=[lightgbm.early_stopping(self.patience, verbose=False), _Limit(clock)],
        )  # fmt: skip
        return _weights(booster, max(1, booster.best_iteration), state)

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        lightgbm = _library()
        rounds = max(1, len(chosen["root"]) // _per_round(state))
        data = lightgbm.Dataset(train.arrays["matrix"], label=train.target)
        booster = lightgbm.train(
            self._parameters(state, seed, threads, train.arrays["matrix"]), data, num_boost_round=rounds
        )
        return _weights(booster, rounds, state)

    def _parameters(self, state: State, seed: int, threads: int, matrix: Array) -> dict[str, Any]:
        rows, cells = len(matrix), matrix.size
        objective = {"objective": "regression"}
        if state.outputs > 2:
            objective = {"objective": "multiclass", "num_class": state.outputs}  # type: ignore[dict-item]
        elif state.outputs == 2:
            objective = {"objective": "binary"}
        return {
            **objective, "learning_rate": self.learning_rate, "num_leaves": self.leaves,
            "min_data_in_leaf": min(self.smallest_leaf, max(1, rows // 10)), "feature_fraction": self.column_share,
            "bagging_fraction": self.row_share, "bagging_freq": 1, "lambda_l2": self.l2, "extra_trees": self.extra_trees,
            "seed": seed, "num_threads": threads if cells > FEW_CELLS else 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
        }  # fmt: skip

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        return _forest.session(weights, state.outputs, kind="sum")

    def explain(self, weights: Weights, features: dict[str, Any], state: State) -> dict[str, Any]:
        names, gains = _inputs.matrix_names(features), weights["gain"]
        order = np.argsort(-gains)[:20]
        total = float(gains.sum()) or 1.0
        return {
            "importance": [[names[place], round(float(gains[place]) / total, 4)] for place in order],
            "trees": len(weights["root"]),
        }


def _library() -> Any:
    """LightGBM; MissingLibrary where the system lacks what it links to."""
    try:
        import lightgbm
    except OSError as error:
        cure = "Install it, for example: apt-get install libgomp1 (Debian), dnf install libgomp (Fedora)."
        raise MissingLibrary(f"gradient boosting (LightGBM) needs a library of the system: {error}. {cure}") from None
    return lightgbm


def _per_round(state: State) -> int:
    """Trees that LightGBM grows in a round."""
    return state.outputs if state.outputs > 2 else 1


def _weights(booster: Any, rounds: int, state: State) -> Weights:
    """The nodes as flat arrays, and each column's total gain."""
    gains = booster.feature_importance("gain", iteration=rounds)
    dumped = booster.dump_model(num_iteration=rounds)
    return {**_forest.from_lightgbm(dumped, _per_round(state), state.outputs), "gain": gains.astype(np.float32)}
