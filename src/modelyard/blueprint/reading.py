"""Read, check, resolve and write blueprints; every message names file, line, key, what was given and what is allowed."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.errors import BlueprintError, UnknownPart, UserError, nearest

Path_ = tuple[str | int, ...]
CANDIDATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
PARTS = (
    ("models", "train", "candidates"),
    ("audit.checks", "audit", "checks"),
    ("compress.methods", "compress", "methods"),
)
"""Where a blueprint names parts: shelf, section, key."""
LONGEST_LEVEL = 120.0
"""Seconds of one level of the load test: longer ones tell nothing more, and the generator gives up on them."""


def load(path: Path) -> Blueprint:
    """Read a file; UserError where it cannot be read, BlueprintError with all faults where it does not fit."""
    if path.is_dir():
        path = path / "blueprint.yaml"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"no blueprint {str(path)!r}. Make one with: yard init DATA --target COLUMN") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(text, name=str(path), folder=path.resolve().parent)


def parse(text: str, *, name: str, folder: Path) -> Blueprint:
    """Read YAML 1.2 and check it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        tree = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BlueprintError([f"{name}:{line}: {str(error.problem).splitlines()[0]}. Keep one of the two."]) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BlueprintError([f"{name}:{line}: is not valid YAML: {error.problem or error.context}"]) from None
    except (YAMLError, ValueError) as error:
        raise BlueprintError([f"{name}:1: is not valid YAML: {str(error).splitlines()[0]}"]) from None
    if not isinstance(tree, Mapping):
        raise BlueprintError(
            [f"{name}:1: must be a mapping with at least name, data.source and data.target (got {_show(tree)})"]
        )
    return check(_plain(tree), name=name, folder=folder, lines=lambda path: _line(tree, path))


def check(values: Mapping[str, Any], *, name: str, folder: Path, lines: Any = None) -> Blueprint:
    """Check plain values; BlueprintError carries every fault."""
    faults: list[tuple[int, str]] = []

    def fault(path: Path_, message: str) -> None:
        line = lines(path) if lines else 0
        where = f"{name}:{line}" if line else name
        faults.append((line, f"{where}: {'.'.join(map(str, path)) or 'the file'}: {message}"))

    blueprint = None
    try:
        blueprint = Blueprint.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        for item in _merged(error):
            fault(*_sentence(item, Blueprint, values))
    _check_parts(values, fault)
    _check_prices(values, fault)
    if blueprint is not None:
        blueprint._folder = folder
        _check_together(blueprint, fault)
    for rule in parts.names("rules"):
        parts.build("rules", rule).check(values, blueprint, fault)
    if faults or blueprint is None:
        raise BlueprintError(text for _, text in sorted(dict.fromkeys(faults)))
    return blueprint


