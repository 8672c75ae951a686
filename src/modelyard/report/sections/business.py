"""The business section: what a request costs, what each plan earns, what a customer is worth, and 36 months of cash."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.numbers import Style
from modelyard.report.sections import _outlook, _running
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table, scenario
from modelyard.report.traced import Traced
from modelyard.report.world import World

SCENARIOS = (("low", "s2"), ("likely", "s1"), ("high", "s3"))


class Part(Section):
    """The business case, in three scenarios."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        business = world["business"]
        if not business["measured_costs"].there:
            nothing = html.callout("bad", html.paragraph(world.words("business.no_rate")))
            return html.join(
                nothing, html.grid(_assumptions(world, business), gates_table(world, world.gates("business")))
            )
        return html.join(
            _remarks(world, business),
            html.grid(
                _costs(world, business["measured_costs"]), _units(world, business), _unit_economics(world, business["measured_unit_economics"]),
                _plans(world, business), _cash(world, business), _months(world, business), *_outlook.cards(world, business), *_running.cards(world, business), _build(world, business["measured_build"]),
                _assumptions(world, business), _formulas(world, business), gates_table(world, world.gates("business")),
            ),
        )  # fmt: skip

    def brief(self, world: World) -> Markup | None:
        """What an investor asks first: what a customer is worth, the plans, the cash, what may become of it."""
        business = world["business"]
        if not business["measured_costs"].there:
            return None
        return html.grid(
            _unit_economics(world, business["measured_unit_economics"]), _outlook.returns(world, business), _plans(world, business),
            _cash(world, business), *_outlook.brief(world, business),
        )  # fmt: skip


def _remarks(world: World, business: Traced) -> Markup | None:
    words, lines = world.words, []
    for remark in business["measured_remarks"]:
        key = f"remark.{remark['code'].text}"
        if not words.has(key):
            continue
        given, wanted = (world.number(remark[side], _style(remark[side])) for side in ("given", "wanted"))
        subject = remark["subject"].text
        lines.append(
            html.tag(
                "li",
                words(
                    key,
                    subject=words.name("scenario", subject) if subject in ("low", "likely", "high") else subject,
                    given=given,
                    wanted=wanted,
                ),
            )
        )
    return (
        html.callout("warn", html.tag("strong", words("business.remarks")), html.tag("ul", *lines)) if lines else None
    )


def _style(given: Traced) -> Style:
    """How a quantity is printed, from its unit."""
    unit = given.unit
    if unit in ("", "customer/customer"):
        return "plain"
    if unit == "month":
        return "months"
    if unit == "request/s":
        return "rate"
    if unit[:3].isupper() and unit[:3].isalpha() and len(unit.split("/")[0]) == 3:
        return "money"
    return {"s": "seconds", "B": "bytes"}.get(unit, "plain")  # type: ignore[return-value]


def _costs(world: World, costs: Traced) -> Markup:
    words, machine = world.words, world["business"]["machine"]
    pairs: list[tuple[Any, Any]] = [
        (words("business.per_thousand"), scenario(world, costs["per_thousand"])),
        (words("business.machine_month"), scenario(world, costs["machine_month"])),
        (words("business.capacity"), scenario(world, costs["capacity"], "rate")),
        (words("business.machine"), world.quote(machine)),
    ]
    if costs["carbon"].there:
        pairs.append((words("business.carbon"), scenario(world, costs["carbon"], "ratio")))
    return html.card(words("business.costs"), html.facts(pairs), note=words("business.costs_note"))


def _units(world: World, business: Traced) -> Markup | None:
    """A row for each unit of sale, where it is more than a request."""
    words, units = world.words, [one for one in business["measured_units"] if one["unit"].text != "request"]
    if not units:
        return None
    rows = [
        [
            words.name("sold", one["unit"].text.replace(" ", "_")), world.number(one["per_request"], "plain"),
            world.number(one["share"], "percent"), scenario(world, one["cost"]), scenario(world, one["price_floor"]),
            *(_unit_price(world, plan, one["unit"].text) for plan in _priced(world)),
        ]
        for one in units
    ]  # fmt: skip
    head = [
        words("business.unit"), words("business.per_request"), words("business.share_of_cost"), words("business.unit_cost"),
        words("business.unit_floor"), *(plan["name"].text for plan in _priced(world)),
    ]  # fmt: skip
    table = html.table(head, rows, label=words.plain("business.units"), numeric=range(1, len(head)), class_="stack")
    return html.card(words("business.units"), table, note=words("business.units_note"), wide=True)


def _priced(world: World) -> list[Traced]:
    """The plans that charge by unit."""
    return [plan for plan in world["blueprint"]["business"]["plans"] if len(list(plan["prices"].items()))]


def _unit_price(world: World, plan: Traced, unit: str) -> Markup:
    price = plan["prices"][unit]
    return world.number(price, "money") if price.there else Markup("–")


