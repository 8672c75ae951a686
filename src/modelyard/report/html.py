"""Small helpers that build safe HTML: everything given as a plain text is escaped; only `Markup` passes as it is.

They know nothing about records, numbers or sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

EMPTY = Markup("")
_VOID = {"br", "hr", "img", "meta", "circle", "line", "rect", "path", "polyline", "polygon"}


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """An element. `class_`, `data_source` → `class`, `data-source`; attributes that are None or False are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Any, between: str = "") -> Markup:
    """Children one after another; None is nothing, a list is its items."""
    flat: list[Markup] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, (list, tuple)):
            flat.append(join(*child, between=between))
        else:
            flat.append(escape(child))
    return Markup(between).join(piece for piece in flat if piece)


def paragraph(*children: Any, class_: str | None = None) -> Markup:
    """A paragraph."""
    return tag("p", *children, class_=class_)


def card(title: Any, *body: Any, note: Any = None, wide: bool = False, kind: str = "") -> Markup:
    """A titled box in a grid."""
    classes = " ".join(filter(None, ("card", "wide" if wide else "", kind)))
    return tag(
        "section",
        tag("h3", title) if title else None,
        paragraph(note, class_="note") if note else None,
        *body,
        class_=classes,
    )


def grid(*cards: Any, class_: str = "") -> Markup:
    """Cards side by side, as many as fit."""
    return tag("div", *cards, class_=f"grid {class_}".strip())


def figure(drawing: Any, label: str, *, caption: Any = None, legend: Sequence[tuple[str, Any]] = ()) -> Markup:
    """A drawing with its caption and a legend of (series class, name). `label` is what a screen reader says."""
    keys = [tag("span", tag("i", class_=f"key {series}"), name) for series, name in legend]
    below = join(tag("div", *keys, class_="legend") if keys else None, tag("span", caption) if caption else None)
    return tag("figure", drawing, tag("figcaption", below) if below else None, role="group", aria_label=label)


def table(
    head: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    label: str,
    numeric: Iterable[int] = (),
    class_: str = "",
    tall: bool = False,
) -> Markup:
    """A table in a box that scrolls by itself; the first cell of each row is its header. `numeric` columns are set right; a `tall` one is cut.

    Of the class `rows` each row stands as a block on a phone, with the columns' names before what they hold.
    """
    right = set(numeric)
    named = [escape(name).striptags() for name in head] if "rows" in class_.split() else []

    def cell(kind: str, column: int, content: Any, scope: str | None = None) -> Markup:
        name = named[column] if named and kind == "td" and content not in ("", None) else None
        return tag(kind, content, scope=scope, class_="num" if column in right else None, data_label=name or None)

    header = tag("tr", *(cell("th", column, name, "col") for column, name in enumerate(head)))
    body = [
        tag(
            "tr",
            *(
                cell("th" if column == 0 else "td", column, content, "row" if column == 0 else None)
                for column, content in enumerate(row)
            ),
        )
        for row in rows
    ]
    inner = tag(
        "table",
        tag("caption", label, class_="hidden"),
        tag("thead", header),
        tag("tbody", *body),
        class_=class_ or None,
    )
    return tag("div", inner, class_="scroll tall" if tall else "scroll", tabindex="0", role="region", aria_label=label)


def facts(pairs: Iterable[tuple[Any, Any]], *, lines: bool = False) -> Markup:
    """A list of names and values; `lines`: one below the other."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs)
    return tag("dl", *rows, class_="facts lines" if lines else "facts")


def badge(kind: str, text: Any) -> Markup:
    """A word with a light: `good`, `warn`, `bad` or `quiet`; its sign differs too, for those who see no colour."""
    sign = {"good": "✓", "warn": "!", "bad": "✕"}.get(kind, "·")
    return tag("span", tag("span", sign, aria_hidden="true", class_="sign"), text, class_=f"badge {kind}")


def details(summary: Any, *body: Any, fold: bool = False) -> Markup:
    """Something folded away until asked for; a `fold` is a box of its own."""
    return tag("details", tag("summary", summary), *body, class_="fold" if fold else None)


def callout(kind: str, *body: Any) -> Markup:
    """A remark set apart: `good`, `warn`, `bad` or `quiet`."""
    return tag("div", *body, class_=f"callout {kind}", role="note")
