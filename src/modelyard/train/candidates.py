"""One candidate after another: its jobs, its share of the clock, its figures on the validation rows and its own artifact."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import metrics, parts
from modelyard.blueprint import Blueprint
from modelyard.errors import DataError, MissingDownload, MissingExtra, MissingLibrary
from modelyard.learn import jobs
from modelyard.predictor import Artifact, Member
from modelyard.records._base import Derived, Estimate
from modelyard.records.trained import Candidate, Job
from modelyard.rows import Array
from modelyard.store import fingerprint, hash_file, read_json
from modelyard.train.world import World

RESERVED = ("model", "optional", "share")
"""Keys of a candidate that are not its model's options; `share` is its share of the whole budget."""
FIT_SHARE, LOOP_SHARE = 0.5, 0.25
"""Most of the remaining budget that a candidate may take while others wait; the last takes all that is left."""
REFIT_SHARE = 0.25
"""... and that learning again from every row may take while others wait."""


def named(world: World) -> dict[str, dict[str, Any]]:
    """The blueprint's, or the task's own (each is left out where this machine lacks what it needs); baselines always."""
    blueprint = world.context.blueprint
    chosen = blueprint.train.candidates
    if chosen is None:
        own = world.task.candidates(blueprint.size, world.state.inputs)
        chosen = {name: {**options, "optional": True} for name, options in own.items()}
    return {**{name: {"optional": True} for name in world.task.baselines if name not in chosen}, **chosen}


def resolved(candidates: dict[str, dict[str, Any]]) -> Derived:
    """Every candidate with every option, for the resolved blueprint."""
    value = {}
    for name, options in candidates.items():
        model, own = _read(name, options)
        kept = {key: options[key] for key in RESERVED if key in options}
        value[name] = kept | parts.build("models", model, own).model_dump(mode="json")
    return Derived(
        path="train.candidates", value=value, reason="every candidate with every option; baselines always run"
    )


