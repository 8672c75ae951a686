"""The written page: every number traced, nothing from outside, hostile text inert, half a build readable, both languages."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import report_builds as builds

from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.errors import UserError
from modelyard.report import render, render_brief, run, write
from modelyard.report.traced import resolve
from modelyard.report.world import STAGES, World
from modelyard.store import Store
from tests.report_laws import Node, faults_of, free_numbers, parse, traced


@pytest.fixture(params=[("text", "en"), ("text", "zh"), ("numbers", "en"), ("numbers", "zh")], ids="-".join)
def page(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Node, World]:
    kind, language = request.param
    world = World.open(builds.make(tmp_path, kind), language)
    return parse(render(world)), world


def test_every_source_resolves_and_matches_what_is_printed(page: tuple[Node, World]) -> None:
    assert faults_of(*page) == []
    assert len(traced(page[0])) > 150


def test_a_wrong_number_or_source_would_be_found(tmp_path: Path) -> None:
    world = World.open(builds.make(tmp_path), "en")
    html = render(world)
    assert faults_of(parse(html.replace(">0.967<", ">0.968<", 1)), world)
    assert faults_of(
        parse(html.replace("evaluate.json#metrics.f1_macro.value", "evaluate.json#metrics.f2.value", 1)), world
    )


def test_every_number_is_traced(page: tuple[Node, World]) -> None:
    assert free_numbers(*page) == []


def test_a_number_out_of_thin_air_would_be_found(tmp_path: Path) -> None:
    world = World.open(builds.make(tmp_path), "en")
    (free,) = free_numbers(parse(render(world).replace("</main>", "<p>about 4,711.25 of them</p></main>")), world)
    assert free == "'about 4,711.25 of them' in <p {}>"


def test_translated_remarks_keep_their_numbers(tmp_path: Path) -> None:
    world = World.open(builds.make(tmp_path), "zh")
    said = [node for node in parse(render(world)).walk() if "data-said" in node.attributes]
    assert len(said) > 5
    for node in said:
        assert set(re.findall(r"\d+", node.text)) <= set(
            re.findall(r"\d+", str(resolve(node.attributes["data-said"], world.documents)))
        ), node.text


def test_counts_are_right(tmp_path: Path) -> None:
    world = World.open(builds.make(tmp_path, stages=3, passed=False), "en")
    counts = {
        node.attributes["data-count"]: node.text
        for node in parse(render(world)).walk()
        if "data-count" in node.attributes
    }
    gates = [gate for document in world.documents.values() if "gates" in document for gate in document["gates"]]
    assert (
        counts["gates"] == str(len(gates))
        and counts["gates failed"] == str(sum(not gate["passed"] for gate in gates)) == "1"
    )
    assert counts["columns input"] == "3" and counts["columns ignored"] == "1"


def test_nothing_comes_from_outside_and_nothing_runs(page: tuple[Node, World]) -> None:
    tree, _ = page
    names = {node.name for node in tree.walk()}
    assert not names & {"script", "link", "iframe", "object", "embed", "img", "form", "base"}
    for node in tree.walk():
        assert not [
            key for key in node.attributes if key.startswith("on") or key in ("src", "srcset", "xlink:href", "action")
        ], node.attributes
        assert node.attributes.get("href", "#").startswith("#")
        assert "url(" not in node.attributes.get("style", "")
    style = next(node for node in tree.walk() if node.name == "style").text
    assert "url(" not in style and "@import" not in style and "@font-face" not in style
    policy = next(node for node in tree.walk() if node.attributes.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy.attributes["content"]


def test_hostile_text_is_inert_and_readable(tmp_path: Path) -> None:
    html = render(World.open(builds.make(tmp_path), "en"))
    assert "<script" not in html and "<img" not in html and "<b>" not in html
    tree = parse(html)
    assert any(builds.SCRIPT in node.text for node in tree.walk() if "mail" in node.classes), (
        "the worst error shows the mail word for word"
    )
    assert any(node.text.strip() == builds.STRANGE for node in tree.walk() if node.name == "h3")


def test_hostile_names_and_blueprint_are_inert(tmp_path: Path) -> None:
    folder = builds.make(tmp_path)
    (folder / "blueprint.resolved.yaml").write_text(f"name: mail-spam\n# </pre>{builds.SCRIPT}\n", encoding="utf-8")
    for name in ("train.json", "evaluate.json", "audit.json", "package.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(
            text.replace('"linear"', json.dumps(builds.SCRIPT)).replace('"leakage"', json.dumps(builds.SCRIPT)),
            encoding="utf-8",
        )
    (folder / "package").mkdir()
    (folder / "package" / "MODEL_CARD.md").write_text(builds.SCRIPT, encoding="utf-8")
    for language in ("en", "zh"):
        html = render(World.open(folder, language))
        assert "<script" not in html and "<img" not in html
        parse(html)


@pytest.mark.parametrize("stages", range(9))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_part_of_a_build_says_what_is_missing(tmp_path: Path, stages: int, language: str) -> None:
    world = World.open(builds.make(tmp_path, stages=stages), language)
    tree = parse(render(world))
    absent = [node for node in tree.walk() if "absent" in node.classes]
    assert len(absent) == len(STAGES) - stages
    state = next(node for node in tree.walk() if "state" in node.classes)
    assert world.words.plain("verdict.passed" if stages == 8 else "verdict.partial") in state.text
    assert faults_of(tree, world) == []


def test_an_empty_folder_still_gives_a_page(tmp_path: Path) -> None:
    assert parse(write(tmp_path).read_text(encoding="utf-8"))


def test_a_failed_gate_stands_in_red_at_the_top(tmp_path: Path) -> None:
    tree = parse(render(World.open(builds.make(tmp_path, stages=3, passed=False), "en")))
    hero = next(node for node in tree.walk() if "hero" in node.classes)
    assert "bad" in hero.classes and "Refused" in hero.text
    failures = next(node for node in tree.walk() if {"callout", "bad"} <= node.classes)
    assert (
        "Macro F1 ≥ 0.9" in failures.text
        and "0.967 (0.958 to 0.974)" in failures.text
        and "Improve the model" in failures.text
    )
    assert "a gate failed at “Quality”" in next(node for node in tree.walk() if "absent" in node.classes).text


def test_a_forced_package_stands_in_red_and_a_clean_one_does_not(tmp_path: Path) -> None:
    forced = render(World.open(builds.make(tmp_path / "forced", passed=False, forced=True), "en"))
    clean = render(World.open(builds.make(tmp_path / "clean"), "en"))
    assert "--force" in forced and "Packaged by force" in forced and 'class="hero bad"' in forced
    assert "--force" not in clean and 'class="hero good"' in clean


def test_without_a_sustained_rate_there_is_no_price(tmp_path: Path) -> None:
    folder = builds.make(tmp_path, late=True)
    record = json.loads((folder / "business.json").read_text(encoding="utf-8"))
    bare = {key: value for key, value in record.items() if not key.startswith("measured_")}
    (folder / "business.json").write_text(json.dumps(bare), encoding="utf-8")
    html = render(World.open(folder, "en"))
    assert "there is nothing to price" in html and "Cost of 1,000 requests" not in html and "Refused" in html


def test_it_can_be_read_without_eyes(page: tuple[Node, World]) -> None:
    tree, _ = page
    nodes = tree.walk()
    levels = [int(node.name[1]) for node in nodes if re.fullmatch(r"h[1-6]", node.name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    for node in nodes:
        if node.name == "svg":
            assert node.attributes.get("aria-hidden") == "true" or (
                node.attributes.get("role") == "img" and node.attributes.get("aria-label")
            ), node.attributes
        if node.name == "figure":
            assert node.attributes.get("aria-label")
        if node.name == "th":
            assert node.attributes.get("scope") in ("row", "col")
        if node.name == "table":
            assert any(child.name == "caption" for child in node.children if isinstance(child, Node))
            assert any("scroll" in above.classes for above in node.up())
    names = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(names) == len(set(names))
    assert {node.attributes["href"][1:] for node in nodes if node.name == "a"} <= set(names)
    assert next(node for node in nodes if node.name == "html").attributes["lang"] in ("en", "zh-Hans")


def test_the_page_is_small(tmp_path: Path) -> None:
    assert write(builds.make(tmp_path)).stat().st_size < 500_000


def test_the_blueprint_names_the_language_and_a_given_one_wins(tmp_path: Path) -> None:
    folder = builds.make(tmp_path)
    assert 'lang="en"' in write(folder).read_text(encoding="utf-8")
    place = folder / "blueprint.resolved.yaml"
    place.write_text(place.read_text(encoding="utf-8").replace("language: en", "language: zh"), encoding="utf-8")
    assert 'lang="zh-Hans"' in write(folder).read_text(encoding="utf-8")
    assert 'lang="en"' in write(folder, language="en").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"no language 'de'. Allowed: en, zh"):
        write(folder, language="de")


def test_the_stage_writes_the_page_and_its_record(tmp_path: Path) -> None:
    from modelyard.blueprint import Blueprint
    from modelyard.context import Context
    from modelyard.report import run
    from modelyard.store import Store

    builds.make(tmp_path, stages=3)
    blueprint = Blueprint.parse("{name: demo, data: {source: rows.csv, target: label}, report: {language: zh}}")
    reported = run(Context(blueprint, Store(tmp_path)))
    path = tmp_path / reported.path
    assert reported.bytes.value == path.stat().st_size and reported.language == "zh"
    assert reported.missing == STAGES[3:]
    tree = parse(path.read_text(encoding="utf-8"))
    assert reported.numbers == sum("n" in node.classes for node in tree.walk()) > 50


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("reason", ["layer", "steps", "clipped", "unclipped", "not_finite", ""])
def test_what_is_wrong_with_a_gradient_is_said(reason: str, language: str, tmp_path: Path) -> None:
    folder = builds.make(tmp_path)
    record = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    (encoder,) = [one for one in record["candidates"] if one["name"] == "encoder"]
    (gradient,) = encoder["jobs"][0]["facts"]["gradients"]
    state = {"": "sound", "layer": "vanishing", "steps": "vanishing"}.get(reason, "exploding")
    gradient |= {"reason": reason, "state": state, "reach": 4e-7, "long": 0.75}
    (folder / "train.json").write_text(json.dumps(record), encoding="utf-8")
    world = World.open(folder, language)
    tree = parse(render(world))
    assert faults_of(tree, world) == [] and free_numbers(tree, world) == []
    said = [
        node.text
        for node in tree.walk()
        if "callout" in node.classes and world.words.name("candidate", "encoder") in node.text
    ]
    shown = {"layer": "3.20 × 10⁻⁸", "steps": "4", "clipped": "75.0", "unclipped": "75.0", "not_finite": "clip", "": ""}
    assert len(said) == bool(reason) and (not reason or shown[reason] in said[0])
    sound = {"en": "is sound, of a typical", "zh": "梯度正常"}[language]
    assert any(sound in node.text for node in tree.walk() if node.name == "p") == (not reason)
    plot = world.words.plain("train.gradient_depth")
    assert [node for node in tree.walk() if node.name == "svg" and node.attributes.get("aria-label") == plot]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_print_view_is_short_and_under_the_same_laws(tmp_path: Path, language: str) -> None:
    world = World.open(builds.make(tmp_path), language)
    text, whole = render_brief(world), render(world)
    tree = parse(text)
    assert free_numbers(tree, world) == [] and faults_of(tree, world) == []
    assert len(text) < 0.7 * len(whole) and "<script" not in text and "<b>" not in text
    sections = [node.attributes["id"] for node in tree.walk() if "stage" in node.classes]
    assert sections == ["verdict", "business"]
    body = next(node for node in tree.walk() if node.name == "body")
    assert "brief" in body.classes


def test_the_report_stage_writes_both(tmp_path: Path) -> None:
    folder = builds.make(tmp_path)
    blueprint = Blueprint.parse("name: mail-spam\ndata: {source: rows.csv, target: label}\n")
    record = run(Context(blueprint, Store(folder)))
    assert record.brief == "brief.html" and (folder / "brief.html").exists() and (folder / "report.html").exists()
    (folder / "business.json").unlink()
    assert run(Context(blueprint, Store(folder))).brief is None and not (folder / "brief.html").exists()
