"""How many could buy, and how fast they do: bottom-up market sizes and the diffusion of something new. It knows no prices of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.rows import Array


@dataclass(frozen=True, slots=True)
class Segment:
    """Some customers who are alike: how many there are, what each would spend a year, and the shares that can be served and won."""

    name: str
    customers: float
    spend: float
    """A year, of one customer, on what this replaces."""
    serviceable: float
    """Share that the offer fits: language, region, size, law."""
    obtainable: float
    """Share of the serviceable ones that can be won within the plan."""

    def __post_init__(self) -> None:
        if self.customers < 0 or self.spend < 0 or not (0 <= self.serviceable <= 1 and 0 <= self.obtainable <= 1):
            raise ValueError(f"{self.name}: customers and spend are not below 0, and shares lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Size:
    """Yearly money, and customers, of the total, the serviceable and the obtainable market."""

    tam: float
    sam: float
    som: float
    customers: tuple[float, float, float]


def size(segments: Sequence[Segment]) -> Size:
    """TAM, SAM and SOM from the segments up: sums of customers x spend, x serviceable, x obtainable."""
    counts = [(s.customers, s.customers * s.serviceable, s.customers * s.serviceable * s.obtainable) for s in segments]
    spends = [segment.spend for segment in segments]

    def summed(weights: Sequence[float]) -> tuple[float, float, float]:
        first, second, third = (
            float(sum(count[part] * weight for count, weight in zip(counts, weights, strict=True))) for part in range(3)
        )
        return first, second, third

    return Size(*summed(spends), summed([1.0] * len(counts)))


@dataclass(frozen=True, slots=True)
class Bass:
    """Bass's diffusion ("A new product growth for model consumer durables", Management Science 15(5), 1969).

    `p` is the coefficient of innovation, `q` that of imitation, both a period; `market` is how many adopt in the end.
    """

    p: float
    q: float
    market: float

    def __post_init__(self) -> None:
        if self.p <= 0 or self.q < 0 or self.market < 0:
            raise ValueError("innovation must be above 0, imitation and the market not below 0")

    def adopted(self, periods: Array) -> Array:
        """How many have adopted after so many periods: m (1 - e^(-(p+q)t)) ÷ (1 + q/p e^(-(p+q)t))."""
        gone = np.exp(-(self.p + self.q) * np.asarray(periods, dtype=np.float64))
        found: Array = self.market * (1 - gone) / (1 + self.q / self.p * gone)
        return found

    def adopting(self, periods: Array) -> Array:
        """How many adopt in a period at that moment: m (p+q)² e^(-(p+q)t) ÷ (p (1 + q/p e^(-(p+q)t))²)."""
        gone = np.exp(-(self.p + self.q) * np.asarray(periods, dtype=np.float64))
        found: Array = self.market * (self.p + self.q) ** 2 / self.p * gone / (1 + self.q / self.p * gone) ** 2
        return found

    @property
    def peak(self) -> float:
        """When most adopt: ln(q/p) ÷ (p + q); 0 where imitation is weaker than innovation."""
        return float(max(np.log(self.q / self.p) / (self.p + self.q), 0.0)) if self.q > 0 else 0.0


def fit_bass(adopting: Sequence[float]) -> Bass:
    """The curve of what was counted in each period, by Bass's own regression: sales = p m + (q - p) Y - q/m Y², Y those before.

    ValueError where there are fewer than four periods or no such curve fits.
    """
    sales = np.asarray(adopting, dtype=np.float64)
    if len(sales) < 4 or not np.isfinite(sales).all() or (sales < 0).any():
        raise ValueError("a diffusion needs the adoptions of at least four periods, none below 0")
    before = np.concatenate([[0.0], np.cumsum(sales)[:-1]])
    a, b, c = np.linalg.lstsq(np.stack([np.ones_like(before), before, before**2], axis=1), sales, rcond=None)[0]
    root = b**2 - 4 * a * c
    bent = -c * before[-1] ** 2 > 1e-6 * sales.max()
    if not bent or a <= 0 or root < 0:
        raise ValueError(
            "these adoptions do not rise and level off as a diffusion does: assume p, q and the market instead"
        )
    market = (-b - np.sqrt(root)) / (2 * c)
    return Bass(float(a / market), float(-market * c), float(market))
