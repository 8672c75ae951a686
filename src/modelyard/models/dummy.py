"""Always the training share of each class, or the training mean, or of texts how common each byte is: what every model must beat."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelyard.models import ngram
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

_BYTES = ngram.Part(order=1)
"""What the bytes of texts are to a dummy."""


class Part(FitModel):
    """The same answer for every row."""

    tasks: ClassVar[tuple[str, ...]] = (
        "text-classification",
        "tabular-classification",
        "tabular-regression",
        "image-classification",
        "sequence-classification",
        "text-generation",
    )
    ragged: ClassVar[tuple[str, ...]] = ("ids",)

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        return _BYTES.features(rows, target, state, seed=seed) if state.makes == "text" else {}

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        return _BYTES.encode(rows, features) if features else {"one": np.ones((len(rows), 1))}

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
        if state.makes == "text":
            return _BYTES.fit(train, validation, state, features, seed=seed, threads=threads, clock=clock)
        if not state.classes:
            return {"bias": np.array([train.target.mean()])}
        shares = np.bincount(train.target, minlength=state.outputs) / len(train)
        return {"bias": np.log(np.clip(shares, 1e-12, None))}

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        return self.fit(train, train, state, features, seed=seed, threads=threads, clock=Clock())

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        if state.makes == "text":
            return _BYTES.session(weights, features, state)
        bias = np.asarray(weights["bias"])
        return lambda arrays: arrays["one"] * bias
