"""The stage `train`: every candidate within one budget, then the ensemble, temperature and threshold, on validation rows.

It plans jobs (`learn.jobs`), gives each its share of the clock, and puts the chosen artifact together. It never sees test rows.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import metrics, parts
from modelyard.context import Context
from modelyard.errors import DataError, MissingDownload, MissingExtra
from modelyard.learn import ensemble, jobs
from modelyard.predictor import Artifact, Member, combine, temper
from modelyard.records._base import Derived, Estimate, Gate
from modelyard.records.prepared import Prepared
from modelyard.records.trained import Candidate, Job, Trained
from modelyard.rows import GROUP, ROW, Array, Rows, from_frame, read_split
from modelyard.rows_schema import input_columns
from modelyard.store import fingerprint, hash_tree, read_json, replacing, replacing_folder
from modelyard.tasks._contract import State, Task

FOLDED_ROWS = 20_000
"""Tables of at most so many rows are cross-validated: one held-out part of them would choose by chance."""
FOLDS = 5
FINISH_SHARE = 0.03
"""Share of the budget kept for the ensemble, the threshold and the intervals."""
LOOP_SHARE = 0.25
"""Most of the remaining budget that a gradient-trained candidate may take while others wait; the last takes all that is left."""


@dataclass
class _Fold:
    train: Array
    validation: Array


@dataclass
class _World:
    """What all candidates share."""

    context: Context
    task: Task
    state: State
    rows: Rows
    values: Array
    target: Array
    folds: list[_Fold]
    metric: metrics.Metric
    fingerprint: str
    started: float
    spent_before: float

    @property
    def held(self) -> Array:
        """Row places in the order of the validation scores."""
        return np.concatenate([fold.validation for fold in self.folds])

    @property
    def positive(self) -> int | None:
        return self.state.classes.index(self.state.positive) if self.state.positive else None

    def measure(self, scores: Array, target: Array, threshold: float | None = None) -> metrics.Sample:
        return metrics.Sample.of(
            target, scores, labels=self.task.labels(scores, self.state, threshold), positive=self.positive,
            k=self.context.blueprint.evaluate.top_k,
        )  # fmt: skip

    def left(self) -> float:
        """Seconds of the budget that are left, what a killed run had used already counted."""
        budget = self.context.blueprint.train.budget.to("s")
        return budget * (1 - FINISH_SHARE) - self.spent_before - (time.monotonic() - self.started)


def run(context: Context) -> Trained:
    """Train every candidate and choose."""
    started = time.monotonic()
    world, derived = _world(context, started)
    candidates = _candidates(world)
    trained: list[Candidate] = []
    scores: dict[str, Array] = {}
    queue = _ordered(candidates)
    world.spent_before = _spent(world, queue)
    with context.progress.bar("train", len(queue)) as advance:
        for place, (name, options) in enumerate(queue):
            found = _train(world, name, dict(options), waiting=[later for later, _ in queue[place + 1 :]])
            trained.append(found)
            if found.status == "trained":
                scores[name] = np.concatenate([jobs.scores(_spec(world, name, options, fold), context.store.folder) for fold in range(len(world.folds))])
            advance(1)
    record = _choose(world, trained, scores)
    _prune(world, queue)
    spent = round(time.monotonic() - started + world.spent_before, 3)
    gate = _budget_gate(spent, context)
    return record.model_copy(update={"derived": tuple(derived), "timings": {"total": spent}, "gates": (gate,) if gate else ()})


def _budget_gate(spent: float, context: Context) -> Gate | None:
    """The budget is kept within 10 %, or the record says that it was not. It informs; it does not stop a sound build."""
    budget = context.blueprint.train.budget.to("s")
    if spent <= 1.1 * budget:
        return None
    context.progress.say(f"train took {spent:.0f} s of a budget of {budget:.0f} s")
    return None


# -- what is to be done -------------------------------------------------------------------------------------------------


def _world(context: Context, started: float) -> tuple[_World, list[Derived]]:
    prepared = context.record(Prepared)
    blueprint = context.blueprint
    task: Task = parts.build("tasks", prepared.task)
    types = prepared.inputs_types()
    if not types:
        raise DataError("no input columns are left: every column but the target is ignored. See data.columns in the blueprint.")
    frames = [read_split(context.store.path("data"), split) for split in ("train", "validation")]
    inputs = input_columns(frames[0], types)
    state = task.fit(frames[0][prepared.target].to_numpy(), prepared.target, inputs, blueprint.evaluate.positive)
    derived: list[Derived] = []
    count = blueprint.train.folds
    total = frames[0].height + frames[1].height
    if count is None:
        count, reason = _folds(prepared, total, blueprint.size)
        derived.append(Derived(path="train.folds", value=count, reason=reason))
    name = blueprint.train.metric or task.metrics[0]
    if blueprint.train.metric is None:
        derived.append(Derived(path="train.metric", value=name, reason=f"the first metric of {prepared.task}"))
    if state.positive and blueprint.evaluate.positive is None:
        derived.append(Derived(path="evaluate.positive", value=state.positive, reason="the rarer of two classes"))
    both = frames[0].vstack(frames[1].select(frames[0].columns))
    values = both[prepared.target].to_numpy()
    target = task.encode_target(values, state)
    groups = both[GROUP].to_numpy()
    known = target >= 0 if state.classes else np.ones(len(target), dtype=bool)
    folds = _split(np.arange(total) < frames[0].height, known, groups, target, state, count, blueprint.train.seed)
    return _World(
        context=context, task=task, state=state, rows=from_frame(both, types), values=both[ROW].to_numpy(), target=target, folds=folds,
        metric=metrics.find(name, task.kind), started=started, spent_before=0.0,
        fingerprint=fingerprint([prepared.splits["train"].hash, prepared.splits["validation"].hash, state.model_dump(mode="json"), count]),
    ), derived  # fmt: skip


def _spent(world: _World, queue: list[tuple[str, dict[str, Any]]]) -> float:
    """Seconds of the budget that jobs already done have used, in this run's earlier life or another's."""
    store = world.context.store
    specs = [_spec(world, name, options, fold) for name, options in queue for fold in range(len(world.folds))]
    return sum(float(read_json(store.path(spec.folder, "job.json"))["timings"]["total"]) for spec in specs if jobs.done(spec, store.folder))


def _folds(prepared: Prepared, rows: int, size: str) -> tuple[int, str]:
    if prepared.task.startswith("text"):
        return 1, "text models are costly: one held-out part chooses"
    if prepared.split_by == "time":
        return 1, "rows are split by time: folds would let the future choose for the past"
    if size == "tiny":
        return 1, "size tiny"
    if rows <= FOLDED_ROWS:
        return FOLDS, f"{rows:,} rows are few: every one is used for training and for choosing"
    return 1, f"{rows:,} rows are enough for one held-out part"


def _split(first: Array, known: Array, groups: Array, target: Array, state: State, count: int, seed: int) -> list[_Fold]:
    """One fold: train against validation. More: groups stay together, classes are spread evenly."""
    if count == 1:
        return [_Fold(np.flatnonzero(first), np.flatnonzero(~first & known))]
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    places = np.flatnonzero(known)
    if state.classes:
        parts_ = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(places, target[places], groups[places])
    else:
        parts_ = GroupKFold(count, shuffle=True, random_state=seed).split(places, groups=groups[places])
    return [_Fold(places[inside], places[outside]) for inside, outside in parts_]


def _candidates(world: _World) -> dict[str, dict[str, Any]]:
    """The blueprint's or the task's; baselines always."""
    blueprint = world.context.blueprint
    chosen = blueprint.train.candidates
    if chosen is None:
        chosen = world.task.candidates(blueprint.size, world.state.inputs)
    return {**{name: {} for name in world.task.baselines if name not in chosen}, **chosen}


def _ordered(candidates: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Models that learn in one call first, cheapest names first; gradient training takes what is left."""

    def rank(item: tuple[str, dict[str, Any]]) -> tuple[int, int]:
        name, options = item
        model = options.get("model", name)
        cheap = ("dummy", "linear", "decision-tree", "gradient-boosting", "extra-trees", "mlp", "encoder")
        return (parts.load("models", model).learns == "loop", cheap.index(model) if model in cheap else len(cheap))

    return sorted(candidates.items(), key=rank)


