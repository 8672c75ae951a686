"""The audit section: a traffic light for each check, the figures that decide it with their limits, and the facts behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import bounds_of, gates_table, spelt
from modelyard.report.traced import Traced
from modelyard.report.world import World

_LIGHT = {"passed": "good", "warning": "warn", "failed": "bad", "skipped": "quiet"}
_ORDER = ("failed", "warning", "passed", "skipped")
_ESTIMATE = {"value", "low", "high"}
MOST = 40
"""Rows of a check's facts that are shown: more are a data set, not a report."""
TOLD_ELSEWHERE = ("suspects",)
"""Facts that another section shows: leakage suspects stand in the data section."""


class Part(Section):
    """Findings, the grave ones first."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        findings = sorted(
            world["audit"]["findings"],
            key=lambda one: _ORDER.index(one["status"].text) if one["status"].text in _ORDER else 9,
        )
        lights = html.tag("div", *(_finding(world, finding) for finding in findings), class_="checks")
        failed = world.failed("audit")
        return html.join(lights, html.grid(gates_table(world, failed)) if failed else None)


def _finding(world: World, finding: Traced) -> Markup:
    words, name, status = world.words, finding["name"].text, finding["status"].text
    light = _LIGHT.get(status, "quiet")
    head = html.tag(
        "div", html.tag("h3", words.name("check", name)), html.badge(light, words.name("status", status)), class_="head"
    )
    about = (
        html.paragraph(words.name("check_help", name), class_="note")
        if words.has(f"check_help.{name.replace('-', '_')}")
        else None
    )
    reason = html.paragraph(world.reason(finding["reason"]), class_="small soft") if finding["reason"] else None
    scales = _scales(world, finding)
    rows = [_figure(world, finding, key, estimate, scales) for key, estimate in finding["measured"].items()]
    table_head = [words("audit.figure"), "", words("audit.measured"), words("audit.limit"), ""]
    table = (
        html.table(table_head, rows, label=words.name("check", name), numeric=(2, 3), class_="forest") if rows else None
    )
    facts = _details(world, finding["details"])
    more = html.details(words("audit.more"), *facts) if facts else None
    lamp = html.tag("span", class_=f"lamp {light}", aria_hidden="true")
    return html.tag("article", lamp, html.tag("div", head, about, reason, table, more), class_="check")


def _edge(finding: Traced, key: str) -> Traced:
    """The limit of a figure, from above or from below."""
    return finding["limits"][key] if finding["limits"][key].there else finding["floors"][key]


def _scales(world: World, finding: Traced) -> dict[float | None, charts.Axis]:
    """One scale for all figures of one limit, so that they can be compared by eye."""
    values: dict[float | None, list[float]] = {}
    for key, estimate in finding["measured"].items():
        edge = _edge(finding, key).number
        values.setdefault(
            edge, [] if edge is None else [edge, *([0.0] if finding["limits"][key].there else [])]
        ).extend(bounds_of([estimate]))
    return {edge: world.around(known) for edge, known in values.items()}


def _figure(
    world: World, finding: Traced, key: str, estimate: Traced, scales: dict[float | None, charts.Axis]
) -> list[Any]:
    """A figure with its interval and its limit in red."""
    words, edge, above = world.words, _edge(finding, key), finding["limits"][key].there
    value, low, high = (estimate[name].number for name in ("value", "low", "high"))
    limit, broken = edge.number, key in (finding["broken"].value or ())
    state: Any = ""
    if broken:  # the record keeps the limit that stops; one that only warns is nearer
        crossed = limit is not None and ((low or 0) > limit if above else (high or 0) < limit)
        state = html.badge("bad", words("audit.broken")) if crossed else html.badge("warn", words("status.warning"))
    elif edge.there:
        state = html.badge("good", words("audit.within"))
    shown = html.join("≤ " if above else "≥ ", world.number(edge, "metric")) if edge.there else "–"
    drawn = (
        charts.Track(scales[limit], limit, "limit").row(value, low, high, "s2" if broken else "s1")
        if value is not None
        else None
    )
    return [spelt(world, key), drawn, world.interval(estimate), shown, state]


def _details(world: World, details: Traced) -> list[Markup]:
    """Facts of any shape: single values as a list, rows as a table, the rest folded deeper."""
    single: list[tuple[Any, Any]] = []
    blocks: list[Markup] = []
    for key, given in details.items():
        if key in TOLD_ELSEWHERE:
            continue
        if isinstance(given.value, (dict, list)) and not _is_estimate(given):
            if given.value:
                blocks.append(html.join(html.tag("h4", spelt(world, key)), *_blocks(world, given, spelt(world, key))))
        elif given.there:
            single.append((spelt(world, key), _value(world, given)))
    return ([html.facts(single)] if single else []) + blocks


def _is_estimate(given: Traced) -> bool:
    return isinstance(given.value, dict) and given.value.keys() >= _ESTIMATE


def _value(world: World, given: Traced) -> Markup:
    if isinstance(given.value, bool):
        return world.words("audit.yes") if given.value else world.words("audit.no")
    if isinstance(given.value, str):
        return world.quote(given)
    if _is_estimate(given):
        return world.interval(given)
    if isinstance(given.value, list):
        return html.join(*(_value(world, item) for item in list(given)[:12]), between=", ")
    if isinstance(given.value, dict):
        return html.join(
            *(html.join(spelt(world, key), " ", _value(world, item)) for key, item in given.items()), between=" · "
        )
    return world.number(given, "metric" if isinstance(given.value, float) else "count")


def _blocks(world: World, given: Traced, label: str) -> list[Markup]:
    """A list of mappings or a mapping of mappings as a table; mappings of those as several; anything else in one line."""
    named = [("", item) for item in given] if isinstance(given.value, list) else list(given.items())
    mappings = [(name, item) for name, item in named if isinstance(item.value, dict)]
    if not mappings or len(mappings) < len(named):
        if isinstance(given.value, dict):
            return [html.facts([(spelt(world, key), _value(world, item)) for key, item in named[:MOST]])]
        return [html.paragraph(_value(world, given), class_="small")]
    if all(_is_estimate(item) for _, item in mappings):
        return [_estimates(world, mappings, label)]
    if all(
        isinstance(inner.value, dict) and not _is_estimate(inner) for _, item in mappings for _, inner in item.items()
    ):
        return [
            piece
            for name, item in mappings
            for piece in (html.tag("p", name, class_="small faint"), *_blocks(world, item, name))
        ]
    columns = list(dict.fromkeys(key for _, item in mappings for key, _ in item.items()))
    keyed = isinstance(given.value, dict)
    rows = [
        ([spelt(world, name)] if keyed else [])
        + [_value(world, item[column]) if item[column].there else "–" for column in columns]
        for name, item in mappings[:MOST]
    ]
    head = ([""] if keyed else []) + [spelt(world, column) for column in columns]
    return [html.table(head, rows, label=label, tall=len(rows) > 12)]


def _estimates(world: World, named: Iterable[tuple[str, Traced]], label: str) -> Markup:
    """Named estimates, with what else stands beside them (such as rows)."""
    named = list(named)[:MOST]
    beside = [
        key
        for key in dict.fromkeys(key for _, item in named for key, _ in item.items())
        if key not in {*_ESTIMATE, "level"}
    ]
    rows = [
        [spelt(world, name), world.interval(item), *(_value(world, item[key]) for key in beside)]
        for name, item in named
    ]
    head = [world.words("audit.figure"), world.words("audit.measured"), *(spelt(world, key) for key in beside)]
    return html.table(head, rows, label=label, numeric=range(1, len(head)), tall=len(rows) > 12)
