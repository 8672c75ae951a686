"""`yard init`: from a data file to a commented blueprint, or from a recipe to a folder of one's own.

It reads the data exactly as the stage `prepare` would and writes down what was inferred and why; it trains nothing and
knows nothing about models. Try it: `yard init mails.csv --target label -o spam`.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import DataError, UserError, nearest
from modelyard.parts import ROOT
from modelyard.store import write_text

if TYPE_CHECKING:
    import polars

    from modelyard.prepare.roles import Roles
    from modelyard.prepare.target import Target

RECIPES = ROOT.parent.parent / "recipes"
"""Where recipes lie in a source checkout; an installed wheel has none."""
FILE = "blueprint.yaml"
TARGETS = (
    "target", "label", "labels", "class", "y", "outcome", "answer", "status", "fraud", "result", "response", "churn", "spam",
    "default", "price", "sentiment", "survived", "rating", "score",
)  # fmt: skip
"""Names that people give to the column a model is to answer, the plainest first: our list, from public data sets."""
SENSITIVE = (
    "age", "sex", "gender", "race", "ethnicity", "religion", "marital", "marital_status", "nationality", "disability", "birth_date", "pregnant",
)  # fmt: skip
"""Columns that name a characteristic protected by law in many places (for example the UK's Equality Act 2010, section 4)."""
MOST_PARENTS = 2
"""A source further up than this is written as an absolute path."""


def start(data: str, *, target: str | None, folder: Path, overwrite: bool) -> Path:
    """Write `folder/blueprint.yaml` for the rows that `data` names, or copy the recipe of that name; returns the file's path.

    DataError says what is wrong with the data or which column could be the target; UserError where the file is there already.
    """
    place = folder / FILE
    if recipe := _recipe(data):
        if target is not None:
            raise UserError(
                f"--target {target!r}: the recipe {data!r} has its own target. Leave --target out, and change it in {place}."
            )
        return _copy(recipe, folder, overwrite=overwrite)
    if place.exists() and not overwrite:
        raise UserError(f"{place} is there already. Name another folder with -o, or replace it with --overwrite.")
    text = _blueprint(data, target, folder)
    _writable(folder)
    write_text(place, text)
    return place


# -- recipes ------------------------------------------------------------------------------------------------------------


def _recipe(data: str) -> Path | None:
    """The recipe's folder: one that holds a blueprint, or a plain name that is no file here."""
    given = Path(data).expanduser()
    if (given / FILE).is_file():
        return given
    if given.exists() or glob.has_magic(data) or re.fullmatch(r"[a-z0-9-]+", data) is None:
        return None
    known = sorted(file.parent.name for file in RECIPES.glob(f"*/{FILE}"))
    if not known:
        raise UserError(
            f"no file and no recipe {data!r}. Recipes are not installed with the package: they lie in the folder recipes/ of its source code."
        )
    if data not in known:
        raise UserError(f"no file and no recipe {data!r}.{nearest(data, known)} Recipes: {', '.join(known)}")
    return RECIPES / data


def _copy(recipe: Path, folder: Path, *, overwrite: bool) -> Path:
    _writable(folder)
    files = [file for file in sorted(recipe.iterdir()) if file.is_file() and not file.name.startswith(".")]
    there = [file.name for file in files if (folder / file.name).exists()]
    if there and not overwrite:
        raise UserError(
            f"{folder} holds {', '.join(there)} already. Name another folder with -o, or replace them with --overwrite."
        )
    for file in files:
        if (folder / file.name).resolve() != file.resolve():
            shutil.copyfile(file, folder / file.name)
    return folder / FILE


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be made: {error.strerror}. Name another with -o.") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"the folder {folder} may not be written to. Name another with -o.")


# -- data ---------------------------------------------------------------------------------------------------------------


def _blueprint(data: str, name: str | None, folder: Path) -> str:
    from modelyard.blueprint import Blueprint, Data
    from modelyard.prepare import reading

    frame = reading.load(Data(source=str(Path(data).expanduser())), Path.cwd()).frame.drop(reading.GIVEN, strict=False)
    if name is None:
        raise DataError(_which_target(frame))
    table, wanted, roles = _read(frame, name)
    text = "\n".join(_lines(data, folder, frame, table, wanted, roles)) + "\n"
    Blueprint.parse(text, name=str(folder / FILE), folder=folder)  # what we write must be in order
    return text


def _read(frame: polars.DataFrame, name: str) -> tuple[polars.DataFrame, Target, Roles]:
    """The answered rows, target and roles, by the rules of `prepare` on an otherwise empty blueprint."""
    import polars as pl

    from modelyard.prepare import cleaning, target
    from modelyard.prepare.roles import assign
    from modelyard.rows import ROW

    target.find(frame.columns, name, "--target")
    frame = frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))
    table, _ = cleaning.mend_text(frame, [column for column in frame.columns if frame.schema[column] == pl.String])
    wanted = target.read(table[name], None, None)
    table, _ = cleaning.drop_unanswered(table.with_columns(wanted.values.alias(name)), name)
    table = cleaning.drop_repeats(table)[0].drop(ROW)
    wanted = target.Target(name, wanted.kind, table[name])
    target.check(wanted)
    return table, wanted, assign(table, wanted, {}, task=None, split_column=None)


