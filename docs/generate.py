"""Write the generated pages of this folder: blueprint.md, parts.md, glossary.md. `make docs`; a test fails when they are stale.

python docs/generate.py           # write them
python docs/generate.py --check   # exit 1 if one is stale
"""

from __future__ import annotations

import sys
from pathlib import Path

from modelyard import explaining, parts
from modelyard.explaining import Option

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code. Change the docstring there, then: make docs -->\n"
KINDS = {
    "tasks": "What a service does; `task:` names one.",
    "models": "Architectures; `train.candidates` names them, with their options.",
    "sessions": "What answers for a member of an artifact. Chosen by the build, not by the blueprint.",
    "prepare.sources": "Kinds of files, found by their ending.",
    "audit.checks": "Checks of trust; `audit.checks` names them, with their options.",
    "compress.methods": "Ways to export a model; `compress.methods` names them, with their options.",
    "report.sections": "Parts of the report, one for each stage, and two about all of them.",
}


def cell(text: str) -> str:
    """Text inside a table: one line, bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def table(options: list[Option], head: str) -> list[str]:
    """A Markdown table of options."""
    rows = [
        f"| `{option.name}` | {cell(option.type)} | {cell(f'`{option.default}`')} | {cell(option.doc)} |"
        for option in options
    ]
    return [f"| {head} | type | default | what it is |", "|---|---|---|---|", *rows]


def blueprint() -> str:
    """Every key, by section."""
    keys = explaining.every_key()
    top = [key for key in keys if "." not in key.name]
    sections = [key for key in top if any(other.name.startswith(f"{key.name}.") for other in keys)]
    lines = [
        "# The blueprint, key by key", "", NOTE,
        "One file, YAML 1.2. Required: `name`, `data.source`, `data.target`; everything else has a default. A quantity is a number with a unit",
        "(`6 min`, `100 ms`, `4 MiB`), or a plain number in the unit shown. `yard schema` prints the JSON Schema for editors.", "",
        *table([key for key in top if key not in sections], "key"),
    ]  # fmt: skip
    for section in sections:
        inner = [key for key in keys if key.name.startswith(f"{section.name}.")]
        lines += ["", f"## {section.name}", "", section.doc, "", *table(inner, "key")]
    return "\n".join(lines) + "\n"


def shelves() -> str:
    """Every shelf with its parts and their options."""
    lines = [
        "# The parts, shelf by shelf",
        "",
        NOTE,
        "`yard list` shows them, `yard explain NAME` one of them with an example. A part is a file; its name is the file's.",
    ]
    for shelf in parts.SHELVES:
        lines += ["", f"## {shelf}", "", KINDS[shelf]]
        for name in parts.names(shelf):
            lines += ["", f"### {name}", "", parts.summary(shelf, name)]
            options = explaining.options(parts.load(shelf, name))
            lines += ["", *table(options, "option")] if options else []
    return "\n".join(lines) + "\n"


def glossary() -> str:
    """The package's glossary, which `yard explain` reads, as a page."""
    title, _, rest = (parts.ROOT / "glossary.md").read_text(encoding="utf-8").partition("\n")
    return f"{title}\n\n<!-- A copy of src/modelyard/glossary.md, written by docs/generate.py: make docs -->\n{rest}"


PAGES = {"blueprint.md": blueprint, "parts.md": shelves, "glossary.md": glossary}


def stale() -> list[str]:
    """Pages that are not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    """Write the pages, or with --check say which are stale."""
    if "--check" in sys.argv[1:]:
        for name in stale():
            sys.stderr.write(f"docs/{name} is stale: make docs\n")
        return 1 if stale() else 0
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