def _prune(world: _World, queue: list[tuple[str, dict[str, Any]]]) -> None:
    """Remove results of these candidates that another blueprint, data or version left: an encoder's is 90 MB."""
    store = world.context.store
    for name, options in queue:
        current = {_spec(world, name, options, fold).folder for fold in range(len(world.folds))}
        for folder in store.path("train", name).iterdir() if store.path("train", name).exists() else ():
            if folder.is_dir() and f"train/{name}/{folder.name}" not in current:
                shutil.rmtree(folder, ignore_errors=True)


# -- one candidate ------------------------------------------------------------------------------------------------------


def _spec(world: _World, name: str, options: dict[str, Any], fold: int) -> jobs.JobSpec:
    options = dict(options)
    model = options.pop("model", name)
    train = world.context.blueprint.train
    return jobs.JobSpec(
        candidate=name, model=model, options=options, fold=fold, seed=train.seed, metric=world.metric.name,
        rows=world.fingerprint, budget=train.budget.to("s"),
    )  # fmt: skip


def _train(world: _World, name: str, options: dict[str, Any], waiting: list[str]) -> Candidate:
    context = world.context
    model = options.get("model", name)
    part = parts.load("models", model)
    own = {key: value for key, value in options.items() if key != "model"}
    skipped = _unfit(part, model, world)
    specs = [_spec(world, name, options, fold) for fold in range(len(world.folds))]
    done: list[Job] = []
    started = time.monotonic()
    for fold, spec in enumerate(specs):
        if skipped:
            break
        if not jobs.done(spec, context.store.folder):
            share = _share(world, part.learns, waiting, name, len(world.folds) - fold)
            skipped = _too_late(world, spec, share, done, len(specs) - fold)
            if skipped:
                break
            try:
                done.append(jobs.execute(spec, _work(world, fold, share), context.store.folder))
            except (MissingExtra, MissingDownload) as error:
                if name in (context.blueprint.train.candidates or {}):
                    raise
                skipped = str(error)
        else:
            done.append(jobs.execute(spec, _work(world, fold, 0.0), context.store.folder))
    if skipped:
        context.progress.say(f"{name}: skipped: {skipped}")
        return Candidate(name=name, model=model, options=own, status="skipped", reason=skipped)
    found = _describe(world, name, model, own, specs, done)
    seconds = sum(job.timings.get("total", 0.0) for job in done)
    figure = found.validation[world.metric.name]
    context.progress.say(f"{name}: {world.metric.name} {figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g}) on validation rows, {seconds:.1f} s")
    return found.model_copy(update={"timings": {"total": round(seconds, 3), "here": round(time.monotonic() - started, 3)}})


