"""The choice, on validation rows only: ensemble weights, calibration, threshold, and the artifact put together from them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import metrics
from modelyard.errors import DataError
from modelyard.learn import ensemble
from modelyard.predictor import Artifact, combine, temper
from modelyard.records.trained import Candidate, Trained, Weighting
from modelyard.rows import Array
from modelyard.store import hash_tree, read_json, replacing, replacing_folder
from modelyard.train.candidates import estimates
from modelyard.train.world import World

SURE, CLEAR = 0.95, 0.9
"""Levels of the interval that must leave zero out; at 0.9 five resamples of a hundred may say the contrary."""
SMOOTH = ("roc_auc", "average_precision", "log_loss", "brier")
"""Metrics of classes that every validation row moves a little. Those of decided labels, and of the few highest scores, jump with
single rows; the calibration error is least for a constant."""
BALANCED = ("f1_macro", "f1", "accuracy", "balanced_accuracy", "recall_macro", "matthews_corrcoef")
"""Metrics of decided labels that weigh both errors: precision or recall alone would choose a threshold that always, or never, says yes."""


def choose(world: World, trained: list[Candidate], scores: dict[str, Array]) -> Trained:
    target = world.target[world.held]
    models = {candidate.name: candidate.model for candidate in trained}
    usable = {name: found for name, found in scores.items() if models.get(name) != world.task.baselines[0]} or scores
    if not usable:
        reasons = "; ".join(f"{candidate.name}: {candidate.reason}" for candidate in trained)
        raise DataError(f"no candidate could be trained: {reasons}")
    temperatures = {name: _own_temperature(world, each, target) for name, each in usable.items()}
    usable = {name: temper(each, temperatures[name]) for name, each in usable.items()}
    weights, weighting = _weights(world, usable, target)
    total = combine([usable[name] for name in weights], list(weights.values()))
    temperature, bias = _calibration(world, total, target)
    total = temper(total, temperature, bias)
    threshold, reason, curve = _threshold(world, total, target)
    hashes = _assemble(world, weights, temperatures, temperature=temperature, bias=bias, threshold=threshold)
    with replacing(world.context.store.path("train", "validation.npz")) as temporary, temporary.open("wb") as file:
        top_k = world.top_k.take(world.held)
        found = {"row": world.row[world.held], "target": target, "scores": total, "group": world.groups[world.held]}
        checked = {"period": top_k.periods, "entity": top_k.entities}
        found |= {name: part for name, part in checked.items() if part is not None}
        np.savez(file, allow_pickle=False, **found)
    return Trained(
        task=world.state.task, metric=world.metric.name, greater_is_better=world.metric.greater_is_better, folds=len(world.folds),
        candidates=tuple(trained), weights=weights, weighting=weighting, validation=estimates(world, total, threshold), temperature=temperature, bias=bias,
        threshold=threshold, threshold_reason=reason, threshold_curve=curve, hashes=hashes,
    )  # fmt: skip


def _weights(world: World, usable: dict[str, Array], target: Array) -> tuple[dict[str, float], Weighting]:
    """The best candidate alone, or the ensemble of those that earn their place; and how that was chosen."""
    loss = _loss(world, target)
    best = min(usable, key=lambda name: (loss(usable[name]), name))
    if not world.context.blueprint.train.ensemble or not world.task.combines or len(usable) == 1:
        return {best: 1.0}, "single"
    if world.shifts:
        judge = _judge(world)

        def fair(scores: Array) -> Array:
            """Calibrated where the log loss judges, so that it tells what a mean knows and not how sure it is of itself."""
            if judge.name != "log_loss":
                return scores
            return temper(scores, *ensemble.choose_temperature(scores, target, biased=False))

        def clearly(new: Array, old: Array) -> bool:
            return _surely(world, judge, fair(new), fair(old), level=CLEAR)

        return ensemble.keep(usable, lambda scores: loss(fair(scores)), clearly), "equal"
    weights = ensemble.select(usable, loss)
    total = combine([usable[name] for name in weights], list(weights.values()))
    # a mean that says its probabilities better must not decide worse: where the two disagree, the decisions count
    worse = world.metric.sign * (_value(world, total) - _value(world, usable[best])) < 0
    return ({best: 1.0}, "best") if worse or loss(total) > loss(usable[best]) else (weights, "greedy")


def _value(world: World, scores: Array) -> float:
    """The choosing metric on the validation rows."""
    return world.metric.of(world.held_out(scores))


def _judge(world: World) -> metrics.Metric:
    """What the ensemble improves: the choosing metric where it is smooth or measures numbers, else the log loss."""
    return metrics.find("log_loss") if world.state.classes and world.metric.name not in SMOOTH else world.metric


def _loss(world: World, target: Array) -> Callable[[Array], float]:
    judge = _judge(world)
    if judge.name == "log_loss":
        return lambda scores: ensemble.log_loss(scores, target)
    return lambda scores: -judge.sign * judge.of(world.held_out(scores))


def _surely(
    world: World, metric: metrics.Metric, new: Array, old: Array, threshold: float | None = None, *, level: float = SURE
) -> bool:
    """Whether the new scores (or the new threshold) beat the old on nearly all resamples of whole groups.

    Among choices that the validation rows cannot tell apart, the plain one (in the spirit of Breiman et al. 1984's one-standard-error rule).
    """
    change = metrics.difference(metric, world.held_out(new, threshold), world.held_out(old))
    bootstrap = metrics.Bootstrap(count=200, level=level, seed=world.context.blueprint.train.seed)
    (gain,) = bootstrap.of([change], len(new), groups=world.groups[world.held])
    return gain is not None and min(metric.sign * gain.low, metric.sign * gain.high) > 0


def _own_temperature(world: World, scores: Array, target: Array) -> float:
    """A candidate's own temperature, where all will weigh the same, or where the log loss weighs them: both hold only among equally
    sure ones, and labels that were smoothed in training make an unsure one.

    An encoder that is 99 % sure of what its two fellows doubt would else decide alone: on mail by time 25 false alarms with,
    18 without (macro-F1 0.864 and 0.897; docs/log.md).
    """
    if not world.state.classes or not (world.shifts or _judge(world).name == "log_loss"):
        return 1.0
    return ensemble.choose_temperature(scores, target, biased=False)[0]


def _calibration(world: World, total: Array, target: Array) -> tuple[float, tuple[float, ...]]:
    """Temperature and class biases, where the validation rows show that they help.

    No biases where service will meet other groups or times: they would carry the classes' shares in the few that were held out
    over to it. On mail by time, with 21 % of spam in validation and 4 % in test, they cost 6 points of macro-F1 (docs/log.md).
    """
    if not world.state.classes:
        return 1.0, ()
    judge = metrics.find("log_loss")
    found: tuple[float, tuple[float, ...]] = (1.0, ())
    # one at a time: a temperature that helps must not carry in a bias that does not
    for biased in (False,) if world.shifts else (False, True):
        tried = ensemble.choose_temperature(total, target, biased=biased)
        if tried != found and _surely(world, judge, temper(total, *tried), temper(total, *found)):
            found = tried
    return found


def _threshold(world: World, scores: Array, target: Array) -> tuple[float | None, str, dict[str, list[float]]]:
    """From the declared costs, or the choosing metric where it judges decided labels of two classes."""
    positive = world.positive
    if positive is None:
        return None, "of several classes the likeliest is answered" if world.state.classes else "", {}
    if world.costs:
        wrong, missed = (cost[world.held] for cost in world.costs)
        reason = "least declared cost on the validation rows"
    elif world.metric.name in BALANCED:
        wrong = missed = np.ones(len(target))
        reason = f"best {world.metric.name} on the validation rows"
    else:
        return (
            None,
            f"{world.metric.name} cannot choose a threshold, so the likeliest class is answered; declare evaluate.costs to choose one",
            {},
        )
    thresholds = ensemble.grid(scores[:, positive])
    truth = target == positive
    curve = []
    for threshold in thresholds:
        said = scores[:, positive] >= threshold
        if world.costs:
            curve.append(float((wrong * (said & ~truth) + missed * (~said & truth)).mean()))
        else:
            curve.append(-world.metric.sign * world.metric.of(world.held_out(scores, float(threshold))))
    shown = {"cost": curve} if world.costs else {"metric": [-world.metric.sign * value for value in curve]}
    chosen: float | None = ensemble.choose_threshold(thresholds, curve)
    if not world.costs and not _surely(world, world.metric, scores, scores, chosen):
        chosen, reason = None, f"the likeliest class: no threshold is surely better for {world.metric.name}"
    shown = {"threshold": [float(threshold) for threshold in thresholds], **shown}
    return chosen, reason, {name: [round(value, 6) for value in values] for name, values in shown.items()}


def _assemble(
    world: World, weights: dict[str, float], temperatures: dict[str, float], **calibration: Any
) -> dict[str, str]:
    """The chosen artifact as a folder that stands alone (files are hard links where the disk has them)."""
    store = world.context.store
    with replacing_folder(store.path("model")) as place:
        members = []
        for name, weight in weights.items():
            own = Artifact.model_validate(read_json(store.path("train", name, "artifact.json")))
            for number, member in enumerate(own.members):
                folder = f"members/{name}-{number}"
                (place / folder).mkdir(parents=True)
                for file in ("features.json", "weights.safetensors"):
                    _link(store.path("train", name, member.folder, file), place / folder / file)
                shared = {"weight": weight / len(own.members), "temperature": temperatures[name]}
                members.append(member.model_copy(update={"folder": folder, **shared}))
        blueprint = world.context.blueprint
        Artifact(
            name=blueprint.name, state=world.state, members=tuple(members), generate=blueprint.generate, **calibration
        ).save(place)
        return hash_tree(place)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
