"""The compress section: every exported variant with its size, speed and parity, and the one that was kept."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table, metric_style
from modelyard.report.traced import Traced
from modelyard.report.world import World


class Part(Section):
    """Variants, parity and choice."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        compress = world["compress"]
        return html.grid(
            _choice(world, compress),
            _scatter(world, compress),
            _variants(world, compress),
            gates_table(world, world.gates("compress")),
        )


def _variant(compress: Traced) -> Traced:
    chosen = compress["chosen"].value
    return next(
        (variant for variant in compress["variants"] if variant["name"].value == chosen), compress["variants"][0]
    )


def _choice(world: World, compress: Traced) -> Markup:
    words, chosen = world.words, _variant(compress)
    pairs: list[tuple[Any, Any]] = [
        (words("compress.shipped"), words.name("method", compress["chosen"].text)),
        (words("compress.speedup"), world.number(compress["timings"]["speedup"], "factor")),
        (words("compress.size_ratio"), world.number(compress["size_ratio"], "factor")),
        (
            words("compress.size"),
            html.join(world.number(compress["trained_bytes"], "bytes"), " → ", world.number(chosen["bytes"], "bytes")),
        ),
        (words("compress.agreement"), world.number(chosen["agreement"], "percent")),
        (
            words("compress.drop"),
            world.interval(chosen["drop"], metric_style(compress["metric"].text)) if chosen["drop"].there else "–",
        ),
    ]
    metric = compress["metric"].text
    if compress["test"]["metrics"][metric].there:
        name = words("compress.on_test", metric=words.name("metric", metric))
        pairs.append((name, world.interval(compress["test"]["metrics"][metric], metric_style(metric))))
    note = words("compress.note", rows=world.number(compress["rows"], "count"))
    flatters = (
        html.paragraph(words("compress.seen"), class_="small soft") if compress["rows_seen_in_training"].value else None
    )
    return html.card(words("compress.choice"), html.facts(pairs), flatters, note=note)


def _scatter(world: World, compress: Traced) -> Markup | None:
    """Size against time for one row: down and to the left is better."""
    words = world.words
    trained = (compress["trained_bytes"].number, compress["timings"]["trained"]["row_p50"].number)
    points: list[tuple[str, float, float, str, Traced]] = []
    if trained[0] and trained[1]:
        points.append(
            (words.plain("compress.trained"), trained[0], trained[1], "s8", compress["timings"]["trained"]["row_p50"])
        )
    for variant in compress["variants"]:
        size, time = variant["bytes"].number, variant["timings"]["row_p50"].number
        if size and time:
            series = (
                "s1"
                if variant["name"].text == compress["chosen"].text
                else "s2"
                if variant["passed"].value is False
                else "s5"
            )
            points.append(
                (words.name("method", variant["name"].text), size, time, series, variant["timings"]["row_p50"])
            )
    if len(points) < 2:
        return None
    x = world.around([size / 1e6 for _, size, _, _, _ in points], words.plain("compress.megabytes"), zero=True)
    y = world.around([time * 1e3 for _, _, time, _, _ in points], words.plain("compress.milliseconds"), zero=True)
    chart = charts.Chart(world.axis(0, x.high * 1.12, x.name), y, height=300)
    for _, size, time, series, given in points:
        chart.dots(
            [(size / 1e6, time * 1e3)], series, titles=[world.number(given, "seconds", element="title")], radius=6
        )
    chart.labels([(size / 1e6, time * 1e3, name) for name, size, time, _, _ in points])
    title = words.plain("compress.scatter")
    legend = [
        ("s1", words("compress.kept")),
        ("s5", words("compress.allowed")),
        ("s2", words("compress.refused")),
        ("s8", words("compress.trained")),
    ]
    return html.card(title, html.figure(chart.svg(title), title, legend=legend, caption=words("compress.scatter_note")))


def _state(world: World, compress: Traced, variant: Traced) -> Markup:
    """Kept, allowed but slower, not asked because a faster one did, or refused."""
    words = world.words
    if variant["name"].text == compress["chosen"].text:
        return html.badge("good", words("compress.kept"))
    if variant["passed"].value is None:
        return html.badge("quiet", words("compress.slower"))
    return (
        html.badge("quiet", words("compress.allowed"))
        if variant["passed"].value
        else html.badge("warn", words("compress.refused"))
    )


def _variants(world: World, compress: Traced) -> Markup:
    words, style, rows = world.words, metric_style(compress["metric"].text), []
    trained = compress["timings"]["trained"]
    rows.append([
        words("compress.trained"), world.number(compress["trained_bytes"], "bytes"), world.number(trained["row_p50"], "seconds"),
        world.number(trained["row_p95"], "seconds"), world.number(trained["rows_per_second"], "count", decimals=0), "", "", "", "",
    ])  # fmt: skip
    skipped = []
    for variant in compress["variants"]:
        name = words.name("method", variant["name"].text)
        if variant["status"].text != "measured":
            said = words("compress.failed") if variant["status"].text == "failed" else words("compress.skipped")
            skipped.append(
                html.paragraph(
                    html.tag("strong", name), " – ", said, " ", world.reason(variant["reason"]), class_="small soft"
                )
            )
            continue
        used = variant["name"].text == compress["chosen"].text
        state = _state(world, compress, variant)
        times = variant["timings"]
        rows.append([
            html.tag("span", name, class_="chosen" if used else None), world.number(variant["bytes"], "bytes"), world.number(times["row_p50"], "seconds"),
            world.number(times["row_p95"], "seconds"), world.number(times["rows_per_second"], "count", decimals=0), world.number(variant["agreement"], "percent", decimals=2),
            world.number(variant["alone"], "percent", decimals=2), world.interval(variant["drop"], style) if variant["drop"].there else "–", state,
        ])  # fmt: skip
    head = [
        words("compress.variant"), words("compress.size"), words("compress.p50"), words("compress.p95"), words("compress.throughput"),
        words("compress.agreement"), words("compress.alone"), words("compress.drop"), words("compress.state"),
    ]  # fmt: skip
    table = html.table(head, rows, label=words.plain("compress.variants"), numeric=range(1, 8))
    return html.card(words("compress.variants"), table, *skipped, note=words("compress.variants_note"), wide=True)
