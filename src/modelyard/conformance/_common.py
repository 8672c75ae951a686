"""What a law is, and the laws that parts of every shelf keep."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelyard.errors import MissingDownload, MissingExtra, UserError
from modelyard.frozen import Frozen

HEAVY = (
    "torch", "transformers", "sklearn", "lightgbm", "scipy", "polars", "pandas", "matplotlib", "onnx", "onnxruntime", "openvino", "nncf",
    "tokenizers", "fastapi", "starlette", "uvicorn", "jinja2",
)  # fmt: skip
"""Libraries that are imported where they are used, so that listing and checking stay quick; as in pyproject.toml's ruff section."""


@dataclass(frozen=True)
class Subject:
    """The part under test."""

    shelf: str
    name: str
    file: Path
    kind: Any
    """Its class `Part`."""


class Broken(Exception):
    """A law does not hold; the message says why."""


def demand(condition: Any, why: str) -> None:
    """Break the law unless `condition` holds."""
    if not condition:
        raise Broken(why)


def sentence(law: Callable[[Any], None]) -> str:
    """A law's one line."""
    return (inspect.getdoc(law) or law.__name__).split("\n")[0].rstrip(".")


def hold(law: Callable[[Any], None], subject: Subject, given: Any, *, where: str = "") -> str:
    """Run a law; the line that says it holds. UserError where it is broken; a missing extra or download passes through."""
    told = sentence(law) + (f" [{where}]" if where else "")
    try:
        law(given)
    except (MissingExtra, MissingDownload):
        raise
    except Broken as error:
        raise UserError(f"{subject.file}: broken law: {told}: {error}") from None
    except Exception as error:  # a part may fail in any way
        raise UserError(f"{subject.file}: broken law: {told}: raised {type(error).__name__}: {error}") from error
    return f"  holds: {told}"


def documented(subject: Subject) -> None:
    """The module and every option are documented where they stand."""
    tree = ast.parse(subject.file.read_text(encoding="utf-8"))
    demand(ast.get_docstring(tree), "the module has no docstring: say what the part is for")
    fields = subject.kind.model_fields
    silent = [name for name, field in fields.items() if not (field.description or "").strip()]
    demand(not silent, f"options without a docstring under the field: {', '.join(silent)}")


def named(subject: Subject) -> None:
    """The file name is small letters, digits and underscores, so that it can be the part's name."""
    demand(re.fullmatch(r"[a-z][a-z0-9_]*", subject.file.stem), f"got {subject.file.stem!r}")


def typed(subject: Subject) -> None:
    """Options are typed and frozen; unknown ones are refused; all have defaults that construct the part."""
    demand(
        issubclass(subject.kind, Frozen), "Part does not extend modelyard.frozen.Frozen, by its contract or directly"
    )
    demand(
        not inspect.isabstract(subject.kind),
        f"methods of the contract are missing: {', '.join(sorted(subject.kind.__abstractmethods__))}",
    )
    required = [name for name, field in subject.kind.model_fields.items() if field.is_required()]
    demand(not required, f"options without a default: {', '.join(required)}")
    part = subject.kind()
    try:
        subject.kind(no_such_option=1)
    except ValidationError:
        pass
    else:
        raise Broken("an unknown option was accepted")
    again = subject.kind.model_validate_json(part.model_dump_json())
    demand(again == part, "the defaults do not survive being written as JSON and read again")
    subject.kind.model_json_schema()


def light(subject: Subject) -> None:
    """Heavy libraries are imported inside functions."""
    tree = ast.parse(subject.file.read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    found = sorted({name for name in names if name.split(".")[0] in HEAVY})
    demand(not found, f"imported at the top of the file: {', '.join(found)}")


LAWS = (documented, named, typed, light)
