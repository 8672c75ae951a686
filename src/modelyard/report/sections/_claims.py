"""What an entry of the blueprint rests on, as market and strategy show it: a source with its date, or a place in the records with what stands there."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.numbers import Style
from modelyard.report.traced import Traced, resolve
from modelyard.report.world import World

STYLES: dict[str, Style] = {"s": "seconds", "B": "bytes", "request/s": "rate"}
"""How quantities of a unit are printed; others as plain numbers."""


def rests(world: World, entry: Traced, references: Traced) -> Markup:
    """Source and date of an entry, or the record that it names; `references` are those that were looked up."""
    if entry["record"]:
        return place(world, found_at(references, entry["record"].text), entry["record"])
    return html.tag("span", said_by(world, entry), class_="faint small")


def said_by(world: World, entry: Traced) -> Markup:
    """`an agency's census (2026-01-31)`."""
    return html.join(
        world.quote(entry["source"]), html.join(" (", world.quote(entry["date"]), ")") if entry["date"] else None
    )


def found_at(references: Traced, path: str) -> Traced:
    """The reference of a path, or one whose value is None."""
    return next((one for one in references if one["path"].text == path), references["nothing"])


def place(world: World, reference: Traced, path: Traced) -> Markup:
    """A place in the records with its number, or that there is none."""
    name = html.tag("code", path.text)
    if not reference["origin"]:
        return html.join(name, " ", html.badge("bad", world.words("market.not_there")))
    return html.join(name, " ", value_at(world, reference))


def value_at(world: World, reference: Traced) -> Markup:
    """What stands at a reference, traced to the record itself; a tick where it is more than one value."""
    origin = reference["origin"].text
    try:
        found = Traced(resolve(origin, world.documents), origin)
    except (KeyError, IndexError, ValueError):
        found = reference["value"]
    if found.number is not None:
        return world.number(found, STYLES.get(found.unit, "plain"))
    if isinstance(found.value, str):
        return world.quote(found)
    return html.badge("good", world.words("market.there"))


def listed(items: list[Any], *, class_: str = "plain") -> Markup | None:
    """A list, or nothing."""
    return html.tag("ul", *(html.tag("li", item) for item in items), class_=class_) if items else None
