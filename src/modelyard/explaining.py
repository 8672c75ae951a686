"""`yard explain NAME`: a part on any shelf, a key of the blueprint, or a word of the glossary.

It reads fields, docstrings and `glossary.md`; nothing is explained here that does not stand there. The generated pages of `docs/` are made of
the same `options` and `keys`. Try it: `yard explain linear`, `yard explain train.budget`, `yard explain gate`.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modelyard import parts
from modelyard.errors import UnknownPart, nearest
from modelyard.units import AnyUnit, In, Quantity
from modelyard.units import spell as number

WIDTH = 100
"""Characters of a line on a terminal."""
NAMED: dict[tuple[str, ...], str] = {
    ("train", "candidates"): "models",
    ("audit", "checks"): "audit.checks",
    ("compress", "methods"): "compress.methods",
}
"""Blueprint keys that name parts, and their shelf."""
_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@dataclass(frozen=True)
class Option:
    """An option of a part, or a key of the blueprint (`name` is then its dotted path)."""

    name: str
    type: str
    default: str
    doc: str


# -- describing fields --------------------------------------------------------------------------------------------------


def options(model: type[BaseModel]) -> list[Option]:
    """Every field of a part or section."""
    return [
        Option(name, spell(field), default(field), " ".join((field.description or "").split()))
        for name, field in model.model_fields.items()
    ]


@cache
def every_key() -> tuple[Option, ...]:
    """Every key of the blueprint, sections before what is in them."""
    from modelyard.blueprint import Blueprint

    return tuple(_walk(Blueprint, ""))


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Option]:
    for option, field in zip(options(model), model.model_fields.values(), strict=True):
        section = section_of(field.annotation)
        doc = option.doc or (_first_line(section) if section else "")
        yield Option(prefix + option.name, option.type, option.default, doc)
        if section is not None and not _one_number(section):
            yield from _walk(section, f"{prefix}{option.name}.")


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section class of a key, or of the members of a list of sections."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := section_of(inner))), None)


def _one_number(model: type[BaseModel]) -> bool:
    """Whether it is a `Range`, which stands for one uncertain number; its keys are explained once, under its own name."""
    return {"low", "likely", "high"} <= set(model.model_fields)


def spell(field: FieldInfo) -> str:
    """A field's type as people write it: `tiny | small`, `number >= 1`, `seconds`."""
    unit = next((mark.unit for mark in field.metadata if isinstance(mark, In)), None)
    if unit is None and any(mark is AnyUnit for mark in field.metadata):
        unit = "any unit"
    text = f"quantity in {unit}" if unit else _spell(field.annotation)
    limits = [
        f"{sign} {number(getattr(mark, name))}"
        for mark in field.metadata
        for name, sign in _LIMITS.items()
        if getattr(mark, name, None) is not None
    ]
    pattern = next((mark.pattern for mark in field.metadata if getattr(mark, "pattern", None)), None)
    limits += [f"matching {pattern}"] if pattern else []
    null = " | null" if text.endswith(" | null") else ""
    return " ".join([text.removesuffix(null), *limits]) + null


