"""The sections of a blueprint: frozen, typed, every option documented on its field and nowhere else."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from modelyard.frozen import Frozen
from modelyard.units import Bytes, PerSecond, Quantity, Seconds

Size = Literal["tiny", "small", "base", "large"]
ColumnType = Literal["number", "category", "boolean", "text", "date", "image", "sequence", "ignore"]


class Data(Frozen):
    """Where the rows come from and which column is to be answered."""

    source: str | tuple[str, ...] = Field(min_length=1)
    """A file (`.csv .tsv .parquet .jsonl .ndjson`, also `.gz`), a glob, a folder, or a list of these; relative to the blueprint."""
    target: str | None = None
    """The column the service is to answer."""
    validation: str | tuple[str, ...] | None = None
    """Separate validation rows; without them a part of the training rows is held out."""
    test: str | tuple[str, ...] | None = None
    """Separate test rows; without them a part of `source` is held out."""
    columns: dict[str, ColumnType] = {}
    """Overrides of the inferred column types; `ignore` leaves a column out of the model (it can still split or slice)."""
    missing: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
    """Texts in a CSV file that mean missing."""


class Split(Frozen):
    """How rows become training, validation and test rows."""

    by: Literal["auto", "random", "stratified", "group", "time", "column"] = "auto"
    """`group`: no group on two sides; `time`: later rows are tested; `column`: the column says train, validation or test."""
    column: str | None = None
    """The group, time or split column."""
    validation: float = Field(0.15, gt=0, lt=0.9)
    """Share of all rows held out for choosing."""
    test: float = Field(0.2, gt=0, lt=0.9)
    """Share of all rows read once, for the final figures."""
    gap: Seconds = Quantity(0.0, "s")
    """By time: how late labels come (`7 days`; of a number column, in its own unit). Rows that close before validation or test rows are left out."""


class Clean(Frozen):
    """What is mended before anything is learnt; each step is counted in the data card."""

    repeats: Literal["drop", "keep"] = "drop"
    """Rows that repeat another in every column."""
    encodings: bool = True
    """Mend mojibake, stray control characters and Unicode forms (NFC) in text."""
    impossible: Literal["missing", "drop", "keep"] = "missing"
    """Values that cannot be (infinities, numbers in `limits` exceeded)."""
    limits: dict[str, tuple[float | None, float | None]] = {}
    """Lowest and highest possible value of a number column: `age: [0, 120]`."""
    outliers: Literal["keep", "clip"] = "keep"
    """Numbers further than 10 interquartile ranges from the quartiles: keep them, or clip to that fence."""


class Prepare(Frozen):
    """Cleaning, splitting, duplicates and leakage."""

    split: Split = Split()
    clean: Clean = Clean()
    near_duplicates: float | None = Field(0.9, gt=0, le=1)
    """Texts whose word shingles overlap (Jaccard) at least this much, and images that look alike at 16 x 16 pixels, never stand on both
    sides of a split; null: exact only."""


class Train(Frozen):
    """Candidates, budget, and how the best is put together."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of everything random: splits, initial weights, batches, bootstrap."""
    budget: Seconds = Quantity(360.0, "s")
    """Wall-clock limit for all candidates together, search and ensemble included: `6 min`."""
    metric: str | None = None
    """The metric that chooses; by default the task's first one."""
    candidates: dict[str, dict[str, Any]] | None = None
    """Candidate name to options; the name is the model unless `model:` names another. By default the task's own list. Baselines always run.
    `optional: true` leaves one out, with the reason, where an extra or a download that it needs is not there; `share: 0.4` gives it
    that share of the budget, where it would else take what those before it left."""
    folds: int | None = Field(None, ge=1, le=20)
    """1: choose on the validation rows. More: cross-validate over training and validation rows and keep all fold models as one."""
    refit: bool = True
    """With one fold: models that learn in one call learn again from training and validation rows together, with what the latter chose."""
    ensemble: bool = True
    """Combine candidates: greedy weights on validation rows; where rows are split by group or time, equal weights of those that do not harm the mean."""
    checkpoint: Seconds = Quantity(20.0, "s")
    """How often gradient training is saved, so that a killed run goes on."""
    tracking: tuple[Literal["tensorboard", "mlflow"], ...] = ("tensorboard",)
    """Where learning curves are logged beside the record, if the package is installed."""


