"""The strategy section: the business model on a page, the plan with its money and machines, the risks, and the duties of the law."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._claims import listed, said_by, value_at
from modelyard.report.sections._contract import Section
from modelyard.report.sections.market import _range as ranged
from modelyard.report.traced import Traced
from modelyard.report.world import World

BLOCKS = ("partners", "activities", "resources", "value", "relations", "channels", "customers", "costs", "revenue")
STATES = {"done": "good", "expected": "good", "open": "quiet", "short": "bad", "unknown": "warn"}
DUTIES = {"shown": "good", "declared": "good", "open": "warn", "failed": "bad"}
EVIDENCE = {
    "there": "good",
    "passed": "good",
    "warning": "warn",
    "failed": "bad",
    "skipped": "quiet",
    "missing": "quiet",
}


class Part(Section):
    """The strategy, checked against cash, machines and the audit."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        strategy, declared = world["business"]["measured_strategy"], world["blueprint"]["strategy"]
        return html.join(
            _canvas(world, declared["canvas"]),
            html.grid(
                *_plan(world, strategy, declared), _cash(world, strategy["resources"]), _machines(world, strategy["resources"]),
                _pots(world, strategy["resources"]), *_risks(world, strategy["risks"], declared["risks"]),
                *_duties(world, strategy, declared["selling"]),
            ),
        )  # fmt: skip

    def brief(self, world: World) -> Markup | None:
        """The business on a page, what is done by when, and what may go wrong."""
        strategy, declared = world["business"]["measured_strategy"], world["blueprint"]["strategy"]
        return html.join(
            _canvas(world, declared["canvas"]),
            html.grid(*_plan(world, strategy, declared), *_risks(world, strategy["risks"], declared["risks"])),
        )


def _canvas(world: World, canvas: Traced) -> Markup | None:
    """Nine blocks, as Osterwalder and Pigneur lay them out; one below the other on a phone."""
    if not canvas.there:
        return None
    words = world.words
    blocks = [
        html.tag("div", html.tag("h4", words(f"block.{name}")), listed([world.quote(one) for one in canvas[name]], class_=""), class_=f"block {name}")
        for name in BLOCKS
    ]  # fmt: skip
    return html.card(
        words("strategy.canvas"),
        html.tag("div", *blocks, class_="canvas"),
        note=words("strategy.canvas_note"),
        wide=True,
    )


# -- the plan --------------------------------------------------------------------------------------------------------------


def _plan(world: World, strategy: Traced, declared: Traced) -> list[Markup]:
    """A card a goal: its actions on one scale of months, with owner, money and the number that shows them done."""
    words = world.words
    months = len(strategy["resources"]["cash"]) or int(world["business"]["months"].number or 36)
    track = charts.Track(world.axis(0, months, marks=list(range(0, months + 1, 6 if months > 12 else 1))))
    values = list(strategy["actions"])
    cards, number = [], 0
    for goal in declared["goals"]:
        rows: list[list[Any]] = []
        for milestone in goal["milestones"]:
            due = html.join(
                world.quote(milestone["name"]),
                html.tag("span", words("strategy.due"), " ", world.quote(milestone["due"]), class_="faint small below"),
            )
            rows.append([html.tag("strong", due), "", "", "", ""])
            for action in milestone["actions"]:
                value = values[number] if number < len(values) else strategy["nothing"]
                rows.append(_action(world, action, value, track))
                number += 1
        rows.append(["", track.scale(), "", "", ""])
        head = [
            words("strategy.action"),
            words("strategy.months"),
            words("strategy.owner"),
            words("strategy.budget"),
            words("strategy.shows"),
        ]
        table = html.table(head, rows, label=goal["name"].text, numeric=(3,), class_="stack plan rows")
        cards.append(html.card(world.quote(goal["name"]), table, note=words("strategy.plan_note"), wide=True))
    return cards  # fmt: skip


def _action(world: World, action: Traced, value: Traced, track: charts.Track) -> list[Any]:
    words, drawn = world.words, None
    first, last = value["first"].number, value["last"].number
    state = value["state"].text
    if first is not None and last is not None:
        style = {"good": "s3", "bad": "sbad", "warn": "swarn"}.get(STATES.get(state, ""), "s1")
        drawn = track.span(first - 1, last, style)
    days = html.tag("span", world.quote(action["start"]), " – ", world.quote(action["end"]), class_="faint small below")
    builds = (
        html.tag(
            "span", words("strategy.with_builds", builds=world.number(action["builds"], "count")), class_="faint small"
        )
        if action["builds"]
        else None
    )
    paid = (
        html.tag("span", words(f"paid_from.{action['paid_from'].text}"), class_="faint small")
        if action["paid_from"]
        else None
    )
    return [
        html.join(world.quote(action["name"]), " ", days), drawn, world.quote(action["owner"]),
        html.join(ranged(world, action["budget"], "money"), " ", paid, " ", builds), _shown(world, action["metric"], value),
    ]  # fmt: skip


