"""Where every number of the business record comes from: the formula, whose it is, and what it is computed from.

Keys are paths in the record without list positions and scenarios (see `records.valued.trace_key`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from modelyard.blueprint.business import Business
from modelyard.blueprint.ranges import Range
from modelyard.business.costs import lot
from modelyard.business.facts import marks
from modelyard.business.rates import Grid, Machine, Server
from modelyard.records.valued import Assumption, Trace

PLAN_KEYS = {
    "price": "{currency}/customer/month",
    "included": "request/customer/month",
    "overage": "{currency}/request",
    "share": "",
    "usage_spread": "",
}
FIXED_KEYS = {"minimum_machines": "", "starting_customers": "customer", "months": "month", "minimum_margin": ""}


def assumptions(business: Business) -> tuple[Assumption, ...]:
    """Every assumption as used. A default is known by its source, so that a resolved blueprint gives the same."""
    defaults, found = Business(), []
    for name, mark in marks().items():
        given, ours = getattr(business, name), getattr(defaults, name)
        if given is not None:
            unit = mark.unit.format(currency=business.currency)
            default = ours is not None and given.source.startswith(ours.source)
            found.append(
                _assumption(
                    f"business.{name}",
                    unit,
                    (given.low, given.likely, given.high),
                    mark.unfavourable,
                    default,
                    given.source,
                    given.date,
                )
            )
    for name, unit in FIXED_KEYS.items():
        value = getattr(business, name)
        if value is not None:
            default = value == getattr(defaults, name)
            found.append(
                _assumption(
                    f"business.{name}",
                    unit,
                    (value,) * 3,
                    "depends",
                    default,
                    "Modelyard's default" if default else "the blueprint",
                )
            )
    for number, plan in enumerate(business.plans):
        default = plan.source.startswith(defaults.plans[0].source)
        for name, unit in PLAN_KEYS.items():
            value = getattr(plan, name)
            if value is not None:
                path = f"business.plans.{number}.{name}"
                found.append(
                    _assumption(
                        path, unit.format(currency=business.currency), (value,) * 3, "depends", default, plan.source
                    )
                )
        for unit, value in plan.prices.items():
            path, per = f"business.plans.{number}.prices.{unit}", f"{business.currency}/{lot(unit)[1]}"
            found.append(_assumption(path, per, (value,) * 3, "depends", default, plan.source))
        use = plan.usage
        path, ours = f"business.plans.{number}.usage", defaults.plans[0].usage
        values = (use.low, use.likely, use.high)
        found.append(
            _assumption(
                path, "request/customer/month", values, "depends", use.source == ours.source, use.source, use.date
            )
        )
    return (*found, *_company(business))


def _company(business: Business) -> Iterator[Assumption]:
    """Channels, hires and rounds: nothing of it is ours."""
    money = business.currency
    each = [
        *((f"channels.{number}", channel, {"share": "", "cac": f"{money}/customer"}) for number, channel in enumerate(business.channels)),
        *((f"hires.{number}", hire, {"month": "month", "cost": f"{money}/month"}) for number, hire in enumerate(business.hires)),
        *(
            (f"rounds.{number}", one, {"month": "month", "raised": money, "pre_money": money, "pool": ""})
            for number, one in enumerate(business.rounds)
        ),
    ]  # fmt: skip
    for path, given, keys in each:
        for name, unit in keys.items():
            value = getattr(given, name)
            sure = not isinstance(value, Range)
            values = (value,) * 3 if sure else (value.low, value.likely, value.high)
            source, when = ("the blueprint", None) if sure else (value.source, value.date)
            yield _assumption(
                f"business.{path}.{name}", unit, values, "depends" if sure else "high", False, source, when
            )


def _assumption(
    path: str,
    unit: str,
    values: tuple[float, ...],
    unfavourable: str,
    default: bool,
    source: str,
    date: str | None = None,
) -> Assumption:
    low, likely, high = (float(value) for value in values)
    return Assumption(
        path=path, unit=unit, low=low, likely=likely, high=high,
        unfavourable=unfavourable, default=default, source=source, date=date,
    )  # fmt: skip


def trace(
    business: Business, machine: Machine, server: Server, grid: Grid, declared: tuple[Assumption, ...]
) -> dict[str, Trace]:
    """The whole trace: what was measured, looked up and assumed, then what was computed."""
    found: dict[str, Trace] = {
        "serve.measured_rate": Trace(
            kind="measured", source="the load sweep of this build", origin="serve.measured_rate"
        ),
        "measured_units.lot": Trace(
            kind="rate",
            source="as prices of model services are quoted (2026-11-22)",
            origin="1,000,000 tokens, 1,000 of any other unit",
        ),
        "serve.measured_units": Trace(
            kind="measured", source="the service's own count of the rows sent", origin="serve.measured_units"
        ),
        "serve.measured_stream.reading": Trace(
            kind="measured", source="streams of this build, read by a client", origin="serve.measured_stream.reading"
        ),
        "build.run.seconds": Trace(
            kind="measured", source="the clock of this build", origin="run.seconds of every stage before"
        ),
        "rates.machines": Trace(
            kind="rate", source="sources of the table's rows (2026-11-23)", origin="rates/machines.toml, business.rates"
        ),
        "compress.variants": Trace(
            kind="measured", source="validation rows and the clock of this build", origin="compress.variants"
        ),
        "rates.seed": Trace(kind="rate", source="Modelyard's own (2026-11-23)", origin="seed of the draws: 0"),
        "rates.server": Trace(
            kind="rate", source=f"{server.source} ({server.date})", origin="rates/energy.toml: server"
        ),
        "rates.grid": Trace(kind="rate", source=f"{grid.source} ({grid.date})", origin=grid.origin),
    }
    if business.machine_price is not None:
        found["rates.machine_price"] = Trace(
            kind="assumed", source=business.machine_price.source, origin="business.machine_price"
        )
    else:
        convert = ("business.exchange_rate",) if business.exchange_rate is not None else ()
        formula = f"USD * {business.currency} for a USD" if convert else ""
        found["rates.machine_price"] = Trace(
            kind="rate",
            formula=formula,
            source=f"{machine.source} ({machine.date})",
            origin=machine.origin,
            inputs=convert,
        )
    for one in declared:
        key = ".".join(step for step in one.path.split(".") if not step.isdigit())
        found.setdefault(
            key, Trace(kind="assumed", source=one.source + (f" ({one.date})" if one.date else ""), origin=key)
        )
    if any(plan.prices for plan in business.plans):
        found["business.plans.prices"] = Trace(kind="assumed", source="the blueprint", origin="business.plans.prices")
    for key in (
        "business.minimum_margin", "business.plans.included", "business.plans.overage", "business.plans.prices", "business.hires", "business.rounds",
        "business.owners", "business.stresses", "business.draws", "business.week", "business.alternatives", "business.survey",
    ):  # fmt: skip
        found.setdefault(key, Trace(kind="assumed", source="not set", origin=key))
    return found | {key: Trace(kind="computed", **row) for key, row in formulas().items()}


@cache
def formulas() -> dict[str, dict[str, Any]]:
    """Every computed number: formula, source, inputs; from formulas.toml."""
    return tomllib.loads(Path(__file__).with_name("formulas.toml").read_text(encoding="utf-8"))