class Costs(Frozen):
    """What the two errors of a two-class service cost; a number, or a column that holds it for each row."""

    false_positive: float | str = 1.0
    """Cost of answering the positive class where it is not: a false alarm. A number, or the name of the column that holds each row's."""
    false_negative: float | str = 1.0
    """Cost of not answering the positive class where it is: a miss. A number, or a column's name."""


class Evaluate(Frozen):
    """Metrics, threshold, slices and quality gates."""

    metrics: tuple[str, ...] | None = None
    """Names from the metrics shelf; by default the task's list."""
    positive: str | None = None
    """The class that is looked for; by default the rarer of two."""
    costs: Costs | None = None
    """Declared costs of the two errors; they choose the threshold on validation rows."""
    top_k: int = Field(100, ge=1)
    """The k of `precision_at_k`: how many rows somebody can check (a day, where the split is by time)."""
    top_k_by: str | None = None
    """A column whose values are checked once each (`card`): its rows count as one, with the highest of their scores."""
    slices: tuple[str, ...] | None = None
    """Columns whose groups are measured alone; by default category columns of few values and text length."""
    gates: dict[str, float] = {}
    """Demands on the test metrics: at least this much (at most, for errors)."""
    bootstrap: int = Field(1000, ge=100, le=20000)
    """Resamples behind every interval."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Level of every interval."""


class Audit(Frozen):
    """Checks of trust; each has its own options."""

    checks: dict[str, dict[str, Any]] | None = None
    """Check name to options that replace its defaults. Every check that applies runs; `skip: true` leaves one out."""
    sensitive: tuple[str, ...] = ()
    """Columns across which the service must treat people alike."""


class Compress(Frozen):
    """Exported variants and the parity they must keep."""

    methods: dict[str, dict[str, Any]] | None = None
    """Method name to options; by default every method that applies to the chosen model."""
    max_drop: float = Field(0.005, ge=0, lt=1)
    """Largest allowed loss of the choosing metric (relative, for errors) against the trained model, on validation rows."""
    agreement: float = Field(0.995, gt=0, le=1)
    """Smallest share of rows on which exported and trained model give the same answer."""
    tolerance: float | None = Field(None, gt=0)
    """Largest difference that still counts as the same answer: of a number, relative (by default 1e-4); of a text's likelihood, in nats a
    token (0.02); null: the task's own."""


class Package(Frozen):
    """The folder that is shipped."""

    version: str = "1.0.0"
    """Version of the service, for the model card and the API."""
    licence: str = "not declared"
    """Licence of the packaged model, as its card states it."""
    description: str = ""
    """One paragraph for the model card: what it is for, and what it is not for."""


class Serve(Frozen):
    """The service and the load it must bear."""

    p95: Seconds = Quantity(0.1, "s")
    """95 % of requests must be answered within this time: `100 ms`."""
    rate: PerSecond | None = None
    """A demanded rate at that latency; a gate."""
    levels: tuple[float, ...] | None = None
    """Offered rates of the load sweep, in requests per second; by default doubled from 5 until the latency target breaks."""
    level_time: Seconds = Quantity(3.0, "s")
    """How long each level of the sweep lasts."""
    max_rows: int = Field(256, ge=1)
    """Rows in one request."""
    max_body: Bytes = Quantity(16.0 * 2**20, "B")
    """Bytes in one request: a photograph of twelve megapixels has about five million, in base64 seven."""


class Report(Frozen):
    """The report."""

    language: Literal["en", "zh"] = "en"
    """English or Chinese."""
