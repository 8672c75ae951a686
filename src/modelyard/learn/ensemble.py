"""Putting candidates together: greedy ensemble selection, temperature and threshold, all on validation rows.

Knows scores and targets only; no models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modelyard.predictor import temper
from modelyard.rows import Array

ROUNDS = 25
"""Picks of the greedy selection (AutoGluon takes up to 100; weights finer than 1/25 cost latency and win nothing measurable)."""
FEWEST_FOR_BIAS = 50
"""Validation rows of the rarest class below which only the temperature is fitted."""
SMALLEST = 0.1
"""A candidate with less weight is dropped: it costs a whole model at each request."""


def select(scores: Mapping[str, Array], loss: Callable[[Array], float]) -> dict[str, float]:
    """Weights by greedy selection with replacement (Caruana et al. 2004): each round adds what lowers the loss of the mean most."""
    names = sorted(scores)
    picks: list[str] = []
    total: Array | float = 0.0
    history: list[tuple[float, int]] = []
    for _ in range(ROUNDS):
        losses = {name: loss((total + scores[name]) / (len(picks) + 1)) for name in names}
        best = min(names, key=lambda name: (losses[name], name))
        picks.append(best)
        total = total + scores[best]
        history.append((losses[best], len(picks)))
    kept = picks[: min(history)[1]]
    weights = {name: kept.count(name) / len(kept) for name in sorted(set(kept))}
    strong = {name: weight for name, weight in weights.items() if weight >= min(SMALLEST, max(weights.values()))}
    return {name: weight / sum(strong.values()) for name, weight in strong.items()}


def keep(
    scores: Mapping[str, Array], loss: Callable[[Array], float], clearly: Callable[[Array, Array], bool]
) -> dict[str, float]:
    """Equal weights of all candidates but those without which the mean is clearly better, the most harmful first.

    For service on groups or times that training never saw: weights fitted to the few that were held out do not carry over.
    On mail by sender domain the greedy ones lost to equal ones by 1.6 points of macro-F1, and dropping whoever harms the mean
    at all by 0.4 (docs/log.md). `clearly(new, old)` tells whether new scores beat old ones by more than chance would.
    """
    names = sorted(scores)
    while len(names) > 1:
        now = np.mean([scores[name] for name in names], axis=0)
        without = {name: np.mean([scores[other] for other in names if other != name], axis=0) for name in names}
        worst = min(names, key=lambda name: (loss(without[name]), name))
        if not clearly(without[worst], now):
            break
        names.remove(worst)
    return {name: 1 / len(names) for name in names}


def log_loss(scores: Array, target: Array) -> float:
    """Mean negative logarithm of the true class's probability; rows of unseen classes are left out."""
    known = target >= 0
    chosen = scores[known, target[known]]
    return float(-np.log(np.clip(chosen, 1e-12, None)).mean()) if len(chosen) else 0.0


def cautious_log_loss(scores: Array, target: Array) -> float:
    """The log loss against targets that of a class with n rows leave 1 in n + 2 to the others, as Platt 1999 does for two classes.

    Where every row is told right, the plain log loss has no least temperature: nine speakers told apart in 270 validation rows of 270 would
    have had the bound of 1/4, and a log loss of 0.24 on other occasions instead of 0.07.
    """
    known = target >= 0
    each, own = np.log(np.clip(scores[known], 1e-12, None)), target[known]
    if not len(own):
        return 0.0
    left = 1 / (np.bincount(own, minlength=each.shape[1])[own] + 2)
    true = each[np.arange(len(own)), own]
    others = (each.sum(axis=1) - true) / (each.shape[1] - 1)
    return float(-((1 - left) * true + left * others).mean())


def choose_temperature(scores: Array, target: Array, *, biased: bool = True) -> tuple[float, tuple[float, ...]]:
    """Temperature (1/4 to 4) and class biases of least cautious log loss (Alexandari et al. 2020).

    A temperature alone would sharpen an underfitted mixture away from the observed shares; the biases hold the shares. They
    are left out where there are fewer than 50 rows a class to fit them on.
    """
    from scipy.optimize import minimize

    classes = scores.shape[1]
    counts = np.bincount(target[target >= 0], minlength=classes)
    free = classes - 1 if biased and counts.min() >= FEWEST_FOR_BIAS else 0

    def read(point: Array) -> tuple[float, tuple[float, ...]]:
        return float(np.exp(point[0])), (0.0, *map(float, point[1:])) if free else ()

    bounds = [(np.log(0.25), np.log(4.0)), *[(-3.0, 3.0)] * free]
    found = minimize(
        lambda point: cautious_log_loss(temper(scores, *read(point)), target),
        np.zeros(1 + free),
        bounds=bounds,
        method="L-BFGS-B",
    )
    if not found.fun < cautious_log_loss(scores, target):
        return 1.0, ()
    temperature, bias = read(found.x)
    return round(temperature, 4), tuple(round(value, 4) for value in bias)


def grid(positive: Array, most: int = 200) -> Array:
    """Thresholds worth trying: between neighbouring scores, at most `most` of them."""
    seen = np.unique(np.round(positive, 6))
    middles = (seen[1:] + seen[:-1]) / 2 if len(seen) > 1 else np.array([0.5])
    return np.unique(
        np.concatenate([middles[np.linspace(0, len(middles) - 1, min(most, len(middles))).astype(int)], [0.5]])
    )


def choose_threshold(thresholds: Sequence[float] | Array, cost: Sequence[float] | Array) -> float:
    """The middle of the plateau around the least cost: thresholds within a hundredth of the curve's range of the minimum.

    A single lowest point of a noisy curve overfits the validation rows; the middle of its plateau does not.
    """
    thresholds, cost = np.asarray(thresholds), np.asarray(cost)
    best = int(cost.argmin())
    near = cost <= cost[best] + 0.01 * (cost.max() - cost.min())
    low, high = best, best
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(cost) - 1 and near[high + 1]:
        high += 1
    return round(float((thresholds[low] + thresholds[high]) / 2), 6)
