"""What `strategy` says together with the rest: months of the plan, lines of the venture, places in records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, final

from modelyard.blueprint import Blueprint
from modelyard.blueprint.strategy import Action, Strategy, month_of
from modelyard.business.actions import lines
from modelyard.errors import nearest
from modelyard.rules._contract import Fault, Path, Rule
from modelyard.rules._places import check_places


@final
class Part(Rule):
    """Actions lie within the plan's months and are shown done by numbers that there are."""

    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """See the class."""
        if blueprint is None or blueprint.strategy is None:
            return
        strategy, months = blueprint.strategy, blueprint.business.months
        known: tuple[str, ...] = ()
        for path, action in _actions(strategy):
            if action.start < strategy.start:
                told = f"{action.start} is before strategy.start {strategy.start}"
                fault((*path, "start"), f"lies before the plan begins: {told}")
            last = month_of(action.end, strategy.start)
            if last > months:
                cure = "end it earlier, or raise business.months"
                fault((*path, "end"), f"lies in month {last} of the plan, which has {months}: {cure}")
            if action.metric.line is not None:
                known = known or lines(blueprint.business)
                if action.metric.line not in known:
                    told = f"{nearest(action.metric.line, known)} Allowed: {', '.join(known)}"
                    fault((*path, "metric", "line"), f"no line {action.metric.line!r} of the venture.{told}")
        check_places(strategy, "strategy", fault)


def _actions(strategy: Strategy) -> Iterator[tuple[Path, Action]]:
    """Every action with its place."""
    for goal, one in enumerate(strategy.goals):
        for milestone, reached in enumerate(one.milestones):
            for number, action in enumerate(reached.actions):
                yield ("strategy", "goals", goal, "milestones", milestone, "actions", number), action
