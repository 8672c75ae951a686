"""Who stays: survival curves of customers who differ, and what they are worth. One churn rate for all misstates both ends.

The shifted beta-geometric distribution (Fader and Hardie, "How to project customer retention", Journal of Interactive Marketing 21(1),
2007): each customer leaves at the end of a month with a chance of their own, and these chances are beta-distributed. Those who are likely
to leave do so first, so retention rises with age although nobody changes. It knows no money but what a month brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.rows import Array


@dataclass(frozen=True, slots=True)
class Survival:
    """Chances to leave are Beta(alpha, beta); both above 0. `alpha` infinite: everybody leaves with the same chance, `churn`."""

    alpha: float
    beta: float

    @classmethod
    def of_churn(cls, churn: float, *, spread: float = 0.0) -> Survival:
        """Of a first month's churn in (0, 1). `spread` in [0, 1) says how much customers differ: 0 not at all, 1 each stays or leaves for good.

        It is the polarisation 1 ÷ (alpha + beta + 1) of the paper.
        """
        if not 0 < churn < 1 or not 0 <= spread < 1:
            raise ValueError(f"churn must lie between 0 and 1 and spread in [0, 1) (got {churn:g}, {spread:g})")
        together = 1 / max(spread, 1e-9) - 1
        return cls(churn * together, (1 - churn) * together)

    def retention(self, months: int) -> Array:
        """(months,) share of those who were there at a month's begin that are there at its end: (beta + t - 1) ÷ (alpha + beta + t - 1)."""
        t = np.arange(1, months + 1)
        rate: Array = (self.beta + t - 1) / (self.alpha + self.beta + t - 1)
        return rate

    def survival(self, months: int) -> Array:
        """(months + 1,) share of the first customers left after 0, 1, 2 … months."""
        return np.concatenate([[1.0], np.cumprod(self.retention(months))])


def fit(left: Sequence[float]) -> Survival:
    """The likeliest curve of a cohort: how many customers were left after 0, 1, 2 … months, the number of the first ones first.

    ValueError where fewer than three numbers are given, one is larger than that before, or nobody left.
    """
    from scipy.optimize import minimize
    from scipy.special import betaln

    counts = np.asarray(left, dtype=np.float64)
    if counts.ndim != 1 or len(counts) < 3 or not np.isfinite(counts).all() or counts.min() < 0:
        raise ValueError("a cohort needs the customers left after at least 0, 1 and 2 months")
    if (np.diff(counts) > 0).any() or counts[0] <= 0:
        raise ValueError("a cohort cannot grow: each number is at most that before")
    lost = -np.diff(counts)
    if not lost.any():
        raise ValueError("nobody has left yet: there is no churn to fit")
    t = np.arange(1, len(counts))

    def unlikely(logs: Array) -> float:
        alpha, beta = np.exp(logs)
        dies = betaln(alpha + 1, beta + t - 1) - betaln(alpha, beta)
        stays = betaln(alpha, beta + t[-1]) - betaln(alpha, beta)
        return float(-(lost * dies).sum() - counts[-1] * stays)

    found = minimize(
        unlikely, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8, "maxiter": 4000}
    )
    alpha, beta = np.exp(found.x)
    return Survival(float(alpha), float(beta))


def lifetime_value(survival: Array, margin: float, *, discount: float = 0.0) -> float:
    """What a customer brings: the sum of margin x survival(t) ÷ (1 + discount)^t over the months of the curve, the first month whole.

    `margin` a month; `discount` a month. Only the months of the curve count: what comes later is not assumed.
    """
    months = np.arange(len(survival))
    return float((margin * survival / (1 + discount) ** months).sum())


def net_revenue_retention(*, revenue: float, expansion: float, contraction: float, churned: float) -> float:
    """Of last period's revenue, the share that the same customers bring now: (revenue + expansion - contraction - churned) ÷ revenue."""
    if revenue <= 0:
        raise ValueError("net revenue retention needs revenue in the period before")
    return (revenue + expansion - contraction - churned) / revenue