_ECONOMICS: tuple[tuple[str, Style], ...] = (
    ("arpa", "money"), ("cost", "money"), ("gross_margin", "percent"), ("churn", "percent"), ("lifetime", "months"), ("ltv", "money"),
    ("cac", "money"), ("ltv_to_cac", "ratio"), ("payback", "months"), ("break_even_customers", "count"),
)  # fmt: skip


def _unit_economics(world: World, economics: Traced) -> Markup:
    words = world.words
    pairs = [
        (words(f"economics.{key}"), scenario(world, economics[key], style))
        for key, style in _ECONOMICS
        if economics[key].there
    ]
    return html.card(words("business.unit_economics"), html.facts(pairs), note=words("business.unit_economics_note"))


_PLAN: tuple[tuple[str, Style], ...] = (
    ("revenue", "money"), ("machine_cost", "money"), ("payment_cost", "money"), ("support_cost", "money"), ("cost", "money"), ("gross_margin", "percent"),
    ("price_floor", "money"), ("overage_floor", "money"),
)  # fmt: skip


def _plans(world: World, business: Traced) -> Markup:
    """A column a plan: what it offers, then what one customer brings and costs a month."""
    words, plans = world.words, list(business["measured_plans"])
    offered = {plan["name"].text: plan for plan in world["blueprint"]["business"]["plans"]}
    terms = [offered.get(plan["name"].text, world["nothing"]) for plan in plans]
    rows: list[list[Any]] = []
    if offered:
        rows.append([words("business.price"), *(world.number(term["price"], "money") for term in terms)])
        rows.append(
            [
                words("business.included"),
                *(
                    world.number(term["included"], "count") if term["included"].there else words("business.unlimited")
                    for term in terms
                ),
            ]
        )
        rows.append([words("business.overage"), *(world.number(term["overage"], "money") for term in terms)])
    rows.append([words("business.share"), *(world.number(plan["share"], "percent") for plan in plans)])
    rows.append([words("business.usage"), *(scenario(world, plan["usage"], "count") for plan in plans)])
    rows += [[words(f"plan.{key}"), *(scenario(world, plan[key], style) for plan in plans)] for key, style in _PLAN]
    head = [words("business.plan"), *(plan["name"].text for plan in plans)]
    table = html.table(head, rows, label=words.plain("business.plans"), numeric=range(1, len(head)), class_="stack")
    return html.card(words("business.plans"), table, note=words("business.plans_note"), wide=True)


def _cash(world: World, business: Traced) -> Markup:
    """Cash by month in the three scenarios, with its zero line."""
    words, cash = world.words, business["measured_cash"]
    series = {
        name: [number for value in cash[name]["columns"]["cash"]["values"] if (number := value.number) is not None]
        for name, _ in SCENARIOS
    }
    months = list(range(1, 1 + max((len(values) for values in series.values()), default=1)))
    opening = cash["likely"]["opening_cash"].number or 0.0
    everything = [value for values in series.values() for value in values] + [0.0, opening]
    y = world.around(everything, words("business.cash_axis", currency=business["currency"].text).unescape())
    chart = charts.Chart(
        world.axis(0, max(months), words.plain("business.month"), marks=list(range(0, max(months) + 1, 6))),
        y,
        height=300,
    )
    if len(series["low"]) == len(series["high"]) == len(months):
        starts = [cash[name]["opening_cash"].number or 0.0 for name in ("low", "high")]
        lows, highs = [starts[0], *series["low"]], [starts[1], *series["high"]]
        chart.band(
            [0, *months],
            [min(pair) for pair in zip(lows, highs, strict=True)],
            [max(pair) for pair in zip(lows, highs, strict=True)],
            "s1",
        )
    chart.rule(y=0.0)
    for name, style in SCENARIOS:
        if series[name]:
            here = [0, *months[: len(series[name])]]
            chart.line(here, [cash[name]["opening_cash"].number or 0.0, *series[name]], style)
            last = cash[name]["columns"]["cash"]["values"][-1]
            money = Traced(f"{last.value!r} {business['currency'].text}", last.source) if last.there else last
            chart.dots(
                [(here[-1], series[name][-1])],
                style,
                titles=[world.number(last if not last.there else money, "money", element="title")],
            )
    legend = [(style, words.name("scenario", name)) for name, style in SCENARIOS]
    title = words.plain("business.cash_label")
    return html.card(
        words("business.cash", months=world.number(business["months"], "count")),
        html.figure(chart.svg(title), title, legend=legend, caption=words("business.cash_note")),
    )