def _unfit(part: Any, model: str, world: _World) -> str:
    """Why a candidate cannot serve this task at all, or nothing."""
    if world.state.task not in part.tasks:
        return f"{model} does not serve {world.state.task}"
    if part.extra:
        from importlib.util import find_spec

        if find_spec("torch") is None:
            return str(MissingExtra(f"the model {model!r}", part.extra))
    if model == "encoder" and not any(column.type == "text" for column in world.state.inputs):
        return "there is no text column to encode"
    return ""


def _share(world: _World, learns: str, waiting: list[str], name: str, folds: int) -> float:
    """Seconds this job may take: of what is left, after those who wait."""
    left = max(world.left(), 0.0)
    if learns == "loop" and waiting:
        left *= LOOP_SHARE
    elif waiting:
        left *= 0.5
    return left / folds


def _too_late(world: _World, spec: jobs.JobSpec, share: float, done: list[Job], folds: int) -> str:
    """Whether the clock forbids this job, decided once: nothing is left, or its first fold shows that the others will not fit."""
    if spec.model in world.task.baselines:
        return ""

    def fits() -> bool:
        if done:
            return bool(folds * done[0].timings["total"] <= world.left())
        return bool(world.left() > 0.02 * world.context.blueprint.train.budget.to("s"))

    if world.context.decide(f"{spec.candidate}.{spec.fold}.{spec.key[:12]}.fits", fits):
        return ""
    return "the training budget is used up (raise train.budget)"


