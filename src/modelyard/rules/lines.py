"""Names that market and strategy add to the venture's lines: none of them twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from modelyard.blueprint import Blueprint
from modelyard.business.market_and_strategy import clash
from modelyard.rules._contract import Fault, Rule


@final
class Part(Rule):
    """No line of the workbook has two meanings."""

    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """See the class."""
        if blueprint is None or (blueprint.market is None and blueprint.strategy is None):
            return
        twice = clash(blueprint)
        if twice:
            section = "market" if blueprint.strategy is None else "strategy"
            fault((section,), f"{twice}: rename one of what is called so")
