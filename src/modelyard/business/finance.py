"""Money over time: present value, rates of return, burn, and who owns what after a round. Plain numbers a period, the first one now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.rows import Array

MOST_RATE = 1e6
"""Returns a period beyond which none is looked for."""


def npv(rate: float, flows: Sequence[float]) -> float:
    """Net present value: the sum of flow(t) ÷ (1 + rate)^t, t from 0. `rate` a period, above -1.

    >>> round(npv(0.08, [-40_000, 5_000, 8_000, 12_000, 30_000]), 2)
    3065.22
    """
    if rate <= -1:
        raise ValueError(f"a discount rate must be above -1 (got {rate:g})")
    amounts = np.asarray(flows, dtype=np.float64)
    return float((amounts / (1 + rate) ** np.arange(len(amounts))).sum())


def irr(flows: Sequence[float]) -> float | None:
    """Internal rate of return a period: where the present value is 0. Of several the one nearest to 0; None where there is none.

    >>> round(irr([-100, 39, 59, 55, 20]), 5)
    0.28095
    """
    from scipy.optimize import brentq

    amounts = np.asarray(flows, dtype=np.float64)
    if len(amounts) < 2 or not np.isfinite(amounts).all() or (amounts >= 0).all() or (amounts <= 0).all():
        return None
    rates = np.concatenate([-1 + np.geomspace(1e-6, 1, 400), np.geomspace(1e-6, MOST_RATE, 800)])
    values = np.array([npv(rate, flows) for rate in rates])
    crossed = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) <= 0)
    found = [float(brentq(npv, rates[place], rates[place + 1], args=(flows,), xtol=1e-12)) for place in crossed]
    return min(found, key=abs) if found else None


def yearly(rate: float) -> float:
    """A rate a month as one a year, compounded: (1 + rate)^12 - 1."""
    return float((1 + rate) ** 12 - 1)


def monthly(rate: float) -> float:
    """A rate a year as one a month: (1 + rate)^(1/12) - 1."""
    return float((1 + rate) ** (1 / 12) - 1)


def roi(gain: float, cost: float) -> float | None:
    """Return on investment: (gain - cost) ÷ cost; None where nothing was spent."""
    return (gain - cost) / cost if cost > 0 else None


def burn_multiple(net_burn: float, new_recurring: float) -> float | None:
    """Cash burnt for each unit of new yearly recurring revenue (Sacks 2020); 0 where cash grows, None where revenue does not."""
    return max(net_burn, 0.0) / new_recurring if new_recurring > 0 else None


def rule_of_40(growth: float, margin: float) -> float:
    """Yearly growth of revenue plus profit margin, as shares: from 0.4 on healthy (Feld 2015)."""
    return growth + margin


def runway(cash: float, burn: float) -> float:
    """Months until cash is gone at this burn a month; infinite where nothing is burnt."""
    if cash <= 0:
        return 0.0
    return cash / burn if burn > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Round:
    """A funding round: so much is raised at a value before it; `pool` is the share kept for staff afterwards, taken from those who were there."""

    name: str
    raised: float
    pre_money: float
    pool: float = 0.0

    @property
    def sold(self) -> float:
        """Share that the new investors hold: raised ÷ (value before + raised)."""
        return self.raised / (self.pre_money + self.raised)


def ownership(owners: dict[str, float], rounds: Sequence[Round]) -> list[dict[str, float]]:
    """Shares of all owners before the rounds and after each; they sum to 1. ValueError for shares or rounds that cannot be.

    The pool is topped up to its share as part of the round and dilutes those who were there, not the new investors (the usual term sheet).

    >>> after = ownership({"founders": 1.0}, [Round("seed", 1e6, 4e6, pool=0.1)])[-1]
    >>> {name: round(share, 6) for name, share in after.items()}
    {'founders': 0.7, 'pool': 0.1, 'seed': 0.2}
    """
    if abs(sum(owners.values()) - 1) > 1e-9 or any(share < 0 for share in owners.values()):
        raise ValueError("the owners' shares must sum to 1, none below 0")
    table = [dict(owners)]
    for each in rounds:
        if each.raised <= 0 or each.pre_money <= 0 or not 0 <= each.pool < 1 - each.sold:
            raise ValueError(
                f"{each.name}: a round raises money at a value above 0, and its pool leaves something to who was there"
            )
        before = table[-1]
        pool = max(before.get("pool", 0.0) * (1 - each.sold), each.pool)
        others = sum(share for name, share in before.items() if name != "pool")
        left = {name: share / others * (1 - each.sold - pool) for name, share in before.items() if name != "pool"}
        new = left.pop(each.name, 0.0) + each.sold
        table.append({**left, **({"pool": pool} if pool else {}), each.name: new})
    return table


def discounted(flows: Array, rate: float) -> Array:
    """(..., periods) present values of each flow, t from 0."""
    values: Array = flows / (1 + rate) ** np.arange(flows.shape[-1])
    return values
