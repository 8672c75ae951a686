"""The order in which `prepare` does its work; each step's rules are in its own module."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelyard import parts
from modelyard.blueprint import Blueprint, Clean
from modelyard.context import Context
from modelyard.errors import DataError, nearest
from modelyard.prepare import cards, cleaning, grouping, inference, leakage, pictures, reading, suggesting, target
from modelyard.prepare.dividing import Division, divide
from modelyard.prepare.reading import GIVEN, Loaded
from modelyard.prepare.roles import Roles, assign
from modelyard.prepare.target import Target
from modelyard.records._base import Derived
from modelyard.records.prepared import CleaningStep, ColumnCard, Prepared, SplitCard, Suggestion, Suspect
from modelyard.rows import GROUP, ROW, SPLITS, Array, Reading
from modelyard.store import replacing

if TYPE_CHECKING:
    import polars


def run(context: Context, frame: Any = None) -> Prepared:
    """See `modelyard.prepare.run`."""
    blueprint, steps = context.blueprint, 6
    with context.progress.bar("prepare", steps) as advance:
        loaded, derived = _load(context, frame)
        advance(1)
        table, wanted, roles, cleaned = _clean(blueprint, loaded)
        table, looked, broken = _look(table, roles, wanted)
        wanted = Target(wanted.name, wanted.kind, table[wanted.name])
        target.check(wanted)
        advance(1)
        plain = pictures.marked(table, looked)
        pairs, counts = grouping.duplicate_pairs(
            plain,
            _compared(roles, wanted),
            threshold=blueprint.prepare.near_duplicates,
            text_task=roles.task.startswith("text"),
            looked={name: seen for name, seen in looked.items() if name in _compared(roles, wanted)},
        )
        advance(1)
        division = divide(plain, blueprint, roles, wanted, pairs)
        cleaned += broken + division.dropped
        splits, outliers = _sides(table, division, blueprint, roles)
        advance(1)
        columns = _columns(table, roles, wanted, looked)
        suspects = _suspects(splits, columns, wanted.name, roles, division, blueprint)
        advance(1)
        written = {name: _write(context, name, part, wanted) for name, part in splits.items()}
        advance(1)
    return Prepared(
        task=roles.task,
        task_reason=target.task_reason(roles.task, wanted, roles.input_types()),
        target=wanted.name,
        source={"files": loaded.files},
        columns=tuple(columns),
        split_by=division.by,
        split_reason=division.reason,
        splits=written,
        given=division.given,
        cleaning=tuple(cleaned + outliers),
        duplicates=counts,
        suspects=tuple(suspects),
        suggestions=tuple(_suggestions(columns, division, blueprint)),
        derived=tuple(derived + _derived(wanted, roles, division)),
    )


def _load(context: Context, frame: Any) -> tuple[Loaded, list[Derived]]:
    """The rows from Python, written down first, or from the files that the blueprint names."""
    blueprint = context.blueprint
    if frame is None:
        return reading.load(blueprint.data, blueprint.folder), []
    place = reading.from_python(frame, context.store.path("data", "source.parquet"))
    data = blueprint.data.model_copy(update={"source": str(place.resolve())})
    reason = f"a frame of type {type(frame).__name__} was given; its rows are kept here"
    return reading.load(data, blueprint.folder), [
        Derived(path="data.source", value=str(place.resolve()), reason=reason)
    ]


def _clean(blueprint: Blueprint, loaded: Loaded) -> tuple[polars.DataFrame, Target, Roles, list[CleaningStep]]:
    """Mended rows with typed columns, the target, and every column's role."""
    import polars as pl

    data, clean = blueprint.data, blueprint.prepare.clean
    table = loaded.frame.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(ROW))
    names = [name for name in table.columns if name not in (ROW, GIVEN)]
    name = target.find(names, data.target)
    _refuse_unknown(blueprint, names)
    steps: list[CleaningStep] = []
    if clean.encodings:
        table, steps = cleaning.mend_text(table, [column for column in names if table.schema[column] == pl.String])
    wanted = target.read(table[name], blueprint.task, data.columns.get(name))
    table = table.with_columns(wanted.values.alias(name))
    table, unanswered = cleaning.drop_unanswered(table, name)
    repeats = None
    if clean.repeats == "drop":
        table, repeats = cleaning.drop_repeats(table)
    steps += [step for step in (unanswered, repeats) if step]
    if table.height == 0:
        raise DataError(f"the target {name!r} is missing in every row")
    split = blueprint.prepare.split
    column = split.column if split.by in ("group", "time", "column") else None
    wanted = Target(name, wanted.kind, table[name])
    target.check(wanted)
    roles = assign(
        table.drop([ROW, GIVEN], strict=False), wanted, data.columns, task=blueprint.task, split_column=column
    )
    table, roles = _added(table, roles)
    table, roles, unread = _typed(table, roles, clean)
    numbers = [column for column, kind in roles.types.items() if kind == "number"]
    table, impossible = cleaning.refuse_impossible(table, clean, numbers)
    wanted = Target(name, wanted.kind, table[name])
    target.check(wanted)
    return table, wanted, roles, steps + unread + impossible


