"""Logistic, ridge or lasso regression on standardised numbers, one-hot categories, TF-IDF words and hashed characters.

The strength is chosen on the validation rows. For a text alone this is the TF-IDF + logistic regression that a bigger model must beat.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.features import ngrams, table
from modelyard.features.sparse import Sparse, beside
from modelyard.models import _inputs
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(FitModel):
    """A linear model."""

    tasks: ClassVar[tuple[str, ...]] = (
        "text-classification",
        "tabular-classification",
        "tabular-regression",
        "image-classification",
        "sequence-classification",
    )

    word_ngrams: int = Field(2, ge=0, le=4)
    """Longest n-gram of words (0: no words)."""
    terms: int = Field(50_000, ge=10)
    """At most so many n-grams of each text column."""
    characters: bool = False
    """Also hashed character n-grams of 2 to 5, case kept."""
    longest: int = Field(2000, ge=50)
    """Characters of a text that the character n-grams read."""
    penalty: Literal["l2", "l1"] = "l2"
    """l2: ridge; l1: lasso."""
    strengths: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Values of 1/lambda (scikit-learn's C) tried on the validation rows."""
    balanced: bool = False
    """Weigh classes by the inverse of their frequency."""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        blocks = _inputs.text_blocks(state)
        read = _inputs.texts(rows, blocks)
        found: dict[str, Any] = {
            "table": table.fit_dense(rows, state), "blocks": blocks, "words": {}, "characters": {},
            "pixels": _inputs.fit_pixels(rows, state), "series": _inputs.fit_series(rows, state),
        }  # fmt: skip
        if self.word_ngrams:
            found["words"] = ngrams.fit_text(read, longest=self.word_ngrams, most=self.terms)
        if self.characters and read:
            found["characters"] = {
                block: ngrams.fit_characters(text, sizes=SIZES, bits=17, longest=self.longest)
                for block, text in read.items()
            }
        return found

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        dense = table.encode_dense(rows, features["table"])
        if pixels := features["pixels"]:
            scaled = (_inputs.encode_pixels(rows, pixels) - np.mean(pixels["mean"])) / np.mean(pixels["scale"])
            dense = np.hstack([dense, scaled.astype(np.float32)])
        if features["series"]:
            dense = np.hstack([dense, *_inputs.encode_series(rows, features["series"])])
        read = _inputs.texts(rows, features["blocks"])
        blocks = [ngrams.encode_words(read[block], words) for block, words in features["words"].items()]
        blocks += [ngrams.encode_characters(read[block], inner) for block, inner in features["characters"].items()]
        return {"dense": dense, **({"terms": beside(blocks)} if blocks else {})}

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
        matrix, held = _matrix(train.arrays), _matrix(validation.arrays)
        if not matrix.shape[1]:  # texts that share no word, say: all that is left is how common each answer is
            matrix, held = np.zeros((len(train), 1)), np.zeros((len(validation), 1))
        best: tuple[float, Weights] | None = None
        learner, worse = self._learner(seed) if state.classes else None, 0
        for number, strength in enumerate(self.strengths):
            if worse == WORSE or (number and clock.over("strengths", number, 0.5)):
                break
            weights = (
                self._classes(learner, matrix, train, state, strength)
                if state.classes
                else self._number(matrix, train, strength)
            )
            loss = _inputs.loss(_outputs(held, weights), validation.target, state)
            worse += 1
            if best is None or loss < best[0]:
                worse = 0
                best = loss, {**weights, "strength": np.array([strength])}
        assert best is not None
        dense = train.arrays["dense"].shape[1]
        terms = train.arrays["terms"].width if "terms" in train.arrays else 0
        coefficients = best[1].pop("coefficients").astype(np.float32)
        return {**best[1], "dense": coefficients[:dense], "terms": coefficients[dense : dense + terms]}

    def _learner(self, seed: int) -> Any:
        """Each strength starts from the coefficients of the one before."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(
            l1_ratio=1.0 if self.penalty == "l1" else 0.0, solver="saga" if self.penalty == "l1" else "lbfgs", max_iter=300,
            random_state=seed, class_weight="balanced" if self.balanced else None, warm_start=True,
        )  # fmt: skip

    def _classes(self, learner: Any, matrix: Any, train: Examples, state: State, strength: float) -> Weights:
        from sklearn.exceptions import ConvergenceWarning

        learner.set_params(C=strength)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", ConvergenceWarning
            )  # stopping early is a penalty too; validation rows choose
            learner.fit(matrix, train.target)
        coefficients, bias = learner.coef_.T, learner.intercept_
        if len(learner.classes_) == 2:  # one score for the second class; the first one's is 0
            coefficients, bias = np.hstack([0 * coefficients, coefficients]), np.array([0.0, float(bias[0])])
        wide = np.zeros((coefficients.shape[0], state.outputs))
        base = np.full(state.outputs, -30.0)  # a class without training rows in this fold
        wide[:, learner.classes_], base[learner.classes_] = coefficients, bias
        return {"coefficients": wide, "bias": base}

    def _number(self, matrix: Any, train: Examples, strength: float) -> Weights:
        from sklearn.linear_model import Lasso, Ridge

        learner: Any = (
            Ridge(alpha=1 / strength) if self.penalty == "l2" else Lasso(alpha=0.01 / strength, max_iter=5000)
        )
        learner.fit(matrix, train.target)
        return {"coefficients": np.asarray(learner.coef_).reshape(-1, 1), "bias": np.array([float(learner.intercept_)])}

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        same = self.model_copy(update={"strengths": (float(chosen["strength"][0]),)})
        return same.fit(train, train, state, features, seed=seed, threads=threads, clock=Clock())

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        dense, terms, bias = (np.asarray(weights[name], dtype=np.float64) for name in ("dense", "terms", "bias"))

        def answer(arrays: Arrays) -> Array:
            total = arrays["dense"] @ dense + bias
            return total + arrays["terms"].dot(terms) if "terms" in arrays else total

        return answer

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        found = super().work(weights, features, state)
        filled = weights["dense"].size + min(weights["terms"].shape[0], TYPICAL_TERMS) * state.outputs
        return Work(parameters=found.parameters, flops_per_row=2.0 * filled, bytes=found.bytes)

    def explain(self, weights: Weights, features: dict[str, Any], state: State) -> dict[str, Any]:
        names = (
            table.dense_names(features["table"])
            + (_inputs.pixel_names(features["pixels"]) if features["pixels"] else [])
            + _inputs.series_names(features["series"])
        )
        words = [f"{name}: {term}" for name, inner in features["words"].items() for term in inner["terms"]]
        named = np.concatenate([weights["dense"], weights["terms"][: len(words)]])
        labels = names + words
        if state.positive_class is not None:
            named = named[:, [state.positive_class]] - named[:, [1 - state.positive_class]]
        elif state.classes:
            named = named - named.mean(axis=1, keepdims=True)
            labels = [
                f"{label} → {state.classes[most]}" for label, most in zip(labels, named.argmax(axis=1), strict=True)
            ]
        column = named.max(axis=1) if len(state.classes) > 2 else named[:, 0]
        order = np.argsort(-np.abs(column))[:30]
        return {
            "weights": [[labels[place], round(float(column[place]), 4)] for place in order],
            "strength": float(weights["strength"][0]),
        }


WORSE = 2
"""Strengths in a row that were worse than the best so far, after which no other is tried: weaker penalties fit ever closer."""
MANY_CELLS = 4_000_000
"""Numbers in a dense matrix from which half the memory (float32) counts for more than the last digits."""
SIZES = (2, 3, 4, 5)
"""Lengths of the character n-grams."""
TYPICAL_TERMS = 300
"""Terms in a typical row, for FLOPs: the median mail of the spam recipe has about so many distinct words and pairs."""


def _matrix(arrays: Arrays) -> Any:
    """One matrix: dense alone, or dense and terms side by side (scipy)."""
    if "terms" not in arrays:
        dense = arrays["dense"]
        return dense.astype(np.float32 if dense.size > MANY_CELLS else np.float64)
    from scipy.sparse import csr_matrix, hstack

    terms = arrays["terms"]
    assert isinstance(terms, Sparse)
    return hstack([csr_matrix(arrays["dense"]), terms.scipy()], format="csr", dtype=np.float64)


def _outputs(matrix: Any, weights: Weights) -> Array:
    return np.asarray(matrix @ weights["coefficients"]) + weights["bias"]
