"""Cards of what may become of the venture: draws, what the outcome hangs on, stresses, prices, returns and owners."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.numbers import Style
from modelyard.report.sections._shared import scenario
from modelyard.report.traced import Traced
from modelyard.report.world import World

OUTCOMES: tuple[tuple[str, Style], ...] = (
    ("gross_margin", "percent"), ("ltv", "money"), ("ltv_to_cac", "ratio"), ("payback", "months"), ("npv", "money"),
    ("lowest_cash", "money"), ("cash_at_end", "money"),
)  # fmt: skip
RETURNS: tuple[tuple[str, Style], ...] = (
    ("npv", "money"), ("irr", "percent"), ("roi", "percent"), ("money_needed", "money"), ("burn_multiple", "ratio"),
    ("rule_of_40", "percent"), ("net_revenue_retention", "percent"),
)  # fmt: skip
WIDEST = 10
"""Rows of the tornado."""


def cards(world: World, business: Traced) -> list[Markup | None]:
    """All of them; none where nothing was drawn."""
    outlook = business["measured_outlook"]
    if not outlook.there:
        return []
    return [
        _bands(world, business, outlook), _outcomes(world, outlook), _tornado(world, business, outlook),
        _stresses(world, outlook), _prices(world, business, outlook), returns(world, business), _owners(world, business),
        _workbook(world, business),
    ]  # fmt: skip


def brief(world: World, business: Traced) -> list[Markup | None]:
    """Those for the print view."""
    outlook = business["measured_outlook"]
    return [_bands(world, business, outlook), _tornado(world, business, outlook)] if outlook.there else []


def _numbers(values: Traced) -> list[float]:
    return [number for value in values if (number := value.number) is not None]


def _bands(world: World, business: Traced, outlook: Traced) -> Markup:
    """Eight of ten draws by month, and the chance that the money has run out."""
    words, bands = world.words, outlook["bands"]
    low, middle, high = (_numbers(bands[name]["values"]) for name in ("p10", "p50", "p90"))
    months = list(range(1, len(middle) + 1))
    y = world.around([*low, *high, 0.0], words("business.cash_axis", currency=business["currency"].text).unescape())
    last = max(months, default=1)
    chart = charts.Chart(
        world.axis(0, last, words.plain("business.month"), marks=list(range(0, last + 1, 6))), y, height=300
    )
    chart.band(months, low, high, "s1").rule(y=0.0).line(months, middle, "s1")
    label = words.plain("outlook.bands")
    facts = [
        (words("outlook.ruin", months=world.number(business["months"], "count")), world.number(outlook["ruin"][-1], "percent")),
        (words("outlook.ruin_half"), world.number(outlook["ruin"][last // 2 - 1 if last > 1 else 0], "percent")),
        (words("outlook.healthy"), world.number(outlook["healthy"], "percent")),
    ]  # fmt: skip
    legend = [("s1", words("outlook.middle"))]
    caption = words("outlook.bands_note", draws=world.number(outlook["draws"], "count"))
    return html.card(label, html.figure(chart.svg(label), label, legend=legend, caption=caption), html.facts(facts))


def _outcomes(world: World, outlook: Traced) -> Markup:
    words = world.words
    rows = [
        [words(f"outlook.{key}"), *(world.number(outlook["outcomes"][key][part], style) for part in ("p10", "p50", "p90", "mean"))]
        for key, style in OUTCOMES
        if outlook["outcomes"][key].there
    ]  # fmt: skip
    head = [
        words("business.figure"),
        words("outlook.p10"),
        words("outlook.p50"),
        words("outlook.p90"),
        words("outlook.mean"),
    ]
    label = words.plain("outlook.outcomes")
    return html.card(
        label, html.table(head, rows, label=label, numeric=(1, 2, 3, 4)), note=words("outlook.outcomes_note"), wide=True
    )


def label_of(world: World, path: str) -> str:
    """A blueprint's key for people: `plans.starter.usage` is `starter: Usage`."""
    first, _, rest = path.partition(".")
    name = world.words.name("assumption", (rest.rpartition(".")[2] if rest else first))
    return f"{rest.rpartition('.')[0]}: {name}" if rest else name


