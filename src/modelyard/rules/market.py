"""What `market` says together with the rest: units of sale, features, places in records, names of lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.blueprint.market import MONTHLY, Market
from modelyard.errors import nearest
from modelyard.rules._contract import Fault, Rule
from modelyard.rules._places import check_places


@final
class Part(Rule):
    """The market sells what the task sells, and its competitors have features that are listed."""

    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """See the class."""
        if blueprint is None or blueprint.market is None:
            return
        market = blueprint.market
        if market.adoption is not None and not market.segments:
            fault(("market", "adoption"), "needs market.segments: it says how fast their obtainable customers come")
        tasks = [blueprint.task] if blueprint.task else parts.names("tasks")
        sold = [MONTHLY, *sorted({"request"} | {unit for name in tasks for unit in parts.load("tasks", name).units})]
        if market.price_of not in sold:
            told = f"{nearest(market.price_of, sold)} Allowed: {', '.join(sold)}"
            fault(("market", "price_of"), f"no unit of sale {market.price_of!r}.{told}")
        _features(market, fault)
        check_places(market, "market", fault)


def _features(market: Market, fault: Fault) -> None:
    features = [one.name for one in market.features]
    for number, competitor in enumerate(market.competitors):
        for place, feature in enumerate(competitor.features):
            if feature not in features:
                allowed = f"Allowed: {', '.join(features)}" if features else "There are none: list them there first"
                path = ("market", "competitors", number, "features", place)
                fault(path, f"no feature {feature!r} in market.features.{nearest(feature, features)} {allowed}")
