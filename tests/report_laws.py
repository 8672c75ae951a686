"""The laws of a written report, for pages of hand-written records and of real builds: every number is traced, every source is true.

`parse` reads a page; `faults_of` and `free_numbers` say what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from modelyard.report.catalogue import Words, texts
from modelyard.report.numbers import read, sizes
from modelyard.report.traced import plain, resolve
from modelyard.report.world import World

VOID = {"meta", "br", "hr", "img", "link", "input"}
NUMBER = re.compile(r"\d[\d,.]*")


@dataclass
class Node:
    """An element with its attributes, ancestors and texts."""

    name: str
    attributes: dict[str, str]
    parent: Node | None
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def walk(self) -> list[Node]:
        return [self, *(inner for child in self.children if isinstance(child, Node) for inner in child.walk())]

    def up(self) -> list[Node]:
        return [self, *(self.parent.up() if self.parent else [])]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Node("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs}, self.here)
        self.here.children.append(node)
        if tag not in VOID:
            self.here = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.here.children.append(Node(tag, {key: value or "" for key, value in attrs}, self.here))

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> closes <{self.here.name}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def parse(html: str) -> Node:
    reader = Reader()
    reader.feed(html)
    assert reader.here is reader.root, f"<{reader.here.name}> is never closed"
    return reader.root


def traced(page: Node) -> list[Node]:
    return [node for node in page.walk() if "data-source" in node.attributes]


def shown(node: Node) -> str:
    """Its text without the SVG titles inside it."""
    return node.text.strip()


def faults_of(page: Node, world: World) -> list[str]:
    """Sources that lead nowhere, and what is printed otherwise than its source says."""
    units, faults = sizes(Words(world.words.language).plain), []
    for node in traced(page):
        source, text = node.attributes["data-source"], shown(node)
        try:
            value = resolve(source, world.documents)
        except (KeyError, IndexError, ValueError) as error:
            faults.append(f"{source}: leads nowhere ({error!r})")
            continue
        if "n" in node.classes:
            number, half = read(text, units)
            actual = plain(value)
            if actual is None or abs(number - actual) > half * 1.0001 + 1e-12 * abs(actual):
                faults.append(f"{source}: {value!r} is printed as {text!r}")
        elif "shape" in node.classes:
            if re.findall(r"\d+", text) != re.findall(r"\d+", str(value)):
                faults.append(f"{source}: {value!r} is printed as {text!r}")
        elif " ".join(text.rstrip("…").split()) not in " ".join(str(value).split()):
            faults.append(f"{source}: {str(value)[:60]!r} is quoted as {text[:60]!r}")
    return faults


def words_of(value: Any) -> list[str]:
    """Every text in a record, keys included, but no numbers."""
    if isinstance(value, dict):
        return [*map(str, value), *(word for inner in value.values() for word in words_of(inner))]
    if isinstance(value, (list, tuple)):
        return [word for inner in value for word in words_of(inner)]
    return [value] if isinstance(value, str) and plain(value) is None else []


def free_numbers(page: Node, world: World) -> list[str]:
    """Numbers of the page that name no source and stand in no text of the catalogue or of a record."""
    given = [
        *texts(world.words.language).values(),
        *(word for document in world.documents.values() for word in words_of(document)),
        world.when,
    ]
    allowed = {found for text in given for found in NUMBER.findall(text)}
    body = next(node for node in page.walk() if node.name == "main")
    free = []
    for node in body.walk():
        own = "".join(child for child in node.children if isinstance(child, str))
        named = {"data-source", "data-count", "data-said"}
        if (
            any(named & above.attributes.keys() for above in node.up())
            or "tick" in node.classes
            or node.name in ("code", "pre")
        ):
            continue
        free += [
            f"{own!r} in <{node.name} {node.attributes}>"
            for found in NUMBER.findall(own)
            if found.rstrip(".,") not in allowed and found not in allowed
        ]
    return free
