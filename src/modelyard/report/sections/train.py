"""The train section: the candidates side by side, how they learnt, what they look like inside, and what was chosen."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import charts, html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import forest, gates_table, metric_style
from modelyard.report.traced import Traced
from modelyard.report.world import World


class Part(Section):
    """Candidates on the validation rows; what was chosen and why."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        train = world["train"]
        cards = [
            _candidates(world, train),
            _choice(world, train),
            _weights(world, train),
            *_curves(world, train),
            _adapters(world, train),
            _augmented(world, train),
            _threshold(world, train),
            gates_table(world, world.gates("train")),
        ]
        inside = [fold for candidate in train["candidates"] for fold in _inside(world, candidate)]
        return html.join(html.grid(*cards), *inside)


def _choice(world: World, train: Traced) -> Markup:
    words, metric = world.words, train["metric"].text
    pairs: list[tuple[Any, Any]] = [
        (words("train.metric"), words.name("metric", metric)),
        (words("train.validation_score"), world.interval(train["validation"][metric], metric_style(metric))),
        (words("train.folds"), world.number(train["folds"], "count")),
    ]
    if (train["temperature"].number or 1.0) != 1.0:
        pairs.append((words("train.temperature"), world.number(train["temperature"])))
    if train["threshold"].there:
        pairs.append((words("train.threshold"), world.number(train["threshold"])))
    reason = (
        html.paragraph(world.reason(train["threshold_reason"]), class_="small soft")
        if train["threshold_reason"]
        else None
    )
    return html.card(words("train.choice"), html.facts(pairs), reason, note=words("train.choice_note"))


def _weights(world: World, train: Traced) -> Markup:
    words = world.words
    rows = [
        [words.name("candidate", name), charts.meter(weight.number or 0), world.number(weight, "percent")]
        for name, weight in sorted(train["weights"].items(), key=lambda item: -(item[1].number or 0))
        if weight.number
    ]
    head = [words("train.candidate"), "", words("train.weight")]
    note = words(f"train.weights_{train['weighting'].text}") if train["weighting"].text else None
    return html.card(
        words("train.weights"), html.table(head, rows, label=words.plain("train.weights"), numeric=(2,)), note=note
    )


def _candidates(world: World, train: Traced) -> Markup:
    words, metric, weights = world.words, train["metric"].text, train["weights"]
    style = metric_style(metric)
    rows: list[tuple[Any, Traced, str, list[Any]]] = []
    skipped = []
    sign = 1 if train["greater_is_better"].value is not False else -1
    tried = sorted(
        train["candidates"], key=lambda one: -sign * (one["validation"][metric]["value"].number or -sign * 9e99)
    )
    for candidate in tried:
        name = words.name("candidate", candidate["name"].text)
        if candidate["status"].text == "skipped":
            skipped.append(
                html.paragraph(html.tag("strong", name), " – ", world.reason(candidate["reason"]), class_="small soft")
            )
            continue
        used = bool(weights[candidate["name"].text].number)
        label = html.join(
            name, " ", html.tag("span", words("train.used"), class_="badge good chosen") if used else None
        )
        further = [
            world.number(candidate["work"]["parameters"], "short"),
            world.number(candidate["work"]["flops_per_row"], "short"),
            world.number(candidate["timings"]["total"], "seconds"),
        ]
        rows.append((label, candidate["validation"][metric], "s1" if used else "s8", further))
    head = [
        words("train.candidate"), "", words.name("metric", metric), words("train.parameters"), words("train.flops"), words("train.seconds"),
    ]  # fmt: skip
    reference = train["validation"][metric]["value"].number
    table = forest(
        world,
        rows,
        head=head,
        label=words.plain("train.candidates"),
        style=style,
        reference=reference,
        numeric=(3, 4, 5),
    )
    return html.card(words("train.candidates"), table, *skipped, note=words("train.candidates_note"), wide=True)