def _read(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model of a candidate and the options that differ from its defaults, so that equal candidates have equal jobs."""
    model = options.get("model", name)
    own = {key: value for key, value in options.items() if key not in RESERVED}
    return model, parts.build("models", model, own).model_dump(mode="json", exclude_defaults=True)


def ordered(candidates: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Models that learn in one call first, cheapest names first; gradient training takes what is left."""

    def rank(item: tuple[str, dict[str, Any]]) -> tuple[int, int]:
        name, options = item
        model = options.get("model", name)
        cheap = ("dummy", "linear", "decision-tree", "gradient-boosting", "extra-trees", "mlp", "encoder")
        return (parts.load("models", model).learns == "loop", cheap.index(model) if model in cheap else len(cheap))

    return sorted(candidates.items(), key=rank)


def spec_of(world: World, name: str, options: dict[str, Any], fold: int) -> jobs.JobSpec:
    model, own = _read(name, options)
    train = world.context.blueprint.train
    return jobs.JobSpec(
        candidate=name, model=model, options=own, fold=fold, seed=train.seed, metric=metric_of(world.context.blueprint, world.metric.name),
        rows=world.fingerprint, budget=train.budget.to("s"), files=files_of(name, options),
    )  # fmt: skip


def files_of(name: str, options: dict[str, Any]) -> str:
    """The fingerprint of the files that a candidate begins with, such as a folder's pretrained weights; empty where there are none."""
    model, own = _read(name, options)
    files = parts.build("models", model, own).files()
    return fingerprint([_hash(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files]) if files else ""


@lru_cache(maxsize=256)
def _hash(file: Path, changed: int, size: int) -> str:
    """Every job's key asks for it: gigabytes of weights are read once, as long as the file's time and size stay."""
    return hash_file(file)


def metric_of(blueprint: Blueprint, name: str) -> str:
    """The choosing metric as a job's key knows it: with what can be checked, where that counts."""
    evaluate = blueprint.evaluate
    return f"{name} {evaluate.top_k} by {evaluate.top_k_by}" if name == "precision_at_k" else name


def _folds_of(world: World) -> list[int]:
    """Every fold that a candidate may have a job for."""
    return [jobs.ALL, *range(len(world.folds))]


def spent(world: World, queue: list[tuple[str, dict[str, Any]]]) -> float:
    """Seconds of the budget that jobs already done have used, in this run's earlier life or another's."""
    store = world.context.store
    specs = [spec_of(world, name, options, fold) for name, options in queue for fold in _folds_of(world)]
    return sum(
        float(read_json(store.path(spec.folder, "job.json"))["timings"]["total"])
        for spec in specs
        if jobs.done(spec, store.folder)
    )


def mark_of(world: World, queue: list[tuple[str, dict[str, Any]]]) -> str:
    """What decisions of the clock are valid for: this list of candidates, data, budget and code."""
    return fingerprint([spec_of(world, name, options, 0).key for name, options in queue])[:12]


def allowance(world: World, queue: list[tuple[str, dict[str, Any]]], before: float) -> float:
    """Seconds beyond the budget for candidates that were added to a build which had used it: their share of a whole one.

    Decided when this list of candidates is first seen, so that a killed run that goes on gets none.
    """

    def choose() -> float:
        store, budget = world.context.store, world.context.blueprint.train.budget.to("s")
        new = [
            name
            for name, options in queue
            if not any(jobs.done(spec_of(world, name, options, fold), store.folder) for fold in _folds_of(world))
        ]
        return round(max(0.0, budget * len(new) / len(queue) - (budget - before)), 3)

    return float(world.context.decide(f"train.{world.mark}.allowance", choose))


def prune(world: World, queue: list[tuple[str, dict[str, Any]]]) -> None:
    """Remove results of these candidates that another blueprint, data or version left: an encoder's is 90 MB."""
    store = world.context.store
    for name, options in queue:
        current = {spec_of(world, name, options, fold).folder for fold in _folds_of(world)}
        for folder in store.path("train", name).iterdir() if store.path("train", name).exists() else ():
            if folder.is_dir() and f"train/{name}/{folder.name}" not in current:
                shutil.rmtree(folder, ignore_errors=True)


def train_one(world: World, name: str, options: dict[str, Any], *, waiting: int) -> tuple[Candidate, Array | None]:
    """Train a candidate, or say why not; its validation scores (n, K), where it was trained."""
    context = world.context
    model, own = _read(name, options)
    part = parts.load("models", model)
    specs = [spec_of(world, name, options, fold) for fold in range(len(world.folds))]
    done, skipped = _run_folds(world, specs, part, waiting, options)
    if skipped:
        context.progress.say(f"{name}: skipped: {skipped}")
        return Candidate(name=name, model=model, options=own, status="skipped", reason=skipped), None
    final = _final(world, specs, done, part.learns, waiting)
    scores = np.concatenate([jobs.scores(spec, context.store.folder) for spec in specs])
    _refuse_undefined(world, scores)
    found = _describe(world, own, scores, done, final)
    figure, seconds = found.validation[world.metric.name], found.timings["total"]
    span = f"{world.metric.name} {figure}"
    context.progress.say(f"{name}: {span} on validation rows, {seconds:.1f} s")
    return found, scores


def _refuse_undefined(world: World, scores: Array) -> None:
    """DataError where the choosing metric says nothing about these validation rows: nothing could be chosen."""
    if np.isfinite(world.metric.of(world.held_out(scores))):
        return
    target, classes = world.target[world.held], world.state.classes
    counts = ", ".join(f"{name}: {int((target == number).sum())}" for number, name in enumerate(classes))
    raise DataError(
        f"train.metric: {world.metric.name} is undefined on the {len(target)} validation rows ({counts or 'numbers'}). "
        "Choose another prepare.split, a larger prepare.split.validation, or another train.metric."
    )


def _run_folds(
    world: World, specs: list[jobs.JobSpec], part: Any, waiting: int, options: dict[str, Any]
) -> tuple[list[Job], str]:
    """The jobs of every fold, or why there are none."""
    context, optional = world.context, options.get("optional", False)
    done: list[Job] = []
    skipped = unfit(part, specs[0], world, optional=optional)
    for fold, spec in enumerate(specs):
        share = 0.0
        if not skipped and not jobs.done(spec, context.store.folder):
            share = _share(world, part.learns, waiting, options.get("share")) / (len(specs) - fold)
            skipped = _too_late(world, spec, done, len(specs) - fold)
        if skipped:
            break
        try:
            done.append(jobs.execute(spec, work_of(world, fold, share), context.store.folder))
        except (MissingExtra, MissingLibrary, MissingDownload) as error:
            if not optional:
                raise
            skipped = str(error)
    return done, skipped


def _final(world: World, specs: list[jobs.JobSpec], done: list[Job], learns: str, waiting: int) -> list[jobs.JobSpec]:
    """The jobs whose models answer: those of all folds, or one refitted on every row where there is one fold and time."""
    context = world.context
    again = specs[0].model_copy(update={"fold": jobs.ALL})
    if len(specs) > 1 or learns == "loop" or not context.blueprint.train.refit:
        return specs

    def fits() -> bool:
        free = world.left() * (REFIT_SHARE if waiting else 1.0)
        return jobs.done(again, context.store.folder) or bool(done[0].timings["total"] < free)

    if again.model not in world.task.baselines and not context.decide(
        f"{again.candidate}.{again.key[:12]}.{world.mark}.refit", fits
    ):
        return specs
    everything = np.sort(np.concatenate([world.folds[0].train, world.folds[0].validation]))
    work = replace(work_of(world, 0, 0.0), train=world.rows.take(everything), train_target=world.target[everything])
    done.append(jobs.refit(again, specs[0], work, context.store.folder))
    return [again]


def unfit(part: Any, spec: jobs.JobSpec, world: World, *, optional: bool) -> str:
    """Why a candidate cannot serve this task at all, or nothing; MissingExtra where it was asked for and lacks one."""
    if not {world.state.task, world.task.like} & set(part.tasks):
        return f"{spec.model} does not serve {world.state.task}"
    if part.extra:
        from importlib.util import find_spec

        if find_spec("torch") is None:
            missing = MissingExtra(f"the model {spec.model!r}", part.extra)
            if not optional:
                raise missing
            return str(missing)
    return str(parts.build("models", spec.model, spec.options).unfit(world.state))


def _share(world: World, learns: str, waiting: int, declared: float | None) -> float:
    """Seconds that this candidate may take of what is left, after those who wait."""
    left = max(world.left(), 0.0)
    if declared is not None:
        return min(left, declared * world.context.blueprint.train.budget.to("s"))
    if not waiting:
        return left
    return left * (LOOP_SHARE if learns == "loop" else FIT_SHARE)


def _too_late(world: World, spec: jobs.JobSpec, done: list[Job], folds: int) -> str:
    """Whether the clock forbids this job, decided once: nothing is left, or its first fold shows that the others will not fit."""
    if spec.model in world.task.baselines:
        return ""

    def fits() -> bool:
        if done:
            return bool(folds * done[0].timings["total"] <= world.left())
        return bool(world.left() > 0.02 * world.context.blueprint.train.budget.to("s"))

    if world.context.decide(f"{spec.candidate}.{spec.fold}.{spec.key[:12]}.{world.mark}.fits", fits):
        return ""
    return "the training budget is used up (raise train.budget)"


def work_of(world: World, fold: int, seconds: float) -> jobs.Work:
    context, inside, outside = world.context, world.folds[fold].train, world.folds[fold].validation

    def measure(scores: Array, target: Array) -> float:
        return float(world.metric.of(world.measure(scores, target, world.top_k.take(outside))))

    return jobs.Work(
        task=world.task, state=world.state, train=world.rows.take(inside), train_target=world.target[inside],
        validation=world.rows.take(outside), validation_target=world.target[outside], metric=measure,
        greater_is_better=world.metric.greater_is_better, threads=context.threads, seconds=seconds,
        checkpoint_seconds=context.blueprint.train.checkpoint.to("s"), decide=context.decide, decided=context.store.decided,
        progress=context.progress, tracking=context.blueprint.train.tracking, logs=context.store.path("logs"),
    )  # fmt: skip


def _describe(
    world: World, options: dict[str, Any], scores: Array, done: list[Job], final: list[jobs.JobSpec]
) -> Candidate:
    """Validation figures, work and explanation of a trained candidate; its own artifact is written beside its jobs."""
    from safetensors.numpy import load_file

    name, model, build = final[0].candidate, final[0].model, world.context.store.folder
    part = parts.build("models", model, options)
    weights = load_file(build / final[0].folder / "weights.safetensors")
    features = read_json(build / final[0].folder / "features.json")
    members = tuple(_member(spec) for spec in final)
    Artifact(name=name, state=world.state, members=members, generate=world.context.blueprint.generate).save(
        build / "train" / name
    )
    return Candidate(
        name=name, model=model, options=options, status="trained", jobs=tuple(done), validation=estimates(world, scores, None),
        work=part.work(weights, features, world.state), explain=part.explain(weights, features, world.state),
        timings={"total": round(sum(job.timings.get("total", 0.0) for job in done), 3)}, artifact=f"train/{name}",
    )  # fmt: skip


def _member(spec: jobs.JobSpec) -> Member:
    session = "torch" if parts.load("models", spec.model).learns == "loop" else "native"
    return Member(
        candidate=spec.candidate, model=spec.model, options=spec.options, folder=Path(spec.folder).name, session=session
    )


def estimates(world: World, scores: Array, threshold: float | None) -> dict[str, Estimate]:
    """Figures on the validation rows with intervals; rows that hang together are drawn together."""
    chosen = [metrics.find(name) for name in dict.fromkeys([world.metric.name, *world.task.metrics])]
    positive = world.positive
    chosen = [
        metric for metric in chosen if metric.applies(world.state.outputs if world.state.classes else 1, positive)
    ]
    evaluate = world.context.blueprint.evaluate
    bootstrap = metrics.Bootstrap(
        count=min(evaluate.bootstrap, 200), level=evaluate.level, seed=world.context.blueprint.train.seed
    )
    return metrics.estimates(
        chosen, world.held_out(scores, threshold), groups=world.groups[world.held], bootstrap=bootstrap
    )
