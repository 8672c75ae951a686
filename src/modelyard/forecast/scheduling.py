"""How `train` shares out its budget, played through without training: natural times in, times taken out.

The rules are those of `train.candidates`: models that learn in one call may take half of what is left while others wait, gradient
training a quarter, the last one all of it; what does not fit any more is left out. It knows no model and no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modelyard.train.candidates import FIT_SHARE, LOOP_SHARE, REFIT_SHARE
from modelyard.train.world import FINISH_SHARE

LEAST_LEFT = 0.02
"""Share of the budget below which no candidate begins."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One candidate, in the order in which they train."""

    name: str
    learns: Literal["fit", "loop"]
    natural: float
    """Seconds of one fold that no budget cuts."""
    least: float = 0.0
    """Seconds of one fold that no budget can cut: encoding, loading, scoring."""
    cold: float = 0.0
    """Seconds that its first fold takes longer: imports."""
    share: float | None = None
    """Declared share of the whole budget."""
    baseline: bool = False


def spend(queue: Sequence[Planned], *, budget: float, folds: int = 1, refit: bool = True) -> list[float]:
    """Seconds that each candidate takes; 0 where nothing is left for it. ValueError for a budget that is not above 0.

    >>> spend([Planned("a", "fit", 10.0), Planned("b", "loop", 500.0)], budget=100.0, refit=False)
    [10.0, 87.0]
    """
    if not budget > 0 or folds < 1:
        raise ValueError("a budget is above 0 and there is at least one fold")
    left, taken = budget * (1 - FINISH_SHARE), []
    for place, one in enumerate(queue):
        waiting = len(queue) - place - 1
        spent = _folds(one, left, budget, folds, waiting)
        left -= spent
        again = one.learns == "fit" and folds == 1 and refit and not one.baseline and spent > 0
        if again and one.natural < left * (REFIT_SHARE if waiting else 1.0):
            spent += one.natural
            left -= one.natural
        taken.append(spent)
    return taken


def _folds(one: Planned, left: float, budget: float, folds: int, waiting: int) -> float:
    """Seconds of all folds; those that do not fit after the first one are left out, what was spent stays spent."""
    spent = first = 0.0
    for fold in range(folds):
        here = left - spent
        if not one.baseline and (here <= LEAST_LEFT * budget if fold == 0 else (folds - fold) * first > here):
            break
        cut = max(_share(one, max(here, 0.0), budget, waiting) / (folds - fold), one.least)
        seconds = min(one.natural, cut) + (0.0 if fold else one.cold)
        spent += seconds
        first = first or seconds
    return spent


def _share(one: Planned, left: float, budget: float, waiting: int) -> float:
    if one.share is not None:
        return min(left, one.share * budget)
    if not waiting:
        return left
    return left * (LOOP_SHARE if one.learns == "loop" else FIT_SHARE)
