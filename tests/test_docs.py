"""Documentation cannot rot: generated pages are fresh, every key is documented, examples run, trees and links are true."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from modelyard import conformance, explaining, parts

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "README.zh.md", *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*/README.md")])
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
BLOCK = re.compile(
    r"^(?:<!-- part: (?P<part>\S+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh() -> None:
    assert generator().stale() == [], "run: make docs"


def test_every_blueprint_key_is_documented() -> None:
    assert [key.name for key in explaining.every_key() if not key.doc] == []


@pytest.mark.parametrize("shelf", parts.SHELVES)
def test_every_option_of_every_part_is_documented(shelf: str) -> None:
    silent = [
        f"{name}.{option.name}"
        for name in parts.names(shelf)
        for option in explaining.options(parts.load(shelf, name))
        if not option.doc
    ]
    assert silent == []


def test_every_word_of_the_glossary_stands_once() -> None:
    text = (parts.ROOT / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^- \*\*(.+?)\*\*", text, re.MULTILINE)
    assert words == sorted(words, key=str.lower) and len(words) == len(set(words))
    assert list(explaining.glossary()) == words


def blocks(language: str) -> list[object]:
    found = []
    for page in [*READMES, ROOT / "docs" / "tour.md"]:
        for number, block in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            if block["language"] == language:
                found.append(pytest.param(page, block, id=f"{page.stem}-{number}"))
    return found


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_python_examples_run(page: Path, block: re.Match[str], tmp_path: Path) -> None:
    if block["part"] and "ordinal" not in block["part"]:  # a part is held to the laws of its shelf, as the tour says
        file = tmp_path / block["part"]
        file.parent.mkdir(parents=True)
        file.write_text(block["text"], encoding="utf-8")
        assert len(list(conformance.check_file(file))) > 10
    else:
        exec(compile(block["text"], str(page), "exec"), {"__name__": "example"})


@pytest.mark.parametrize(("page", "block"), blocks("yaml"))
def test_yaml_examples_are_in_order(page: Path, block: re.Match[str]) -> None:
    from modelyard.blueprint import Blueprint

    assert Blueprint.parse(block["text"]).data.target == "churned"
    assert len([line for line in block["text"].splitlines() if line.strip()]) == 4, (
        "the smallest useful blueprint is four lines"
    )


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_tree_names_every_folder(page: Path) -> None:
    tree = next(
        block["text"] for block in BLOCK.finditer(page.read_text(encoding="utf-8")) if "src/modelyard/" in block["text"]
    )
    named = {word.rstrip("/") for line in tree.splitlines() for word in re.findall(r"[\w.]+/|\w+\.py", line)}
    folders = {folder.name for folder in parts.ROOT.iterdir() if (folder / "__init__.py").exists()}
    assert folders - named == set(), "folders that the tree leaves out"
    top = {
        folder.name
        for folder in (ROOT / name for name in ("recipes", "benchmarks", "docs", "tests"))
        if folder.exists()
    }
    assert top - named == set()
    own = {name for name in named if name.endswith(".py")}
    assert [name for name in own if not (parts.ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def commands(page: Path) -> set[str]:
    return set(re.findall(r"\byard ([a-z][a-z-]+)", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    import typer

    from modelyard.cli import app

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert commands(page) - known == set()
    if page in READMES:
        text = page.read_text(encoding="utf-8")
        assert [name for name in known if not re.search(rf"`(yard )?{name}\b", text)] == [], (
            "commands the README leaves out"
        )


def test_both_readmes_say_the_same() -> None:
    ours, theirs = (page.read_text(encoding="utf-8") for page in READMES)

    def bones(text: str) -> list[object]:
        """What does not depend on the language: code words, links, numbers of headings and rows."""
        words = sorted(set(re.findall(r"`([^`\n]+)`", text)))
        return [
            words,
            sorted(re.findall(r"\]\(([^)]+)\)", text.replace("README.zh.md", "README.md"))),
            text.count("\n## "),
            text.count("\n|"),
        ]

    assert bones(ours) == bones(theirs)


def test_pages_name_no_machine() -> None:
    for page in PAGES:
        found = re.findall(r"(?:/home/|/root/|/work/|/tmp/|localhost)\S*", page.read_text(encoding="utf-8"))
        assert found == [], page


def test_recipes_are_in_the_readme() -> None:
    recipes = {file.parent.name for file in ROOT.glob("recipes/*/README.md")}
    assert {file.parent.name for file in ROOT.glob("recipes/*/blueprint.yaml")} <= recipes
    for page in READMES:
        named = re.findall(r"\(recipes/([\w-]+)/README.md\)", page.read_text(encoding="utf-8"))
        assert sorted(named) == sorted(recipes), "each once"


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (
        "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text and len(text.splitlines()) > 195
    )


def test_log_lines_are_dated() -> None:
    entries = re.findall(r"^- (.*)$", (ROOT / "docs" / "log.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert entries and all(re.match(r"20\d\d-\d\d-\d\d: ", entry) for entry in entries)
