"""Competitors beside our own row, which is measured: quality on test rows with its interval, the 95th percentile under test, the price that plans come to.

A competitor is better or worse only where the intervals do not overlap. It knows no market size.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.blueprint.market import MONTHLY, Competitor, Market
from modelyard.blueprint.ranges import Range
from modelyard.business.costs import lot, noun
from modelyard.records._base import Estimate, Record
from modelyard.records.compressed import Compressed
from modelyard.records.evaluated import Evaluated
from modelyard.records.market import Bounds, Compared, Verdict
from modelyard.records.served import Served
from modelyard.records.valued import UnitEconomics, UnitPrice
from modelyard.units import Quantity


def metric_of(market: Market, records: Mapping[str, Record]) -> tuple[str, bool]:
    """The metric that qualities are compared in, and whether greater is better."""
    evaluated = records.get("evaluate")
    if not isinstance(evaluated, Evaluated):
        return market.quality or "", True
    metric = market.quality or evaluated.metric
    return metric, evaluated.greater_is_better.get(metric, True)


def lot_of(price_of: str) -> int:
    """How many of a unit a price is for; of a customer's month, one."""
    return 1 if price_of == MONTHLY else lot(price_of)[0]


def our_row(
    name: str, market: Market, records: Mapping[str, Record], economics: UnitEconomics | None, usage: Mapping[str, float],
    units: tuple[UnitPrice, ...],
) -> Compared:  # fmt: skip
    """Our row, from records alone. `usage`: requests that a customer has answered a month, by scenario."""
    metric, _ = metric_of(market, records)
    quality, where = _quality(metric, records)
    served = records.get("serve")
    origins = {"quality": where} if quality is not None else {}
    p95 = None
    if isinstance(served, Served):
        p95, origins["p95"] = served.measured_latency.p95, "serve.json#measured_latency.p95"
    price = _price(market.price_of, economics, usage, units)
    if price is not None:
        origins["price"] = "business.json#measured_unit_economics.arpa"
    features = tuple(one.name for one in market.features if one.ours)
    return Compared(name=name, price=price, quality=quality, p95=p95, features=features, origins=origins)


def _quality(metric: str, records: Mapping[str, Record]) -> tuple[Estimate | None, str]:
    """Of what is served: the compressed artifact's where it was measured on test rows, else the trained one's."""
    compressed, evaluated = records.get("compress"), records.get("evaluate")
    if isinstance(compressed, Compressed) and compressed.test is not None and metric in compressed.test.metrics:
        return compressed.test.metrics[metric], f"compress.json#test.metrics.{metric}"
    if isinstance(evaluated, Evaluated) and metric in evaluated.metrics:
        return evaluated.metrics[metric], f"evaluate.json#metrics.{metric}"
    return None, ""


def _price(
    price_of: str, economics: UnitEconomics | None, usage: Mapping[str, float], units: tuple[UnitPrice, ...]
) -> Bounds | None:
    """What an average customer pays, of a month or of a lot of a unit: revenue ÷ (requests x units a request) x lot."""
    if economics is None:
        return None
    arpa = {name: getattr(economics.arpa, name) for name in ("low", "likely", "high")}
    if any(one is None for one in arpa.values()):
        return None
    paid = {name: one.value for name, one in arpa.items()}
    if price_of != MONTHLY:
        each = _units_a_request(price_of, units)
        if each is None or any(usage.get(name, 0.0) <= 0 for name in paid):
            return None
        paid = {name: value / (usage[name] * each) * lot_of(price_of) for name, value in paid.items()}
    return Bounds(low=min(paid.values()), likely=paid["likely"], high=max(paid.values()))


def _units_a_request(unit: str, units: tuple[UnitPrice, ...]) -> float | None:
    if unit == "request":
        return 1.0
    found = next((one.per_request for one in units if one.unit == unit), None)
    if found is None or found.value <= 0:
        return None
    assert found.unit.startswith(noun(unit)), f"{found.unit} is not of {unit}"
    return found.value


def their_row(competitor: Competitor, ours: Compared, *, greater: bool) -> Compared:
    """A competitor, and who is surely better in what."""
    price, quality, verdicts = None, None, {}
    if competitor.price is not None:
        price = Bounds(low=competitor.price.low, likely=competitor.price.likely, high=competitor.price.high)
    if competitor.quality is not None:
        quality = _estimate(competitor.quality)
    if price is not None and ours.price is not None:
        verdicts["price"] = better((ours.price.low, ours.price.high), (price.low, price.high), greater=False)
    if quality is not None and ours.quality is not None:
        verdicts["quality"] = better(
            (ours.quality.low, ours.quality.high), (quality.low, quality.high), greater=greater
        )
    if competitor.p95 is not None and ours.p95 is not None:
        verdicts["p95"] = better(_twice(ours.p95), _twice(competitor.p95), greater=False)
    return Compared(
        name=competitor.name, price=price, quality=quality, p95=competitor.p95, features=competitor.features,
        verdicts=verdicts,
    )  # fmt: skip


def _estimate(found: Range) -> Estimate:
    return Estimate(value=found.likely, low=found.low, high=found.high)


def _twice(found: Quantity) -> tuple[float, float]:
    return found.value, found.value


def better(ours: tuple[float, float], theirs: tuple[float, float], *, greater: bool) -> Verdict:
    """Whose interval lies wholly on the better side of the other's.

    >>> better((0.95, 0.97), (0.90, 0.94), greater=True)
    'ours'
    """
    above, below = ours[0] > theirs[1], ours[1] < theirs[0]
    if not above and not below:
        return "unsure"
    return "ours" if above == greater else "theirs"
