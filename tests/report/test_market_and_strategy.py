"""Market and strategy in the report: every number traced in both languages, hostile text inert, nothing where nothing is declared, fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import report_builds as builds
from report_browser import CHROMIUM, Browser

from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump
from modelyard.business import run
from modelyard.context import Context
from modelyard.records import Record
from modelyard.report import render, write
from modelyard.report.world import World
from modelyard.store import Store, read_json, write_json, write_text
from tests.market_and_strategy import MARKET, STRATEGY, text
from tests.report_laws import Node, faults_of, free_numbers, parse


def make(folder: Path, market: str = MARKET, strategy: str = STRATEGY, business: str = "{draws: 1000}") -> Path:
    """A whole build whose business stage has run on a blueprint with both sections."""
    blueprint = Blueprint.parse(text(market, strategy, business=business))
    builds.make(folder)
    records: dict[str, Record] = {
        "prepare": builds.prepared("text"), "train": builds.trained("text"), "evaluate": builds.evaluated("text"),
        "audit": builds.audited("text"), "compress": builds.compressed("text"), "serve": builds.served(),
    }  # fmt: skip
    valued = run(Context(blueprint, Store(folder), records=records)).model_copy(update={"run": builds.ran(0.2)})
    write_json(folder / "business.json", valued.model_dump(mode="json"))
    write_text(folder / "blueprint.resolved.yaml", dump(blueprint))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("build"))


def section(page: Node, name: str) -> Node:
    return next(node for node in page.walk() if node.name == "section" and node.attributes.get("id") == name)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_is_traced_and_true(folder: Path, language: str) -> None:
    world = World.open(folder, language)
    page = parse(render(world))
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []
    for name, charts in (("market", 2), ("strategy", 3)):
        found = [node for node in section(page, name).walk() if node.name == "svg" and "chart" in node.classes]
        assert len(found) >= charts, name
        assert len([node for node in section(page, name).walk() if "data-source" in node.attributes]) > 40


def test_a_wrong_number_would_be_found(folder: Path) -> None:
    world = World.open(folder, "en")
    html = render(world)
    source = "business.json#measured_market.size.tam.value"
    assert source in html
    assert faults_of(parse(html.replace(source, "business.json#measured_market.size.sam.value", 1)), world)


def test_what_must_be_seen_is_said(folder: Path) -> None:
    page = parse(render(World.open(folder, "en")))
    market, strategy = section(page, "market").text, section(page, "strategy").text
    for words in (
        "MailGuard",
        "ours is better",
        "theirs is better",
        "Rivalry",
        "one language",
        "five sellers with one price",
        "a census of hosts",
    ):
        assert words in market, words
    for words in (
        "less spam without mails lost",
        "label more mails",
        "done",
        "number missing",
        "falls short",
        "a copy for nothing",
        "European Union",
        "contract and notice",
        "declared met",
    ):
        assert words in strategy, words


def test_a_plan_beyond_the_market_is_said(folder: Path, tmp_path: Path) -> None:
    assert "more customers than the market gives" in section(parse(render(World.open(folder, "en"))), "market").text
    small = make(tmp_path, business="{draws: 1000, new_customers: 0.1}")
    assert "stays below what the market gives" in section(parse(render(World.open(small, "en"))), "market").text


def test_on_a_phone_the_cells_of_a_row_say_what_they_are(folder: Path) -> None:
    tables = [
        node
        for node in parse(render(World.open(folder, "en"))).walk()
        if node.name == "table" and "rows" in node.classes
    ]
    assert len(tables) > 8
    for table in tables:
        head = [node.text for node in table.walk() if node.name == "th" and node.attributes.get("scope") == "col"]
        for row in (node for node in table.walk() if node.name == "tr"):
            cells = [child for child in row.children if isinstance(child, Node) and child.name == "td"]
            for place, cell in enumerate(cells, 1):
                assert cell.attributes.get("data-label", "") in (head[place], ""), head
                assert "data-label" in cell.attributes or not cell.text or not head[place], head[place]


def test_an_action_is_drawn_in_its_months(folder: Path) -> None:
    """Months 1 to 3, and 2 to 6, of 36: from 0 to 3 and from 1 to 6 on a scale that leaves 3 % at both ends."""
    tree = section(parse(render(World.open(folder, "en"))), "strategy")
    bars = [node.attributes for node in tree.walk() if node.name == "rect" and node.attributes.get("rx")]
    assert [(bar["x"], bar["width"]) for bar in bars[:2]] == [("3.00%", "7.83%"), ("5.61%", "13.06%")]


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x>"
    page = render(
        World.open(
            make(
                tmp_path,
                MARKET.replace("MailGuard", hostile),
                STRATEGY.replace("less spam without mails lost", hostile),
            ),
            "en",
        )
    )
    assert "<script" not in page and "<img" not in page
    assert hostile in section(parse(page), "strategy").text


def test_without_both_there_are_no_such_sections(tmp_path: Path, folder: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    document = read_json(tmp_path / "business.json")
    write_json(tmp_path / "business.json", document | {"measured_market": None})
    names = {node.attributes.get("id", "") for node in parse(render(World.open(tmp_path, "en"))).walk()}
    assert "market" not in names and "strategy" in names
    write_json(tmp_path / "business.json", document | {"measured_market": None, "measured_strategy": None})
    names = {node.attributes.get("id", "") for node in parse(render(World.open(tmp_path, "en"))).walk()}
    assert not {"market", "strategy"} & names and "business" in names


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def test_without_a_rate_both_sections_still_stand(tmp_path: Path, folder: Path) -> None:
    """No price, no sizes, no plan of money; the comparison and the duties are there, and nothing is printed that no record holds."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    document = read_json(tmp_path / "business.json")
    market = document["measured_market"] | {
        "size": None,
        "adoption": None,
        "ours": document["measured_market"]["ours"] | {"price": None},
    }
    strategy = document["measured_strategy"] | {"actions": [], "resources": None, "risks": None}
    write_json(tmp_path / "business.json", document | {"measured_market": market, "measured_strategy": strategy})
    world = World.open(tmp_path, "zh")
    page = parse(render(world))
    assert faults_of(page, world) == [] and free_numbers(page, world) == []
    assert "MailGuard" in section(page, "market").text and "contract and notice" in section(page, "strategy").text


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_a_desk_and_a_phone(browser: Browser, folder: Path, language: str, width: int) -> None:
    found = browser.open(write(folder, language=language), width=width)
    assert found["console"] == [] and found["scroll"] <= width