def _spell(kind: Any) -> str:
    plain = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true | false",
        type(None): "null",
        Any: "anything",
        Path: "path",
        Quantity: "quantity",
    }
    if kind in plain:
        return plain[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        unit = next((mark.unit for mark in inner[1:] if isinstance(mark, In)), None)
        return f"quantity in {unit}" if unit else _spell(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(_spell(part) for part in inner))
    if origin is typing.Literal:
        return " | ".join(str(value) for value in inner)
    if origin is dict:
        return (
            f"mapping of {_spell(inner[0])} to {_spell(inner[1])}" if inner[1:] and inner[1] is not Any else "mapping"
        )
    if origin in (tuple, list):
        members = [_spell(part) for part in inner if part is not Ellipsis]
        return f"list of {members[0]}" if Ellipsis in inner or origin is list else f"[{', '.join(members)}]"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "number | {low, likely, high}" if _one_number(kind) else "mapping"
    return str(getattr(kind, "__name__", kind))


def default(field: FieldInfo) -> str:
    """A field's default as it would stand in YAML; `required` where there is none."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        if _one_number(type(value)):
            low, likely, high = (getattr(value, end) for end in ("low", "likely", "high"))
            return f"{likely:g}" if low == high else f"{{low: {low:g}, likely: {likely:g}, high: {high:g}}}"
        return "as below"
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return f"{len(value)} of ours"
    return _yaml(value)


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z][\w ./-]*", value) else f'"{value}"'
    return str(value)


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


# -- finding what a name means ------------------------------------------------------------------------------------------


@cache
def glossary() -> dict[str, str]:
    """Word to meaning."""
    text = (parts.ROOT / "glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE))


def explain(name: str) -> str:
    """Everything that is called `name`: parts, blueprint keys, words. UnknownPart with the nearest name where there is nothing."""
    name = name.strip()
    found = [*_keys(name), *_parts(name)]
    if name.lower() in glossary():
        found.append(_wrapped(f"{name.lower()}: {glossary()[name.lower()]}"))
    if not found:
        known = (
            [part for names in _shelves().values() for part in names]
            + [key.name for key in every_key()]
            + list(glossary())
        )
        raise UnknownPart(
            f"nothing is called {name!r}.{nearest(name, known)} See: yard list (parts), yard schema (keys), docs/glossary.md (words)."
        )
    return "\n\n".join(found)


@cache
def _shelves() -> dict[str, list[str]]:
    return {shelf: parts.names(shelf) for shelf in parts.SHELVES}


def _parts(name: str) -> Iterator[str]:
    shelf, _, last = name.rpartition("/")
    for place, names in _shelves().items():
        if shelf in ("", place) and last in names:
            yield part_text(place, last)


def _keys(name: str) -> Iterator[str]:
    """A dotted path, or the last piece of one."""
    path = tuple(name.split("."))
    shelf = NAMED.get(path[:2])
    if shelf and len(path) in (3, 4) and path[2] in _shelves()[shelf]:
        kind = parts.load(shelf, path[2])
        chosen = [option for option in options(kind) if len(path) == 3 or option.name == path[3]]
        yield from (
            [part_text(shelf, path[2])]
            if len(path) == 3
            else [_key_text(Option(name, *_rest(option)), []) for option in chosen]
        )
        return
    exact = [key for key in every_key() if key.name == name]
    for key in exact or [key for key in every_key() if key.name.rpartition(".")[2] == name]:
        yield _key_text(key, [inner for inner in every_key() if inner.name.startswith(f"{key.name}.")])


def _rest(option: Option) -> tuple[str, str, str]:
    return option.type, option.default, option.doc


def part_text(shelf: str, name: str) -> str:
    """A part for people: where it is, what it is for, its options and a YAML example."""
    kind = parts.load(shelf, name)
    found = options(kind)
    lines = [f"{name}  ({shelf})", f"{_where(kind, shelf, name)}", "", _module_doc(shelf, name)]
    if found:
        lines += ["", "options", *_table(found)]
    example = _example(shelf, name, found)
    return "\n".join([*lines, *(["", "example", *example] if example else [])])


def _where(kind: Any, shelf: str, name: str) -> str:
    file = parts.file_of(shelf, name)
    try:
        line = inspect.getsourcelines(kind)[1]
    except OSError:
        line = 1
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{shown}:{line}"


def _module_doc(shelf: str, name: str) -> str:
    import ast

    return ast.get_docstring(ast.parse(parts.file_of(shelf, name).read_text(encoding="utf-8"))) or ""


def _example(shelf: str, name: str, found: list[Option]) -> list[str]:
    """How it stands in a blueprint; nothing for parts that no blueprint names."""
    shown = next(
        (f"{option.name}: {option.default}" for option in found if option.default not in ("null", "required")), ""
    )
    inner = f"{{{shown}}}" if shown else "{}"
    where = {shelf: path for path, shelf in NAMED.items()}.get(shelf)
    if where:
        return [f"  {where[0]}:", f"    {where[1]}:", f"      {name}: {inner}"]
    return [f"  task: {name}"] if shelf == "tasks" else []


def _key_text(key: Option, inner: list[Option]) -> str:
    lines = [key.name, _wrapped(key.doc, "  "), f"  type     {key.type}", f"  default  {key.default}"]
    direct = [
        Option(option.name[len(key.name) + 1 :], *_rest(option))
        for option in inner
        if "." not in option.name[len(key.name) + 1 :]
    ]
    if direct:
        lines += ["", "keys", *_table(direct)]
    elif key.default not in ("required", "as below"):
        lines += ["", "example", *_nested(key)]
    shelf = NAMED.get(tuple(key.name.split(".")))
    return "\n".join([*lines, *(["", f"names: {', '.join(parts.names(shelf))}"] if shelf else [])])


def _nested(key: Option) -> list[str]:
    *heads, last = key.name.split(".")
    return [f"  {'  ' * depth}{head}:" for depth, head in enumerate(heads)] + [
        f"  {'  ' * len(heads)}{last}: {key.default}"
    ]


def _table(found: list[Option]) -> list[str]:
    lines = []
    for option in found:
        lines.append(
            f"  {option.name}: {option.type}  (default {option.default})"
            if option.default != "required"
            else f"  {option.name}: {option.type}  (required)"
        )
        if option.doc:
            lines.append(_wrapped(option.doc, "      "))
    return lines


def _wrapped(text: str, indent: str = "") -> str:
    import textwrap

    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
