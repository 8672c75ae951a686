"""The package section: what is shipped, how large it is, under which licence, and the hash of each file."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.numbers import Style
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table
from modelyard.report.traced import Traced
from modelyard.report.world import World

_HASHES = ("hashes", "files")


class Part(Section):
    """The folder that is shipped."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        package = world["package"]
        return html.grid(_facts(world, package), _card(world), _hashes(world, package), gates_table(world, world.gates("package")))


def _facts(world: World, package: Traced) -> Markup:
    """Every single value of the record, named and with its unit."""
    words, pairs = world.words, []
    hidden = {"stage", "format", "key", "inputs", "gates", "derived", "run", "timings", *_HASHES}
    for key, given in package.items():
        if key in hidden or not given.there or isinstance(given.value, (dict, list)):
            continue
        pairs.append((words.name("package", key), value(world, given)))
    for key, given in package["timings"].items():
        pairs.append((words.name("package", key), world.number(given, "seconds")))
    return html.card(words("package.facts"), html.facts(pairs), note=words("package.note"))


def value(world: World, given: Traced) -> Any:
    """A value in the style that its kind and unit ask for."""
    if isinstance(given.value, bool):
        return world.words("audit.yes") if given.value else world.words("audit.no")
    if isinstance(given.value, str) and not given.unit:
        return world.quote(given)
    style: Style = {"B": "bytes", "s": "seconds"}.get(given.unit, "count" if isinstance(given.value, int) else "plain")  # type: ignore[assignment]
    return world.number(given, style)


def _card(world: World) -> Markup | None:
    """The model card as it stands in the package."""
    for name in ("MODEL_CARD.md", "model_card.md", "README.md", "card.md"):
        if text := world.text_file(f"package/{name}"):
            body = html.tag("pre", text, tabindex="0", class_="wrapped")
            return html.card(world.words("package.card"), html.details(world.words("package.show_card"), body), note=world.words("package.card_note"))
    return None


def _hashes(world: World, package: Traced) -> Markup | None:
    words, rows = world.words, list[list[Any]]()
    for name, given in next((package[key] for key in _HASHES if len(package[key])), package["hashes"]).items():
        if isinstance(given.value, dict):
            rows.append([html.tag("code", name), world.number(given["bytes"], "bytes"), world.quote(given["hash"], element="code")])
        else:
            rows.append([html.tag("code", name), "", world.quote(given, element="code")])
    if not rows:
        return None
    head = [words("package.file"), words("package.size"), words("package.hash")]
    table = html.table(head, rows, label=words.plain("package.hashes"), numeric=(1,))
    return html.card(words("package.hashes"), html.details(words("package.show_hashes"), table), note=words("package.hashes_note"), wide=True)
