"""Cards of how the service would run: machines for a week's demand, the catalogue, buying instead, variants, what people said of prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.traced import Traced
from modelyard.report.world import World

SHOWN = 8
"""Rows of the catalogue that stand open."""
CURVES = (("too_cheap", "s3"), ("cheap", "s1"), ("expensive", "s2"), ("too_expensive", "sbad"))


def cards(world: World, business: Traced) -> list[Markup | None]:
    """All of them; none where nothing was measured."""
    running = business["measured_running"]
    if not running.there:
        return []
    return [
        _demand(world, running["demand"]), _machines(world, running["machines"]), _bought(world, running["bought"]),
        _front(world, running["front"]), _meter(world, running["survey"]), _willing(world, running["survey"]),
    ]  # fmt: skip


def _numbers(values: Traced) -> list[float]:
    return [number for value in values if (number := value.number) is not None]


def _demand(world: World, demand: Traced) -> Markup:
    """The week's shape, and the machines that it takes in some months."""
    words, shape = world.words, _numbers(demand["shape"])
    hours = list(range(len(shape) + 1))
    x = world.axis(0, len(shape), words.plain("running.hour"), marks=list(range(0, len(shape) + 1, 24)))
    y = world.axis(0, max(shape, default=1.0), words.plain("running.shape"))
    chart = (
        charts.Chart(x, y, height=200).rule(y=1.0).line(hours, [*shape, shape[-1]] if shape else [], "s1", steps=True)
    )
    label = words.plain("running.demand")
    rows = [
        [
            world.number(one["month"], "count"), world.number(one["demand"], "rate"),
            world.number(one["fixed"], "count"), world.number(one["fixed_cost"], "money"), world.number(one["fixed_busy"], "percent"),
            world.number(one["following"], "count"), world.number(one["following_cost"], "money"), world.number(one["following_busy"], "percent"),
        ]
        for one in demand["months"]
    ]  # fmt: skip
    head = [
        words("business.month"), words("running.mean"), *(words(f"running.{key}") for key in ("fixed", "fixed_cost", "busy", "following", "following_cost", "busy")),
    ]  # fmt: skip
    table = html.table(head, rows, label=label, numeric=range(1, len(head)), class_="stack rows")
    facts = [
        (words("running.peak"), world.number(demand["peak"], "ratio")),
        (words("running.assumed"), world.number(demand["assumed"], "percent")),
    ]
    return html.card(
        label,
        html.figure(chart.svg(label), label),
        html.facts(facts),
        table,
        note=words("running.demand_note"),
        wide=True,
    )


def _machines(world: World, machines: Traced) -> Markup:
    """What the same service costs on other machines, and rented otherwise."""
    words, rows = world.words, []
    for one in machines:
        name = html.join(html.tag("code", one["machine"].text), " ", _chosen(world, one["chosen"]))
        rows.append(
            [
                name, words.name("rent", one["rent"].text.replace("-", "_")), world.number(one["price"], "hourly"),
                world.number(one["per_thousand"], "money") if one["per_thousand"].there else html.tag("span", words("running.unknown"), class_="faint"),
                html.tag("span", world.quote(one["provider"]), ", ", world.quote(one["date"]), class_="small faint"),
            ]
        )  # fmt: skip
    head = [
        words("business.machine"),
        words("running.rent"),
        words("running.price"),
        words("business.per_thousand"),
        words("business.source"),
    ]
    label = words.plain("running.machines")

    def table(part: list[list[Any]]) -> Markup:
        return html.table(head, part, label=label, numeric=(2, 3), class_="stack rows")

    more = html.details(words("running.more"), table(rows[SHOWN:])) if len(rows) > SHOWN else None
    return html.card(label, table(rows[:SHOWN]), more, note=words("running.machines_note"), wide=True)


def _chosen(world: World, chosen: Traced) -> Markup | str:
    return html.badge("good", world.words("running.chosen")) if chosen.value else ""


def _bought(world: World, bought: Traced) -> Markup | None:
    """APIs in the place of own machines."""
    if not len(bought):
        return None
    words = world.words
    rows = [
        [
            world.quote(one["name"]), world.number(one["bought"], "money"), world.number(one["own"], "money"),
            world.number(one["break_even"], "short") if one["break_even"].there else words("running.never"),
            world.number(one["repaid"], "months") if one["repaid"].there else words("business.beyond"), world.number(one["saved"], "money", decimals=0),
            html.tag("span", world.quote(one["source"]), ", ", world.quote(one["date"]), class_="small faint"),
        ]
        for one in bought
    ]  # fmt: skip
    head = [
        *(words(f"running.{key}") for key in ("api", "there", "here", "break_even", "repaid", "saved")),
        words("business.source"),
    ]
    label = words.plain("running.bought")
    table = html.table(head, rows, label=label, numeric=range(1, 6), class_="stack rows")
    return html.card(label, table, note=words("running.bought_note"), wide=True)