def _work(world: _World, fold: int, seconds: float) -> jobs.Work:
    context, inside, outside = world.context, world.folds[fold].train, world.folds[fold].validation

    def measure(scores: Array, target: Array) -> float:
        return float(world.metric.of(world.measure(scores, target)))

    return jobs.Work(
        task=world.task, state=world.state, train=world.rows.take(inside), train_target=world.target[inside],
        validation=world.rows.take(outside), validation_target=world.target[outside], metric=measure,
        greater_is_better=world.metric.greater_is_better, threads=context.threads, seconds=seconds,
        checkpoint_seconds=context.blueprint.train.checkpoint.to("s"), decide=context.decide, decided=context.store.decided,
        progress=context.progress,
    )  # fmt: skip


def _describe(world: _World, name: str, model: str, options: dict[str, Any], specs: list[jobs.JobSpec], done: list[Job]) -> Candidate:
    """Validation figures, work and explanation of a trained candidate; its own artifact is written beside its jobs."""
    from safetensors.numpy import load_file

    build = world.context.store.folder
    scores = np.concatenate([jobs.scores(spec, build) for spec in specs])
    part = parts.build("models", model, options)
    weights, features = load_file(build / specs[0].folder / "weights.safetensors"), read_json(build / specs[0].folder / "features.json")
    artifact = Artifact(name=name, state=world.state, members=tuple(_member(world, spec, Path(spec.folder).name, 1.0) for spec in specs))
    artifact.save(build / "train" / name)
    return Candidate(
        name=name, model=model, options=options, status="trained", jobs=tuple(done), validation=_estimates(world, scores, None),
        work=part.work(weights, features, world.state), explain=part.explain(weights, features, world.state), artifact=f"train/{name}",
    )  # fmt: skip


def _member(world: _World, spec: jobs.JobSpec, folder: str, weight: float) -> Member:
    session = "torch" if parts.load("models", spec.model).learns == "loop" else "native"
    return Member(candidate=spec.candidate, model=spec.model, options=spec.options, folder=folder, weight=weight, session=session)


def _estimates(world: _World, scores: Array, threshold: float | None) -> dict[str, Estimate]:
    """Figures on the validation rows with intervals; rows of one group are drawn together."""
    chosen = [metrics.find(name) for name in dict.fromkeys([world.metric.name, *world.task.metrics])]
    positive = world.positive
    chosen = [metric for metric in chosen if metric.applies(world.state.outputs if world.state.classes else 1, positive)]
    evaluate = world.context.blueprint.evaluate
    bootstrap = metrics.Bootstrap(count=min(evaluate.bootstrap, 200), level=evaluate.level, seed=world.context.blueprint.train.seed)
    return metrics.estimates(chosen, world.measure(scores, world.target[world.held], threshold), bootstrap=bootstrap)


# -- choosing -----------------------------------------------------------------------------------------------------------


def _choose(world: _World, trained: list[Candidate], scores: dict[str, Array]) -> Trained:
    train, target = world.context.blueprint.train, world.target[world.held]
    usable = {name: found for name, found in scores.items() if name != "dummy"} or scores
    if not usable:
        reasons = "; ".join(f"{candidate.name}: {candidate.reason}" for candidate in trained)
        raise DataError(f"no candidate could be trained: {reasons}")
    loss = _loss(world, target)
    best = min(usable, key=lambda name: (loss(usable[name]), name))
    weights = ensemble.select(usable, loss) if train.ensemble and len(usable) > 1 else {best: 1.0}
    total = combine([usable[name] for name in weights], list(weights.values()))
    if loss(total) > loss(usable[best]):
        weights, total = {best: 1.0}, usable[best]
    temperature = ensemble.choose_temperature(total, target) if world.state.classes else 1.0
    total = temper(total, temperature) if world.state.classes else total
    threshold, reason, curve = _threshold(world, total, target)
    hashes = _assemble(world, weights, {c.name: c for c in trained}, temperature, threshold)
    with replacing(world.context.store.path("train", "validation.npz")) as temporary, temporary.open("wb") as file:
        np.savez(file, row=world.values[world.held], target=target, scores=total)
    return Trained(
        task=world.state.task, metric=world.metric.name, greater_is_better=world.metric.greater_is_better, folds=len(world.folds),
        candidates=tuple(trained), weights=weights, validation=_estimates(world, total, threshold), temperature=temperature,
        threshold=threshold, threshold_reason=reason, threshold_curve=curve, hashes=hashes,
    )  # fmt: skip