def _added(table: polars.DataFrame, roles: Roles) -> tuple[polars.DataFrame, Roles]:
    """Fields of a request that the data need not hold: texts missing, numbers by row."""
    import polars as pl

    fresh = parts.build("tasks", roles.task).added(roles.input_types())
    fresh = {name: kind for name, kind in fresh.items() if name not in table.columns}
    values = {"text": pl.lit(None, dtype=pl.String), "number": pl.col(ROW).cast(pl.Float64)}
    table = table.with_columns(**{name: values[kind] for name, kind in fresh.items()})
    reasons = roles.reasons | dict.fromkeys(fresh, "a field of the task's own requests")
    return table, replace(roles, types=roles.types | fresh, inputs=(*roles.inputs, *fresh), reasons=reasons)


def _refuse_unknown(blueprint: Blueprint, names: list[str]) -> None:
    """Every column that the blueprint names and the data lacks, in one DataError."""
    costs, split = blueprint.evaluate.costs, blueprint.prepare.split
    named: list[tuple[str, str]] = [("data.columns", name) for name in blueprint.data.columns]
    named += [("prepare.split.column", split.column)] if split.column else []
    named += [("prepare.clean.limits", name) for name in blueprint.prepare.clean.limits]
    named += [("evaluate.slices", name) for name in blueprint.evaluate.slices or ()]
    named += [("evaluate.top_k_by", blueprint.evaluate.top_k_by)] if blueprint.evaluate.top_k_by else []
    named += [("audit.sensitive", name) for name in blueprint.audit.sensitive]
    named += (
        [("evaluate.costs", cost) for cost in (costs.false_positive, costs.false_negative) if isinstance(cost, str)]
        if costs
        else []
    )
    faults = [
        f"{where}: the data has no column {name!r}.{nearest(name, names)}" for where, name in named if name not in names
    ]
    if faults:
        raise DataError("\n".join([*faults, f"Columns: {', '.join(names[:40])}" + (" …" if len(names) > 40 else "")]))


def _typed(table: polars.DataFrame, roles: Roles, clean: Clean) -> tuple[polars.DataFrame, Roles, list[CleaningStep]]:
    """Every column but the target in its type, and the roles with how each was read; unreadable values are missing, and counted."""
    steps, columns, readings = [], [], {}
    for name, kind in roles.types.items():
        found = inference.find_reading(table[name], kind)
        series, unread = inference.convert(table[name], kind, reading=found)
        columns.append(series)
        if unread:
            if kind not in ("image", "sequence"):  # a service refuses what is none, whatever the source held
                found = inference.with_unread(found, table[name], series, kind=kind)
            steps.append(CleaningStep(name="unreadable", column=name, before=unread, after=0, detail={"type": kind}))
        readings[name] = found.model_copy(update={"limits": cleaning.limits_served(clean, name)})
    return table.with_columns(columns), replace(roles, readings=readings), steps


def _look(
    table: polars.DataFrame, roles: Roles, wanted: Target
) -> tuple[polars.DataFrame, dict[str, pictures.Looked], list[CleaningStep]]:
    """The rows whose images can be read, what one pass over each image column saw, and the steps that list the others."""
    names = [name for name, kind in roles.types.items() if kind == "image"] + (
        [wanted.name] if wanted.kind == "image" else []
    )
    return pictures.drop_broken(table, {name: pictures.look(table[name]) for name in names})


def _sides(
    table: polars.DataFrame, division: Division, blueprint: Blueprint, roles: Roles
) -> tuple[dict[str, polars.DataFrame], list[CleaningStep]]:
    """The three splits with `__row__` and `__group__`; outliers are counted, and clipped where asked, in the training rows."""
    import polars as pl

    whole = table.drop(GIVEN, strict=False).with_columns(pl.Series(GROUP, division.groups, dtype=pl.Int64))
    splits = {name: whole.filter(pl.Series(division.side == number)) for number, name in enumerate(SPLITS)}
    numbers = [name for name in roles.inputs if roles.types[name] == "number"]
    splits["train"], steps = cleaning.clip_outliers(splits["train"], blueprint.prepare.clean, numbers)
    return splits, steps


