"""The forecast section: what was expected before the build began, beside what came."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.numbers import Style
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import metric_style, spelt
from modelyard.report.traced import Traced
from modelyard.report.world import World

MACHINES = 6
"""Machines that are shown; the record holds all."""


class Part(Section):
    """Forecast and outcome."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        told = world["forecast"]
        return html.join(
            html.grid(_whole(world, told), _quality(world, told), _stages(world, told)),
            html.grid(_candidates(world, told), _language(world, told), _machines(world, told)),
        )


def _held(world: World, expected: Traced, outcome: Traced) -> Markup | None:
    """Whether the interval holds the outcome; nothing where there is none."""
    low, high, came = expected["low"].number, expected["high"].number, outcome.number
    if low is None or high is None or came is None:
        return None
    words = world.words
    if low <= came <= high:
        return html.badge("good", words("forecast.inside"))
    return html.badge("warn", words("forecast.above") if came > high else words("forecast.below"))


def _row(world: World, name: Any, expected: Traced, outcome: Traced, style: Style) -> list[Any]:
    return [name, world.interval(expected, style), world.number(outcome, style), _held(world, expected, outcome)]


def _ran(world: World, told: Traced) -> list[tuple[Traced, Traced]]:
    """The forecast of each stage, and the facts of its run."""
    return [(each, world[each["stage"].text]["run"]) for each in told["stages"]]


def _whole(world: World, told: Traced) -> Markup:
    """The build as a whole."""
    words, ran = world.words, _ran(world, told)
    nothing = world["nothing"]
    runs = [run for each, run in ran if each["stage"].text != "report"]  # the report is being written
    took, peak = nothing, nothing
    if runs and all(run.there for run in runs):
        took = runs[0]["seconds"]
        for run in runs[1:]:
            took = took + run["seconds"]
        peak = max((run["peak_memory"] for run in runs), key=lambda one: one.number or 0.0)
    cost = world["business"]["measured_build"]["machine_cost"]["likely"]
    rows = [
        _row(world, words("forecast.time"), told["seconds"], took, "seconds"),
        _row(world, words("forecast.memory"), told["memory"], peak, "bytes"),
        _row(world, words("forecast.cost"), told["cost"], cost, "money"),
    ]
    table = html.table(_head(world), rows, label=words.plain("forecast.whole"), numeric=(1, 2))
    pairs: list[tuple[Any, Any]] = [
        (words("forecast.disk"), world.interval(told["disk"], "bytes")),
        (words("forecast.energy"), world.interval(told["energy"], "plain")),
        (words("forecast.carbon"), world.interval(told["carbon"], "plain")),
        (words("forecast.spent"), world.number(told["spent"], "seconds")),
    ]
    if not told["fits"]:
        pairs.append((words("forecast.here"), world.number(told["memory_here"], "bytes")))
    note = words("forecast.note", machine=world.quote(told["chosen"], element="code"))
    return html.card(words("forecast.whole"), table, html.facts(pairs), note=note, wide=True)


def _head(world: World) -> list[Markup]:
    words = world.words
    return [words("forecast.what"), words("forecast.expected"), words("forecast.came"), words("forecast.interval")]


def _stages(world: World, told: Traced) -> Markup:
    """Time and memory by stage."""
    words = world.words
    rows = []
    for each, run in _ran(world, told):
        name = words.name("section", each["stage"].text)
        time = _row(world, name, each["seconds"], run["seconds"], "seconds")
        rows.append([*time, *_row(world, name, each["memory"], run["peak_memory"], "bytes")[1:3]])
    head = [*_head(world), words("forecast.memory"), words("forecast.peak")]
    table = html.table(head, rows, label=words.plain("forecast.stages"), numeric=(1, 2, 4, 5))
    return html.card(words("forecast.stages"), table, wide=True)


