"""The pilot: real stages on a few rows. It prepares a sample twice, then lets every candidate learn from growing parts of it.

It spends no more than it is allowed to, except that each candidate is begun once. It tells what was measured; `stages` and
`forecasting` say what follows for the whole build.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard import downloads, metrics, parts, prepare
from modelyard.blueprint import Blueprint
from modelyard.context import Context, Progress, Silence
from modelyard.errors import DataError, MissingDownload, MissingExtra, MissingLibrary
from modelyard.forecast import estimates, language
from modelyard.forecast.growing import Line, line
from modelyard.forecast.trying import STEPS, UNLIMITED, Candidate, Ran, cut
from modelyard.learn import batches, jobs
from modelyard.models._contract import LoopModel
from modelyard.models._language import Language
from modelyard.prepare import reading
from modelyard.records._base import Estimate, watch
from modelyard.records.prepared import Prepared
from modelyard.rows import Array
from modelyard.store import Store, fingerprint, read_json
from modelyard.train import candidates, world
from modelyard.train.world import Fold, World
from modelyard.units import Quantity

if TYPE_CHECKING:
    import polars

SAMPLE = 3200
"""Rows that are prepared: 2,000 to learn from, the others to be held out."""
SIZES = (250, 500, 1000, 2000)
HELD = 0.3
"""Share of the sample that is held out for validation; the quality of a few rows says little."""
WARM, WARM_HELD, WARM_STEPS, AGAIN = 64, 32, 2, 128
"""The first run of each candidate, and the rows of its second one where it learns in one call."""
FIRST_ANSWERED, ANSWERED, LONG_ANSWERS = 8, 64, 0.3
"""Rows that are answered to tell how long one takes: first a few, then more, until so many seconds have gone; the quickest counts."""
BEYOND = dict.fromkeys((0, 1, 2, 3), 0.15)
"""Runs there are of a model that learns in one call -> the share of what is allowed that another may go beyond it: without three beside
the first ones there is no learning curve."""
PACE = {0: 0.3}
"""The same of gradient training: its pace is measured on a few steps of full batches."""
QUICK = 0.5
"""Seconds of a run that is made whatever is allowed."""
FEWEST_STEPS = 6
RESAMPLES = 60
"""Of a metric: its deviation is wanted, not its tails."""
LONG = Quantity(UNLIMITED, "s")


@dataclass
class Pilot:
    """What was measured."""

    rows: int
    """Of the whole source."""
    bytes: float
    data: str
    """Fingerprint of the source's rows."""
    read: float
    """Seconds to read all of it."""
    sampled: int = 0
    prepared: Prepared | None = None
    preparing: Line | None = None
    """Seconds of warm `prepare` runs by rows."""
    cold: float = 0.0
    """Seconds that the first one took longer."""
    prepare_peak: Line | None = None
    prepare_disk: float = 0.0
    """Bytes of the prepared sample."""
    metric: str = ""
    greater_is_better: bool = True
    folds: int = 1
    candidates: list[Candidate] = field(default_factory=list)
    spent: float = 0.0

    def split(self, name: str) -> int:
        """Rows of a split of the whole build: the sample's, grown in proportion."""
        found = self.prepared.splits.get(name) if self.prepared else None
        return round(found.rows * self.rows / self.sampled) if found else 0

    @property
    def share_held(self) -> float:
        """Of training and validation rows together, those that are held out in the whole build."""
        both = self.split("train") + self.split("validation")
        return self.split("validation") / both if both else 0.0


Allowed = Callable[[Pilot], tuple[float, frozenset[str]]]
"""What is known so far -> seconds that the pilot may take in all, and candidates whose time the budget surely sets: more runs of them would
tell nothing."""


def run(
    blueprint: Blueprint, *, allowed: Allowed, progress: Progress | None = None, threads: int | None = None
) -> Pilot:
    """Try the blueprint on a sample of its rows. DataError where the data cannot be read or prepared."""
    progress, started = progress or Silence(), time.monotonic()
    loaded = reading.load(blueprint.data, blueprint.folder)
    found = Pilot(
        rows=loaded.frame.height,
        bytes=float(sum(file["bytes"] for file in loaded.files)),
        data=fingerprint([file["hash"] for file in loaded.files])[:16],
        read=time.monotonic() - started,
    )
    with tempfile.TemporaryDirectory(prefix="modelyard-pilot-") as place, downloads.obeying(blueprint.downloads):
        context = _prepared(found, blueprint, loaded, Path(place), progress)
        if threads is not None:
            context.threads = threads
        del loaded
        _tried(found, blueprint, context, lambda: time.monotonic() - started, allowed)
    found.spent = time.monotonic() - started
    return found