def _shown(world: World, metric: Traced, value: Traced) -> Markup:
    """The number that shows an action done, what it is, and what it must be."""
    words = world.words
    side = "at_least" if metric["at_least"].there else "at_most"
    state = value["state"].text
    name = html.tag("code", (metric["record"] if metric["record"] else metric["line"]).text)
    if not value["metric"]["origin"]:
        here: Any = "–"
    elif metric["record"]:
        here = value_at(world, value["metric"])
    else:
        here = world.number(value["metric"]["value"])
    badge = html.badge(STATES[state], words(f"action_state.{state}")) if state else None
    return html.join(name, " ", words(f"demand.{side}", wanted=world.number(metric[side]), here=here), " ", badge)


# -- money and machines ----------------------------------------------------------------------------------------------------


def _cash(world: World, resources: Traced) -> Markup | None:
    """Cash without and with the actions, month by month."""
    if not resources.there:
        return None
    words = world.words
    plain, after, spent = ([one.number or 0.0 for one in resources[key]] for key in ("cash", "after", "spent"))
    months = list(range(1, len(plain) + 1))
    y = world.around([*plain, *after, 0.0], words("business.cash_axis", currency=world.currency).unescape())
    chart = charts.Chart(
        world.axis(0, len(months), words.plain("business.month"), marks=list(range(0, len(months) + 1, 6))),
        y,
        height=300,
    )
    chart.bars([month - 1 for month in (*months, len(months) + 1)], spent, "s2").rule(y=0.0)
    chart.line(months, plain, "s8", dashed=True).line(months, after, "s1")
    chart.dots([(months[-1], after[-1])], "s1", titles=[world.number(resources["after"][-1], "money", element="title")])
    label = words.plain("strategy.cash")
    legend = [("s8", words("strategy.without")), ("s1", words("strategy.with")), ("s2", words("strategy.spent"))]
    out = resources["out"]
    verdict = (
        html.callout("bad", words("strategy.cash_out", month=world.number(out, "count")))
        if out.there
        else html.callout("good", words("strategy.cash_lasts"))
    )
    pairs = [
        (words("strategy.lowest"), world.interval(resources["left"], "money")),
        (words("strategy.ruin"), world.number(resources["ruin"], "percent")),
    ]
    return html.card(
        words("strategy.cash"),
        html.figure(chart.svg(label), label, legend=legend),
        verdict,
        html.facts(pairs),
        note=words("strategy.cash_note"),
    )


def _machines(world: World, resources: Traced) -> Markup | None:
    """Machine hours a month of all builds against those that are there."""
    if not resources.there:
        return None
    words = world.words
    hours = [one.number or 0.0 for one in resources["hours"]]
    if not any(hours):
        return None
    there = resources["hours_there"].number
    months = len(hours)
    chart = charts.Chart(
        world.axis(0, months, words.plain("business.month"), marks=list(range(0, months + 1, 6))),
        world.around([*hours, there or 0.0], words.plain("strategy.hours"), zero=True), height=240,
    )  # fmt: skip
    chart.bars(list(range(months + 1)), hours, "s1")
    if there is not None:
        chart.rule(y=there, name=words("strategy.hours_there"), style="limit")
    short = resources["hours_short"]
    verdict = (
        html.callout("bad", words("strategy.hours_short", month=world.number(short, "count"))) if short.there else None
    )
    pairs = [
        (
            words("strategy.build_hours"),
            html.join(world.number(resources["build_hours"]), " ", html.tag("code", resources["build_origin"].text)),
        ),
        (words("strategy.hours_there"), world.number(resources["hours_there"])),
    ]
    label = words.plain("strategy.machines")
    return html.card(
        words("strategy.machines"),
        html.figure(chart.svg(label), label),
        verdict,
        html.facts(pairs),
        note=words("strategy.machines_note"),
    )


def _pots(world: World, resources: Traced) -> Markup | None:
    """Costs of the plan that actions are a part of: whether they suffice."""
    pots = list(resources["pots"])
    if not pots:
        return None
    words, rows = world.words, []
    for pot in pots:
        amounts = [one.number or 0.0 for one in pot["allocated"]]
        most = amounts.index(max(amounts)) if amounts else 0
        short = pot["short"]
        light = (
            html.badge("bad", words("strategy.pot_short", month=world.number(short, "count")))
            if short.there
            else html.badge("good", words("strategy.pot_suffices"))
        )
        rows.append(
            [
                words(f"paid_from.{pot['name'].text}"),
                world.number(pot["allocated"][most], "money"),
                world.number(pot["there"][most], "money"),
                light,
            ]
        )
    head = [words("strategy.pot"), words("strategy.most"), words("strategy.pot_there"), ""]
    return html.card(
        words("strategy.pots"),
        html.table(head, rows, label=words.plain("strategy.pots"), numeric=(1, 2)),
        note=words("strategy.pots_note"),
    )


# -- risks -----------------------------------------------------------------------------------------------------------------


