"""The market section: how large it is, how fast it comes, who else is there beside our measured row, and what presses on the trade."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.numbers import Style
from modelyard.report.sections._claims import listed, rests, said_by
from modelyard.report.sections._contract import Section
from modelyard.report.traced import Traced
from modelyard.report.world import World

SIZES = (("tam", "customers", "s3"), ("sam", "serviceable", "s2"), ("som", "obtainable", "s1"))
FORCES = ("rivalry", "entrants", "substitutes", "buyers", "suppliers")
SIDES = ("strengths", "weaknesses", "opportunities", "threats")
VERDICTS = {"ours": "good", "theirs": "bad", "unsure": "quiet"}


class Part(Section):
    """The market, sized, compared and judged."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        market, declared = world["business"]["measured_market"], world["blueprint"]["market"]
        return html.grid(
            _size(world, market["size"], declared), _adoption(world, market["adoption"], declared["adoption"]),
            _map(world, market), _compared(world, market, declared), _forces(world, market, declared["forces"]),
            *_swot(world, market, declared["swot"]),
        )  # fmt: skip

    def brief(self, world: World) -> Markup | None:
        """How large, and who else is there."""
        market, declared = world["business"]["measured_market"], world["blueprint"]["market"]
        return html.grid(
            _size(world, market["size"], declared), _map(world, market), _compared(world, market, declared)
        )


# -- size and adoption -----------------------------------------------------------------------------------------------------


def _size(world: World, size: Traced, declared: Traced) -> Markup | None:
    """TAM, SAM and SOM on one logarithmic scale, and the segments they are made of."""
    if not size.there:
        return None
    words = world.words
    bounds = [number for key, _, _ in SIZES for end in ("low", "value", "high") if (number := size[key][end].number)]
    track = charts.Track(world.around(bounds, log=True)) if bounds else None
    rows: list[list[Any]] = []
    for key, count, style in SIZES:
        value, low, high = (size[key][end].number or 0.0 for end in ("value", "low", "high"))
        drawn = track.row(value, low, high, style) if track is not None else None
        rows.append(
            [words(f"size.{key}"), drawn, _spread(world, size[key], "amount"), _spread(world, size[count], "short")]
        )
    if track is not None:
        rows.append(["", track.scale(), "", ""])
    head = ["", "", words("market.a_year"), words("market.customers")]
    table = html.table(head, rows, label=words.plain("market.size"), numeric=(2, 3), class_="forest rows")
    note = words("market.size_note", draws=world.number(size["draws"], "count"))
    segments = html.details(words("market.show_segments"), _segments(world, size["segments"], declared["segments"]))
    return html.card(words("market.size"), table, segments, note=note, wide=True)


def _spread(world: World, given: Traced, style: Style) -> Markup:
    """`$1.2 M ($0.9 M to $1.6 M)` from a median with P10 and P90."""
    if given["low"].value == given["high"].value:
        return world.number(given["value"], style)
    bounds = world.words(
        "number.bounds", low=world.number(given["low"], style), high=world.number(given["high"], style)
    )
    return world.words("number.interval", value=world.number(given["value"], style), brackets=world.brackets(bounds))


def _segments(world: World, sizes: Traced, declared: Traced) -> Markup:
    words, rows = world.words, []
    for place, one in enumerate(sizes):
        given = declared[place]
        rows.append(
            [
                world.quote(one["name"]), _range(world, given["customers"], "short"), _range(world, given["spend"], "money"),
                _range(world, given["serviceable"], "percent"), _range(world, given["obtainable"], "percent"),
                _spread(world, one["som"], "amount"), said_by(world, given),
            ]
        )  # fmt: skip
    head = [
        words("market.segment"), words("market.customers"), words("market.spend"), words("market.serviceable"),
        words("market.obtainable"), words("size.som"), words("business.source"),
    ]  # fmt: skip
    return html.table(head, rows, label=words.plain("market.show_segments"), numeric=range(1, 6), class_="stack rows")


def _range(world: World, given: Traced, style: Style) -> Markup:
    """A range of the blueprint: likely, low to high."""
    if not given.there:
        return Markup("–")
    if given["low"].value == given["high"].value:
        return world.number(given["likely"], style)
    bounds = world.words(
        "number.bounds", low=world.number(given["low"], style), high=world.number(given["high"], style)
    )
    return world.words("number.interval", value=world.number(given["likely"], style), brackets=world.brackets(bounds))