def _months(world: World, business: Traced) -> Markup:
    """What the three cash tables say."""
    words, cash = world.words, business["measured_cash"]
    lines: tuple[tuple[str, Style], ...] = (
        ("opening_cash", "money"), ("lowest_cash", "money"), ("lowest_month", "count"), ("break_even_month", "count"), ("repaid_month", "count"), ("runway", "months"),
    )  # fmt: skip
    rows = []
    for key, style in lines:
        beyond = (
            words("business.beyond") if key == "runway" else words("business.never") if key.endswith("month") else "–"
        )
        rows.append(
            [
                words(f"cash.{key}"),
                *(world.number(cash[name][key], style) if cash[name][key].there else beyond for name, _ in SCENARIOS),
            ]
        )
    for key, style in (("customers", "count"), ("revenue", "money"), ("net", "money"), ("cash", "money")):
        values = [cash[name]["columns"][key]["values"][-1] for name, _ in SCENARIOS]
        if all(value.there for value in values):
            rows.append([words(f"cash.last_{key}"), *(world.number(value, style, decimals=0) for value in values)])
    head = [words("business.figure"), *(words.name("scenario", name) for name, _ in SCENARIOS)]
    return html.card(
        words("business.cash_says"),
        html.table(head, rows, label=words.plain("business.cash_says"), numeric=(1, 2, 3)),
        note=words("business.scenarios_note"),
    )


def _build(world: World, build: Traced) -> Markup | None:
    if not build.there:
        return None
    words = world.words
    pairs = [
        (words("business.machine_time"), world.number(build["machine_time"], "seconds")),
        (words("business.machine_cost"), scenario(world, build["machine_cost"])),
        (words("business.other"), scenario(world, build["other"])),
        (words("business.total"), scenario(world, build["total"])),
    ]
    return html.card(words("business.build"), html.facts(pairs), note=words("business.build_note"), wide=True)


def _assumptions(world: World, business: Traced) -> Markup:
    words, rows = world.words, []
    for assumption in business["assumptions"]:
        ours = (
            html.badge("warn", words("business.ours"))
            if assumption["default"].value
            else html.badge("good", words("business.declared"))
        )
        path = assumption["path"].text
        name = words.name("assumption", path.removeprefix("business.").rpartition(".")[2])
        if (steps := path.split("."))[1] in ("plans", "hires", "channels", "rounds"):
            entry = world["blueprint"]["business"][steps[1]][int(steps[2])]
            whose = entry["role"].text or entry["name"].text
            name = f"{whose}: {name}" if whose else name
        values = [world.number(assumption[key], "plain") for key in ("low", "likely", "high")]
        source = html.join(
            world.quote(assumption["source"]),
            html.join(" (", world.quote(assumption["date"]), ")") if assumption["date"] else None,
        )
        label = html.tag("span", name, html.tag("code", path.removeprefix("business."), class_="faint"), class_="twice")
        rows.append([label, *values, world.quote(assumption["unit"]), ours, source])
    head = [
        words("business.assumption"),
        words.name("scenario", "low"),
        words.name("scenario", "likely"),
        words.name("scenario", "high"),
        words("business.unit"),
        words("business.whose"),
        words("business.source"),
    ]
    table = html.table(head, rows, label=words.plain("business.assumptions"), numeric=(1, 2, 3))
    return html.card(
        words("business.assumptions"),
        html.details(words("business.show_assumptions"), table),
        note=words("business.assumptions_note"),
        wide=True,
    )


def _rate(world: World, given: Traced) -> Markup:
    """A rate of a table with its unit: prices of time by the hour, anything else in its canonical unit."""
    if given.unit.endswith("/s") and _style(given) == "money":
        return world.number(given, "hourly")
    return html.join(world.number(given), " ", html.tag("span", given.unit, class_="faint"))


def _formulas(world: World, business: Traced) -> Markup | None:
    words, rows = world.words, []
    for key, trace in business["trace"].items():
        how = (
            html.join(world.quote(trace["formula"], class_="formula"))
            if trace["formula"]
            else world.quote(trace["origin"], class_="formula")
        )
        rows.append([html.tag("code", key), words.name("kind", trace["kind"].text), how, world.quote(trace["source"])])
    if not rows:
        return None
    rates = [
        [
            world.quote(rate["origin"]),
            _rate(world, rate["value"]),
            world.quote(rate["source"]),
            world.quote(rate["date"]),
        ]
        for rate in business["rates"]
    ]
    head = [words("business.figure"), words("business.kind"), words("business.formula"), words("business.source")]
    table = html.table(head, rows, label=words.plain("business.formulas"))
    rate_head = [words("business.rate"), words("business.value"), words("business.source"), words("business.date")]
    rate_table = html.table(rate_head, rates, label=words.plain("business.rates")) if rates else None
    body = (
        html.details(words("business.show_rates"), rate_table) if rate_table else None,
        html.details(words("business.show_formulas"), table),
    )
    return html.card(words("business.formulas"), *body, note=words("business.formulas_note"), wide=True)
