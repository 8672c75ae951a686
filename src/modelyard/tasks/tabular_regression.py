"""A number for each row of a table: prices, demand, durations.

The target is standardised (after a logarithm where it is positive and strongly skewed), so that every model learns on one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from modelyard.errors import DataError
from modelyard.rows import Array, Column
from modelyard.tasks._contract import Kind, State, Task
from modelyard.tasks._tables import portfolio

SKEWED = 1.0
"""Sample skewness above which a positive target is learnt as its logarithm ("highly skewed", Bulmer 1979)."""


class Part(Task):
    """A number for each row of a table."""

    kind: ClassVar[Kind] = "regression"
    metrics: ClassVar[tuple[str, ...]] = (
        "root_mean_squared_error", "mean_absolute_error", "r2", "median_absolute_error", "mean_absolute_percentage_error",
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("dummy", "linear")

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        return portfolio(size, columns)

    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"target {target!r} has values that are no finite numbers")
        spread = float(values.std())
        if spread == 0:
            raise DataError(f"target {target!r} is {values[0]:g} in every training row; there is nothing to learn")
        skewness = float(((values - values.mean()) ** 3).mean()) / spread**3
        kind = "log" if values.min() > 0 and skewness > SKEWED else "identity"
        moved = np.log(values) if kind == "log" else values
        return State(
            task="tabular-regression", target=target, inputs=tuple(inputs),
            transform=kind, mean=float(moved.mean()), scale=float(moved.std()) or 1.0,
            low=float(moved.min()), high=float(moved.max()),
        )  # fmt: skip

    def encode_target(self, values: Array, state: State) -> Array:
        return np.asarray(values, dtype=np.float64)

    def standardised(self, target: Array, state: State) -> Array:
        """After the logarithm where there is one, mean 0 and deviation 1."""
        moved = np.log(np.maximum(target, np.exp(-50.0))) if state.transform == "log" else target
        return (moved - state.mean) / state.scale

    def restored(self, target: Array, state: State) -> Array:
        return self.scores(target[:, None], state)[:, 0]

    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        """Half the squared error of the standardised number."""
        import torch

        each = 0.5 * (outputs.float()[:, 0] - target.float()) ** 2
        return each, torch.ones_like(each)

    def first_loss(self, state: State) -> float:
        """All outputs zero: half the variance of a standardised target, 1/2."""
        return 0.5

    def scores(self, outputs: Array, state: State) -> Array:
        """Standardised (n, 1) -> the target's own unit, cut half a deviation beyond the training range."""
        moved = np.asarray(outputs, dtype=np.float64) * state.scale + state.mean
        moved = np.clip(moved, state.low - state.scale / 2, state.high + state.scale / 2)
        return np.exp(moved) if state.transform == "log" else moved

    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        return [{"answer": float(value)} for value in scores[:, 0]]

    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        return scores[:, 0]

    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        """Equal to a relative `tolerance` of the answer, or of the target's scale near zero."""
        floor = state.scale if state.transform == "identity" else 0.0
        allowed = tolerance * np.maximum(np.abs(theirs[:, 0]), floor)
        return np.abs(ours[:, 0] - theirs[:, 0]) <= allowed  # type: ignore[no-any-return]
