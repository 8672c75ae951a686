"""What a language model wrote: figures beside those of the rows' own texts, and some texts in full."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.traced import Traced
from modelyard.report.world import World

FIGURES = ("chrf", "bleu", "copied", "near")
"""With intervals; the others are counts over all texts."""
APART = ("chrf", "bleu")
"""The chosen model's minus a candidate's, paired."""
COUNTS = ("distinct_2", "repetition", "longest_copy")


def cards(world: World, writing: Traced) -> list[Markup]:
    """Figures, then texts; nothing where no text was written."""
    if not writing.there:
        return []
    return [one for one in (_figures(world, writing), _nearest(world, writing), _texts(world, writing)) if one]


def _figures(world: World, writing: Traced) -> Markup:
    words = world.words
    shown = [name for name in FIGURES if writing["chosen"]["figures"][name].there]
    everyone: list[tuple[Any, Traced]] = [(words("evaluate.chosen"), writing["chosen"])]
    everyone += [(words.name("candidate", name), one) for name, one in writing["candidates"].items()]
    everyone.append((words("written.wanted"), writing["wanted"]))
    apart = [name for name in APART if any(one["differences"][name].there for _, one in everyone)]
    rows = []
    for name, one in everyone:
        figures = [
            world.interval(one["figures"][figure], "percent" if figure in ("copied", "near") else "metric")
            if one["figures"][figure].there
            else ""
            for figure in shown
        ]
        counts = [world.number(one[figure], "count" if figure == "longest_copy" else "percent") for figure in COUNTS]
        differences = [
            world.interval(one["differences"][figure]) if one["differences"][figure].there else "" for figure in apart
        ]
        rows.append([name, *figures, *differences, *counts])
    named = [*shown, *(f"difference_{name}" for name in apart), *COUNTS]
    head = [words("evaluate.model"), *(words(f"written.{name}") for name in named)]
    label = words.plain("written.figures")
    table = html.table(head, rows, label=label, numeric=tuple(range(1, len(head))))
    note = words("written.figures_note", rows=world.number(writing["rows"], "count"))
    return html.card(label, table, note=note, wide=True)


def _nearest(world: World, writing: Traced) -> Markup | None:
    """The chosen model's text that repeats most of a training text, and the like of the rows' own texts."""
    words, rows = world.words, []
    for name, one in ((words("evaluate.chosen"), writing["chosen"]), (words("written.wanted"), writing["wanted"])):
        if (found := one["nearest"]).there:
            share = world.number(found["share"], "percent")
            rows.append([name, share, world.quote(found["answer"]), world.quote(found["training"])])
    if not rows:
        return None
    head = [words("evaluate.model"), *(words(f"written.{name}") for name in ("near_share", "answer", "training"))]
    label = words.plain("written.nearest")
    return html.card(
        label, html.table(head, rows, label=label, numeric=(1,)), note=words("written.nearest_note"), wide=True
    )


def _texts(world: World, writing: Traced) -> Markup:
    words, answered = world.words, bool(writing["answered"].value)
    rows = [
        [*([world.quote(text["prompt"]), world.quote(text["wanted"])] if answered else []), world.quote(text["answer"])]
        for text in writing["texts"]
    ]
    head = [*([words("written.prompt"), words("written.own")] if answered else []), words("written.answer")]
    label = words.plain("written.texts")
    return html.card(label, html.table(head, rows, label=label), note=words("written.texts_note"), wide=True)
