"""One job: a candidate on one fold with one seed. The unit of caching.

A job's key is a fingerprint of its rows, options, sources and library versions; its folder holds all it learnt. A job
knows no location: its specification and its rows can be sent to another machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.context import Progress
from modelyard.features import lookups
from modelyard.frozen import Frozen
from modelyard.models._contract import Clock, Examples, FitModel, LoopModel, Weights
from modelyard.records._base import versions
from modelyard.records.trained import Epoch, Job
from modelyard.rows import Array, Rows
from modelyard.store import fingerprint, read_json, replacing_folder, write_json
from modelyard.tasks._contract import State, Task

SHARED = (
    "models/_contract.py",
    "models/_inputs.py",
    "models/_forest.py",
    "models/_images.py",
    "models/_augment.py",
    "models/_steps.py",
    "models/_transfer.py",
    "models/_pretrained.py",
    "models/_vgg.py",
    "models/_inception.py",
    "models/_imaging.py",
    "models/_gan.py",
    "models/_gaussian.py",
    "models/_flow.py",
    "models/_perception.py",
    "models/_language.py",
    "models/_decoder.py",
    "models/_llama.py",
    "models/_adapters.py",
    "features",
    "learn",
    "sessions",
    "tasks",
)
"""Sources that every model's result depends on."""
ALL = -1
"""The fold of a job that holds nothing out."""


class JobSpec(Frozen):
    """What a job is; plain JSON."""

    candidate: str
    model: str
    options: dict[str, Any]
    fold: int
    """Which part is held out; `ALL` learns again from every row what the validation rows chose."""
    seed: int
    metric: str
    rows: str
    """Fingerprint of the training and validation rows and of the task's state."""
    budget: float
    """The blueprint's budget in seconds: decisions that a clock took belong to it."""
    files: str = ""
    """Fingerprint of the files that its model begins with; empty where it begins with none."""

    @property
    def key(self) -> str:
        """Everything the result depends on, but for decisions."""
        shared = parts.source_hash(*SHARED)
        sources = [parts.part_hash("models", self.model), shared]
        return fingerprint([self.model_dump(mode="json"), sources, versions()])

    @property
    def folder(self) -> str:
        """Relative to the build."""
        return f"train/{self.candidate}/{'all' if self.fold == ALL else self.fold}-{self.key[:12]}"


SCORING_SHARE = 0.08
"""Share of a gradient-trained job's seconds kept for encoding, saving and its validation scores."""


@dataclass(frozen=True)
class Work:
    """What a job works with on this machine."""

    task: Task
    state: State
    train: Rows
    train_target: Array
    validation: Rows
    validation_target: Array
    metric: Callable[[Array, Array], float]
    greater_is_better: bool
    threads: int
    seconds: float
    checkpoint_seconds: float
    decide: Callable[[str, Callable[[], Any]], Any]
    decided: Callable[[str], Any]
    progress: Progress
    tracking: Sequence[str] = ()
    logs: Path | None = None
    """Where learning curves are logged."""


def done(spec: JobSpec, build: Path) -> bool:
    """Whether the job's result is there."""
    return (build / spec.folder / "job.json").exists()


def execute(spec: JobSpec, work: Work, build: Path) -> Job:
    """Run a job, or read its result where it is there already."""
    folder = build / spec.folder
    if not done(spec, build):
        started = time.monotonic()
        model = parts.build("models", spec.model, spec.options)
        target, wanted = (
            work.task.standardised(each, work.state) for each in (work.train_target, work.validation_target)
        )
        features = model.features(work.train, target, work.state, seed=spec.seed)
        train = (
            model.examples(work.train, target, features, seed=spec.seed)
            if isinstance(model, LoopModel)
            else Examples(model.encode(work.train, features), target)
        )
        held = Examples(model.encode(work.validation, features), wanted)
        encoded = time.monotonic() - started
        learnt = _learn(model, spec, work, train, held, features, folder, work.seconds - encoded)
        with replacing_folder(folder) as place:
            weights, facts = learnt.weights, learnt.facts
            if isinstance(model, LoopModel):
                weights, more = model.finished(weights, features, work.state, held.arrays, place)
                facts = {**facts, **more}
            _save(place, features, weights)
            _save_scores(place, model, work, features, held)
            job = Job(
                fold=spec.fold, seed=spec.seed, key=spec.key, folder=spec.folder, curve=learnt.curve, facts=facts,
                timings={**learnt.timings, "encode": round(encoded, 3), "total": round(time.monotonic() - started, 3)},
            )  # fmt: skip
            write_json(place / "job.json", job.model_dump(mode="json"))
        _forget(folder.with_name(folder.name + ".work"))
    return Job.model_validate(read_json(folder / "job.json"))