def _which_target(frame: polars.DataFrame) -> str:
    """What to say where no target was named: every column, and which are the likeliest."""
    guesses = _guesses(frame)
    shown = "; ".join(f"{name} ({why})" for name, why in guesses[:3])
    more = f" Likeliest: {shown}." if shown else ""
    names = ", ".join(frame.columns[:40]) + (" …" if frame.width > 40 else "")
    again = f" For example: --target {guesses[0][0]}" if guesses else ""
    return f"--target is required: name the column the service is to answer.{more} Columns: {names}.{again}"


def _guesses(frame: polars.DataFrame) -> list[tuple[str, str]]:
    """Columns that could be a target, the likeliest first: by name, then few values, then the last one of the table."""
    from modelyard.prepare.inference import guess, named_like_id

    found = []
    for place, name in enumerate(frame.columns):
        words = re.split(r"[\W_]+", name.lower())
        rank = min((TARGETS.index(word) for word in words if word in TARGETS), default=len(TARGETS))
        series = frame[name]
        if (
            series.dtype.is_nested()
            or series.dtype.is_temporal()
            or named_like_id(name)
            or guess(series).type in ("text", "date", "image", "sequence", "ignore")
        ):
            continue
        distinct = series.drop_nulls().n_unique()
        few = 2 <= distinct <= 20
        if rank < len(TARGETS) or few or place == frame.width - 1:
            found.append(((rank, not few, -place), name, f"{distinct} distinct values"))
    return [(name, why) for _, name, why in sorted(found)]


# -- the file -----------------------------------------------------------------------------------------------------------


def _lines(
    data: str, folder: Path, frame: polars.DataFrame, table: polars.DataFrame, wanted: Target, roles: Roles
) -> Iterator[str]:
    """The file's lines. Every key that is commented out can be put in force by taking its `# ` away."""
    from modelyard.prepare.target import task_reason

    dropped = frame.height - table.height
    yield f"# {_plain(data)}: {frame.height:,} rows, {frame.width} columns" + (
        f" ({dropped:,} repeat another or have no answer)." if dropped else "."
    )
    yield "# The four lines below are enough: yard check, then yard run. What is commented out is what Modelyard inferred or takes by"
    yield "# default; take the `# ` away to hold it fast or to change it. yard explain KEY tells more, for example: yard explain prepare.split"
    yield f"name: {_name(data)}"
    yield "data:"
    source = _relative(data, folder)
    yield f"  source: {_scalar(source)}" + ("" if os.path.isabs(source) else " # relative to this file")
    yield f"  target: {_scalar(wanted.name)} # {_plain(_answers(wanted))}"
    yield "  # columns: # as inferred; ignore leaves a column out of the model, it can still split or slice"
    for name in roles.types:
        yield f"  #   {_scalar(name)}: {roles.declaration(name)} # {_plain(roles.reasons[name])}"
    yield ""
    yield f"# task: {roles.task} # {_plain(task_reason(roles.task, wanted, roles.input_types()))}"
    yield "# size: small # the one dial, tiny | small | base | large: how large models and search are, how long the load test is"
    yield ""
    yield from _split(table, wanted, roles)
    yield "# train:"
    yield "#   seed: 0 # of everything random"
    yield "#   budget: 6 min # for all candidates together"
    yield ""
    yield from _evaluate(wanted)
    sensitive = [name for name in roles.types if name.lower() in SENSITIVE]
    if sensitive:
        yield "# audit:"
        yield f"#   sensitive: [{', '.join(map(_scalar, sensitive))}] # named like what people must not be treated by: compared, not yet left out"
        yield ""
    yield "# serve:"
    yield "#   p95: 100 ms # 95 % of requests must be answered within this time"
    yield "# report:"
    yield "#   language: en # or zh"