def _front(world: World, front: Traced) -> Markup | None:
    """Quality against cost; what a hundredth of the metric costs along the front."""
    if not front.there:
        return None
    words, points = world.words, list(front["points"])
    places = [(one["per_thousand"].number or 0.0, one["quality"].number or 0.0) for one in points]
    costs = [cost for cost, _ in places]
    x = world.axis(0.0, 1.1 * max(costs, default=1.0), words.plain("business.per_thousand"))
    x = replace(x, marks=x.ticks(3))
    y = world.around([quality for _, quality in places], words.name("metric", front["metric"].text))
    chart = charts.Chart(x, y)
    for one, place in zip(points, places, strict=True):
        title = world.number(one["latency"], "seconds", element="title")
        chart.dots(
            [place], "s1" if one["front"].value else "s2", titles=[title], radius=6 if one["chosen"].value else 4
        )
    chart.labels([(*place, one["variant"].text) for one, place in zip(points, places, strict=True)], lift=11)
    label = words.plain("running.front")
    rows = [
        [
            html.join(html.tag("code", one["variant"].text), " ", _chosen(world, one["chosen"])), world.number(one["quality"], "metric"),
            world.number(one["latency"], "seconds"), world.number(one["per_thousand"], "money"),
            words("running.on_front") if one["front"].value else words("running.beaten"),
        ]
        for one in points
    ]  # fmt: skip
    head = [
        words("running.variant"), words.name("metric", front["metric"].text), words("running.latency"), words("business.per_thousand"), "",
    ]  # fmt: skip
    table = html.table(head, rows, label=label, numeric=(1, 2, 3), class_="stack rows")
    steps = [
        html.tag(
            "li",
            words(
                "running.step", cheaper=html.tag("code", one["cheaper"].text), better=html.tag("code", one["better"].text),
                point=world.number(one["point"], "money"), latency=world.number(one["latency"], "seconds"),
            ),
        )
        for one in front["steps"]
    ]  # fmt: skip
    alone = sum(bool(one["front"].value) for one in points) == 1
    listed = (
        html.tag("ul", *steps) if steps else html.paragraph(words("running.no_step" if alone else "running.no_gain"))
    )
    legend = [("s1", words("running.on_front")), ("s2", words("running.beaten"))]
    return html.card(
        label,
        html.figure(chart.svg(label), label, legend=legend),
        table,
        listed,
        note=words("running.front_note"),
        wide=True,
    )


def _meter(world: World, survey: Traced) -> Markup | None:
    meter = survey["meter"]
    if not meter.there:
        return None
    words, prices = world.words, _numbers(meter["prices"])
    x = world.around(prices, words.plain("running.month_price"))
    y = world.axis(0, 1, words.plain("running.persons_share"))
    chart = charts.Chart(x, y)
    for name, style in CURVES:
        chart.line(prices, _numbers(meter[name]), style)
    for name in ("cheapest", "dearest"):
        if (at := meter[name].number) is not None:
            chart.rule(x=at)
    label = words.plain("running.meter")
    facts = [
        (words(f"running.{name}"), world.number(meter[name], "money"))
        for name in ("optimal", "indifferent", "cheapest", "dearest")
    ]
    legend = [(style, words(f"running.{name}")) for name, style in CURVES]
    return html.card(
        label,
        html.figure(chart.svg(label), label, legend=legend, caption=words("running.meter_note")),
        html.facts(facts),
        note=_asked(world, survey, meter),
    )


def _willing(world: World, survey: Traced) -> Markup | None:
    willing = survey["willing"]
    if not willing.there:
        return None
    words, prices = world.words, _numbers(willing["prices"])
    x, y = world.around(prices, words.plain("running.month_price")), world.axis(0, 1, words.plain("running.buying"))
    buying = _numbers(willing["buying"])
    chart = charts.Chart(x, y).line(prices, buying, "s1").dots(zip(prices, buying, strict=True), "s1")
    label = words.plain("running.willing")
    between = html.join(world.number(willing["low"], "money"), " – ", world.number(willing["high"], "money"))
    facts = [
        (words("running.margin_price"), world.number(willing["margin_price"], "money")), (words("running.margin_interval"), between),
        (words("running.revenue_price"), world.number(willing["revenue_price"], "money")),
    ]  # fmt: skip
    return html.card(
        label,
        html.figure(chart.svg(label), label, caption=words("running.willing_note")),
        html.facts(facts),
        note=_asked(world, survey, willing),
    )


def _asked(world: World, survey: Traced, part: Traced) -> Markup:
    persons = world.number(part["persons"], "count")
    return world.words(
        "running.asked", persons=persons, source=world.quote(survey["source"]), date=world.quote(survey["date"])
    )
