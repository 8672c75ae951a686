"""The serve section: how fast the packaged service answers, how much it bears, and what it refuses."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table
from modelyard.report.traced import Traced
from modelyard.report.world import World


class Part(Section):
    """The packaged service under load."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        serve = world["serve"]
        return html.grid(
            _facts(world, serve), _stream(world, serve), _stages(world, serve), *_sweep(world, serve), _levels(world, serve), _refusals(world, serve),
            gates_table(world, world.gates("serve")),
        )  # fmt: skip


def _facts(world: World, serve: Traced) -> Markup:
    words, latency, rate = world.words, serve["measured_latency"], world.number(serve["measured_rate"], "rate")
    pairs: list[tuple[Any, Any]] = [
        (words("serve.p50"), world.number(latency["p50"], "seconds")),
        (words("serve.p95"), world.number(latency["p95"], "seconds")),
        (words("serve.p99"), world.number(latency["p99"], "seconds")),
        (words("serve.rate"), words("serve.at_least", rate=rate) if serve["measured_at_least"] else rate),
        (words("serve.promise"), world.number(serve["target_p95"], "seconds")),
        (words("serve.cold_start"), world.number(serve["measured_cold_start"], "seconds")),
        (words("serve.memory"), world.number(serve["measured_memory"], "bytes")),
        (words("serve.package_bytes"), world.number(serve["package_bytes"], "bytes")),
        (words("serve.workers"), world.number(serve["workers"], "count")),
    ]
    note = words("serve.latency_note", requests=world.number(latency["requests"], "count"))
    return html.card(words("serve.latency"), html.facts(pairs), note=note)


def _stream(world: World, serve: Traced) -> Markup | None:
    """How soon a text begins and how fast it goes on."""
    words, stream = world.words, serve["measured_stream"]
    if not stream.there:
        return None
    first = stream["first_token"]
    pairs: list[tuple[Any, Any]] = [
        (words("serve.first_token"), world.number(first["p50"], "seconds")),
        (words("serve.first_token_p95"), world.number(first["p95"], "seconds")),
        (words("serve.next_token"), world.number(stream["next_token"], "seconds")),
        (words("serve.tokens_read"), world.number(stream["read"], "plain")),
        (words("serve.tokens_written"), world.number(stream["written"], "plain")),
        (words("serve.reading"), world.number(stream["reading"], "percent")),
    ]
    note = words("serve.stream_note", requests=world.number(first["requests"], "count"), path=stream["path"].text)
    return html.card(words("serve.stream"), html.facts(pairs), note=note)


def _stages(world: World, serve: Traced) -> Markup | None:
    words, stages = world.words, list(serve["measured_stages"].items())
    if not stages:
        return None
    top = max((time.number or 0.0 for _, time in stages), default=1.0) or 1.0
    rows = [
        [words.name("part", name), charts.meter((time.number or 0) / top), world.number(time, "seconds")]
        for name, time in stages
    ]
    table = html.table(
        [words("serve.part"), "", words("serve.time")], rows, label=words.plain("serve.inside"), numeric=(2,)
    )
    return html.card(words("serve.inside"), table, note=words("serve.inside_note"))


