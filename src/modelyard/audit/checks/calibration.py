"""Do probabilities mean what they say? The gap between probability and frequency, less what chance alone would show."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.world import World
from modelyard.metrics._contract import ratio
from modelyard.metrics.calibration import calibration_error, confidence
from modelyard.records._base import Estimate
from modelyard.records.audited import Finding
from modelyard.rows import Array

SIMULATIONS = 200
"""Sets of outcomes drawn from the probabilities themselves: their 0.95 quantile is known to 1.5 points of
probability (sqrt(0.95 x 0.05 / 200))."""


class Part(Check):
    """Calibration. Figures: `calibration_error` (less chance); of two classes `predicted_to_observed` (rates)."""

    cure: ClassVar[str] = (
        "Give more validation rows, so that the temperature is better known, or keep test and training alike in time."
    )

    warn: float = Field(0.02, gt=0, lt=1)
    """Expected calibration error, less chance, that is shown: temperature scaling brings most networks below it (Guo
    et al. 2017, table 1)."""
    fail: float | None = Field(0.05, gt=0, lt=1)
    """The same, that stops the build; null: never. Most networks there have 0.04 to 0.1 before any calibration."""
    ratio: tuple[float, float] = (0.8, 1.25)
    """Two classes: expected over observed rate of the positive class outside which it is shown as a warning."""

    def applies(self, world: World) -> str:
        return "" if world.state.classes else "answers are numbers, not probabilities"

    def __call__(self, world: World) -> Finding:
        probability, came_true = confidence(world.sample)
        count = len(probability)
        excess, plain, chance = self._excess(world, probability, came_true)
        rules = [Rule("calibration_error", excess, self.warn, self.fail)]
        if len(world.state.classes) == 2:
            both = np.stack([probability, came_true], axis=1)

            def expected(weights: Array) -> Array:
                predicted, observed = (weights @ both).T
                return ratio(predicted, observed, empty=np.nan)

            (found,) = world.bootstrap.of([expected], count, groups=world.groups)
            if found is not None:
                low, high = self.ratio
                far = "above" if found.value > 1 else "below"
                rules.append(Rule("predicted_to_observed", found, high if far == "above" else low, None, far))  # type: ignore[arg-type]
        return finding("calibration", rules, {"plain": plain, "chance": chance})

    def _excess(self, world: World, probability: Array, came_true: Array) -> tuple[Estimate, float, float]:
        """The calibration error without the part that chance adds, the plain one, and what chance alone would show.

        The bootstrap repeats chance's part on top of itself: twice the value less the resamples' mean is free of it to first order
        (Efron and Tibshirani 1993, chapter 10), and the interval is reflected likewise.
        """
        bootstrap = world.bootstrap
        ((value, drawn),) = bootstrap.draws(
            [calibration_error(probability, came_true)], len(probability), groups=world.groups
        )
        tail = (1 - bootstrap.level) / 2
        low, middle, high = (
            max(0.0, float(2 * value - edge))
            for edge in (np.quantile(drawn, 1 - tail), drawn.mean(), np.quantile(drawn, tail))
        )
        chance = by_chance(probability, world.seed)
        if value <= np.quantile(chance, bootstrap.level):  # no larger than were every probability right
            low = 0.0
        return (
            Estimate(value=middle, low=min(low, middle), high=max(high, middle), level=bootstrap.level),
            value,
            float(chance.mean()),
        )


def by_chance(probability: Array, seed: int) -> Array:
    """Calibration errors of outcomes that follow the probabilities exactly (Bröcker and Smith 2007), (SIMULATIONS,)."""
    rng = np.random.default_rng(seed)
    ones = np.ones((1, len(probability)))
    errors = []
    for _ in range(SIMULATIONS):
        came_true = (rng.uniform(size=len(probability)) < probability).astype(np.float64)
        errors.append(float(calibration_error(probability, came_true)(ones)[0]))
    return np.array(errors)
