"""What several sections draw: forest plots in tables, gates, reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.numbers import Style
from modelyard.report.traced import Traced
from modelyard.report.world import World


def metric_style(metric: str) -> Style:
    """How a metric is printed."""
    return "percent" if metric.endswith("percentage_error") else "metric"


def bounds_of(estimates: Iterable[Traced], keys: Sequence[str] = ("value", "low", "high")) -> list[float]:
    """Every value and bound, for the range of an axis."""
    return [number for estimate in estimates for key in keys if (number := estimate[key].number) is not None]


def forest(
    world: World,
    rows: Sequence[tuple[Any, Traced, str, Sequence[Any]]],
    *,
    head: Sequence[Any],
    label: str,
    style: Style = "metric",
    reference: float | None = None,
    numeric: Iterable[int] = (),
) -> Markup:
    """A table whose second column draws estimates on one scale: (name, estimate, series, further cells). `head` names name, drawing, number, further."""
    form = charts.percent if style == "percent" else world.tick
    track = charts.Track.of([known for _, estimate, _, _ in rows if (known := bounds_of([estimate]))], reference, form)
    lines = []
    for name, estimate, series, further in rows:
        drawn: Markup | None = None
        if (value := estimate["value"].number) is not None:
            drawn = track.row(value, estimate["low"].number, estimate["high"].number, series)
        number = world.interval(estimate, style) if estimate.there else Markup("–")
        lines.append([name, drawn, number, *further])
    lines.append(["", track.scale(), *[""] * (len(head) - 2)])
    return html.table(head, lines, label=label, numeric=(2, *numeric), class_="forest")


def spelt(world: World, key: str) -> str:
    """The people's name of a figure: `typos changed`, `income alone`, `selection_ratio Age=[18, 30)`, `roc_auc`."""
    words = world.words
    if found := re.fullmatch(r"(.+) (alone|changed|drop)", key):
        return words(f"figure_of.{found[2]}", name=spelt(world, found[1])).unescape()
    if (found := re.fullmatch(r"([a-z_]+) (.+)=(.*)", key)) and words.has(f"figure.{found[1]}"):
        return words(
            "figure_of.group", name=words.name("figure", found[1]), column=found[2], value=found[3] or "–"
        ).unescape()
    for group in ("figure", "metric"):
        if words.has(f"{group}.{key.replace(' ', '_')}"):
            return words.plain(f"{group}.{key.replace(' ', '_')}")
    return key


def gate_name(world: World, gate: Traced) -> str:
    """The people's name of a gate: its own, its metric's or its check's."""
    name = gate["name"].text
    if world.words.has(f"gate.{name.replace('.', '_')}"):
        return world.words.plain(f"gate.{name.replace('.', '_')}")
    last = name.rpartition(".")[2]
    for group in ("metric", "check"):
        if world.words.has(f"{group}.{last}"):
            return world.words.plain(f"{group}.{last}")
    return name


def demanded(world: World, gate: Traced) -> Markup:
    """What a gate asks for: `ROC AUC ≥ 0.8`."""
    pieces = [re.fullmatch(rf"(.+) ({'|'.join(COMPARED)}) (\S+)", piece) for piece in gate["demanded"].text.split("; ")]
    if not all(pieces) or gate["name"].text.partition(".")[0] not in ("evaluate", "audit"):
        return world.reason(gate["demanded"])
    said = world.words.plain("page.remarks").join(
        f"{spelt(world, found[1])} {_comparison(world, found[2])} {found[3]}" for found in pieces if found
    )
    return html.tag("span", said, title=gate["demanded"].text, data_said=gate["demanded"].source)


COMPARED = {"<=": "≤", ">=": "≥", "not surely above": "", "not surely below": ""}
"""How stages compare in a gate, and the sign for it; without one, the catalogue has words."""


def _comparison(world: World, said: str) -> str:
    return COMPARED[said] or world.words.plain(f"gates.{said.replace(' ', '_')}")


def measured(world: World, gate: Traced) -> Markup:
    """What was found, with its interval: from the record where it is there, else as the stage said it."""
    stage, _, name = gate["name"].text.partition(".")
    figure = world[stage]["metrics"][name] if stage == "evaluate" else world["nothing"]
    if stage == "evaluate" and name == f"beats_{world.baseline}":
        found, name = world["evaluate"]["candidates"][world.baseline], world["evaluate"]["metric"].text
        figure = found["difference"]
    elif stage == "evaluate" and not figure.there:
        figure = world["evaluate"]["drawing"]["chosen"]["figures"][name]
    if figure["low"].there:
        return world.interval(figure, metric_style(name))
    if stage == "audit":
        finding = next((one for one in world["audit"]["findings"] if one["name"].text == name), world["nothing"])
        keys = [
            key
            for key, _ in finding["measured"].items()
            if any(piece.startswith(f"{key} ") for piece in gate["measured"].text.split("; "))
        ]
        if keys:
            said = [html.join(spelt(world, key), " ", world.interval(finding["measured"][key])) for key in keys]
            return html.join(*said, between=world.words.plain("page.remarks"))
    return world.reason(gate["measured"])


def cure(world: World, gate: Traced) -> Markup:
    """What one can do about a failed gate."""
    key = f"cure.{gate['name'].text.replace('.', '_')}"
    return Markup(world.words(key)) if world.words.has(key) else world.reason(gate["cure"])


def gate_rows(world: World, gates: Iterable[Traced]) -> list[list[Any]]:
    """Rows of a table of gates."""
    words = world.words
    rows = []
    for gate in gates:
        passed = gate["passed"].value is True
        light = html.badge("good", words("gates.passed")) if passed else html.badge("bad", words("gates.failed"))
        rows.append([gate_name(world, gate), light, demanded(world, gate), measured(world, gate)])
    return rows


def gates_table(world: World, gates: Sequence[Traced]) -> Markup | None:
    """A card with the gates of a stage, or nothing where it has none."""
    if not gates:
        return None
    words = world.words
    head = [words("gates.gate"), words("gates.result"), words("gates.demanded"), words("gates.measured")]
    failed = [gate for gate in gates if gate["passed"].value is False]
    cures = [
        html.callout("bad", html.tag("strong", gate_name(world, gate)), " ", cure(world, gate))
        for gate in failed
        if gate["cure"]
    ]
    return html.card(
        words("gates.title"),
        html.table(head, gate_rows(world, gates), label=words.plain("gates.title")),
        *cures,
        wide=True,
    )


def scenario(world: World, given: Traced, style: Style = "money") -> Markup:
    """`$12 ($9 to $20)` from the likely, low and high scenario."""
    low, likely, high = given["low"], given["likely"], given["high"]
    if not likely.there and not low.there and not high.there:
        return Markup("–")
    middle = world.number(likely, style)
    if low.value == likely.value == high.value:
        return middle
    inner: Style = "plain" if style in ("months", "rate") else style  # the unit is said once
    bounds = world.words("number.bounds", low=world.number(low, inner), high=world.number(high, inner))
    return world.words("number.interval", value=middle, brackets=world.brackets(bounds))
