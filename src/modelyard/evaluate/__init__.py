"""Evaluate: how good the chosen artifact is on the test rows, beside every candidate, with intervals.

It chooses nothing: candidate, threshold and temperature come with the artifact. It does not know how models learn.

    yard run blueprint.yaml --only evaluate
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from modelyard.context import Context
from modelyard.evaluate import curves, drawing, gates, mistakes, money, slices, writing
from modelyard.evaluate._rows import Trial, metrics_for, read
from modelyard.metrics import Metric, Sample, difference, find, mean_of
from modelyard.predictor import Predictor
from modelyard.records._base import Derived, Estimate, Gate
from modelyard.records.evaluated import Compared, Drawing, Evaluated, Measured
from modelyard.records.trained import Trained
from modelyard.rows import Array
from modelyard.store import replacing

SCORES = "evaluate/scores.npz"


def run(context: Context) -> Evaluated:
    """Measure the chosen artifact and each candidate on the test rows; writes `evaluate/scores.npz`."""
    trained, store = context.record(Trained), context.store
    chosen = Predictor.open(store.path(trained.artifact))
    test = read(context, chosen)
    metrics = metrics_for(context, chosen, len(test.target))
    answered = {c.name: c.artifact for c in trained.candidates if c.status == "trained" and c.artifact is not None}
    with context.progress.bar("evaluate", len(answered) + 2) as advance:
        known: dict[str, Array] = {}
        opened: dict[str, Predictor] = {}
        draws = chosen.state.makes == "image"
        scores, labels = _answers(chosen, test, known)
        advance(1)
        theirs: dict[str, tuple[Array, Array]] = {}
        for name, folder in answered.items():
            predictor = Predictor.open(store.path(folder))
            alone = predictor.generator is not None and trained.weights.get(name) == 1.0  # it is the chosen one
            theirs[name] = (scores, labels) if alone else _answers(predictor, test, known)
            if draws or (predictor.generator is not None and name not in chosen.task.baselines[:1]):
                opened[name] = predictor
            advance(1)
        _save(store.path(SCORES), test, scores, labels, {name: each[0] for name, each in theirs.items()})
        sample = test.sample(scores, labels)
        drawn = (
            drawing.study(context, chosen, opened, test, scores, {name: each[0] for name, each in theirs.items()})
            if draws
            else None
        )
        record = _record(context, chosen, test, metrics, sample, theirs, drawn)
        advance(1)
    if chosen.generator is None:
        return record.model_copy(update={"drawing": drawn})
    return record.model_copy(update={"writing": writing.study(context, chosen, opened, test)})


def measure(context: Context, artifact: Path) -> Measured:
    """Another artifact (a compressed one) on the test rows, beside the trained one's saved answers."""
    predictor = Predictor.open(artifact)
    test = read(context, predictor)
    metrics = metrics_for(context, predictor, len(test.target))
    scores, labels = _answers(predictor, test)
    ours = test.sample(scores, labels)
    with np.load(context.store.path(SCORES), allow_pickle=False) as saved:
        trained_scores, trained_labels = saved["scores"], saved["labels"]
        assert np.array_equal(saved["row"], test.row), "the saved scores are of other rows"
    theirs = test.sample(trained_scores, trained_labels)
    same = predictor.task.same(
        scores,
        trained_scores,
        predictor.state,
        threshold=predictor.artifact.threshold,
        tolerance=context.blueprint.compress.tolerance or predictor.task.tolerance,
    )
    statistics = [
        *(metric.over(ours) for metric in metrics),
        difference(metrics[0], ours, theirs),
        mean_of(same.astype(float)),
    ]
    found = test.bootstrap.of(statistics, len(ours), groups=test.groups)
    return Measured(metrics=_named(metrics, found[: len(metrics)]), difference=found[-2], agreement=found[-1])


def _answers(predictor: Predictor, test: Trial, known: dict[str, Array] | None = None) -> tuple[Array, Array]:
    scores = predictor.scores(test.rows, known=known)
    return scores, np.asarray(predictor.task.labels(scores, predictor.state, predictor.artifact.threshold))


def _named(metrics: list[Metric], found: list[Estimate | None]) -> dict[str, Estimate]:
    return {metric.name: one for metric, one in zip(metrics, found, strict=True) if one is not None}


def _save(path: Path, test: Trial, scores: Array, labels: Array, candidates: dict[str, Array]) -> None:
    arrays = {"row": test.row, "target": test.target, "scores": scores, "labels": labels}
    arrays |= {f"candidate:{name}": each for name, each in candidates.items()}
    if test.state.makes == "image":  # whole numbers, an eighth of the bytes
        arrays |= {name: each.astype(np.uint8) for name, each in arrays.items() if each.ndim == 2}
    if test.groups is not None:
        arrays["group"] = test.groups
    memory = io.BytesIO()
    np.savez(memory, allow_pickle=False, **arrays)
    with replacing(path) as temporary:
        temporary.write_bytes(memory.getvalue())


