"""The engine: what is stale, call the stages in order, write records atomically, resume.

The only module that composes stages: it calls `evaluate` again on the compressed model. A stage is stale when its key (the
blueprint's part it depends on, the records before it, the input bytes, the sources of its code, the library versions)
is not the key of the record that is there, or when a file it made is gone. It knows nothing about models or data.

>>> from modelyard import Blueprint
>>> Blueprint.load("recipes/credit/blueprint.yaml").run("builds/credit")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump
from modelyard.context import Context, Progress, Silence
from modelyard.errors import GateFailed, UserError, nearest
from modelyard.frozen import Frozen
from modelyard.records._base import Gate, Record, versions, watch, without_times
from modelyard.store import Store, fingerprint, hash_file, read_json, write_json, write_text


@dataclass(frozen=True)
class Stage:
    """One of the nine verbs."""

    name: str
    record: str
    """`module:class` under modelyard.records."""
    reads: tuple[str, ...]
    """Stages whose records it depends on."""
    sections: tuple[str, ...]
    """Blueprint keys it depends on, dotted."""
    sources: tuple[str, ...]
    """Files and folders of the package whose change makes it stale."""
    files: tuple[str, ...] = ()
    """Files it must have left in the build."""
    clocks: bool = False
    """Whether it computes from what clocks measured."""


_MODELS = (
    "tasks",
    "models",
    "features",
    "decoding",
    "sampling.py",
    "sessions",
    "predictor.py",
    "rows.py",
    "rows_schema.py",
    "mending.py",
)
STAGES = (
    Stage("prepare", "prepared:Prepared", (), ("task", "data", "prepare", "train.seed"), ("prepare", "rows.py", "mending.py", "features/images.py"),
          ("data/train.parquet", "data/validation.parquet", "data/test.parquet")),
    Stage("train", "trained:Trained", ("prepare",), ("name", "size", "train", "generate", "evaluate", "prepare", "downloads"), ("train", "learn", "metrics", *_MODELS),
          ("model/artifact.json",)),
    Stage("evaluate", "evaluated:Evaluated", ("prepare", "train"), ("evaluate", "audit.sensitive", "prepare.split", "train.seed"),
          ("evaluate", "metrics", *_MODELS), ("evaluate/scores.npz",)),
    Stage("audit", "audited:Audited", ("prepare", "train", "evaluate"), ("audit", "evaluate", "prepare.split", "train.seed"), ("audit", "metrics", *_MODELS)),
    Stage("compress", "compressed:Compressed", ("prepare", "train", "evaluate"), ("compress", "evaluate", "prepare.split", "train.seed"),
          ("compress", "evaluate", "metrics", *_MODELS)),
    Stage("package", "packaged:Packaged", ("prepare", "train", "evaluate", "audit", "compress"), ("name", "package", "serve", "data.missing"),
          (".",), ("package/hashes.json",)),  # the package carries a wheel of all our code
    Stage("serve", "served:Served", ("prepare", "package"), ("serve", "size", "train.seed"), ("serve", "packages.py", *_MODELS)),
    Stage("business", "valued:Valued", ("prepare", "train", "evaluate", "audit", "compress", "package", "serve"), ("business", "market", "strategy"), ("business",), clocks=True),
    Stage("report", "reported:Reported", ("prepare", "train", "evaluate", "audit", "compress", "package", "serve", "business"), ("report",),
          ("report",), ("report.html",), clocks=True),
)  # fmt: skip
NAMES = tuple(stage.name for stage in STAGES)
PACKAGE = NAMES.index("package")


@dataclass
class Build:
    """What `run` returns: the folder and its records, by stage name."""

    folder: Path
    records: dict[str, Record] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.folder / "report.html"

    @property
    def package(self) -> Path:
        """The package's folder."""
        return self.folder / "package"

    @property
    def failed(self) -> list[Gate]:
        """Gates that were not met."""
        return [gate for record in self.records.values() for gate in record.gates if not gate.passed]

    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers of the packaged model for rows as dicts."""
        from modelyard.packages import open_package
        from modelyard.rows import from_records

        opened = open_package(self.package, force=True)
        return opened.predictor.answer(from_records(rows, opened.predictor.state.inputs))


def run(
    blueprint: Blueprint, folder: str | Path | None = None, *, frame: Any = None, to: str | None = None, only: str | None = None,
    force: bool = False, progress: Progress | None = None,
) -> Build:  # fmt: skip
    """Run what is stale, in order. Raises GateFailed at the first stage whose gate fails (unless `force`), UserError for bad input."""
    for name in (to, only):
        if name is not None and name not in NAMES:
            raise UserError(f"no stage {name!r}.{nearest(name, NAMES)} Allowed: {', '.join(NAMES)}")
    if to and only:
        raise UserError(
            "--to and --only exclude each other: --to runs every stale stage up to one, --only runs one alone"
        )
    store = Store(Path(folder) if folder is not None else Path("builds") / blueprint.name)
    with store.lock():
        return _Engine(blueprint, store, frame=frame, force=force, progress=progress or Silence()).run(to=to, only=only)


class _Engine:
    def __init__(self, blueprint: Blueprint, store: Store, *, frame: Any, force: bool, progress: Progress) -> None:
        self.context = Context(blueprint, store, progress, force=force)
        self.frame = frame
        self.reasons: dict[str, tuple[Any, str]] = {}
        self.failed: list[Gate] = []
        """Gates of the stages that were asked for and are not met."""

    def run(self, *, to: str | None, only: str | None) -> Build:
        context = self.context
        self._write_resolved()
        build = Build(context.store.folder, context.records)
        for stage in STAGES:
            here = read_record(context.store, stage)
            if only is not None and stage.name != only:
                if here is not None and NAMES.index(stage.name) < NAMES.index(only):
                    self._accept(stage, here)
                elif here is None and stage.name in _stage(only).reads:
                    raise UserError(
                        f"stage {only!r} needs {stage.name!r}, which has not run in {context.store.folder}. Run: yard run --to {only}"
                    )
                continue
            key, inputs = self._key(stage)
            if only is None and here is not None and here.key == key and self._complete(stage):
                context.progress.say(f"{stage.name}: up to date")
            else:
                here = self._execute(stage, key, inputs)
            self._accept(stage, here)
            self._gates(stage, here)
            if stage.name in (to, only):
                break
        if self.failed and not context.force:
            told = f" The report is {build.report}." if build.report.exists() else ""
            raise GateFailed(f"{_sentence(self.failed)}\nThe package is marked refused.{told}")
        return build

    def _accept(self, stage: Stage, record: Record) -> None:
        self.context.records[stage.name] = record
        for derived in record.derived:
            self.reasons[derived.path] = (derived.value, derived.reason)
        if record.derived:
            self._write_resolved()

    def _gates(self, stage: Stage, record: Record) -> None:
        """Before `package` a failed gate stops the run (unless forced); later it marks the package refused, forced or not."""
        failed = [gate for gate in record.gates if not gate.passed]
        if NAMES.index(stage.name) < PACKAGE:
            if failed and not self.context.force:
                self._partial_report()
                report = self.context.store.path("report.html")
                raise GateFailed(
                    f"{_sentence(failed)}\nStopped before package; the report so far is {report}. --force goes on."
                )
            return
        if stage.name == "report":
            return
        from modelyard.packages import refuse

        refuse(self.context.store.path("package"), self._verdict())
        self.failed += failed
        if failed:
            self.context.progress.say(f"{stage.name}: {_sentence(failed)}")

    def _verdict(self) -> list[Gate]:
        """Failed gates of packaging and later: this run's, and, of stages that it did not reach, those of the records that judged this package."""
        found: list[Gate] = []
        for stage in STAGES[PACKAGE:]:
            record = self.context.records.get(stage.name) or read_record(self.context.store, stage)
            found += [gate for gate in record.gates if not gate.passed] if record else []
        return found

    def _partial_report(self) -> None:
        importlib.import_module("modelyard.report").write(
            self.context.store.folder, language=self.context.blueprint.report.language
        )

    # -- one stage ------------------------------------------------------------------------------------------------------

    def _execute(self, stage: Stage, key: str, inputs: dict[str, str]) -> Record:
        self.context.progress.say(f"{stage.name}: running")
        function: Callable[..., Record] = importlib.import_module(f"modelyard.{stage.name}").run
        # a record must never stand beside files of another run that was cut off
        stale = [stage.name] if stage.name != "package" else NAMES[PACKAGE:]  # the others judged another package
        for name in stale:
            self.context.store.path(f"{name}.json").unlink(missing_ok=True)
        with watch() as facts:
            record = function(self.context, frame=self.frame) if stage.name == "prepare" else function(self.context)
            if stage.name == "compress":
                record = self._measure_compressed(record)
        record = record.model_copy(update={"key": key, "inputs": inputs, "run": facts["run"]})
        write_json(self.context.store.path(f"{stage.name}.json"), record.model_dump(mode="json"))
        self.context.progress.say(f"{stage.name}: {facts['run'].seconds.value:.1f} s")
        return record

    def _measure_compressed(self, record: Any) -> Record:
        """What compression cost on the test rows: `evaluate` again, on the compressed artifact."""
        from modelyard import evaluate

        found: Record = record.model_copy(
            update={"test": evaluate.measure(self.context, self.context.store.path(record.artifact))}
        )
        return found

    def _key(self, stage: Stage) -> tuple[str, dict[str, str]]:
        """The stage's key, and the fingerprints it is made of."""
        context = self.context
        values = context.blueprint.model_dump(mode="json")
        inputs = {f"blueprint.{path}": fingerprint(_at(values, path)) for path in stage.sections}
        for name in stage.reads:
            record = context.records.get(name)
            if record is not None:
                shown = record.model_dump(mode="json", exclude={"key", "inputs"})
                inputs[f"{name}.json"] = fingerprint(shown if stage.clocks else without_times(shown))
        inputs["sources"] = parts.source_hash(*stage.sources)
        inputs["versions"] = fingerprint(versions())
        if strangers := parts.strangers_hash():
            inputs["plug_ins"] = strangers
        forecast = context.store.path("forecast.json")
        if stage.name == "business" and context.blueprint.strategy is not None and forecast.exists():
            inputs["forecast.json"] = hash_file(forecast)  # the strategy's machine time is counted by it
        if stage.name == "business":
            business, folder = context.blueprint.business, context.blueprint.folder
            named = {"rates": business.rates, "survey": business.survey.file if business.survey else None}
            inputs |= {
                name: hash_file(folder / file) for name, file in named.items() if file and (folder / file).exists()
            }
        if stage.name == "package":
            inputs["force"] = str(context.force)
        if stage.name == "prepare":
            inputs["data"] = self._data()
        if stage.name == "report" and (told := context.store.path("forecast.json")).exists():
            inputs["forecast.json"] = hash_file(told)
        if stage.name == "train" and (files := self._files()):
            inputs["files"] = files
        return fingerprint(inputs), inputs

    def _data(self) -> str:
        """The fingerprint of every source file's bytes (of an image's folder and name too), or of the frame's."""
        from modelyard.prepare import reading

        blueprint = self.context.blueprint
        if self.frame is not None:
            return hash_file(reading.from_python(self.frame, self.context.store.path("data", "source.parquet")))
        named = (blueprint.data.source, blueprint.data.validation, blueprint.data.test)
        files = [file for part in named if part is not None for file in reading.resolve(part, blueprint.folder)]
        return fingerprint(reading.marks(files))

    def _files(self) -> str:
        """The fingerprint of the files that the named candidates begin with."""
        from modelyard.train import candidates

        named = self.context.blueprint.train.candidates or {}
        return "".join(candidates.files_of(name, options) for name, options in named.items())

    def _complete(self, stage: Stage) -> bool:
        return all(self.context.store.path(file).exists() for file in stage.files)

    def _write_resolved(self) -> None:
        write_text(self.context.store.path("blueprint.resolved.yaml"), dump(self.context.blueprint, self.reasons))


def read_record(store: Store, stage: Stage) -> Record | None:
    """The record of a stage that is there, if it can be read."""
    module, name = stage.record.split(":")
    kind: type[Frozen] = getattr(importlib.import_module(f"modelyard.records.{module}"), name)
    try:
        record = kind.model_validate(read_json(store.path(f"{stage.name}.json")))
    except (OSError, ValueError):
        return None
    assert isinstance(record, Record)
    return record


def finished(blueprint: Blueprint, folder: Path | None = None) -> Context:
    """What a build left, without running anything: its records by stage."""
    store = Store(folder if folder is not None else Path("builds") / blueprint.name)
    found = {stage.name: read_record(store, stage) for stage in STAGES}
    return Context(blueprint, store, records={name: record for name, record in found.items() if record is not None})


def _stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def _at(values: Any, path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def _sentence(failed: list[Gate]) -> str:
    lines = [
        f"gate {gate.name} failed: demanded {gate.demanded}, measured {gate.measured}."
        + (f" {gate.cure}" if gate.cure else "")
        for gate in failed
    ]
    return "\n".join(lines)
