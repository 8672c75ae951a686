"""The evaluate section: the chosen model on the test rows, with intervals, beside every candidate, by slice, and its worst errors."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections import _drawn, _written
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import bounds_of, forest, gates_table, metric_style
from modelyard.report.traced import Traced
from modelyard.report.world import World

SHOWN = 6
"""Errors that stand open; the others are folded away."""
FEW_CLASSES = 4
"""Classes whose confusion matrix fits into half a page's width."""


class Part(Section):
    """Quality on rows that nothing was chosen on."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        evaluate = world["evaluate"]
        return html.grid(
            _metrics(world, evaluate),
            _candidates(world, evaluate),
            *_curves(world, evaluate),
            _confusion(world, evaluate),
            _money(world, evaluate),
            *_slices(world, evaluate),
            _worst(world, evaluate),
            *_written.cards(world, evaluate["writing"]),
            *_drawn.cards(world, evaluate["drawing"]),
            gates_table(world, world.gates("evaluate")),
        )


def _metrics(world: World, evaluate: Traced) -> Markup:
    words, rows = world.words, []
    for name, estimate in evaluate["metrics"].items():
        better = (
            words("evaluate.higher")
            if evaluate["greater_is_better"][name].value is not False
            else words("evaluate.lower")
        )
        half = evaluate["at_half"][name]
        help_ = words.plain(f"metric_help.{name}") if words.has(f"metric_help.{name}") else ""
        title = html.tag("span", words.name("metric", name), title=help_ or None)
        chosen = (
            html.tag("span", words("evaluate.choosing"), class_="badge chosen")
            if name == evaluate["metric"].text
            else None
        )
        row = [
            html.join(title, chosen, between=" "),
            world.value(estimate, metric_style(name)),
            world.bounds(estimate, metric_style(name)),
            better,
        ]
        rows.append([*row, world.interval(half, metric_style(name))] if evaluate["at_half"] else row)
    head = [words("evaluate.metric"), words("evaluate.value"), words("evaluate.interval"), words("evaluate.better")]
    if evaluate["at_half"]:
        head.append(words("evaluate.at_half"))
    table = html.table(head, rows, label=words.plain("evaluate.metrics"), numeric=(1, 2, 4))
    return html.card(words("evaluate.metrics"), table, note=_metrics_note(world, evaluate), wide=True)


def _metrics_note(world: World, evaluate: Traced) -> Markup:
    """How many rows, what was resampled, what `precision_at_k` looks at, and rows that nothing could answer."""
    words = world.words
    told = [words("evaluate.metrics_note", rows=world.number(evaluate["rows"], "count"))]
    if evaluate["grouped"].value:
        told.append(words("evaluate.grouped"))
    if evaluate["top_k"].there:
        k, days = world.number(evaluate["top_k"], "count"), evaluate["days"]
        told.append(
            words("evaluate.top_k_daily", k=k, days=world.number(days, "count"))
            if days.there
            else words("evaluate.top_k", k=k)
        )
    if evaluate["top_k_by"].there:
        told.append(words("evaluate.top_k_by", column=world.quote(evaluate["top_k_by"], element="code")))
    if evaluate["unknown"]:
        counts = [count for _, count in evaluate["unknown"].items()]
        told.append(words("evaluate.unknown", rows=world.number(sum(counts[1:], counts[0]), "count")))
    return html.join(*told, between=" ")


def _candidates(world: World, evaluate: Traced) -> Markup | None:
    words, metric = world.words, evaluate["metric"].text
    style = metric_style(metric)
    sign = 1 if evaluate["greater_is_better"][metric].value is not False else -1
    others = sorted(
        evaluate["candidates"].items(), key=lambda item: -sign * (item[1]["metrics"][metric]["value"].number or 0)
    )
    if not others:
        return None
    chosen = html.tag("span", words("evaluate.chosen"), class_="chosen")
    rows: list[tuple[Any, Traced, str, list[Any]]] = [(chosen, evaluate["metrics"][metric], "s1", ["", ""])]
    for name, one in others:
        verdict = (
            html.badge("good", words("evaluate.beaten"))
            if one["better"].value
            else html.badge("quiet", words("evaluate.not_beaten"))
        )
        same = (
            one["difference"]["value"].number == 0
            and one["difference"]["low"].number == one["difference"]["high"].number
        )
        further = [
            world.interval(one["difference"], style),
            html.badge("quiet", words("evaluate.same")) if same else verdict,
        ]
        rows.append(
            (
                words.name("candidate", name),
                one["metrics"][metric],
                "s8",
                further if one["difference"].there else ["", ""],
            )
        )
    head = [
        words("evaluate.model"),
        "",
        words.name("metric", metric),
        words("evaluate.difference"),
        words("evaluate.confident"),
    ]
    reference = evaluate["metrics"][metric]["value"].number
    table = forest(
        world, rows, head=head, label=words.plain("evaluate.candidates"), style=style, reference=reference, numeric=(3,)
    )
    return html.card(words("evaluate.candidates"), table, note=words("evaluate.candidates_note"), wide=True)


def _curves(world: World, evaluate: Traced) -> list[Markup | None]:
    curves = evaluate["curves"]
    return [
        _lines(world, curves, "roc", "false_positive_rate", "true_positive_rate"),
        _lines(world, curves, "precision_recall", "recall", "precision"),
        _calibration(world, curves),
        _threshold(world, curves["threshold"], evaluate),
        _predicted(world, curves["predicted"]),
        _residuals(world, curves["residual_histogram"]),
    ]


def _lines(world: World, curves: Traced, kind: str, across: str, up: str) -> Markup | None:
    """One curve, or one a class."""
    words = world.words
    found = [
        (name.partition(":")[2], curve)
        for name, curve in curves.items()
        if name.partition(":")[0] == kind and len(curve[across])
    ]
    if not found:
        return None
    chart = charts.Chart(
        world.axis(0, 1, words.plain(f"curve.{across}")), world.axis(0, 1, words.plain(f"curve.{up}")), height=300
    )
    if kind == "roc":
        chart.line([0, 1], [0, 1], "s8", dashed=True)
    for number, (_, curve) in enumerate(found[: charts.SERIES]):
        chart.line(curve[across].value, curve[up].value, charts.series(number))
    legend = [(charts.series(number), name) for number, (name, _) in enumerate(found[: charts.SERIES]) if name]
    if kind == "roc":
        legend.append(("s8", words.plain("curve.chance")))
    title = words.plain(f"curve.{kind}")
    return html.card(title, html.figure(chart.svg(title), title, legend=legend, caption=words(f"curve.{kind}_note")))


def _calibration(world: World, curves: Traced) -> Markup | None:
    words = world.words
    found = ((name.partition(":")[2], curve) for name, curve in curves.items() if name.startswith("calibration"))
    shown, curve = next(found, ("", None))
    if curve is None or not len(curve["probability"]):
        return None
    chart = charts.Chart(
        world.axis(0, 1, words.plain("curve.probability")), world.axis(0, 1, words.plain("curve.frequency")), height=300
    )
    chart.line([0, 1], [0, 1], "s8", dashed=True)
    series = (curve[key].value for key in ("probability", "frequency", "low", "high"))
    points = sorted(zip(*(one if one else [] for one in series), strict=False))
    for probability, _, low, high in points:
        chart.line([probability, probability], [low, high], "s5")
    chart.line([point[0] for point in points], [point[1] for point in points], "s1")
    chart.dots([(point[0], point[1]) for point in points], "s1")
    title = words.plain("curve.calibration") + (f" ({shown})" if shown else "")
    legend = [("s1", words("curve.observed")), ("s5", words("curve.interval")), ("s8", words("curve.perfect"))]
    return html.card(
        title, html.figure(chart.svg(title), title, legend=legend, caption=words("curve.calibration_note"))
    )


def _threshold(world: World, curve: Traced, evaluate: Traced) -> Markup | None:
    words, thresholds = world.words, curve["threshold"].value
    if not thresholds:
        return None
    lows, highs = curve["low"].value, curve["high"].value
    y = world.around([*lows, *highs], words.plain("train.cost"), zero=True)
    chart = charts.Chart(world.axis(0, 1, words.plain("train.threshold")), y, height=300)
    chart.band(thresholds, lows, highs, "s1").line(thresholds, curve["cost"].value, "s1")
    if (chosen := evaluate["threshold"].number) is not None:
        chart.rule(x=chosen, name=world.number(evaluate["threshold"], element="tspan"))
    title = words.plain("curve.threshold")
    return html.card(title, html.figure(chart.svg(title), title, caption=words("curve.threshold_note")))


def _predicted(world: World, curve: Traced) -> Markup | None:
    words, true, answers = world.words, curve["true"].value, curve["predicted"].value
    if not true:
        return None
    ends = world.around([*true, *answers])
    x, y = (
        world.axis(ends.low, ends.high, words.plain("curve.true")),
        world.axis(ends.low, ends.high, words.plain("curve.predicted")),
    )
    chart = charts.Chart(x, y, height=320).line([ends.low, ends.high], [ends.low, ends.high], "s8", dashed=True)
    step = max(len(true) // 700, 1)
    chart.dots(list(zip(true, answers, strict=True))[::step], "s1 thin", radius=2.2)
    title = words.plain("curve.predicted_title")
    return html.card(title, html.figure(chart.svg(title), title, caption=words("curve.predicted_note")))


def _residuals(world: World, curve: Traced) -> Markup | None:
    words, edges, rows = world.words, curve["edge"].value, curve["rows"].value
    if not edges or not rows:
        return None
    if len(edges) == len(rows):
        edges = [*edges, edges[-1] + (edges[-1] - edges[-2] if len(edges) > 1 else 1)]
    chart = charts.Chart(
        world.axis(edges[0], edges[-1], words.plain("curve.residual")),
        world.around(rows, words.plain("curve.rows"), zero=True),
        height=320,
    )
    chart.bars(edges, rows, "s1").rule(x=0.0)
    title = words.plain("curve.residuals")
    return html.card(title, html.figure(chart.svg(title), title, caption=words("curve.residuals_note")))


def _confusion(world: World, evaluate: Traced) -> Markup | None:
    words, confusion = world.words, evaluate["confusion"]
    if not len(confusion["counts"]) or len(confusion["answered"]) > 30:
        return None
    rows = []
    for true, counts in zip(confusion["true"], confusion["counts"], strict=True):
        total = sum(count.number or 0 for count in counts) or 1.0
        cells = []
        for count in counts:
            share = (count.number or 0) / total
            cells.append(
                html.tag(
                    "td",
                    world.number(count, "count"),
                    class_="strong" if share > 0.5 else None,
                    style=f"--share:{share:.3f}",
                )
            )
        rows.append(html.tag("tr", html.tag("th", world.quote(true), scope="row"), *cells))
    corner = html.tag("th", words("evaluate.true_down"), scope="col", class_="small")
    head = html.tag("tr", corner, *(html.tag("th", world.quote(name), scope="col") for name in confusion["answered"]))
    label = words.plain("evaluate.confusion")
    table = html.tag(
        "table",
        html.tag("caption", label, class_="hidden"),
        html.tag("thead", head),
        html.tag("tbody", *rows),
        class_="matrix",
    )
    return html.card(
        label,
        html.tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label),
        note=words("evaluate.confusion_note"),
        wide=len(confusion["answered"]) > FEW_CLASSES,
    )


def _money(world: World, evaluate: Traced) -> Markup | None:
    words, money = world.words, evaluate["money"]
    if not money.there:
        return None
    axis = world.around(bounds_of(one for _, one in money.items()), zero=True)
    track, rows = charts.Track(axis), []
    for key in ("chosen", "at_half", "never", "always"):
        estimate, series = money[key], "s1" if key == "chosen" else "s8"
        rows.append(
            [
                words(f"money_of.{key}"),
                track.row(estimate["value"].number or 0, estimate["low"].number, estimate["high"].number, series),
                world.interval(estimate),
            ]
        )
    table = html.table(
        [words("evaluate.decision"), "", words("evaluate.cost_row")],
        rows,
        label=words.plain("evaluate.money"),
        numeric=(2,),
        class_="forest",
    )
    saved = [
        (words("money_of.saved"), world.interval(money["saved"])),
        (words("money_of.saved_against_never"), world.interval(money["saved_against_never"])),
    ]
    return html.card(words("evaluate.money"), table, html.facts(saved), note=words("evaluate.money_note"), wide=True)


def _slices(world: World, evaluate: Traced) -> list[Markup]:
    words, metric = world.words, evaluate["metric"].text
    style, cards = metric_style(metric), []
    for column, groups in evaluate["slices"].items():
        rows = []
        for value, group in groups.items():
            rows.append(
                (
                    value or words("evaluate.empty"),
                    group["metrics"][metric],
                    "s1",
                    [world.number(group["rows"], "count")],
                )
            )
        head = [words.name("slice", column), "", words.name("metric", metric), words("evaluate.rows")]
        reference = evaluate["metrics"][metric]["value"].number
        label = words("evaluate.slice_of", column=words.name("slice", column))
        table = forest(
            world, rows, head=head, label=str(label.unescape()), style=style, reference=reference, numeric=(3,)
        )
        cards.append(html.card(label, table, note=words("evaluate.slices_note"), wide=True))
    return cards


def _worst(world: World, evaluate: Traced) -> Markup | None:
    words, mistakes = world.words, evaluate["worst"]
    if not len(mistakes):
        return None
    items = [html.tag("li", *_mistake(world, mistake)) for mistake in mistakes]
    more = None
    if len(items) > SHOWN:
        folded = html.tag("ol", *items[SHOWN:], class_="errors")
        more = html.details(
            words("evaluate.more_errors", count=world.count(len(items) - SHOWN, "errors folded")), folded
        )
    return html.card(
        words("evaluate.worst"),
        html.tag("ol", *items[:SHOWN], class_="errors"),
        more,
        note=_worst_note(world, mistakes),
        wide=True,
    )


def _worst_note(world: World, mistakes: Traced) -> Markup:
    words = world.words
    if world.task_kind != "classification":
        return words("evaluate.worst_note_number")
    note = words("evaluate.worst_note")
    return html.join(note, words("evaluate.looks_note"), between=" ") if mistakes[0]["looks"].there else note


def _mistake(world: World, mistake: Traced) -> tuple[Markup, Markup]:
    """What was wrong, and the row: short fields in one line, texts as they are."""
    words, classes = world.words, world.task_kind == "classification"
    said = words(
        "evaluate.was",
        true=html.tag("strong", _value(world, mistake["true"])),
        answer=html.tag("strong", _value(world, mistake["answer"])),
    )
    if classes:
        score = words("evaluate.probability_true", value=world.number(mistake["score"], "percent"))
    else:
        score = words("evaluate.error", value=world.number(mistake["score"], "metric"))
    row = words("evaluate.row", row=world.number(mistake["row"], "plain", decimals=0))
    about = html.tag(
        "div",
        html.tag("div", said),
        html.tag("div", score, class_="soft"),
        html.tag("div", row, class_="faint"),
        class_="about-error",
    )
    fields = [(name, value) for name, value in mistake["fields"].items() if value.there]
    long = [(name, value) for name, value in fields if isinstance(value.value, str) and len(value.text) > 60]
    short = html.join(
        *(_field(world, name, value) for name, value in fields if (name, value) not in long), between=" · "
    )
    line: Markup | None = html.tag("div", short, class_="small soft") if short else None
    if line and len(fields) - len(long) > 12:
        line = html.details(words("evaluate.fields"), line)
    texts = [
        html.tag("div", html.tag("span", name, class_="faint small"), world.quote(value, class_="mail"))
        for name, value in long
    ]
    return about, html.tag("div", _images(world, mistake), line, *texts)


def _images(world: World, mistake: Traced) -> Markup | None:
    """The row's image, and beside it where the model looked."""
    words = world.words
    told = {
        "image": words.plain("evaluate.image_alt").format(row=mistake["row"].text),
        "looks": words.plain("evaluate.looks_alt"),
    }
    found = {name: world.data_uri(mistake[name].text) for name in told}
    shown = [html.tag("img", src=address, alt=told[name], width=96) for name, address in found.items() if address]
    return html.tag("div", *shown, class_="pictures") if shown else None


def _value(world: World, given: Traced) -> Markup:
    return world.quote(given) if isinstance(given.value, str) else world.number(given, "metric")


def _field(world: World, name: str, value: Traced) -> Markup:
    return html.join(
        html.tag("span", name, class_="faint"),
        " ",
        world.quote(value) if isinstance(value.value, str) else world.number(value),
    )