def _curves(world: World, train: Traced) -> list[Markup]:
    """For each candidate that learnt by gradient: loss and metric by epoch, of its first job."""
    words, metric = world.words, world.words.name("metric", train["metric"].text)
    cards = []
    for candidate in train["candidates"]:
        curve = next((job["curve"] for job in candidate["jobs"] if len(job["curve"]) > 1), None)
        if curve is not None:
            name, loss = words.name("candidate", candidate["name"].text), words.plain("train.loss")
            cards.append(
                html.card(words("train.loss_of", name=name), _curve(world, curve, "loss", loss, f"{name}: {loss}"))
            )
            cards.append(
                html.card(
                    words("train.metric_of", name=name, metric=metric),
                    _curve(world, curve, "metric", metric, f"{name}: {metric}"),
                )
            )
    return cards


def _adapters(world: World, train: Traced) -> Markup | None:
    """What was learnt beside frozen weights, and how exactly it was merged."""
    words, rows, tried = world.words, [], None
    for candidate in train["candidates"]:
        for job in candidate["jobs"]:
            if (facts := job["facts"])["adapter"].there:
                folder, tried = html.tag("code", f"{job['folder'].text}/{facts['adapter'].text}"), facts["merge_rows"]
                figures = [world.number(facts["trainable"], "short"), world.number(facts["merge_difference"])]
                rows.append([words.name("candidate", candidate["name"].text), *figures, folder])
    if tried is None:
        return None
    head = [
        words("train.candidate"),
        *(words(f"train.{name}") for name in ("trainable", "merge_difference", "adapter_folder")),
    ]
    label = words.plain("train.adapter")
    note = words("train.adapter_note", rows=world.number(tried, "count"))
    return html.card(label, html.table(head, rows, label=label, numeric=(1, 2)), note=note, wide=True)


def _curve(world: World, curve: Traced, kind: str, axis: str, label: str) -> Markup:
    """`train_<kind>` and `validation_<kind>` by epoch."""
    epochs, words = [point["epoch"].number or 0.0 for point in curve], world.words
    train_points = [point[f"train_{kind}"].number or 0.0 for point in curve]
    validation_points = [point[f"validation_{kind}"].number or 0.0 for point in curve]
    chart = charts.Chart(
        world.axis(0.0, max(epochs), words.plain("train.epoch")),
        world.around([*train_points, *validation_points], axis),
        height=230,
    )
    chart.line(epochs, train_points, "s8", dashed=True).line(epochs, validation_points, "s1")
    titles = [world.number(point[f"validation_{kind}"], "metric", element="title") for point in curve]
    chart.dots(zip(epochs, validation_points, strict=True), "s1", titles=titles, radius=3.5)
    legend = [("s8", words("train.on_train")), ("s1", words("train.on_validation"))]
    return html.figure(chart.svg(label), label, legend=legend)


def _augmented(world: World, train: Traced) -> Markup | None:
    """Training images, and each as the model met it."""
    address, words = world.data_uri(train["augmented"].text), world.words
    if not address:
        return None
    drawn = html.tag("div", html.tag("img", src=address, alt=words.plain("train.augmented")), class_="pictures")
    return html.card(words("train.augmented"), drawn, note=words("train.augmented_note"))


def _threshold(world: World, train: Traced) -> Markup | None:
    words, curve = world.words, train["threshold_curve"]
    thresholds, costs, values = (curve[key].value for key in ("threshold", "cost", "metric"))
    if not thresholds or not (costs or values):
        return None
    chosen = train["threshold"].number
    if costs:
        y = world.around(costs, words.plain("train.cost"), zero=True)
        label, note = words.plain("train.threshold_curve"), words("train.threshold_note")
    else:
        metric = words.name("metric", train["metric"].text)
        y, label = world.around(values, metric), words("train.metric_curve", metric=metric).unescape()
        note = words("train.metric_note" if chosen is not None else "train.metric_note_none")
    chart = charts.Chart(world.axis(0.0, 1.0, words.plain("train.threshold")), y)
    chart.line(thresholds, costs or values, "s1")
    if chosen is not None:
        chart.rule(x=chosen, name=world.number(train["threshold"], element="tspan"))
    return html.card(label, html.figure(chart.svg(label), label, caption=note))