def _record(
    context: Context,
    chosen: Predictor,
    test: Trial,
    metrics: list[Metric],
    sample: Sample,
    theirs: dict[str, tuple[Array, Array]],
    drawn: Drawing | None,
) -> Evaluated:
    trained, wanted, state = context.record(Trained), context.blueprint.evaluate, chosen.state
    own = _named(metrics, test.bootstrap.of([each.over(sample) for each in metrics], len(sample), groups=test.groups))
    prices = money.Prices(wanted.costs, test) if wanted.costs is not None and test.positive is not None else None
    candidates = {name: _compare(test, metrics, sample, answers, prices) for name, answers in theirs.items()}
    series = _curves(context, test, sample)
    sliced = slices.measure(context, test, sample, metrics)
    if prices is not None:
        series["threshold"] = prices.curve(sample.scores[:, prices.positive], test)
    unknown: dict[str, int] = {}
    for name in test.names[sample.target < 0] if state.classes else ():
        unknown[str(name)] = unknown.get(str(name), 0) + 1
    return Evaluated(
        task=state.task,
        kind=chosen.task.kind,
        metric=trained.metric,
        greater_is_better={metric.name: metric.greater_is_better for metric in metrics},
        rows=len(sample),
        grouped=test.groups is not None,
        top_k=test.top_k.k if "precision_at_k" in own else None,
        top_k_by=wanted.top_k_by if "precision_at_k" in own else None,
        days=len(np.unique(test.top_k.periods)) if test.top_k.periods is not None else None,
        classes=state.classes,
        positive=state.positive,
        threshold=chosen.artifact.threshold,
        metrics=own,
        at_half=_at_half(chosen, test, metrics, sample),
        candidates=candidates,
        slices=sliced,
        curves=series,
        confusion=mistakes.confusion(sample, state.classes) if state.classes else None,
        worst=mistakes.worst(context.store, chosen, test, sample),
        money=money.value(prices, test, sample.labels, sample.scores) if prices is not None else None,
        unknown=unknown,
        scores=SCORES,
        gates=_gates(context, chosen, own, candidates, drawn),
        derived=_derived(context, metrics, sliced),
    )


def _derived(context: Context, metrics: list[Metric], sliced: Iterable[str]) -> tuple[Derived, ...]:
    """What the blueprint may have left open; the same whether it did, so that the resolved one gives the same record."""
    columns = [name for name in sliced if name not in context.blueprint.audit.sensitive]
    return (
        Derived(path="evaluate.metrics", value=[metric.name for metric in metrics], reason="measured on test rows"),
        Derived(path="evaluate.slices", value=columns, reason="columns whose groups are measured alone"),
    )


def _compare(
    test: Trial, metrics: list[Metric], ours: Sample, answers: tuple[Array, Array], prices: money.Prices | None
) -> Compared:
    """A candidate's figures, and ours minus its own on the choosing metric, on the same resamples."""
    theirs = test.sample(*answers)
    statistics = [*(metric.over(theirs) for metric in metrics), difference(metrics[0], ours, theirs)]
    if prices is not None:
        mine = prices.of(ours.labels == prices.positive)
        own = prices.of(theirs.labels == prices.positive)
        half = prices.of(theirs.scores[:, prices.positive] >= 0.5)
        statistics += [mean_of(own), mean_of(half), mean_of(half - mine)]
    found = test.bootstrap.of(statistics, len(ours), groups=test.groups)
    count = len(metrics)
    gap = found[count]
    cost, at_half, saved = found[count + 1 :] if prices is not None else (None, None, None)
    return Compared(
        metrics=_named(metrics, found[:count]),
        difference=gap,
        better=gap is not None and gates.is_better(gap, metrics[0]),
        cost=cost,
        cost_at_half=at_half,
        saved=saved,
    )


def _at_half(chosen: Predictor, test: Trial, metrics: list[Metric], sample: Sample) -> dict[str, Estimate]:
    """The metrics of decided classes with the threshold 0.5; empty where the artifact has no threshold."""
    if chosen.artifact.threshold is None or test.positive is None:
        return {}
    half = test.sample(sample.scores, chosen.task.labels(sample.scores, chosen.state, 0.5))
    found = _named(metrics, test.bootstrap.of([each.over(half) for each in metrics], len(half), groups=test.groups))
    return {metric.name: found[metric.name] for metric in metrics if metric.decides and metric.name in found}


def _curves(context: Context, test: Trial, sample: Sample) -> dict[str, dict[str, list[float]]]:
    if test.state.classes:
        return curves.for_classes(sample, test.state.classes, test.bootstrap.level)
    return {} if test.state.makes else curves.for_numbers(sample, context.blueprint.train.seed)


def _gates(
    context: Context,
    chosen: Predictor,
    own: dict[str, Estimate],
    candidates: dict[str, Compared],
    drawn: Drawing | None,
) -> tuple[Gate, ...]:
    trained = context.record(Trained)
    metric = find(trained.metric, chosen.task.kind)
    models = {candidate.name: candidate.model for candidate in trained.candidates}
    baseline = chosen.task.baselines[0]
    found: list[Gate] = []
    for name, compared in candidates.items():
        if models[name] == baseline:
            found.append(gates.beats_baseline(baseline, compared.difference, metric, context.blueprint.evaluate.level))
            break
    if drawn is not None:
        found.append(gates.sound(drawn.chosen.troubles))
        own = own | drawn.chosen.figures
    return (*found, *gates.demanded(context.blueprint.evaluate.gates, own, chosen.task.kind))