def _tornado(world: World, business: Traced, outlook: Traced) -> Markup | None:
    """How far the cash at the end moves with each assumption, and how much of its variance hangs on it."""
    words, bars = world.words, list(outlook["tornado"])[:WIDEST]
    if not bars:
        return None
    likely = business["measured_cash"]["likely"]["columns"]["cash"]["values"][-1].number or 0.0
    ends = [number for bar in bars for end in ("low", "high") if (number := bar[end].number) is not None]
    track = charts.Track(world.around([*ends, likely]), likely)
    totals = {share["path"].text: share["total"] for share in outlook["shares"]}
    rows: list[list[Any]] = []
    for bar in bars:
        low, high = (bar[end].number or 0.0 for end in ("low", "high"))
        total = totals.get(bar["path"].text, world["nothing"])
        reach = html.join(*(world.number(bar[end], "money", decimals=0) for end in ("low", "high")), between=" – ")
        drawn = track.row(likely, min(low, high), max(low, high), "s1")
        rows.append([label_of(world, bar["path"].text), drawn, reach, world.number(total, "percent")])
    rows.append(["", track.scale(), "", ""])
    head = [words("business.assumption"), "", words("outlook.reach"), words("outlook.variance")]
    label = words.plain("outlook.tornado")
    return html.card(
        label,
        html.table(head, rows, label=label, numeric=(2, 3), class_="forest"),
        note=words("outlook.tornado_note"),
        wide=True,
    )


def _stresses(world: World, outlook: Traced) -> Markup:
    words = world.words
    rows = [
        [
            words.name("stress", stress["name"].text), world.number(stress["ltv_to_cac"], "ratio"), world.number(stress["lowest_cash"], "money", decimals=0),
            world.number(stress["cash_at_end"], "money", decimals=0), world.number(stress["runway"], "months") if stress["runway"].there else words("business.beyond"),
        ]
        for stress in outlook["stresses"]
    ]  # fmt: skip
    head = [
        words("outlook.stress"),
        words("economics.ltv_to_cac"),
        words("cash.lowest_cash"),
        words("cash.last_cash"),
        words("cash.runway"),
    ]
    label = words.plain("outlook.stresses")
    table = html.table(head, rows, label=label, numeric=(1, 2, 3, 4))
    return html.card(label, table, note=words("outlook.stresses_note"), wide=True)


def _prices(world: World, business: Traced, outlook: Traced) -> Markup | None:
    """What is earned over the horizon at other prices."""
    words, prices, best = world.words, list(outlook["prices"]), outlook["best_level"]
    levels = [price["level"].number or 0.0 for price in prices]
    low, mean, high = ([price["net"][part].number or 0.0 for price in prices] for part in ("p10", "mean", "p90"))
    if not levels:
        return None
    x = world.axis(min(levels), max(levels), words.plain("outlook.level"))
    y = world.around([*low, *high], words("business.cash_axis", currency=business["currency"].text).unescape())
    chart = charts.Chart(x, y).band(levels, low, high, "s1").rule(x=1.0).line(levels, mean, "s1")
    label = words.plain("outlook.prices")
    facts = [
        (
            words("outlook.best"),
            world.number(best["p50"], "ratio"),
        ),
        (
            words("outlook.best_interval"),
            html.join(world.number(best["p10"], "ratio"), " – ", world.number(best["p90"], "ratio")),
        ),
    ]
    edge = html.paragraph(words("outlook.best_edge")) if best["p50"].number == levels[-1] else None
    return html.card(
        label, html.figure(chart.svg(label), label, caption=words("outlook.prices_note")), html.facts(facts), edge
    )


def returns(world: World, business: Traced) -> Markup:
    """What the money put in brings."""
    words, returns = world.words, business["measured_returns"]
    pairs = [
        (words(f"returns.{key}"), scenario(world, returns[key], style))
        for key, style in RETURNS
        if returns[key]["likely"].there
    ]
    return html.card(words("outlook.returns"), html.facts(pairs), note=words("outlook.returns_note"))


def _owners(world: World, business: Traced) -> Markup | None:
    words, stakes = world.words, list(business["measured_owners"])
    if not stakes:
        return None
    names = list(dict.fromkeys(who for stake in stakes for who, _ in stake["shares"].items()))
    rows = [[who, *(world.number(stake["shares"][who], "percent") for stake in stakes)] for who in names]
    head = [words("outlook.owner"), *(stake["name"].text or words("outlook.before") for stake in stakes)]
    label = words.plain("outlook.owners")
    return html.card(label, html.table(head, rows, label=label, numeric=range(1, len(head))))


def _workbook(world: World, business: Traced) -> Markup | None:
    words, there = world.words, business["workbook"]
    if not there.there:
        return None
    return html.card(
        words("outlook.workbook"),
        html.paragraph(world.quote(there, element="code")),
        html.paragraph(words("outlook.brief", file=html.tag("code", "brief.html"))),
        note=words("outlook.workbook_note"),
    )
