"""The package section: what is shipped, how large it is, what it needs, its card, and the files that loading checks."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from modelyard.report import html
from modelyard.report.sections._contract import Section
from modelyard.report.sections._shared import gates_table
from modelyard.report.traced import Traced
from modelyard.report.world import World

CARD = "package/MODEL_CARD.md"


class Part(Section):
    """The folder that is shipped."""

    def render(self, world: World) -> Markup:
        """The section's body."""
        package = world["package"]
        return html.join(
            html.grid(_facts(world, package), _needs(world, package), gates_table(world, world.gates("package"))),
            _card(world),
            _files(world, package),
        )


def _facts(world: World, package: Traced) -> Markup:
    words = world.words
    pairs: list[tuple[Any, Any]] = [
        (words("package.name"), world.quote(package["name"])),
        (words("package.version"), world.quote(package["version"])),
        (words("package.bytes"), world.number(package["bytes"], "bytes")),
        (words("package.archive"), world.number(package["archive_bytes"], "bytes")),
        (words("package.installed"), world.number(package["installed"], "bytes")),
        (words("package.cold_start"), world.number(package["measured_cold_start"], "seconds")),
    ]
    return html.card(
        words("package.facts"), html.facts([pair for pair in pairs if pair[1]]), note=words("package.note")
    )


def _needs(world: World, package: Traced) -> Markup | None:
    """What answers, and the libraries that serving installs."""
    words, sessions = world.words, package["sessions"]
    pairs: list[tuple[Any, Any]] = []
    if len(sessions):
        pairs.append(
            (
                words("package.sessions"),
                html.join(*(world.quote(session) for session in sessions), between=words.plain("verdict.comma")),
            )
        )
    hashes = (("hash", words("package.folder_hash")), ("archive_hash", words("package.archive_hash")))
    pairs += [(name, world.quote(package[key], element="code")) for key, name in hashes if package[key]]
    needed = package["requirements"]
    lines = html.tag("div", *(html.tag("div", world.quote(one, element="code")) for one in needed), class_="columns")
    more = (
        html.details(words("package.show_requirements", count=world.count(len(needed), "requirements")), lines)
        if len(needed)
        else None
    )
    return html.card(words("package.requirements"), html.facts(pairs), more) if pairs or more else None


def _card(world: World) -> Markup | None:
    """The model card as it stands in the package."""
    text = world.text_file(CARD)
    return (
        html.details(world.words("package.show_card"), html.tag("pre", text, tabindex="0", class_="wrapped"), fold=True)
        if text
        else None
    )


def _files(world: World, package: Traced) -> Markup | None:
    words = world.words
    rows = [[html.tag("code", name), world.number(size, "bytes")] for name, size in package["files"].items()]
    if not rows:
        return None
    table = html.table(
        [words("package.file"), words("package.size")],
        rows,
        label=words.plain("package.show_files"),
        numeric=(1,),
        tall=True,
    )
    return html.details(words("package.show_files"), table, fold=True)
