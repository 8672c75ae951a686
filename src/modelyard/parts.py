"""Shelves of exchangeable parts, found by file name.

`modelyard/models/linear.py` is the part `linear` on the shelf `models`; listing a shelf imports nothing. A stranger's part
comes in by an entry point of group `modelyard.<shelf>`. A part module defines `class Part(Frozen)`: its fields are its
options. This module knows nothing about what parts do.

>>> "linear" in names("models")
True
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from modelyard.errors import UnknownPart, nearest

ROOT = Path(__file__).parent
SHELVES = ("tasks", "models", "sessions", "prepare.sources", "audit.checks", "compress.methods", "report.sections")


def _stem(name: str) -> str:
    return name.replace("-", "_")


def _strangers(shelf: str) -> dict[str, Any]:
    """Entry points of other packages, by name."""
    return _entries(shelf, tuple(sys.path))


@cache
def _entries(shelf: str, path: tuple[str, ...]) -> dict[str, Any]:
    """Reading them takes milliseconds, so once for each search path."""
    return {entry.name: entry for entry in entry_points(group=f"modelyard.{shelf}")}


def names(shelf: str) -> list[str]:
    """The names on a shelf, sorted; nothing is imported."""
    folder = ROOT / shelf.replace(".", "/")
    own = [
        found.name.replace("_", "-") for found in pkgutil.iter_modules([str(folder)]) if not found.name.startswith("_")
    ]
    strangers = _strangers(shelf)
    for twice in set(own) & set(strangers):
        raise UnknownPart(
            f"the part {twice!r} on the shelf {shelf!r} exists twice: {folder} and an installed plug-in. Remove one."
        )
    return sorted([*own, *strangers])


def check(shelf: str, name: str) -> None:
    """Raise UnknownPart, with the nearest name, unless the shelf has the part."""
    known = names(shelf)
    if name not in known:
        kind = shelf.split(".")[-1].rstrip("s")
        raise UnknownPart(f"no {kind} {name!r}.{nearest(name, known)} Allowed: {', '.join(known) or 'nothing'}")


@cache
def load(shelf: str, name: str) -> Any:
    """The class `Part` of one part; raises UnknownPart with the nearest name."""
    check(shelf, name)
    if name in _strangers(shelf):
        return _strangers(shelf)[name].load()
    return importlib.import_module(f"modelyard.{shelf}.{_stem(name)}").Part


def build(shelf: str, name: str, options: dict[str, Any] | None = None) -> Any:
    """A part with its options: `build('models', 'linear', {'word_ngrams': 2})`."""
    return load(shelf, name)(**(options or {}))


def file_of(shelf: str, name: str) -> Path:
    """The source file of a part."""
    own = ROOT / shelf.replace(".", "/") / f"{_stem(name)}.py"
    return own if own.exists() else Path(inspect.getfile(load(shelf, name)))


def summary(shelf: str, name: str) -> str:
    """The first line of a part's module docstring, read without importing it."""
    text = ast.get_docstring(ast.parse(file_of(shelf, name).read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0]


@cache
def source_hash(*relative: str) -> str:
    """A hash of the package's source files or folders named, relative to the package: part of a cache key."""
    found: list[Path] = []
    for name in relative:
        place = ROOT / name
        files = (file for file in place.rglob("*") if file.suffix in (".py", ".toml", ".html", ".css"))
        found += sorted(files) if place.is_dir() else [place]
    return _hash(found, ROOT)


@cache
def part_hash(shelf: str, name: str) -> str:
    """A hash of a part's source, ours or a stranger's: its file; of a stranger's package every Python file beside and below it."""
    file = file_of(shelf, name)
    return _hash(_sources(file) if name in _strangers(shelf) else [file], file.parent)


def _sources(file: Path) -> list[Path]:
    """A stranger's file, or every Python file of the package that it lies in."""
    return sorted(file.parent.rglob("*.py")) if (file.parent / "__init__.py").exists() else [file]


def strangers_hash() -> str:
    """A hash of every installed plug-in's file, whichever shelf it stands on; empty where there is none."""
    files: set[Path] = set()
    for entry in (entry for shelf in SHELVES for entry in _strangers(shelf).values()):
        with suppress(Exception):  # a broken one is told of where it is used
            spec = importlib.util.find_spec(entry.module)
            if spec is not None and spec.has_location and spec.origin:
                files |= set(_sources(Path(spec.origin)))
    return _hash(sorted(files), Path("/")) if files else ""


def _hash(files: Iterable[Path], root: Path) -> str:
    """A hash of files' bytes and of their names below `root`."""
    digest = blake2b(digest_size=16)
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
