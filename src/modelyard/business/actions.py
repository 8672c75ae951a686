"""What is to be done, as lines of the venture: money by month against cash and the costs it is paid from, machine time against what is there.

A budget is spent evenly over the months of its action, first and last included. An action paid from cash comes on top of all costs; one paid from
people, tools or acquisition is a part of that cost, which must suffice. Taxes stay as they are without the actions, so that cash is told too low
rather than too high. It knows no risks and no duties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelyard.blueprint.business import Business
from modelyard.blueprint.strategy import Action, Strategy, month_of
from modelyard.business import rates
from modelyard.business.evidence import Documents, number, reference
from modelyard.business.facts import Facts, Sold
from modelyard.business.lines import Adding
from modelyard.business.planning import venture
from modelyard.business.sheet import MONTH, Sheet, Term, choose, lowest
from modelyard.business.sizing import spread
from modelyard.business.venture import Venture
from modelyard.records.market import Reference
from modelyard.records.strategy import ActionValue, Pot, Resources, State
from modelyard.rows import Array
from modelyard.units import quantity

POTS: tuple[Literal["people", "tools", "acquisition"], ...] = ("people", "tools", "acquisition")
"""Costs that actions may be a part of."""
HOURS = 3600.0
FORECAST = "forecast.build_time"
MEASURED = "measured.build_time"
Solved = Mapping[str, Array]


def unmeasured(business: Business) -> Facts:
    """Facts of no service: the graph of a venture has the same lines with any."""
    return Facts(
        rate=quantity("1 request/s"), build_time=quantity("1 h"), units=(Sold("request", quantity("1 request/request"), 1.0),),
        machine=rates.choose(cores=1, memory=quantity("1 GB"), instructions=""), server=rates.server(), grid=rates.grid(business.grid),
    )  # fmt: skip


def lines(business: Business) -> tuple[str, ...]:
    """Names of the venture's lines that an action's metric may read; those of single plans are left out."""
    found = venture(business, unmeasured(business))
    return tuple(name for group, names in found.groups.items() if not group.startswith("Plan ") for name in names)


@dataclass(frozen=True, slots=True)
class Placed:
    """An action, where it stands, and its months; 1 is the plan's first."""

    goal: str
    milestone: str
    action: Action
    path: str
    first: int
    last: int

    @property
    def months(self) -> int:
        """How many it touches."""
        return self.last - self.first + 1

    @property
    def line(self) -> str:
        """The line of what it costs a month."""
        return f"action: {self.action.name}"


def placed(strategy: Strategy) -> Iterator[Placed]:
    """Every action, in the blueprint's order."""
    for goal_at, goal in enumerate(strategy.goals):
        for milestone_at, milestone in enumerate(goal.milestones):
            for place, action in enumerate(milestone.actions):
                path = f"strategy.goals.{goal_at}.milestones.{milestone_at}.actions.{place}"
                first, last = (month_of(day, strategy.start) for day in (action.start, action.end))
                yield Placed(goal.name, milestone.name, action, path, first, last)


def planned(venture: Venture, strategy: Strategy, money: str) -> Venture:
    """The venture with its actions: what each costs a month, what is left of cash and of the costs they are paid from."""
    actions = list(placed(strategy))
    if not actions:
        return venture
    adding = Adding(venture)
    month, sheet = f"{money}/month", adding.sheet
    paid: dict[str, list[Term]] = {"cash": [], **{pot: [] for pot in POTS}}
    build = adding.there(FORECAST) or adding.needed(MEASURED)
    hours: list[Term] = []
    for one in actions:
        budget = adding.given(f"{one.path}.budget", money, one.action.budget, "the blueprint", "high")
        each = budget / Sheet.number(one.months, "month")
        paid[one.action.paid_from].append(sheet.line(one.line, month, _during(sheet, one, each)))
        if one.action.builds:
            time = build * Sheet.number(one.action.builds / one.months, "1/month")
            hours.append(sheet.line(f"{one.line}: machine time", "h/month", _during(sheet, one, time)))
    spent = _sum(paid["cash"], month)
    if hours:
        time = sheet.line("machine time of builds", "h/month", _sum(hours, "h/month"))
        hour = adding.needed("a machine with hosting") / Sheet.number(730, "h/month")
        spent = spent + sheet.line("cost of builds", month, time * hour)
    if not spent.monthly:  # no action takes money or machines: 0 in every month
        spent = choose(sheet.month > 0.0, spent, 0.0)
    spent = sheet.line("spent on actions", month, spent)
    so_far = sheet.rolling("spent on actions so far", money, 0.0, lambda before: before + spent * MONTH)
    after = sheet.line("cash after actions", money, adding.needed("cash") - so_far)
    sheet.line("lowest cash after actions", money, lowest(after))
    for pot in POTS:
        if paid[pot]:
            allocated = sheet.line(f"actions paid from {pot}", month, _sum(paid[pot], month))
            sheet.line(f"{pot} left after actions", month, _there(adding, pot) - allocated)
    adding.group("Actions")
    return adding.whole()


