"""The builds that `single_row` and `package` measure: the recipes, and a mail model that is an encoder alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness

FOLDER = harness.ROOT.parent / "builds" / "benchmarks"
RECIPES = harness.ROOT.parent / "recipes"
ENCODER_BUDGET = 600.0
"""Seconds. Its head alone is trained: the values of weights do not change how long they take."""
ENCODER_TARGET = 0.2
"""Seconds within which 95 % of the answers must come: a row takes 5 to 30 ms, as the processor has int8 instructions or not."""
WEAK = {"word_ngrams": 1, "terms": 10, "strengths": [1e-9]}
"""The linear baseline, which always runs, is held down so that the encoder is chosen."""


@dataclass(frozen=True)
class Subject:
    """One build."""

    recipe: str
    text: bool
    http_bar: float = math.inf
    """Seconds: the bar on the median of one row over HTTP."""
    candidates: tuple[str, ...] = ()
    """Those that are trained; none: the recipe's."""
    folds: int | None = None
    """Of the cross-validation; None: the recipe's. One model answers with 1, and not the mean of several."""

    def changes(self, budget: float) -> dict[str, Any]:
        """What is changed in the recipe's blueprint."""
        if not self.text:
            chosen = (
                {"candidates": {name: {} for name in self.candidates}, "ensemble": False} if self.candidates else {}
            )
            folds = {} if self.folds is None else {"folds": self.folds}
            return {"train": {"budget": f"{budget} s", **chosen, **folds}}
        return {
            "train": {
                "budget": f"{ENCODER_BUDGET} s",
                "candidates": {"linear": WEAK, "encoder": {"max_length": 128, "freeze": "all"}},
                "ensemble": False,
            },
            "evaluate": {"positive": "spam"},
            "serve": {"p95": f"{ENCODER_TARGET} s"},
        }


SUBJECTS = {
    "credit": Subject("credit", False, 0.005),
    "house-prices": Subject("house-prices", False, 0.005),
    "encoder": Subject("mail-spam", True, 0.015),
}

SMALLEST = {"credit-linear": Subject("credit", False, candidates=("linear",), folds=1)}
"""A model that costs next to nothing: what is left is the service."""


def folder(name: str, budget: float) -> Path:
    """Where a build stands; it is kept, and the engine runs only what is stale."""
    return FOLDER / f"{name}-{budget:g}"


def make(name: str, budget: float, shipped: harness.Contender) -> dict[str, Any]:
    """Bring a build up to its package; what it became."""
    subject, place = (SUBJECTS | SMALLEST)[name], folder(name, budget)
    place.mkdir(parents=True, exist_ok=True)
    harness.say(f"{name}: building in {place}")
    recipe = RECIPES / subject.recipe / "blueprint.yaml"
    found: dict[str, Any] = shipped.do("build", recipe=str(recipe), folder=str(place), changes=subject.changes(budget))
    if subject.text and list(found["weights"]) != ["encoder"]:
        raise RuntimeError(
            f"{name}: the encoder was not chosen (weights {found['weights']}). Is the machine too busy? Remove {place} and run again."
        )
    return found