def _inside(world: World, candidate: Traced) -> list[Markup]:
    """What a model says about itself, folded away."""
    words, explain = world.words, candidate["explain"]
    name = words.name("candidate", candidate["name"].text)
    folds = []
    layers, positive = candidate["jobs"][0]["facts"]["layers"], world["evaluate"]["positive"].text
    if len(layers):
        folds.append(html.details(words("train.layers_of", name=name), _layers(world, layers), fold=True))
    if len(explain["rules"]):
        folds.append(html.details(words("train.rules_of", name=name), _rules(world, explain["rules"]), fold=True))
    if len(explain["weights"]):
        folds.append(
            html.details(
                words("train.features_towards", name=name, positive=positive)
                if positive
                else words("train.features_of", name=name),
                _bars(world, explain["weights"], words("train.coefficient"), "plain"),
                fold=True,
            )
        )
    if len(explain["importance"]):
        folds.append(
            html.details(
                words("train.importance_of", name=name),
                _bars(world, explain["importance"], words("train.importance"), "percent"),
                fold=True,
            )
        )
    return folds


def _layers(world: World, layers: Traced) -> Markup:
    """A module's summary (`learn.summary`), a row a layer."""
    columns = ("name", "kind", "output", "parameters", "flops")
    rows = [[_cell(world, layer[column]) for column in columns] for layer in layers]
    head = [world.words.name("layer", column) for column in columns]
    return html.table(head, rows, label=world.words.plain("train.layers"), numeric=(3, 4))


def _cell(world: World, given: Traced) -> Markup:
    if isinstance(given.value, list):
        return html.tag(
            "span",
            " × ".join("n" if item is None else str(item) for item in given.value),
            data_source=given.source,
            class_="shape",
        )
    return world.quote(given) if isinstance(given.value, str) else world.number(given, "count")


def _rules(world: World, rules: Traced) -> Markup:
    """A tree's nodes in reading order, indented by their depth."""
    if isinstance(rules.value, str):
        return world.quote(rules, element="pre")
    lines = []
    for node in rules:
        answer = node["answer"]
        if isinstance(answer.value, dict):
            said: Any = html.join(
                *(html.join(name, " ", world.number(share, "percent")) for name, share in answer.items()), between=", "
            )
        else:
            said = world.number(answer, "metric")
        mark = "→ " if node["leaf"].value else ""
        condition = world.quote(node["condition"]) if node["condition"] else world.words("train.root")
        style = f"padding-left:{1.4 * (node['depth'].number or 0):.1f}em"
        lines.append(
            html.tag(
                "li",
                html.tag("span", condition, class_="condition"),
                html.tag("span", mark, said, class_="soft"),
                style=style,
                class_="leaf" if node["leaf"].value else None,
            )
        )
    return html.tag("ol", *lines, class_="rules")


def _bars(world: World, pairs: Traced, name: Any, style: Any) -> Markup:
    """Features with their weight as bars to the left (against) and right (for)."""
    values = [pair[1].number or 0.0 for pair in pairs]
    top = max((abs(value) for value in values), default=1.0) or 1.0
    rows = [
        [
            world.quote(pair[0]),
            charts.meter(abs(value) / top, "s1" if value >= 0 else "s2"),
            world.number(pair[1], style),
        ]
        for pair, value in zip(pairs, values, strict=True)
    ]
    return html.table(
        [world.words("train.feature"), "", name],
        rows,
        label=world.words.plain("train.feature"),
        numeric=(2,),
        tall=True,
    )