def _quality(world: World, told: Traced) -> Markup:
    """The choosing metric, and what more rows or a larger model would bring."""
    words, quality = world.words, told["quality"]
    title = words("forecast.quality")
    if not quality.there:
        return html.card(title, html.paragraph(words("forecast.no_quality", reason=world.reason(told["no_quality"]))))
    metric = quality["metric"].text
    style = metric_style(metric)
    came = world["evaluate"]["metrics"][metric]["value"]
    table = html.table(
        _head(world),
        [_row(world, spelt(world, metric), quality["expected"], came, style)],
        label=words.plain("forecast.quality"),
        numeric=(1, 2),
    )
    gains = [[_gain(world, each), world.interval(each["gain"], style)] for each in quality["gains"]]
    more = html.table(
        [words("forecast.change"), words("forecast.gain")], gains, label=words.plain("forecast.gain"), numeric=(1,)
    )
    note = words("forecast.quality_note", candidate=world.quote(quality["candidate"]))
    return html.card(title, table, more if gains else None, note=note, wide=True)


def _gain(world: World, each: Traced) -> Markup:
    words = world.words
    if each["what"].text == "rows":
        return words("forecast.more_rows", factor=world.number(each["factor"], "factor"))
    return words("forecast.larger", name=world.quote(each["name"]), than=world.quote(each["than"]))


def _candidates(world: World, told: Traced) -> Markup | None:
    """What each candidate was expected to take, and took."""
    words = world.words
    trained = {each["name"].text: each for each in world["train"]["candidates"]}
    rows = []
    for each in told["candidates"]:
        name = world.quote(each["name"])
        if each["reason"]:
            rows.append([name, world.reason(each["reason"]), "", ""])
        elif each["seconds"].there:
            came = trained[each["name"].text]["timings"]["total"] if each["name"].text in trained else world["nothing"]
            rows.append(_row(world, name, each["seconds"], came, "seconds"))
    table = html.table(_head(world), rows, label=words.plain("forecast.candidates"), numeric=(1, 2))
    return html.card(words("forecast.candidates"), table, wide=True) if rows else None


def _language(world: World, told: Traced) -> Markup | None:
    """Language models: their size against their data, and a bound on serving them here."""
    words = world.words
    rows = [
        [
            world.quote(each["candidate"]),
            world.number(each["parameters"], "short"),
            world.number(each["tokens"], "short"),
            world.number(each["best_parameters"], "short"),
            world.number(each["best_tokens"], "short"),
            world.number(each["beside"], "count"),
            world.number(each["rate"], "rate"),
        ]
        for each in told["language"]
    ]
    head = [
        words("forecast.candidate"), words("forecast.parameters"), words("forecast.tokens"), words("forecast.best_parameters"),
        words("forecast.best_tokens"), words("forecast.beside"), words("forecast.rate"),
    ]  # fmt: skip
    table = html.table(head, rows, label=words.plain("forecast.language"), numeric=(1, 2, 3, 4, 5, 6))
    return (
        html.card(words("forecast.language"), table, note=words("forecast.language_note"), wide=True) if rows else None
    )


def _machines(world: World, told: Traced) -> Markup | None:
    """The build on rented machines, the cheapest that hold it first."""
    words = world.words
    rows = [
        [
            world.quote(each["machine"], element="code"),
            world.quote(each["provider"]),
            world.number(each["memory"], "bytes"),
            html.badge("good", words("forecast.fits")) if each["fits"] else html.badge("bad", words("forecast.too_small")),
            world.interval(each["cost"], "money"),
        ]
        for each in list(told["rented"])[:MACHINES]
    ]  # fmt: skip
    head = [words("forecast.machine"), words("forecast.provider"), words("forecast.its_memory"), words("forecast.holds"), words("forecast.cost")]  # fmt: skip
    table = html.table(head, rows, label=words.plain("forecast.machines"), numeric=(2, 4))
    return (
        html.card(words("forecast.machines"), table, note=words("forecast.machines_note"), wide=True) if rows else None
    )
