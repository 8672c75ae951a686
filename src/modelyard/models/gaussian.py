"""Images drawn from a normal distribution of each class in the space of its principal components: what a network has to beat.

Right in every average and wrong in every image: blurred ghosts. In closed form and numpy only.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.models import _gaussian
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.models._imaging import ImageMaker, unit_images
from modelyard.rows import Array
from modelyard.tasks._contract import State


class Part(FitModel, ImageMaker):
    """A Gaussian for each class."""

    tasks: ClassVar[tuple[str, ...]] = ("image-generation",)
    extra: ClassVar[str | None] = None

    components: int = Field(64, ge=1, le=4096)
    """Principal components of a class."""

    def numbers(self, features: dict[str, Any]) -> int:
        return self.components

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
        """Means, directions and deviations of each class."""
        return _gaussian.fit(
            unit_images(train.target, features["shape"]), train.arrays["label"], classes=max(len(features["classes"]), 1),
            components=self.components,
        )  # fmt: skip

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        """The same of all rows: nothing was chosen on the validation rows."""
        return self.fit(train, train, state, features, seed=seed, threads=threads, clock=Clock())

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        """Noise and class numbers -> pixels of 0 to 1."""
        count = _gaussian.noise_of(weights)

        def answer(arrays: Arrays) -> Array:
            drawn = _gaussian.draw(weights, arrays["noise"][:, :count], arrays["label"])
            return drawn.reshape(len(drawn), -1).astype(np.float32) / np.float32(255.0)

        return answer
