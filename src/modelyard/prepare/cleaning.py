"""Mending: broken text, rows without an answer, repeats, impossible values, outliers; every step counted before and after.

It does not know splits, but for outliers, whose fences come from the training rows. HTML entities are left alone: a model may
learn from them, and the service will meet them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard import mending
from modelyard.blueprint import Clean
from modelyard.errors import DataError
from modelyard.prepare.reading import GIVEN
from modelyard.records.prepared import CleaningStep
from modelyard.rows import ROW, Limits

if TYPE_CHECKING:
    import polars

FENCE = 10.0
"""Interquartile ranges beyond the quartiles from which a number is an outlier; Tukey's far-out fence is 3, which skewed columns cross all the time."""


def mend_text(frame: polars.DataFrame, names: list[str]) -> tuple[polars.DataFrame, list[CleaningStep]]:
    """Mojibake, control characters and NFC in the named String columns; a step for every column that changed."""
    import polars as pl

    steps = []
    for name in names:
        before = frame[name]
        mended, mojibake = _mend_mojibake(before)
        cleaned = mended.str.replace_all(mending.CONTROL, "")
        controls = int((mended != cleaned).sum())
        if cleaned.str.contains(r"[^\x00-\x7F]").any():
            normal = cleaned.str.normalize("NFC")
        else:
            normal = cleaned
        forms = int((cleaned != normal).sum())
        lost = int(normal.str.contains("\ufffd", literal=True).sum())
        changed = int((before != normal).sum())
        if changed or lost:
            detail = {
                "mojibake": mojibake,
                "control_characters": controls,
                "unicode_forms": forms,
                "undecodable_kept": lost,
            }
            steps.append(CleaningStep(name="encodings", column=name, before=changed, after=0, detail=detail))
            frame = frame.with_columns(normal.alias(name) if normal.dtype == pl.String else normal)
    return frame, steps


def _mend_mojibake(series: polars.Series) -> tuple[polars.Series, int]:
    """UTF-8 that was read as cp1252 or Latin-1, where the whole text turns back into valid UTF-8; anything doubtful is left."""
    import polars as pl

    doubtful = series.str.contains(mending.TELLTALE).fill_null(False)
    if not doubtful.any():
        return series, 0
    values, count = series.to_list(), 0
    for place in doubtful.arg_true().to_list():
        mended = mending.decode_again(values[place])
        if mended != values[place]:
            values[place], count = mended, count + 1
    return pl.Series(series.name, values, dtype=pl.String), count


def drop_unanswered(frame: polars.DataFrame, target: str) -> tuple[polars.DataFrame, CleaningStep | None]:
    """Rows whose target is missing."""
    kept = frame.filter(frame[target].is_not_null())
    if kept.height == frame.height:
        return frame, None
    return kept, CleaningStep(name="missing_target", column=target, before=frame.height, after=kept.height)


def drop_repeats(frame: polars.DataFrame) -> tuple[polars.DataFrame, CleaningStep | None]:
    """Rows that repeat another in every column; the first stays. Where splits are given, the copy in the test rows stays."""
    import polars as pl

    names = [name for name in frame.columns if name not in (ROW, GIVEN)]
    ordered = frame
    if GIVEN in frame.columns:
        rank = pl.col(GIVEN).replace_strict({"test": 0, "validation": 1, "train": 2}, return_dtype=pl.Int8)
        ordered = frame.sort([rank, pl.col(ROW)])
    kept = ordered.unique(subset=names, keep="first", maintain_order=True).sort(ROW)
    if kept.height == frame.height:
        return frame, None
    return kept, CleaningStep(name="repeats", before=frame.height, after=kept.height)


def refuse_impossible(
    frame: polars.DataFrame, clean: Clean, numbers: list[str]
) -> tuple[polars.DataFrame, list[CleaningStep]]:
    """Infinities, and numbers outside `limits`: missing, or their rows dropped, or only counted."""
    import polars as pl

    steps = []
    for name in clean.limits:
        if name not in numbers:
            raise DataError(f"prepare.clean.limits.{name}: only a number column has limits")
    for name in numbers:
        low, high = clean.limits.get(name, (None, None))
        values = frame[name]
        wrong = values.is_infinite()
        for bound, beyond in (
            (low, values < low if low is not None else None),
            (high, values > high if high is not None else None),
        ):
            wrong = wrong | beyond if bound is not None and beyond is not None else wrong
        wrong = wrong.fill_null(False)
        count = int(wrong.sum())
        if not count:
            continue
        detail: dict[str, Any] = {
            "low": low,
            "high": high,
            "done": clean.impossible,
            "infinite": int(values.is_infinite().sum()),
        }
        steps.append(
            CleaningStep(
                name="impossible",
                column=name,
                before=count,
                after=count if clean.impossible == "keep" else 0,
                detail=detail,
            )
        )
        if clean.impossible == "drop":
            frame = frame.filter(~wrong)
        elif clean.impossible == "missing" or detail["infinite"]:
            gone = (
                wrong if clean.impossible == "missing" else values.is_infinite()
            )  # an infinity cannot be learnt from, nor stand in JSON
            frame = frame.with_columns(pl.select(pl.when(~gone.fill_null(False)).then(values)).to_series().alias(name))
    return frame, steps


def limits_served(clean: Clean, name: str) -> Limits:
    """The limits that hold for what a service is sent: beyond them a number counts as missing, even where `prepare` drops the row,
    since a request must be answered; none where impossible numbers are kept."""
    return (None, None) if clean.impossible == "keep" else clean.limits.get(name, (None, None))


def fences(train: polars.DataFrame, names: list[str]) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each number that is no outlier, from the training rows; columns without spread have none."""
    found = {}
    for name in names:
        low, high = train[name].quantile(0.25, "linear"), train[name].quantile(0.75, "linear")
        if low is not None and high is not None and high > low:
            found[name] = (low - FENCE * (high - low), high + FENCE * (high - low))
    return found


def clip_outliers(
    train: polars.DataFrame, clean: Clean, names: list[str]
) -> tuple[polars.DataFrame, list[CleaningStep]]:
    """Count numbers beyond the fences in the training rows and, where the blueprint says so, clip them.

    Validation and test rows stay as they are: the service will meet such values unclipped.
    """
    import polars as pl

    steps = []
    for name, (low, high) in fences(train, names).items():
        count = int(((train[name] < low) | (train[name] > high)).fill_null(False).sum())
        if count:
            after = 0 if clean.outliers == "clip" else count
            detail = {"low": low, "high": high, "done": clean.outliers}
            steps.append(CleaningStep(name="outliers", column=name, before=count, after=after, detail=detail))
            if clean.outliers == "clip":
                train = train.with_columns(pl.col(name).clip(low, high))
    return train, steps
