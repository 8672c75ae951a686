"""The audit section: a traffic light for each check, the figures that decide it with their limits, and the facts behind them."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table
from modelyard.report.traced import Traced
from modelyard.report.world import World

_LIGHT = {"passed": "good", "warning": "warn", "failed": "bad", "skipped": "quiet"}
_ORDER = ("failed", "warning", "passed", "skipped")
MOST = 40
"""Rows of a check's facts that are shown: more are a data set, not a report."""


class Part(Section):
    """Findings, the grave ones first."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        findings = sorted(world["audit"]["findings"], key=lambda one: _ORDER.index(one["status"].text) if one["status"].text in _ORDER else 9)
        lights = html.tag("div", *(_finding(world, finding) for finding in findings), class_="checks")
        return html.join(lights, html.grid(gates_table(world, world.gates("audit"))) if world.gates("audit") else None)


def _finding(world: World, finding: Traced) -> Markup:
    words, name, status = world.words, finding["name"].text, finding["status"].text
    light = _LIGHT.get(status, "quiet")
    head = html.tag("div", html.tag("h3", words.name("check", name)), html.badge(light, words.name("status", status)), class_="head")
    about = html.paragraph(words.name("check_help", name), class_="note") if words.has(f"check_help.{name.replace('-', '_')}") else None
    reason = html.paragraph(world.quote(finding["reason"]), class_="small soft") if finding["reason"] else None
    rows = [_figure(world, finding, key, estimate) for key, estimate in finding["measured"].items()]
    table_head = [words("audit.figure"), words("audit.measured"), words("audit.limit"), ""]
    table = html.table(table_head, rows, label=words.name("check", name), numeric=(1, 2)) if rows else None
    facts = _details(world, finding["details"])
    more = html.details(words("audit.more"), *facts) if facts else None
    lamp = html.tag("span", class_=f"lamp {light}", aria_hidden="true")
    return html.tag("article", lamp, html.tag("div", head, about, reason, table, more), class_="check")


def _figure(world: World, finding: Traced, key: str, estimate: Traced) -> list[Any]:
    words, limit = world.words, finding["limits"][key]
    state = html.badge("bad", words("audit.broken")) if key in (finding["broken"].value or ()) else html.badge("good", words("audit.within")) if limit.there else ""
    return [_spelt(world, key), world.interval(estimate), world.number(limit, "metric"), state]


def _spelt(world: World, key: str) -> str:
    """The people's name of a figure such as `gap:Age` or `roc_auc_drop`."""
    head, colon, tail = key.partition(":")
    name = world.words.name("figure", head) if world.words.has(f"figure.{head}") else world.words.name("metric", head)
    return f"{name}: {tail}" if colon else name


def _details(world: World, details: Traced) -> list[Markup]:
    """Facts of any shape: single values as a list, rows as a table, the rest folded deeper."""
    single: list[tuple[Any, Any]] = []
    blocks: list[Markup] = []
    for key, given in details.items():
        if isinstance(given.value, (dict, list)):
            if given.value:
                blocks.append(html.join(html.tag("h4", _spelt(world, key)), _block(world, given, key)))
        elif given.there:
            single.append((_spelt(world, key), _value(world, given)))
    return ([html.facts(single)] if single else []) + blocks


def _value(world: World, given: Traced) -> Markup:
    if isinstance(given.value, bool):
        return world.words("audit.yes") if given.value else world.words("audit.no")
    if isinstance(given.value, str):
        return world.quote(given)
    if isinstance(given.value, dict) and "value" in given.value:
        return world.interval(given)
    if isinstance(given.value, list):
        return html.join(*(_value(world, item) for item in list(given)[:12]), between=", ")
    if isinstance(given.value, dict):
        return html.join(*(html.join(_spelt(world, key), " ", _value(world, item)) for key, item in given.items()), between=" · ")
    return world.number(given, "metric" if isinstance(given.value, float) else "count")


def _block(world: World, given: Traced, label: str) -> Markup:
    """A list of mappings, or a mapping of mappings, as a table; anything else in one line."""
    named = [("", item) for item in given] if isinstance(given.value, list) else list(given.items())
    columns = list(dict.fromkeys(key for _, item in named for key, _ in item.items()))
    if not columns or not all(isinstance(item.value, dict) for _, item in named) or {"value", "low", "high"} <= set(columns):
        if isinstance(given.value, dict):
            return html.facts([(_spelt(world, key), _value(world, item)) for key, item in list(named)[:MOST]])
        return html.paragraph(_value(world, given), class_="small")
    keyed = any(name for name, _ in named)
    rows = [([_spelt(world, name)] if keyed else []) + [_value(world, item[column]) if item[column].there else "–" for column in columns] for name, item in named[:MOST]]
    head = ([""] if keyed else []) + [_spelt(world, column) for column in columns]
    return html.table(head, rows, label=label)