def _there(adding: Adding, pot: str) -> Term:
    """What a cost is; those of hires belong to people."""
    if pot == "people":
        return adding.needed("people and tools") - adding.needed("business.tools")
    return adding.needed("business.tools" if pot == "tools" else pot)


def _during(sheet: Sheet, one: Placed, term: Term) -> Term:
    """The term in the months of an action, else 0."""
    begun, over = sheet.month >= Sheet.number(one.first, "month"), sheet.month > Sheet.number(one.last, "month")
    return choose(begun, choose(over, 0.0, term), 0.0)


def _sum(terms: list[Term], unit: str) -> Term:
    found = Sheet.number(0, unit)
    for term in terms:
        found = found + term
    return found


# -- numbers ---------------------------------------------------------------------------------------------------------------


def resources(
    strategy: Strategy, likely: Solved, draws: Solved, *, build_hours: float, build_origin: str
) -> Resources | None:
    """What the actions take, against what is there; None without actions. Both solved from the same `planned` venture."""
    if "spent on actions" not in likely:
        return None
    cash, after = likely["cash"], likely["cash after actions"]
    zero = np.zeros_like(cash)
    hours = likely.get("machine time of builds", zero) / HOURS
    there = strategy.machine_hours.likely if strategy.machine_hours is not None else None
    return Resources(
        spent=_rounded(likely["spent on actions"]), cash=_rounded(cash), after=_rounded(after),
        left=spread(draws["lowest cash after actions"]), out=first((after < 0) & (cash >= 0)),
        ruin=float((draws["cash after actions"] < 0).any(axis=-1).mean()), hours=_rounded(hours), build_hours=build_hours,
        build_origin=build_origin, hours_there=there, hours_short=first(hours > there * (1 + 1e-9)) if there is not None else None,
        pots=tuple(_pot(pot, likely) for pot in POTS if f"actions paid from {pot}" in likely),
    )  # fmt: skip


def _pot(pot: Literal["people", "tools", "acquisition"], likely: Solved) -> Pot:
    allocated, left = likely[f"actions paid from {pot}"], likely[f"{pot} left after actions"]
    there = np.broadcast_to(left + allocated, np.broadcast_shapes(left.shape, allocated.shape))
    short = first(left < -1e-9 * np.abs(there))
    return Pot(name=pot, allocated=_rounded(allocated), there=_rounded(there), short=short)


def first(held: Array) -> int | None:
    """The first month in which it holds; None where there is none.

    >>> first(np.array([False, True, True]))
    2
    """
    months = np.flatnonzero(held)
    return int(months[0]) + 1 if len(months) else None


def action_values(
    strategy: Strategy, likely: Solved, known: Documents, *, build_hours: float
) -> tuple[ActionValue, ...]:
    """Every action with what shows it done."""
    return tuple(_action(one, likely, known, build_hours) for one in placed(strategy))


def _action(one: Placed, likely: Solved, known: Documents, build_hours: float) -> ActionValue:
    metric = one.action.metric
    wanted = metric.at_least if metric.at_least is not None else metric.at_most
    assert wanted is not None
    by_record = metric.record is not None
    found = reference(str(metric.record), known) if by_record else _of_line(str(metric.line), one.last, likely)
    value = number(found.value)
    state: State = "unknown"
    if value is not None:
        met = value >= wanted if metric.at_least is not None else value <= wanted
        state = ("done" if met else "open") if by_record else ("expected" if met else "short")
    return ActionValue(
        goal=one.goal, milestone=one.milestone, name=one.action.name, first=one.first, last=one.last, budget=one.action.budget.likely,
        hours=one.action.builds * build_hours, state=state, metric=found,
        demanded="at_least" if metric.at_least is not None else "at_most", wanted=wanted,
    )  # fmt: skip


def _of_line(name: str, month: int, likely: Solved) -> Reference:
    if name not in likely:
        return Reference(path=name)
    values = likely[name]
    value = float(values[month - 1] if values.ndim else values)
    return Reference(path=name, origin="business", value=value if np.isfinite(value) else None)


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