def _sweep(world: World, serve: Traced) -> list[Markup]:
    """Latency and throughput by offered rate, with the target and the knee."""
    words, levels = world.words, [level for level in serve["measured_levels"] if level["offered"].number]
    if len(levels) < 2:
        return []
    rates = [level["offered"].number or 0.0 for level in levels]
    x = world.around(rates, words.plain("serve.offered"), log=True)
    answered = [level for level in levels if level["latency"].there]
    target = (serve["target_p95"].number or 0.0) * 1e3

    def milliseconds(key: str) -> list[float]:
        return [max((level["latency"][key].number or 0.0) * 1e3, 1e-3) for level in answered]

    y = world.around(
        [*milliseconds("p50"), *milliseconds("p99"), target or 1.0], words.plain("serve.milliseconds"), log=True
    )
    chart, here = charts.Chart(x, y, height=310), [level["offered"].number or 0.0 for level in answered]
    for key, series in (("p99", "s8"), ("p95", "s1"), ("p50", "s3")):
        chart.line(here, milliseconds(key), series)
        titles = [world.number(level["latency"][key], "seconds", element="title") for level in answered]
        chart.dots(zip(here, milliseconds(key), strict=True), series, titles=titles, radius=3.5)
    if target:
        chart.rule(y=target, name=words.plain("serve.target"), style="limit")
    if knee := serve["measured_knee"].number:
        chart.rule(x=knee, name=words.plain("serve.knee"), low=True)
    title = words.plain("serve.sweep")
    legend = [("s3", "p50"), ("s1", "p95"), ("s8", "p99")]
    first = html.card(title, html.figure(chart.svg(title), title, legend=legend, caption=words("serve.sweep_note")))
    achieved = [max(level["achieved"].number or 0.0, 1e-3) for level in levels]
    through = charts.Chart(x, world.around([*achieved, *rates], words.plain("serve.achieved"), log=True), height=310)
    through.line(rates, rates, "s8", dashed=True).line(rates, achieved, "s1")
    for level, rate, value in zip(levels, rates, achieved, strict=True):
        series = "s1" if level["sustained"].value else "s2"
        through.dots([(rate, value)], series, titles=[world.number(level["achieved"], "rate", element="title")])
    title = words.plain("serve.through")
    legend = [("s1", words("serve.sustained")), ("s2", words("serve.not_sustained")), ("s8", words("serve.ideal"))]
    return [
        first,
        html.card(title, html.figure(through.svg(title), title, legend=legend, caption=words("serve.through_note"))),
    ]


def _levels(world: World, serve: Traced) -> Markup | None:
    words, rows = world.words, []
    for level in serve["measured_levels"]:
        latency = level["latency"]
        state = (
            html.badge("good", words("serve.sustained"))
            if level["sustained"].value
            else html.badge("warn", words("serve.not_sustained"))
        )
        errors = (
            html.join(
                *(html.join(kind, ": ", world.number(count, "count")) for kind, count in level["errors"].items()),
                between=", ",
            )
            or "0"
        )
        rows.append([
            world.number(level["offered"]), world.number(level["achieved"]), world.number(latency["p50"], "seconds"),
            world.number(latency["p95"], "seconds"), world.number(latency["p99"], "seconds"), world.number(level["requests"], "count"),
            errors if level["errors"] else "–", world.number(level["sender_delay"], "seconds"), state,
        ])  # fmt: skip
    if not rows:
        return None
    head = [
        words("serve.offered"), words("serve.achieved"), "p50", "p95", "p99", words("serve.requests"), words("serve.errors"), words("serve.sender"), words("serve.state"),
    ]  # fmt: skip
    return html.card(
        words("serve.levels"),
        html.paragraph(words("serve.no_limit")) if serve["measured_at_least"] else None,
        html.table(head, rows, label=words.plain("serve.levels"), numeric=range(8)),
        note=words("serve.levels_note"),
        wide=True,
    )


def _refusals(world: World, serve: Traced) -> Markup | None:
    words, rows = world.words, []
    for refusal in serve["refusals"]:
        state = (
            html.badge("good", words("gates.passed"))
            if refusal["passed"].value
            else html.badge("bad", words("gates.failed"))
        )
        field = world.quote(refusal["field"]) if refusal["field"].there else "–"
        rows.append(
            [
                words.name("refusal", refusal["name"].text),
                world.number(refusal["wanted"]),
                world.number(refusal["got"]),
                field,
                state,
            ]
        )
    if not rows:
        return None
    head = [
        words("serve.bad_request"),
        words("serve.wanted"),
        words("serve.got"),
        words("serve.field"),
        words("serve.state"),
    ]
    return html.card(
        words("serve.refusals"),
        html.table(head, rows, label=words.plain("serve.refusals"), numeric=(1, 2)),
        note=words("serve.refusals_note"),
        wide=True,
    )