def _risks(world: World, risks: Traced, declared: Traced) -> list[Markup]:
    """Chance across, cost up; the table says what is done."""
    each = list(risks["each"])
    if not each:
        return []
    words = world.words
    points = [(one, one["likelihood"]["value"].number or 0.0, one["impact"]["value"].number or 0.0) for one in each]
    name = words("strategy.impact_axis", currency=world.currency).unescape()
    top = max(one["likelihood"]["high"].number or x for one, x, _ in points) * 1.1 or 1.0
    chart = charts.Chart(
        charts.Axis(0.0, min(top, 1.05), words.plain("strategy.likelihood"), form=charts.percent),
        world.around([one["impact"]["high"].number or y for one, _, y in points], name, zero=True),
        height=290,
    )
    for one, x, y in points:
        low, high = (one["likelihood"][end].number for end in ("low", "high"))
        chart.line([low or x, high or x], [y, y], "s2")
        low, high = (one["impact"][end].number for end in ("low", "high"))
        chart.line([x, x], [low or y, high or y], "s2")
        chart.dots([(x, y)], "s2", titles=[world.number(one["expected"]["value"], "money", element="title")], radius=5)
    chart.labels(((x, y, one["name"].text) for one, x, y in points), lift=11)
    label = words.plain("strategy.risk_map")
    pairs = [
        (words("strategy.expected_loss"), world.interval(risks["expected"], "money")),
        (words("strategy.bad_year"), world.number(risks["bad_year"], "money")),
        (words("strategy.quiet_year"), world.number(risks["none"], "percent")),
    ]
    given = {one["name"].text: one for one in declared}
    rows = []
    for one in each:
        risk = given.get(one["name"].text, declared["nothing"])
        rows.append(
            [
                world.quote(one["name"]), world.interval(one["likelihood"], "percent"), world.interval(one["impact"], "money"),
                world.number(one["expected"]["value"], "money"), world.quote(risk["trigger"]), world.quote(risk["response"]), world.quote(risk["owner"]),
            ]
        )  # fmt: skip
    head = [
        words("strategy.risk"), words("strategy.likelihood"), words("strategy.impact"), words("strategy.expected"), words("strategy.trigger"),
        words("strategy.response"), words("strategy.owner"),
    ]  # fmt: skip
    table = html.table(head, rows, label=words.plain("strategy.risks"), numeric=(1, 2, 3), class_="stack rows")
    return [
        html.card(
            words("strategy.risk_map"),
            html.figure(chart.svg(label), label),
            html.facts(pairs),
            note=words("strategy.risk_note"),
        ),
        html.card(
            words("strategy.risks"),
            table,
            note=words("strategy.risks_note", draws=world.number(risks["draws"], "count")),
            wide=True,
        ),
    ]


# -- duties ----------------------------------------------------------------------------------------------------------------


def _duties(world: World, strategy: Traced, selling: Traced) -> list[Markup]:
    """A card a market: what the law asks, since when, and what in this build bears on it."""
    words = world.words
    cards = []
    for market in selling["markets"]:
        duties = [duty for duty in strategy["duties"] if duty["market"].text == market.text]
        if not duties:
            continue
        rows = [_duty(world, duty, selling["answers"][duty["name"].text]) for duty in duties]
        open_ = sum(duty["state"].text in ("open", "failed") for duty in duties)
        head = [words("strategy.duty"), words("strategy.since"), words("strategy.state"), words("strategy.evidence")]
        table = html.table(head, rows, label=words.plain("strategy.duties"), class_="stack rows")
        summary = words(
            "strategy.duties_open",
            open=world.count(open_, f"duties open {market.text}"),
            all=world.count(len(duties), f"duties {market.text}"),
        )
        cards.append(
            html.card(
                words("strategy.duties_of", market=words(f"place.{market.text}")),
                html.paragraph(summary),
                table,
                note=words("strategy.duties_note"),
                wide=True,
            )
        )
    return cards


def _duty(world: World, duty: Traced, answer: Traced) -> list[Any]:
    words, state = world.words, duty["state"].text
    text = words.name("duty", duty["name"].text)
    law = html.tag("span", world.quote(duty["law"]), ", ", world.quote(duty["article"]), class_="faint small below")
    force = html.tag(
        "span",
        words("strategy.in_force") if duty["in_force"].value else words("strategy.later"),
        class_="faint small below",
    )
    shown = [
        html.join(
            html.tag("code", one["path"].text),
            " ",
            html.badge(EVIDENCE[one["state"].text], words(f"evidence.{one['state'].text}")),
        )
        for one in duty["evidence"]
    ]
    if answer.there:
        shown.insert(
            0,
            html.join(world.quote(answer["how"]), " ", html.tag("span", said_by(world, answer), class_="faint small")),
        )
    compared = world.quote(duty["checked"]) if duty["checked"].text else words("strategy.not_compared")
    source = html.tag("span", world.quote(duty["source"]), " (", compared, ")", class_="faint small below")
    return [
        html.join(text, " ", law), html.join(world.quote(duty["since"], class_="whole"), " ", force),
        html.badge(DUTIES[state], words(f"duty_state.{state}")), html.join(listed(shown) or words("strategy.no_record"), source),
    ]  # fmt: skip
