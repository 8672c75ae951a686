"""The conformance suite: the laws that every part of a shelf keeps, run on toy data. Built-in parts pass the same ones.

A law is a function whose docstring is its sentence; it raises where it is broken. The laws know the contracts, and no part by name.
Try it: `yard check-part my_model.py`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from modelyard import parts
from modelyard.conformance._common import LAWS, Subject, hold
from modelyard.errors import ModelyardError, UserError

__all__ = ["check_file", "check_part", "laws"]
CONTRACTS = {
    "models": "modelyard.models._contract:Model", "tasks": "modelyard.tasks._contract:Task", "audit.checks": "modelyard.audit.checks._contract:Check",
    "compress.methods": "modelyard.compress.methods._contract:Method", "prepare.sources": "modelyard.prepare.sources._contract:Source",
    "report.sections": "modelyard.report.sections._contract:Section",
}  # fmt: skip
"""Shelf to the class its parts extend. Sessions share no class; they are known by their folder."""


def check_file(file: Path) -> Iterator[str]:
    """Run the laws of its shelf on the part in `file`; yields a line for each law that holds.

    UserError names the first law that is broken and why, or says that the file holds no part.
    """
    subject = _subject(file)
    yield f"{subject.name} ({subject.shelf})"
    yield from laws(subject)


def check_part(shelf: str, name: str, *, thorough: bool = True) -> Iterator[str]:
    """The same for a part on a shelf; see `laws`."""
    yield from laws(Subject(shelf, name, parts.file_of(shelf, name), parts.load(shelf, name)), thorough=thorough)


def laws(subject: Subject, *, thorough: bool = True) -> Iterator[str]:
    """Hold every law of the subject's shelf, in order; where not `thorough`, without what takes minutes: every export on every task."""
    from modelyard.conformance._models import laws as model_laws
    from modelyard.conformance._others import LAWS as OTHER_LAWS
    from modelyard.conformance._tasks import laws as task_laws

    for law in (*LAWS, *OTHER_LAWS.get(subject.shelf, ())):
        yield hold(law, subject, subject)
    if subject.shelf == "models":
        yield from model_laws(subject, thorough=thorough)
    elif subject.shelf == "tasks":
        yield from task_laws(subject)


def _subject(file: Path) -> Subject:
    """The part in a file and its shelf: by its place in the package, by the class it extends, or by its folder's name."""
    if not file.is_file():
        raise UserError(f"no file {str(file)!r}. Name the Python file that defines the part.")
    if file.suffix != ".py":
        raise UserError(f"{file}: is not a Python file. Name the file that defines `class Part`.")
    place = file.resolve()
    if place.is_relative_to(parts.ROOT):
        shelf = ".".join(place.parent.relative_to(parts.ROOT).parts)
        name = place.stem.replace("_", "-")
        if shelf in parts.SHELVES and name in parts.names(shelf):
            return Subject(shelf, name, place, parts.load(shelf, name))
    kind = getattr(module_of(place), "Part", None)
    if not inspect.isclass(kind):
        raise UserError(
            f"{file}: defines no `class Part`. A part is a class of that name, on one of the shelves {', '.join(parts.SHELVES)}."
        )
    return Subject(_shelf(file, kind), file.stem.replace("_", "-"), place, kind)


def _shelf(file: Path, kind: Any) -> str:
    for shelf, contract in CONTRACTS.items():
        module, name = contract.split(":")
        if issubclass(kind, getattr(importlib.import_module(module), name)):
            return shelf
    beside = [shelf for shelf in parts.SHELVES if shelf.rpartition(".")[2] == file.resolve().parent.name]
    if beside:
        return beside[0]
    allowed = ", ".join(contract.replace(":", ".") for contract in CONTRACTS.values())
    raise UserError(
        f"{file}: Part extends none of the contracts ({allowed}) and does not lie in a folder named like a shelf."
    )


def module_of(file: Path) -> ModuleType:
    """A stranger's file as a module of its own; UserError where it cannot be imported."""
    name = f"modelyard_part_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        spec.loader.exec_module(module)
    except ModelyardError:
        raise
    except Exception as error:  # whatever a stranger's file does when it is imported
        raise UserError(f"{file}: cannot be imported: {type(error).__name__}: {error}") from error
    return module
