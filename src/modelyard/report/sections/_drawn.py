"""What models of images made: sheets by class, made images above the training images nearest to them, and figures beside real images'."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.traced import Traced
from modelyard.report.world import World

FIGURES = ("kernel_ratio", "sample_accuracy", "agreement", "least_share", "copied")


def cards(world: World, drawing: Traced) -> list[Markup | None]:
    """Pictures, figures and classes; nothing where no image was made."""
    if not drawing.there:
        return []
    return [
        _sheets(world, drawing), _nearest(world, drawing), _figures(world, drawing), _classes(world, drawing),
    ]  # fmt: skip


def _picture(world: World, place: Traced, told: str) -> Markup | None:
    address = world.data_uri(place.text)
    return html.tag("div", html.tag("img", src=address, alt=told), class_="pictures") if address else None


def _sheets(world: World, drawing: Traced) -> Markup:
    """What the chosen artifact made; what the others made is folded away."""
    words, label = world.words, world.words.plain("drawn.sheet")
    folded = []
    for name, one in drawing["candidates"].items():
        told = words("drawn.sheet_of", name=words.name("candidate", name))
        if (picture := _picture(world, one["sheet"], str(told.unescape()))) is not None:
            folded.append(html.details(told, picture, fold=True))
    names = html.join(*(world.quote(name) for name in drawing["classes"]), between=words.plain("verdict.comma"))
    note = words("drawn.sheet_note", classes=names) if len(drawing["classes"]) else words("drawn.sheet_note_plain")
    return html.card(label, _picture(world, drawing["chosen"]["sheet"], label), *folded, note=note, wide=True)


def _nearest(world: World, drawing: Traced) -> Markup | None:
    words, label = world.words, world.words.plain("drawn.nearest")
    picture = _picture(world, drawing["nearest"], label)
    return html.card(label, picture, note=words("drawn.nearest_note"), wide=True) if picture else None


def _figures(world: World, drawing: Traced) -> Markup:
    words, shown = world.words, [name for name in FIGURES if drawing["chosen"]["figures"][name].there]
    everyone: list[tuple[Any, Traced]] = [(words("evaluate.chosen"), drawing["chosen"])]
    everyone += [(words.name("candidate", name), one) for name, one in drawing["candidates"].items()]
    rows = []
    for name, one in everyone:
        figures = [world.interval(one["figures"][figure], _style(figure)) for figure in shown]
        seen = [html.badge("bad", words.name("trouble", trouble.text)) for trouble in one["troubles"]]
        signs = html.join(*seen, between=" ") if seen else html.badge("good", words("drawn.no_trouble"))
        rows.append([name, *figures, world.number(one["variety"], "metric"), signs])
    real = {"sample_accuracy": drawing["real_accuracy"], "copied": drawing["real_copied"]}
    natural = [world.interval(real[name], "percent") if name in real and real[name].there else "" for name in shown]
    rows.append([words("drawn.real"), *natural, "", ""])
    head = [words("evaluate.model"), *(words(f"drawn.{name}") for name in (*shown, "variety", "troubles"))]
    label = words.plain("drawn.figures")
    table = html.table(head, rows, label=label, numeric=tuple(range(1, len(head) - 1)))
    network = world.quote(drawing["network"], element="code")
    note = words("drawn.figures_note", rows=world.number(drawing["rows"], "count"), network=network)
    return html.card(label, table, note=note, wide=True)


def _style(figure: str) -> Any:
    return "metric" if figure == "kernel_ratio" else "percent"


def _classes(world: World, drawing: Traced) -> Markup | None:
    """How often each class is made where none is asked for."""
    if not len(drawing["classes"]):
        return None
    words, shown = world.words, list(drawing["candidates"].items())
    rows = []
    for name, expected in drawing["expected"].items():
        each = [world.number(one["shares"][name], "percent") for _, one in shown]
        rows.append(
            [name, world.number(expected, "percent"), world.number(drawing["chosen"]["shares"][name], "percent"), *each]
        )
    head: list[Any] = [words("drawn.class"), words("drawn.expected"), words("evaluate.chosen")]
    head += [words.name("candidate", name) for name, _ in shown]
    label = words.plain("drawn.classes")
    table = html.table(head, rows, label=label, numeric=tuple(range(1, len(head))))
    return html.card(
        label, table, note=words("drawn.classes_note", free=world.number(drawing["free"], "count")), wide=True
    )