def _columns(
    table: polars.DataFrame, roles: Roles, wanted: Target, looked: dict[str, pictures.Looked]
) -> list[ColumnCard]:
    result = []
    for name in table.columns:
        if name in (ROW, GIVEN):
            continue
        series = table[name]
        is_target = name == wanted.name
        kind = wanted.type if is_target else roles.types[name]
        nested = series.dtype.is_nested()
        result.append(
            ColumnCard.model_validate(
                {
                    "name": name,
                    "type": kind,
                    "role": "target" if is_target else "input" if name in roles.inputs else "ignored",
                    "reason": "the target" if is_target else roles.reasons[name],
                    "rows": table.height,
                    "missing": series.null_count(),
                    "distinct": 0 if nested else series.drop_nulls().n_unique(),
                    "facts": pictures.facts(looked[name], series) if name in looked else cards.facts(series, kind),
                    "reading": roles.readings.get(name, Reading()),
                }
            )
        )
    return result


def _suspects(
    splits: dict[str, polars.DataFrame],
    columns: list[ColumnCard],
    name: str,
    roles: Roles,
    division: Division,
    blueprint: Blueprint,
) -> list[Suspect]:
    skip = {blueprint.prepare.split.column} if division.by == "column" else set()
    if any(card.type == "image" for card in columns):
        skip.add("file")  # its folder is the label (`sources.images`)
    tried = [card for card in columns if card.name not in skip]
    made = parts.load("tasks", roles.task).kind in ("language", "image")
    found = [] if made else leakage.suspects(splits["train"], splits["train"][name], tried, seed=blueprint.train.seed)
    for column, moments in _moments(splits, columns, division, blueprint).items():
        backwards = leakage.time_backwards(moments, column, by_time=division.times is not None)
        found += [backwards] if backwards else []
    return found + division.suspects


def _moments(
    splits: dict[str, polars.DataFrame], columns: list[ColumnCard], division: Division, blueprint: Blueprint
) -> dict[str, dict[str, Array]]:
    """The times of each split's rows, by column: the one that splits, or every date where the splits were given."""
    import polars as pl

    if division.times is not None:
        return {
            str(blueprint.prepare.split.column): {
                name: division.times[division.side == number] for number, name in enumerate(SPLITS)
            }
        }
    if division.by not in ("files", "column"):
        return {}
    dates = [card.name for card in columns if card.type == "date"]
    epochs = {
        column: {name: part[column].dt.epoch("us").cast(pl.Float64) / 1e6 for name, part in splits.items()}
        for column in dates
    }
    return {
        column: {name: values.fill_null(float("nan")).to_numpy() for name, values in parts.items()}
        for column, parts in epochs.items()
    }


def _write(context: Context, split: str, part: polars.DataFrame, wanted: Target) -> SplitCard:
    place = context.store.path("data", f"{split}.parquet")
    with replacing(place) as temporary:
        part.write_parquet(temporary)
    return cards.split_card(part, wanted.name, wanted.kind, place)


def _compared(roles: Roles, wanted: Target) -> dict[str, str]:
    """What makes two rows the same: their inputs; of texts that are made, what was asked and what was answered; of images, these alone."""
    made: dict[str, str] = {wanted.name: wanted.kind} if wanted.kind in ("text", "image") else {}
    return made if wanted.kind == "image" else roles.input_types() | made


def _suggestions(columns: list[ColumnCard], division: Division, blueprint: Blueprint) -> list[Suggestion]:
    """A date could split by time, a repeated identifier by group; only where the blueprint leaves the choice to us."""
    if division.by not in ("random", "stratified"):
        return []
    found = []
    for card in columns:
        by = suggesting.split_of(card.name, card.type, distinct=card.distinct, missing=card.missing, rows=card.rows)
        if by and card.role != "target":
            reason = suggesting.REASONS[by]
            found.append(Suggestion(path="prepare.split.by", value=by, column=card.name, reason=reason))
    return found


def _derived(wanted: Target, roles: Roles, division: Division) -> list[Derived]:
    """What the blueprint may have left open. The same whether it did, so that the resolved blueprint gives the same record."""
    found = [Derived(path="task", value=roles.task, reason=target.task_reason(roles.task, wanted, roles.input_types()))]
    found += [
        Derived(path=f"data.columns.{name}", value=roles.declaration(name), reason=roles.reasons[name])
        for name in roles.types
    ]
    if division.by != "files":
        found.append(Derived(path="prepare.split.by", value=division.by, reason=division.reason))
    return found
