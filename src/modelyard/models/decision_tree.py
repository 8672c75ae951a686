"""One decision tree, small enough to read: its rules stand in the report.

Its depth is chosen on the validation rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from modelyard.models import _forest, _inputs
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(FitModel):
    """A single tree (CART)."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "tabular-classification", "tabular-regression")
    encoding: ClassVar[str | None] = "matrix"

    depths: tuple[int, ...] = (2, 3, 4, 5, 6, 8)
    """Depths tried on the validation rows."""
    smallest_leaf: int = Field(10, ge=1)
    """Fewest training rows in a leaf."""
    terms: int = Field(1000, ge=0)
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
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        best: tuple[float, Weights] | None = None
        for number, depth in enumerate(self.depths):
            if number and clock.over("depths", number, 0.5):
                break
            kind = DecisionTreeClassifier if state.classes else DecisionTreeRegressor
            learner = kind(
                max_depth=depth, min_samples_leaf=min(self.smallest_leaf, max(1, len(train) // 4)), random_state=seed
            )
            learner.fit(train.arrays["matrix"], train.target)
            weights = _forest.from_sklearn([learner.tree_], learner, state)
            loss = _inputs.loss(self.session(weights, features, state)(validation.arrays), validation.target, state)
            if best is None or loss < best[0]:
                best = loss, weights
        assert best is not None
        return best[1]

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        same = self.model_copy(update={"depths": (max(1, _forest.Forest.of(chosen).depth),)})
        return same.fit(train, train, state, features, seed=seed, threads=threads, clock=Clock())

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        return _forest.session(weights, state.outputs, kind="vote" if state.classes else "mean")

    def explain(self, weights: Weights, features: dict[str, Any], state: State) -> dict[str, Any]:
        return {"rules": _rules(weights, _inputs.matrix_names(features), state)}


def _rules(weights: Weights, names: list[str], state: State) -> list[dict[str, Any]]:
    """Nodes in reading order: depth, condition, and a leaf's answer."""
    lines: list[dict[str, Any]] = []

    def visit(node: int, depth: int, condition: str) -> None:
        value = weights["value"][node]
        if state.classes:
            answer: Any = {
                name: round(float(share), 3) for name, share in zip(state.classes, value, strict=True) if share >= 0.001
            }
        else:
            answer = round(float(value[0]), 4)
        leaf = bool(weights["left"][node] == node)
        lines.append({"depth": depth, "condition": condition, "leaf": leaf, "answer": answer})
        if not leaf:
            name, threshold = names[int(weights["feature"][node])], float(weights["threshold"][node])
            visit(int(weights["left"][node]), depth + 1, f"{name} <= {threshold:.4g}")
            visit(int(weights["right"][node]), depth + 1, f"{name} > {threshold:.4g}")

    visit(0, 0, "")
    return lines