def _adoption(world: World, adoption: Traced, declared: Traced) -> Markup | None:
    """The bound on customers by month, with P10 to P90, and the plan's customers."""
    if not adoption.there:
        return None
    words = world.words
    lows, values, highs, planned = (
        [one.number or 0.0 for one in adoption[key]] for key in ("low", "value", "high", "planned")
    )
    months = list(range(1, len(values) + 1))
    y = world.around([*highs, *planned, 0.0], words.plain("market.customers"), zero=True)
    marks = list(range(0, len(months) + 1, max(6 * round(len(months) / 36), 1 if len(months) < 12 else 6)))
    chart = charts.Chart(world.axis(0, len(months), words.plain("business.month"), marks=marks), y, height=300)
    chart.band(months, lows, highs, "s3").line(months, values, "s3").line(months, planned, "s1")
    titles = [
        world.number(adoption[key][-1], "count", element="title") for key in ("value", "planned") if len(adoption[key])
    ]
    for style, series, title in zip(("s3", "s1"), (values, planned), titles, strict=False):
        chart.dots([(months[-1], series[-1])], style, titles=[title])
    beyond = adoption["beyond"]
    verdict = (
        html.callout("bad", words("market.beyond", month=world.number(beyond, "count")))
        if beyond.there
        else html.callout("good", words("market.within"))
    )
    legend = [("s3", words("market.bound")), ("s1", words("market.planned"))]
    label = words.plain("market.adoption")
    chance = html.paragraph(words("market.chance", chance=world.number(adoption["chance"], "percent")), class_="small")
    return html.card(
        words("market.adoption"), html.figure(chart.svg(label), label, legend=legend, caption=said_by(world, declared)), verdict,
        chance, note=words("market.adoption_note"),
    )  # fmt: skip


# -- competitors -----------------------------------------------------------------------------------------------------------


def _rows(market: Traced) -> list[Traced]:
    return [market["ours"], *market["competitors"]] if market["ours"].there else list(market["competitors"])


def _price_name(world: World, market: Traced) -> str:
    """What prices are of: a customer's month, or a lot of a unit."""
    price_of = market["price_of"].text
    if price_of == "month":
        return world.words.plain("market.price_month")
    sold = world.words.name("sold", price_of.replace(" ", "_"))
    return world.words("market.price_lot", unit=sold).unescape()


def _map(world: World, market: Traced) -> Markup | None:
    """Price across; quality up, or speed where no competitor's quality is known."""
    words, rows = world.words, [row for row in _rows(market) if row["price"].there]
    key = "quality" if any(row["quality"].there for row in list(market["competitors"])) else "p95"
    points = [(row, row["price"]["likely"].number, _height(row, key)) for row in rows]
    known = [(row, x, y) for row, x, y in points if x is not None and y is not None]
    if len(known) < 2 or not market["ours"]["price"].there:
        return None
    name = words.name("metric", market["metric"].text) if key == "quality" else words.plain("market.p95_ms")
    ends = [
        number for row, _, _ in known for end in ("low", "high") if (number := row["price"][end].number) is not None
    ]
    heights = [y for _, _, y in known]
    if key == "quality":
        heights += [
            number for row, _, _ in known for end in ("low", "high") if (number := row[key][end].number) is not None
        ]
    chart = charts.Chart(
        world.around(ends, _price_name(world, market), zero=True), world.around(heights, name), height=310
    )
    for row, x, y in known:
        ours = row["origins"].there and row.source == market["ours"].source
        style = "s1" if ours else "s2"
        low, high = row["price"]["low"].number, row["price"]["high"].number
        if low is not None and high is not None and high > low:
            chart.line([low, high], [y, y], style)
        if key == "quality" and row[key]["low"].number is not None and row[key]["high"].number is not None:
            chart.line([x, x], [row[key]["low"].number or 0.0, row[key]["high"].number or 0.0], style)
        chart.dots(
            [(x, y)],
            style,
            titles=[world.number(row["price"]["likely"], "money", element="title")],
            radius=6 if ours else 4,
        )
    chart.labels(((x, y, row["name"].text) for row, x, y in known), lift=11)
    label = words.plain("market.map")
    legend = [("s1", words("market.ours")), ("s2", words("market.theirs"))]
    return html.card(
        words("market.map"), html.figure(chart.svg(label), label, legend=legend, caption=words("market.map_note"))
    )


