"""The verdict, first of all: does it pass, what is it worth, what does it cost, what does it earn."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import cure, demanded, gate_name, measured, metric_style, scenario
from modelyard.report.world import STAGES, World


class Part(Section):
    """The whole build on one screen."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        kind, key = state(world)
        words = world.words
        pill = html.tag(
            "div",
            {"good": "✓", "bad": "✕", "warn": "!"}.get(kind, "·"),
            html.tag("span", words(f"verdict.{key}")),
            class_="state",
        )
        title = html.tag("h1", world.name, id="verdict-title")
        hero = html.tag(
            "div", pill, title, html.paragraph(_lead(world, key), class_="lead"), _figures(world), class_=f"hero {kind}"
        )
        return html.join(hero, _forced(world), _failures(world), _warnings(world))

    def brief(self, world: World) -> Markup | None:
        """The same: it is short."""
        return self.render(world)


def forced(world: World) -> bool:
    """Whether the package was made although a gate failed."""
    package = world["package"]
    return package["refused"].value is True or (package.there and bool(world.failed(*STAGES[:5])))


def state(world: World) -> tuple[str, str]:
    """(light, key of the catalogue) of the whole build."""
    if forced(world):
        return "bad", "forced"
    if world.failed():
        return "bad", "refused"
    if all(world[stage].there for stage in STAGES):
        return "good", "passed"
    return "quiet", "partial"


def _lead(world: World, key: str) -> Markup:
    words, failed = world.words, world.failed()
    passed = sum(len(world.gates(stage)) for stage in STAGES) - len(failed)
    task = words.name("task", world["train"]["task"].text or world["prepare"]["task"].text)
    target = world["prepare"]["target"].text
    first = words("verdict.what", task=task, target=target) if target else Markup("")
    if key == "partial":
        done = [words.name("section", stage) for stage in STAGES if world[stage].there]
        last = words("verdict.partial_lead", stage=done[-1] if done else "–")
    elif failed:
        last = words(
            "verdict.failed_lead",
            failed=world.count(len(failed), "gates failed"),
            total=world.count(passed + len(failed), "gates"),
        )
    else:
        last = words("verdict.passed_lead", total=world.count(passed, "gates"))
    return html.join(first, last, between=words.plain("verdict.between"))


def _figure(name: Any, big: Any, sub: Any, *, bad: bool = False) -> Markup:
    parts = (
        html.tag("span", name, class_="name"),
        html.tag("span", big, class_=f"big{' bad' if bad else ''}"),
        html.tag("span", sub, class_="sub"),
    )
    return html.tag("div", *parts, class_="kpi")


def _figures(world: World) -> Markup | None:
    figures = [_quality(world), _latency(world), _rate(world), _cost(world), _margin(world), _break_even(world)]
    known = [figure for figure in figures if figure]
    return html.tag("div", *known, class_="kpis") if known else None


def _quality(world: World) -> Markup | None:
    words, evaluate = world.words, world["evaluate"]
    metric = evaluate["metric"].text
    if not metric:
        train = world["train"]
        metric = train["metric"].text
        estimate = train["validation"][metric]
        if not estimate.there:
            return None
        sub = words("verdict.on_validation", bounds=world.bounds(estimate, metric_style(metric)))
        return _figure(words.name("metric", metric), world.value(estimate, metric_style(metric)), sub)
    estimate, style = evaluate["metrics"][metric], metric_style(metric)
    beside = []
    for name in dict.fromkeys((world.baseline, "linear")):
        theirs = evaluate["candidates"][name]["metrics"][metric]
        if theirs.there:
            beside.append(words("verdict.beside", name=words.name("candidate", name), value=world.value(theirs, style)))
    sub = html.join(
        words(
            "verdict.interval",
            level=world.number(estimate["level"], "percent", decimals=0),
            bounds=world.bounds(estimate, style),
        ),
        html.tag("br"),
        words("verdict.baselines", list=html.join(*beside, between=words.plain("verdict.comma"))) if beside else None,
    )
    return _figure(words.name("metric", metric), world.value(estimate, style), sub, bad=bool(world.failed("evaluate")))