def _split(table: polars.DataFrame, wanted: Target, roles: Roles) -> Iterator[str]:
    """The default split; a date or a repeated identifier suggests another."""
    from modelyard.prepare import suggesting

    found: dict[str, str] = {}
    for name, kind in roles.types.items():
        series = table[name]
        counts = {"distinct": series.drop_nulls().n_unique(), "missing": series.null_count(), "rows": table.height}
        if name != wanted.name and (by := suggesting.split_of(name, kind, **counts)):
            found.setdefault(by, name)
    yield "# prepare:"
    if found:
        by = "time" if "time" in found else "group"
        column = f"{{by: {by}, column: {_scalar(found[by])}}}"
        yield f"#   split: {column} # suggested, not the default: {suggesting.REASONS[by]}"
    else:
        usual = "stratified" if wanted.kind == "classes" else "random"
        reason = "every class has its share in every part" if wanted.kind == "classes" else "rows stand alone"
        yield f"#   split: {{by: {usual}, validation: 0.15, test: 0.2}} # {reason}; also group, time, column"
    yield ""


def _evaluate(wanted: Target) -> Iterator[str]:
    classes = _classes(wanted)
    if len(classes) != 2:
        return
    rarer = min(classes, key=lambda name: (classes[name], name))
    yield "# evaluate:"
    yield f"#   positive: {_scalar(rarer)} # the class that is looked for: the rarer of two"
    yield "#   costs: {false_positive: 1, false_negative: 1} # suggested: what the two errors cost you; they choose the threshold"
    yield ""


def _classes(wanted: Target) -> dict[str, int]:
    """Class to rows, most frequent first; empty for a number."""
    if wanted.kind == "number":
        return {}
    counts = wanted.values.drop_nulls().value_counts(sort=True)
    return dict(zip(counts[wanted.name].to_list(), counts["count"].to_list(), strict=True))


def _answers(wanted: Target) -> str:
    classes = _classes(wanted)
    if not classes:
        values = wanted.values.drop_nulls().to_numpy()
        return f"a number from {values.min():g} to {values.max():g}"
    shown = ", ".join(f"{str(name)[:30]} {count:,}" for name, count in list(classes.items())[:5])
    return f"{len(classes)} classes: {shown}" + (" …" if len(classes) > 5 else "")


# -- words --------------------------------------------------------------------------------------------------------------


def _name(data: str) -> str:
    """A service name from a file name. `_name('My Mails.2024.csv.gz') == 'my-mails'`."""
    path = Path(os.path.abspath(data))
    stem = path.name.split(".")[0]
    if glob.has_magic(stem) or not re.search(r"[a-zA-Z0-9]", stem):
        stem = next(
            (
                part
                for part in reversed(path.parts[:-1])
                if re.search(r"[a-zA-Z0-9]", part) and not glob.has_magic(part)
            ),
            "service",
        )
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63] or "service"


def _relative(data: str, folder: Path) -> str:
    """The source as seen from the blueprint's folder; absolute where that is far away."""
    source = os.path.abspath(Path(data).expanduser())
    relative = os.path.relpath(source, os.path.abspath(folder))
    return Path(relative).as_posix() if relative.split(os.sep).count("..") <= MOST_PARENTS else source


def _scalar(text: str) -> str:
    """A YAML scalar: plain where that is safe, else double-quoted with escapes."""
    plain = re.fullmatch(r"(?:[A-Za-z_/]|\.{1,2}/)[\w./-]*( [\w./-]+)*", text, re.ASCII)
    if plain and text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n"):
        return text
    body = "".join(_escaped(character) for character in text)
    return f'"{body}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain(text: str) -> str:
    """Text for a comment: one line, printable."""
    return "".join(character if character.isprintable() else " " for character in text)