def _plain(tree: Any) -> Any:
    """Comments and positions off: dicts, lists, strings, numbers, booleans and None."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, (str, bytes)):
        return [_plain(value) for value in tree]
    for kind in (bool, int, float, str):
        if isinstance(tree, kind):
            return kind(tree)
    return tree if tree is None else str(tree)


def _line(tree: Any, path: Path_) -> int:
    """The line of the deepest key of `path` that stands in the file (ruamel's maps and lists know their lines as `lc`)."""
    line = 1
    for key in path:
        positions = getattr(tree, "lc", None)
        if positions is not None and isinstance(tree, Mapping) and key in tree:
            line = positions.key(key)[0] + 1
        elif positions is not None and isinstance(key, int) and key < len(tree):
            line = positions.item(key)[0] + 1
        else:
            return line
        tree = tree[key]
    return line


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _merged(error: ValidationError) -> list[dict[str, Any]]:
    """One fault a place: a union reports a fault for each of its members."""
    seen: dict[Path_, dict[str, Any]] = {}
    for item in error.errors():
        # pydantic puts the union member's name into the path; keys of the file are what we want
        path = tuple(
            key
            for key in item["loc"]
            if not (isinstance(key, str) and (key.startswith("function-") or "[" in key or key in _MEMBERS))
        )
        seen.setdefault(path, {**item, "loc": path})
    return list(seen.values())


_MEMBERS = {"str", "int", "float", "bool", "tuple", "list", "constrained-str"}


def _kinds(annotation: Any) -> list[type[BaseModel]]:
    """The section classes inside an annotation: `tuple[Plan, ...] | None` -> [Plan]."""
    inner = get_args(annotation)
    if inner:
        return [kind for one in inner for kind in _kinds(one)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _fields_at(model: type[BaseModel], path: Path_) -> type[BaseModel] | None:
    """The section class that a path of keys leads to; list positions are passed over."""
    current: type[BaseModel] | None = model
    for key in path:
        if isinstance(key, int):
            continue
        field = getattr(current, "model_fields", {}).get(key)
        if field is None:
            return None
        current = next(iter(_kinds(field.annotation)), None)
    return current


def _sentence(item: dict[str, Any], model: type[BaseModel], values: Any) -> tuple[Path_, str]:
    """A pydantic fault as (path, what is wrong, what is allowed)."""
    path, kind, context = item["loc"], item["type"], item.get("ctx", {})
    given = _show(item.get("input"))
    if kind == "extra_forbidden":
        section = _fields_at(model, path[:-1])
        known = list(section.model_fields) if section else []
        return path, f"unknown key.{nearest(str(path[-1]), known)} Allowed: {', '.join(known)}"
    if kind == "missing":
        section = _fields_at(model, path[:-1])
        field = section.model_fields.get(str(path[-1])) if section else None
        return path, f"is required. {field.description or ''}".strip() if field else "is required."
    if kind in ("literal_error", "enum"):
        allowed = context.get("expected", "")
        names = [word.strip("' ") for word in allowed.replace(" or ", ", ").split(",")]
        return path, f"must be one of {allowed} (got {given}).{nearest(str(item.get('input')), names)}"
    if kind in ("value_error", "assertion_error"):
        return path, str(item["msg"]).removeprefix("Value error, ")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        section = _fields_at(model, path)
        keys = f" with keys among: {', '.join(section.model_fields)}" if section else ""
        return path, f"must be a mapping{keys} (got {given})"
    message = (
        str(item["msg"])
        .replace("Input should be", "must be")
        .replace("valid integer", "whole number")
        .replace("a valid", "a")
    )
    message = message.replace("String should", "must").replace("must match pattern", "must match")
    return path, f"{message[:1].lower()}{message[1:]} (got {given})"


def _check_parts(values: Mapping[str, Any], fault: Any) -> None:
    """Names and options of tasks, models, checks and methods."""
    task = values.get("task")
    if isinstance(task, str):
        _named("tasks", task, ("task",), fault)

    def section(name: str, key: str) -> Mapping[str, Any]:
        found = values.get(name)
        inner = found.get(key) if isinstance(found, Mapping) else None
        return inner if isinstance(inner, Mapping) else {}

    for name, options in section("train", "candidates").items():
        options = dict(options) if isinstance(options, Mapping) else {}
        model, optional = options.pop("model", name), options.pop("optional", False)
        share = options.pop("share", None)
        at: Path_ = ("train", "candidates", name)
        if not CANDIDATE.fullmatch(name):
            fault(at, f"a candidate's name is its folder: letters, digits, hyphens and underscores (got {_show(name)})")
        if not isinstance(model, str):
            fault((*at, "model"), f"must be the name of a model (got {_show(model)})")
        if share is not None and (isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1):
            fault(
                (*at, "share"), f"must be a number above 0 and at most 1: a share of train.budget (got {_show(share)})"
            )
        if not isinstance(optional, bool):
            fault((*at, "optional"), f"must be true or false (got {_show(optional)})")
        if isinstance(model, str) and _named("models", model, at if model == name else (*at, "model"), fault):
            _options("models", model, options, at, fault)
    for shelf, where, key in PARTS[1:]:
        for name, options in section(where, key).items():
            at = (where, key, name)
            if _named(shelf, name, at, fault) and isinstance(options, Mapping):
                _options(shelf, name, dict(options), at, fault)


def _check_prices(values: Mapping[str, Any], fault: Any) -> None:
    """Units of sale in plans: what the task sells, or, where it is inferred, what any task sells."""
    task, business = values.get("task"), values.get("business")
    named = isinstance(task, str) and task in parts.names("tasks")
    sold = sorted(
        {unit for one in ([task] if named else parts.names("tasks")) for unit in parts.load("tasks", one).units}
    )
    plans = business.get("plans") if isinstance(business, Mapping) else None
    for number, plan in enumerate(plans if isinstance(plans, (list, tuple)) else ()):
        prices = plan.get("prices") if isinstance(plan, Mapping) else None
        for unit in prices if isinstance(prices, Mapping) else ():
            if unit not in sold:
                told = f"{task} sells {', '.join(sold)}" if named else f"tasks sell {', '.join(sold)}"
                fault(("business", "plans", number, "prices", unit), f"no unit of sale {_show(unit)}: {told}")


def _named(shelf: str, name: str, path: Path_, fault: Any) -> bool:
    try:
        parts.check(shelf, name)
    except UnknownPart as error:
        fault(path, str(error))
        return False
    return True


def _options(shelf: str, name: str, options: dict[str, Any], path: Path_, fault: Any) -> None:
    part = parts.load(shelf, name)
    try:
        part.model_validate_json(json.dumps(options, default=str), strict=True)
    except ValidationError as error:
        for item in _merged(error):
            inner, message = _sentence(item, part, options)
            fault((*path, *inner), message)


def _check_together(blueprint: Blueprint, fault: Any) -> None:
    """Rules between keys."""
    split, data = blueprint.prepare.split, blueprint.data
    if split.by in ("group", "time", "column") and not split.column:
        fault(
            ("prepare", "split", "column"),
            f"is required when prepare.split.by is {split.by!r}: name the {split.by} column",
        )
    if split.gap.value and split.by != "time":
        fault(("prepare", "split", "gap"), f"needs prepare.split.by: time (got {split.by!r})")
    if split.validation + split.test >= 0.95:
        fault(
            ("prepare", "split", "test"),
            f"validation and test together must leave training rows (got {split.validation + split.test:g} of 1)",
        )
    serve = blueprint.serve
    for place, rate in enumerate(serve.levels or ()):
        if not rate > 0:
            fault(("serve", "levels", place), f"must be greater than 0 request/s (got {rate:g})")
    if not 0 < serve.level_time.value <= LONGEST_LEVEL:
        fault(
            ("serve", "level_time"), f"must be more than 0 s and at most {LONGEST_LEVEL:g} s (got {serve.level_time})"
        )
    if not serve.p95.value > 0:
        fault(("serve", "p95"), f"must be more than 0 s (got {serve.p95})")
    if data.target is None:
        fault(("data", "target"), "is required: name the column that the service is to answer")
    elif data.columns.get(data.target) == "ignore":
        fault(("data", "columns", data.target), "the target cannot be ignored")
    if data.target is not None and split.by == "column" and split.column == data.target:
        fault(("prepare", "split", "column"), "the target cannot be the split column")


def with_rates(blueprint: Blueprint, file: Path) -> Blueprint:
    """The blueprint with another price table; BlueprintError where the table does not fit."""
    business = blueprint.business.model_copy(update={"rates": str(file.resolve())})
    changed, faults = blueprint.model_copy(update={"business": business}), []
    parts.build("rules", "files").check({}, changed, lambda path, text: faults.append(f"{'.'.join(path)}: {text}"))
    if faults:
        raise BlueprintError(faults)
    return changed


def dump(blueprint: Blueprint, reasons: Mapping[str, tuple[Any, str]] | None = None) -> str:
    """The resolved blueprint as YAML: every default written out; each derived value (path -> (value, reason)) with its reason.

    Sources become absolute, so that the file runs from anywhere to the same records.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    values = blueprint.model_dump(mode="json")
    for key in ("source", "validation", "test"):
        if values["data"][key] is not None:
            values["data"][key] = _absolute(values["data"][key], blueprint.folder)
    business = values["business"]
    for place, key in ((business, "rates"), (business["survey"] or {}, "file")):
        if place.get(key):
            place[key] = _absolute(place[key], blueprint.folder)

    def quoted(value: Any) -> Any:
        return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value

    def commented(value: Any) -> Any:
        if isinstance(value, dict):
            return CommentedMap({quoted(key): commented(inner) for key, inner in value.items()})
        return [commented(inner) for inner in value] if isinstance(value, list) else quoted(value)

    tree = commented(values)
    for path, (value, reason) in (reasons or {}).items():
        column = path.startswith("data.columns.")  # a column's name may hold dots
        *heads, last = ["data", "columns", path.removeprefix("data.columns.")] if column else path.split(".")
        node = tree
        for head in heads:
            if not isinstance(node.get(head), CommentedMap):
                node[head] = CommentedMap()
            node = node[head]
        node[last] = commented(value)
        node.yaml_add_eol_comment(reason.replace("\n", " "), last)
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 160
    yaml.dump(tree, stream)
    return (
        "# Every value this build used; a comment gives the reason of each derived one. It runs as it stands.\n"
        + stream.getvalue()
    )


def _absolute(source: Any, folder: Path) -> Any:
    if isinstance(source, list):
        return [_absolute(item, folder) for item in source]
    return str(folder / source)


@cache
def json_schema() -> dict[str, Any]:
    """JSON Schema of a blueprint, for editors; under the name of a part stand its options."""
    schema = Blueprint.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Modelyard blueprint"
    schema["properties"]["task"]["anyOf"] = [{"enum": parts.names("tasks")}, {"type": "null"}]
    for shelf, section, key in PARTS:
        place = schema["$defs"][section.title()]["properties"][key]
        mapping = next(one for one in place.get("anyOf", [place]) if one.get("type") == "object")
        # more is allowed there than these: a candidate may name another model
        mapping["properties"] = {
            name: {**parts.load(shelf, name).model_json_schema(), "additionalProperties": True}
            for name in parts.names(shelf)
        }
    return schema