# -- prepare --------------------------------------------------------------------------------------------------------------


def _prepared(found: Pilot, blueprint: Blueprint, loaded: reading.Loaded, place: Path, progress: Progress) -> Context:
    """Prepare a small sample, cold and warm, and the whole one; the last one's context."""
    small, large = min(found.rows, SAMPLE // 4), min(found.rows, SAMPLE)
    seconds: list[float] = []
    peaks: list[float] = []
    for number, rows in enumerate((small, small, large)):
        own = _sample(blueprint, loaded, rows, place / f"rows-{number}")
        context = Context(own, Store(place / f"build-{number}"), progress)
        with watch() as facts:
            context.records["prepare"] = prepare.run(context)
        seconds.append(facts["run"].seconds.value)
        peaks.append(facts["run"].peak_memory.value)
    found.preparing = line([small, large], [max(second, 1e-3) for second in seconds[1:]]) if large > small else None
    found.preparing = found.preparing or Line(seconds[1], 0.0, float(large), 0.0)
    found.cold = max(seconds[0] - seconds[1], 0.0)
    found.prepare_peak = line([small, large], peaks[1:]) if large > small else Line(peaks[1], 0.0, float(large), 0.0)
    found.prepared, found.sampled = context.record(Prepared), large
    found.prepare_disk = float(_size(context.store.path("data")))
    return context


def _sample(blueprint: Blueprint, loaded: reading.Loaded, rows: int, place: Path) -> Blueprint:
    """The blueprint on some of its rows, in their order, written to `place`; given splits stay apart."""
    import polars as pl

    place.mkdir(parents=True)
    frame = loaded.frame
    kept = np.sort(np.random.default_rng(blueprint.train.seed).choice(frame.height, rows, replace=False))
    frame = frame[kept]
    sources: dict[str, str] = {}
    if loaded.given:
        for split in frame[reading.GIVEN].unique().to_list():
            sources[split] = _written(
                frame.filter(pl.col(reading.GIVEN) == split).drop(reading.GIVEN), place / f"{split}.parquet"
            )
    else:
        sources["train"] = _written(frame, place / "train.parquet")
    named = {"source": sources["train"], "validation": sources.get("validation"), "test": sources.get("test")}
    split = blueprint.prepare.split
    held = HELD if split.test <= 0.95 - HELD else split.validation
    train = {"folds": 1, "refit": False, "tracking": (), "budget": LONG, "checkpoint": LONG}
    return blueprint.model_copy(
        update={
            "data": blueprint.data.model_copy(update=named),
            "prepare": blueprint.prepare.model_copy(update={"split": split.model_copy(update={"validation": held})}),
            "train": blueprint.train.model_copy(update=train),
        }
    )


def _written(frame: polars.DataFrame, path: Path) -> str:
    frame.write_parquet(path)
    return str(path)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


# -- candidates -----------------------------------------------------------------------------------------------------------


def _tried(found: Pilot, blueprint: Blueprint, context: Context, spent: Callable[[], float], allowed: Allowed) -> None:
    """Each candidate once on a handful of rows, then on growing parts as long as they are affordable.

    Those that learn in one call come first and have their quick runs at once: a learning curve that costs next to nothing is not left out
    because a network's libraries took the time.
    """
    here, _ = world.look(context, time.monotonic())
    assert found.prepared is not None
    found.metric, found.greater_is_better = here.metric.name, here.metric.greater_is_better
    rows = found.split("train") + found.split("validation")
    declared = blueprint.train.folds
    found.folds = declared or world.usual_folds(found.prepared, blueprint.prepare.split.by, rows, blueprint.size)[0]
    order = _nested(here, blueprint.train.seed)
    sizes = [size for size in SIZES if size < len(order)] + [min(len(order), SIZES[-1])]
    sizes = sorted(set(sizes))
    bench = _Bench(here, order, found)
    for name, options in candidates.ordered(candidates.named(here)):
        found.candidates.append(_candidate(here, name, options))
    for one in sorted(found.candidates, key=lambda each: each.learns != "fit"):
        if not one.reason:
            bench.begin(one)
        for size in sizes if one.learns == "fit" and not one.floor else ():
            bench.extend(one, size, QUICK)
    for size in sizes:
        for one in found.candidates:
            may, settled = allowed(found)
            if one.name in settled:
                continue
            bench.extend(
                one, size, may - spent() + (BEYOND if one.learns == "fit" else PACE).get(len(one.runs), 0.0) * may
            )


def _candidate(here: World, name: str, options: dict[str, Any]) -> Candidate:
    model = options.get("model", name)
    own = {key: value for key, value in options.items() if key not in candidates.RESERVED}
    one = Candidate(
        name=name, model=model, options=own, learns=parts.load("models", model).learns,
        baseline=model in here.task.baselines, floor=model == here.task.baselines[0], share=options.get("share"),
    )  # fmt: skip
    spec = candidates.spec_of(here, name, options, 0)
    try:
        one.reason = candidates.unfit(parts.load("models", model), spec, here, optional=options.get("optional", False))
    except MissingExtra as error:
        one.reason = str(error)
    return one


def _nested(here: World, seed: int) -> Array:
    """Training rows of the sample in an order whose every beginning holds each class, as long as there are enough rows."""
    inside = here.folds[0].train
    order = inside[np.random.default_rng(seed).permutation(len(inside))]
    if not here.state.classes:
        return order
    order = order[here.target[order] >= 0]
    first = np.concatenate(
        [np.flatnonzero(here.target[order] == number)[:2] for number in range(len(here.state.classes))]
    )
    rest = np.setdiff1d(np.arange(len(order)), first, assume_unique=True)
    found: Array = order[np.concatenate([first, rest])]
    return found


@dataclass
class _Bench:
    """Runs candidates on parts of the sample."""

    world: World
    order: Array
    pilot: Pilot

    def begin(self, one: Candidate) -> None:
        """The first run, which pays for imports, and what does not change with the rows."""
        held = self.world.folds[0].validation
        try:
            started = time.monotonic()
            if one.learns == "loop" and not self._fits(one):
                return
            one.begun = time.monotonic() - started
            one.warm = self._once(one, min(WARM, len(self.order)), min(WARM_HELD, len(held)), WARM_STEPS)
            if one.learns == "fit" and len(self.order) > AGAIN:  # a cold run says nothing about the next one's time
                one.runs.append(self._once(one, AGAIN, min(WARM_HELD, len(held)), None))
        except (MissingExtra, MissingLibrary, MissingDownload, DataError) as error:
            one.reason = str(error)
        except (ValueError, ArithmeticError, RuntimeError) as error:  # so few rows are no fault of the build's
            one.reason = f"could not be tried on {WARM} rows: {type(error).__name__}: {str(error)[:200]}"

    def extend(self, one: Candidate, size: int, left: float) -> None:
        """A run on `size` rows, whole where `left` seconds are enough, else a few steps, else none."""
        if one.warm is None or one.reason or size <= max((run.rows for run in one.runs), default=0):
            return
        held, steps = len(self.world.folds[0].validation), None
        if one.learns == "loop":
            steps = one.steps_of(size)
            if one.expected(size, held, steps) > left:
                held, steps = min(held, WARM_HELD), min(steps, STEPS)
            if one.expected(size, held, steps) > left:
                steps = min(steps, FEWEST_STEPS)
        if one.expected(size, held, steps) > left:
            return
        whole = one.learns == "fit" or steps == one.steps_of(size)
        try:
            one.runs.append(self._once(one, size, held, None if whole else steps))
        except (DataError, ValueError, ArithmeticError, RuntimeError) as error:
            one.reason = f"could not be tried on {size} rows: {type(error).__name__}: {str(error)[:200]}"

    def _fits(self, one: Candidate) -> bool:
        """Whether a step's memory is there; the reason is noted where it is not."""
        import torch

        here = self.world
        model = parts.build("models", one.model, one.options)
        assert isinstance(model, LoopModel)
        rows = here.rows.take(self.order[: min(WARM, len(self.order))])
        target = here.task.standardised(here.target[self.order[: len(rows)]], here.state)
        seed = here.context.blueprint.train.seed
        features = model.features(rows, target, here.state, seed=seed)
        one.loop = model.loop(features, here.state, self.pilot.split("train"))
        examples = model.examples(rows, target, features, seed=seed)
        few = np.arange(min(4, len(examples)))
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(values))
            for name, values in batches.take(examples.arrays, few, model.ragged).items()
        }
        one.blocks = len(examples) / max(len(rows), 1)
        if isinstance(model, Language):
            one.tokens = float(np.mean(model.encode(rows, features)["length"]))
            one.shape, one.pretrained = language.shape_of(model, features), bool(getattr(model, "pretrained", ""))
        module = model.module(features, here.state, seed=seed)
        one.training = estimates.training(module, tensors, rows=one.loop.batch_rows, optimiser=one.loop.optimiser)
        free = available()
        if one.training.memory > free:
            one.reason = (
                f"a training step needs {one.training.memory / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory are free here"
            )
        return not one.reason

    def _once(self, one: Candidate, rows: int, held: int, steps: int | None) -> Ran:
        """One job on the first `rows` rows, of at most `steps` optimiser steps."""
        outside = self.world.folds[0].validation[:held]
        mark = fingerprint([self.world.fingerprint, rows, held, steps])
        here = replace(self.world, folds=[Fold(self.order[:rows], outside)], fingerprint=mark)
        folder = here.context.store.folder
        spec = candidates.spec_of(here, one.name, {"model": one.model, **one.options}, 0)
        work = candidates.work_of(here, 0, UNLIMITED if one.learns == "loop" else math.inf)
        if steps is not None and one.learns == "loop":
            work = replace(work, decide=cut(steps, work.decide, precision="fp32" if one.warm is None else None))
        with watch() as facts:
            job = jobs.execute(spec, work, folder)
        whole = one.learns == "fit" or job.facts.get("stopped") != "budget"
        metric = None
        if whole and held > WARM_HELD:
            metric = _measured(here, jobs.scores(spec, folder))
        self._look(one, folder / spec.folder, outside)
        named = ("encode", "fit") if one.learns == "fit" else ("encode", "steps", "validation")
        return Ran(
            rows=rows, held=held, total=job.timings["total"], parts={name: job.timings.get(name, 0.0) for name in named},
            peak=facts["run"].peak_memory.value, epochs=float(job.facts.get("epochs", 0.0)),
            steps=int(job.facts.get("steps", 0)), whole=whole, metric=metric, disk=float(_size(folder / spec.folder)),
        )  # fmt: skip

    def _look(self, one: Candidate, folder: Path, outside: Array) -> None:
        """What the files of a job say: their size, the model's own account of its work, and how long an answer takes."""
        from safetensors.numpy import load_file

        here, model = self.world, parts.build("models", one.model, one.options)
        features = read_json(folder / "features.json")
        weights = load_file(folder / "weights.safetensors")
        work = model.work(weights, features, here.state)
        one.parameters, one.flops_per_row = work.parameters, work.flops_per_row
        one.weights = float(work.bytes)
        if one.learns == "loop":
            one.loop = model.loop(features, here.state, self.pilot.split("train"))
        session = parts.build("sessions", "torch" if one.learns == "loop" else "native").open(
            folder, model, features, here.state
        )
        began = time.perf_counter()
        for count in (FIRST_ANSWERED, ANSWERED, ANSWERED, ANSWERED):
            rows = here.rows.take(outside[:count])
            started = time.perf_counter()
            session(model.encode(rows, features))
            each = (time.perf_counter() - started) / max(len(rows), 1)
            one.row_seconds = each if count == FIRST_ANSWERED else min(each, one.row_seconds)
            if time.perf_counter() - began > LONG_ANSWERS:
                break


def _measured(here: World, scores: Array) -> Estimate | None:
    """The choosing metric on the held-out rows; None where it is not defined there."""
    bootstrap = metrics.Bootstrap(count=RESAMPLES, seed=here.context.blueprint.train.seed)
    found = metrics.estimates([here.metric], here.held_out(scores), groups=here.groups[here.held], bootstrap=bootstrap)
    return found.get(here.metric.name)


def available() -> float:
    """Bytes of memory that are free for a new process's use; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))) * 1024
    except (OSError, StopIteration):
        return math.inf