def _latency(world: World) -> Markup | None:
    words, serve = world.words, world["serve"]
    if not serve.there:
        return None
    latency = serve["measured_latency"]
    sub = words(
        "verdict.p50_and_target",
        p50=world.number(latency["p50"], "seconds"),
        target=world.number(serve["target_p95"], "seconds"),
    )
    late = (latency["p95"].number or 0) > (serve["target_p95"].number or float("inf"))
    return _figure(words("verdict.p95"), world.number(latency["p95"], "seconds"), sub, bad=late)


def _rate(world: World) -> Markup | None:
    words, serve = world.words, world["serve"]
    if not serve.there:
        return None
    rate = serve["measured_rate"]
    sub = words("verdict.rate_note", target=world.number(serve["target_p95"], "seconds"))
    return _figure(words("verdict.rate"), world.number(rate, "rate"), sub, bad=not rate.number)


def _cost(world: World) -> Markup | None:
    words, costs = world.words, world["business"]["measured_costs"]
    if not costs.there:
        return None
    given = costs["per_thousand"]
    sub = words(
        "verdict.cost_note",
        machine=world["business"]["machine"].text,
        low=world.number(given["low"], "money"),
        high=world.number(given["high"], "money"),
    )
    return _figure(words("verdict.cost"), world.number(given["likely"], "money"), sub)


def _margin(world: World) -> Markup | None:
    words, economics = world.words, world["business"]["measured_unit_economics"]
    if not economics.there:
        return None
    margin = economics["gross_margin"]
    sub = words("verdict.margin_note", ltv=scenario(world, economics["ltv_to_cac"], "ratio"))
    return _figure(
        words("verdict.margin"), world.number(margin["likely"], "percent"), sub, bad=(margin["likely"].number or 0) < 0
    )


def _break_even(world: World) -> Markup | None:
    words, business = world.words, world["business"]
    economics = business["measured_unit_economics"]
    if not economics.there:
        return None
    customers, cash = economics["break_even_customers"]["likely"], business["measured_cash"]["likely"]
    month = cash["break_even_month"]
    said = (
        words("verdict.break_even_month", month=world.number(month, "count"))
        if month.there
        else words("verdict.never_breaks_even", months=world.number(business["months"], "count"))
    )
    big = (
        words("verdict.customers", count=world.number(customers, "count"))
        if customers.there
        else words("business.never")
    )
    return _figure(words("verdict.break_even"), big, said, bad=not customers.there)


def _forced(world: World) -> Markup | None:
    if not forced(world):
        return None
    return html.callout(
        "bad",
        html.tag("strong", world.words("verdict.forced_title")),
        html.paragraph(world.words("verdict.forced_text")),
    )


def _failures(world: World) -> Markup | None:
    failed = world.failed()
    if not failed:
        return None
    words, lines = world.words, []
    for gate in failed:
        said = words("verdict.gate", demanded=demanded(world, gate), measured=measured(world, gate))
        lines.append(
            html.tag(
                "li",
                html.tag("strong", gate_name(world, gate)),
                " – ",
                said,
                html.tag("div", cure(world, gate), class_="small soft"),
            )
        )
    return html.callout("bad", html.tag("strong", words("verdict.failures")), html.tag("ul", *lines))


def _warnings(world: World) -> Markup | None:
    """Audit checks worth a look, in one line."""
    words = world.words
    names = [
        words.name("check", finding["name"].text)
        for finding in world["audit"]["findings"]
        if finding["status"].text == "warning"
    ]
    if not names:
        return None
    return html.callout(
        "warn",
        html.tag("strong", words("verdict.warnings")),
        " ",
        html.join(*names, between=words.plain("verdict.comma")),
    )