def refit(spec: JobSpec, chosen: JobSpec, work: Work, build: Path) -> Job:
    """Learn again from every row (`work.train`) with what the job `chosen` found on its validation rows."""
    from safetensors.numpy import load_file

    folder = build / spec.folder
    if not done(spec, build):
        started = time.monotonic()
        model = parts.build("models", spec.model, spec.options)
        target = work.task.standardised(work.train_target, work.state)
        features = model.features(work.train, target, work.state, seed=spec.seed)
        train = Examples(model.encode(work.train, features), target)
        before = load_file(build / chosen.folder / "weights.safetensors")
        weights = model.refit(train, before, work.state, features, seed=spec.seed, threads=work.threads)
        with replacing_folder(folder) as place:
            _save(place, features, weights)
            total = round(time.monotonic() - started, 3)
            job = Job(fold=ALL, seed=spec.seed, key=spec.key, folder=spec.folder, timings={"total": total})
            write_json(place / "job.json", job.model_dump(mode="json"))
    return Job.model_validate(read_json(folder / "job.json"))


def scores(spec: JobSpec, build: Path) -> Array:
    """The job's scores on its validation rows, (n, K)."""
    with np.load(build / spec.folder / "validation.npz", allow_pickle=False) as saved:
        return np.asarray(saved["scores"])


@dataclass(frozen=True)
class _Learnt:
    weights: Weights
    curve: tuple[Epoch, ...] = ()
    facts: dict[str, Any] | None = None
    timings: dict[str, float] | None = None


def _learn(
    model: Any,
    spec: JobSpec,
    work: Work,
    train: Examples,
    held: Examples,
    features: dict[str, Any],
    folder: Path,
    seconds: float,
) -> Any:
    name = f"{spec.candidate}.{spec.fold}.{spec.key[:12]}"
    if isinstance(model, LoopModel):
        from modelyard.learn import loop

        return loop.train(
            model, model.module(features, work.state, seed=spec.seed), train, held, task=work.task, state=work.state,
            options=model.loop(features, work.state, len(train)), metric=work.metric, greater_is_better=work.greater_is_better,
            seed=spec.seed, threads=min(work.threads, model.most_threads or work.threads),
            seconds=seconds * (1 - SCORING_SHARE), folder=folder.with_name(folder.name + ".work"), decide=work.decide,
            name=name, checkpoint_seconds=work.checkpoint_seconds, progress=work.progress, tracking=work.tracking,
            logs=work.logs,
        )  # fmt: skip
    assert isinstance(model, FitModel)
    clock = Clock(
        seconds, lambda what, choose: work.decide(f"{name}.{what}", choose), lambda what: work.decided(f"{name}.{what}")
    )
    started = time.monotonic()
    weights = model.fit(train, held, work.state, features, seed=spec.seed, threads=work.threads, clock=clock)
    return _Learnt(weights, facts={}, timings={"fit": round(time.monotonic() - started, 3)})


def _save(place: Path, features: dict[str, Any], weights: Weights) -> None:
    from safetensors.numpy import save_file

    write_json(place / "features.json", lookups.plain(features))
    save_file({name: np.ascontiguousarray(array) for name, array in weights.items()}, place / "weights.safetensors")


def _save_scores(place: Path, model: Any, work: Work, features: dict[str, Any], held: Examples) -> None:
    """The validation scores, answered from the files just written."""
    session = parts.build("sessions", "torch" if model.learns == "loop" else "native").open(
        place, model, features, work.state
    )
    np.savez(place / "validation.npz", scores=work.task.scores(session(held.arrays), work.state))


def _forget(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