def _height(row: Traced, key: str) -> float | None:
    if key == "quality":
        return row["quality"]["value"].number
    seconds = row["p95"].number
    return None if seconds is None else seconds * 1000


def _compared(world: World, market: Traced, declared: Traced) -> Markup | None:
    """A row each: price, quality, speed and features; ours is measured."""
    rows, words = _rows(market), world.words
    if len(rows) < 2:
        return None
    features = [one["name"] for one in declared["features"]]
    metric = words.name("metric", market["metric"].text)
    lines = []
    for place, row in enumerate(rows):
        has = {one.text for one in row["features"]}
        ours = place == 0 and market["ours"].there
        told = (
            words("market.measured")
            if ours
            else said_by(world, declared["competitors"][place - (1 if market["ours"].there else 0)])
        )
        name = html.tag("strong" if ours else "span", world.quote(row["name"]))
        lines.append(
            [
                name, _cell(world, row, "price", _price(world, row["price"])),
                _cell(world, row, "quality", _quality(world, row["quality"])), _cell(world, row, "p95", world.number(row["p95"], "seconds")),
                *(_has(world, feature.text in has) for feature in features), html.tag("span", told, class_="small faint"),
            ]
        )  # fmt: skip
    head = [
        words("market.who"), _price_name(world, market), metric, words("market.p95"), *(world.quote(one) for one in features),
        words("business.source"),
    ]  # fmt: skip
    table = html.table(head, lines, label=words.plain("market.compared"), class_="stack rows")
    shown = [
        html.join(world.quote(one["name"]), " ", rests(world, one, market["references"]))
        for one in declared["features"]
    ]
    more = html.details(words("market.show_features"), listed(shown)) if shown else None
    return html.card(words("market.compared"), table, more, note=words("market.compared_note"), wide=True)


def _cell(world: World, row: Traced, key: str, shown: Markup) -> Markup:
    verdict = row["verdicts"][key].text
    return (
        html.join(shown, " ", html.badge(VERDICTS[verdict], world.words(f"verdict_of.{verdict}"))) if verdict else shown
    )


def _price(world: World, price: Traced) -> Markup:
    return _range(world, price, "money")


def _quality(world: World, quality: Traced) -> Markup:
    if not quality.there:
        return Markup("–")
    return (
        world.number(quality["value"], "metric")
        if quality["low"].value == quality["high"].value
        else world.interval(quality)
    )


def _has(world: World, has: bool) -> Markup:
    return (
        html.badge("good", world.words("market.yes"))
        if has
        else html.tag("span", world.words("market.no"), class_="faint")
    )


# -- forces and SWOT -------------------------------------------------------------------------------------------------------


def _forces(world: World, market: Traced, forces: Traced) -> Markup | None:
    if not forces.there:
        return None
    words = world.words
    rows = [
        [
            words(f"force.{name}"),
            html.join(charts.meter((forces[name]["strength"].number or 0) / 5, "sbad" if (forces[name]["strength"].number or 0) > 3 else "s1")),
            world.number(forces[name]["strength"], "count"),
            html.join(world.quote(forces[name]["why"]), " ", rests(world, forces[name], market["references"])),
        ]
        for name in FORCES
    ]  # fmt: skip
    head = [words("market.force"), "", words("market.strength"), words("market.why")]
    table = html.table(head, rows, label=words.plain("market.forces"), numeric=(2,), class_="rows")
    return html.card(words("market.forces"), table, note=words("market.forces_note"), wide=True)


def _swot(world: World, market: Traced, swot: Traced) -> list[Markup]:
    """Four cards, two by two."""
    words = world.words
    return [
        html.card(
            words(f"swot.{side}"),
            listed(
                [
                    html.join(world.quote(one["text"]), " ", rests(world, one, market["references"]))
                    for one in swot[side]
                ]
            ),
            kind="swot",
        )
        for side in SIDES
        if len(swot[side])
    ]