def _loss(world: _World, target: Array) -> Callable[[Array], float]:
    """What the ensemble lowers: the choosing metric where it ranks or measures numbers, else the log loss, because a metric of
    decided labels jumps with single validation rows."""
    metric = world.metric
    if world.state.classes and metric.name not in ("roc_auc", "average_precision", "log_loss", "brier"):
        return lambda scores: ensemble.log_loss(scores, target)
    return lambda scores: -metric.sign * metric.of(world.measure(scores, target))


def _threshold(world: _World, scores: Array, target: Array) -> tuple[float | None, str, dict[str, list[float]]]:
    """From the declared costs, or the choosing metric where it judges decided labels of two classes."""
    costs, positive = world.context.blueprint.evaluate.costs, world.positive
    if positive is None:
        return None, "the likeliest class" if world.state.classes else "", {}
    if costs is not None:
        wrong, missed = (_cost(world, value) for value in (costs.false_positive, costs.false_negative))
        reason = "least declared cost on the validation rows"
    elif world.metric.name in ("f1_macro", "f1", "accuracy", "balanced_accuracy", "matthews_corrcoef"):
        wrong = missed = np.ones(len(target))
        reason = f"best {world.metric.name} on the validation rows"
    else:
        return None, f"{world.metric.name} ranks, so the likeliest class is answered; declare evaluate.costs to choose a threshold", {}
    thresholds = ensemble.grid(scores[:, positive])
    truth = target == positive
    curve = []
    for threshold in thresholds:
        said = scores[:, positive] >= threshold
        if costs is not None:
            curve.append(float((wrong * (said & ~truth) + missed * (~said & truth)).mean()))
        else:
            curve.append(-world.metric.sign * world.metric.of(world.measure(scores, target, float(threshold))))
    chosen = ensemble.choose_threshold(thresholds, curve)
    return chosen, reason, {"threshold": [round(float(t), 6) for t in thresholds], "cost": [round(c, 6) for c in curve]}


def _cost(world: _World, value: float | str) -> Array:
    """A cost for each validation row: a number, or a column of the data."""
    if not isinstance(value, str):
        return np.full(len(world.held), float(value))
    frame = [read_split(world.context.store.path("data"), split) for split in ("train", "validation")]
    if value not in frame[0].columns:
        raise DataError(f"evaluate.costs: no column {value!r}. Columns: {', '.join(frame[0].columns)}")
    column = frame[0].vstack(frame[1].select(frame[0].columns))[value].cast(float, strict=False).fill_null(0.0)
    return np.asarray(column.to_numpy())[world.held]


def _assemble(world: _World, weights: dict[str, float], found: dict[str, Candidate], temperature: float, threshold: float | None) -> dict[str, str]:
    """The chosen artifact as a folder that stands alone (files are hard links where the disk has them)."""
    store = world.context.store
    with replacing_folder(store.path("model")) as place:
        members = []
        for name, weight in weights.items():
            for fold in range(len(world.folds)):
                options = {**found[name].options, "model": found[name].model}
                spec = _spec(world, name, options, fold)
                folder = f"members/{name}-{fold}"
                (place / folder).mkdir(parents=True)
                for file in ("features.json", "weights.safetensors"):
                    _link(store.path(spec.folder, file), place / folder / file)
                members.append(_member(world, spec, folder, weight / len(world.folds)))
        Artifact(name=world.context.blueprint.name, state=world.state, members=tuple(members), temperature=temperature, threshold=threshold).save(place)
        return hash_tree(place)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
