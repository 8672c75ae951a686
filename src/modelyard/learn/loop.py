"""The training loop: one for every module.

Steps are `stepping`'s. Choices that depend on a clock go through `decide`; given those and the seed, the
weights are the same bit for bit, also when the process is killed and started again. It knows nothing about what is learnt:
the module computes outputs, the task their losses and scores.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.context import Progress
from modelyard.errors import MissingExtra
from modelyard.learn import batches, checkpoint, forward, gradients, optimise, precision
from modelyard.learn.clock import Clock, Decide
from modelyard.learn.stepping import Stepped, Stepper
from modelyard.learn.summary import summary
from modelyard.learn.tracking import Tracker, open_trackers
from modelyard.models._contract import Arrays, Examples, LoopModel, LoopOptions, Weights
from modelyard.records.trained import Epoch
from modelyard.rows import Array
from modelyard.sessions.torch import laid_out
from modelyard.store import fingerprint
from modelyard.tasks._contract import State

Metric = Callable[[Array, Array], float]


SLOWEST_CHECKPOINT = 0.05
"""Share of the time that writing checkpoints may take; they become rarer where the disk is slow."""


@dataclass(frozen=True)
class Learnt:
    """What a training left: the best weights by validation metric, the curve, and what happened."""

    weights: Weights
    curve: tuple[Epoch, ...]
    facts: dict[str, Any]
    """steps, epochs, best_step, best_metric, precision, stopped (`schedule`, `budget`, `patience`, `loss_not_finite`),
    parameters, trainable, flops (of a row), layers (rows of a summary), gradients (see `gradients.Watch.facts`, one an optimiser)."""
    timings: dict[str, float]
    """Seconds: total, steps, validation, precision, checkpoints."""


@dataclass
class _Seen:
    """Sums over the training rows since the last validation."""

    loss: dict[str, float] = field(default_factory=dict)
    count: dict[str, float] = field(default_factory=dict)
    outputs: list[Array] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)

    def add(self, done: Stepped) -> None:
        """One step more."""
        for turn in done.loss:
            self.loss[turn] = self.loss.get(turn, 0.0) + done.loss[turn]
            self.count[turn] = self.count.get(turn, 0.0) + done.count[turn]
        self.outputs += done.outputs
        self.rows += done.rows

    @property
    def means(self) -> dict[str, float]:
        """The mean loss of each turn."""
        return {turn: total / max(self.count[turn], 1e-12) for turn, total in self.loss.items()}


def train(
    model: LoopModel,
    module: Any,
    train: Examples,
    validation: Examples,
    *,
    task: Any,
    state: State,
    options: LoopOptions,
    metric: Metric,
    greater_is_better: bool,
    seed: int,
    threads: int,
    seconds: float | None,
    folder: Path,
    decide: Decide,
    name: str,
    checkpoint_seconds: float,
    progress: Progress,
    tracking: Sequence[str] = ("tensorboard",),
    logs: Path | None = None,
) -> Learnt:
    """Train a module. `metric(scores, target)` is given numbers in the target's own unit, `train.target` standardised ones.

    `seconds` bounds the whole call (a started-again call counts what its checkpoint had used); `decide(name, choose)` writes a
    choice down before it is used. `folder` holds the checkpoint, which stays for the caller to remove and is written every
    `checkpoint_seconds`, less often where that takes long (0: after every step); `logs` (by default the same) what `tracking` names. Nothing global is left changed. Raises MissingExtra without torch.
    """
    started = time.monotonic()
    try:
        import torch
    except ImportError:
        raise MissingExtra("gradient training", "neural") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with forward.settings(threads, seed, device):
        trainer = _Trainer(
            model=model, module=laid_out(module.to(device)), train=_known(train, state), validation=_known(validation, state), task=task,
            state=state, options=options, metric=metric, greater=greater_is_better, seed=seed, folder=folder, decide=decide,
            name=name, progress=progress, device=device, checkpoint_seconds=checkpoint_seconds, started=started, seconds=seconds,
        )  # fmt: skip
        return trainer.run(tracking, logs or folder)


def _known(examples: Examples, state: State) -> Examples:
    """The rows whose class training knows."""
    if not state.classes or (examples.target >= 0).all():
        return examples
    keep = np.flatnonzero(examples.target >= 0)
    return Examples({name: values[keep] for name, values in examples.arrays.items()}, examples.target[keep])


@dataclass
class _Trainer:
    """One call of `train`."""

    model: LoopModel
    module: Any
    train: Examples
    validation: Examples
    task: Any
    state: State
    options: LoopOptions
    metric: Metric
    greater: bool
    seed: int
    folder: Path
    decide: Decide
    name: str
    progress: Progress
    device: Any
    checkpoint_seconds: float
    started: float
    seconds: float | None
    step: int = 0
    seen: _Seen = field(default_factory=_Seen)
    curve: list[Epoch] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    best_step: int = 0
    best_value: tuple[float, float] = (-math.inf, -math.inf)
    """Metric (greater is better) and negative loss: equal metrics are told apart by the loss."""
    without: int = 0
    """Validations since the best one."""
    stopped: str = ""
    timings: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("steps", "validation", "precision", "checkpoints"), 0.0)
    )

    # -- the whole call ------------------------------------------------------------------------------------------------

    def run(self, tracking: Sequence[str], logs: Path) -> Learnt:
        """Train to the end."""
        self._prepare()
        trackers = open_trackers(tracking, logs, self.name, step=self.step)
        try:
            with self.progress.bar(self.name, 1.0) as advance:
                shown = 0.0
                while not self.stopped:
                    self.clock.look(self.step)
                    if self.step >= self.clock.planned:
                        self.stopped = "schedule" if self.clock.planned == self.most else "budget"
                        break
                    self._one_step()
                    if self._validation_due():
                        self._validate(trackers)
                    advance(max(0.0, self.step / max(1, self.clock.planned) - shown))
                    shown = max(shown, self.step / max(1, self.clock.planned))
                    self._save_when_due()
                if self.seen.count or not self.curve:
                    self._validate(trackers)
        finally:
            for tracker in trackers:
                tracker.close()
        self.clock.end(self.step)
        self._save(finished=True)
        learnt = self._learnt()
        for one in learnt.facts["gradients"]:
            if one["state"] != "sound":
                self.progress.say(f"{self.name}: {gradients.said(one)}")
        return learnt

    def _prepare(self) -> None:
        """Everything before the first step: summary, precision, frozen vectors, optimiser, clock, checkpoint."""
        self.options_key = fingerprint([
            self.options.model_dump(mode="json"), self.seed, len(self.train), len(self.validation), self.name,
            {name: list(tensor.shape) for name, tensor in self.module.state_dict().items()},
        ])  # fmt: skip
        self.folder.mkdir(parents=True, exist_ok=True)
        self.facts = self._summary()
        self.stepper = Stepper(
            self.model, self.module, self.task, self.state, self.options, self.seed, self.device, answer=self.module
        )
        self._choose_precision()
        self.forward, self.ragged = self.module, tuple(self.model.ragged)
        if getattr(self.module, "fixed", False):
            self._fix_vectors()
        self.length = batches.lengths(self.train.arrays, self.ragged)
        self.stepper.answer, self.stepper.precision = self.forward, self.precision
        self._epoch, self._steps = -1, []  # type: int, list[batches.Step]
        first = self._epoch_steps(0)
        self.per_epoch = len(first)
        self.stepper.open(self.per_epoch)
        self.initial = self._weights()
        self.most = self.per_epoch * self.options.epochs
        self.validate_every = max(1, math.ceil(self.per_epoch / self.options.validations_per_epoch))
        held = batches.lengths(self.validation.arrays, self.ragged)
        self.clock = Clock(
            name=self.name, decide=self.decide, seconds=self.seconds, most=self.most, validate_every=self.validate_every,
            step_work=sum(batches.work(step, self.length) for step in first) / max(1, len(first)),
            validation_work=float(held.sum()) if held is not None else float(len(self.validation)), started=self.started,
        )  # fmt: skip
        self._resume()
        self.last_saved, self.save_cost = time.monotonic(), 0.0

    def _learnt(self) -> Learnt:
        tensors = self.best or self.initial
        total = self.clock.elapsed()
        facts = {
            **self.facts, "steps": self.step, "epochs": round(self.step / self.per_epoch, 4), "best_step": self.best_step,
            "precision": self.precision, "stopped": self.stopped, "device": self.device.type,
            "gradients": [watch.facts(turn) for turn, watch in self.stepper.watches.items()],
        }  # fmt: skip
        if math.isfinite(self.best_value[0]):
            facts["best_metric"] = self.best_value[0] if self.greater else -self.best_value[0]
        if troubles := self.model.troubles(self.curve, facts):
            facts["troubles"] = list(troubles)
        weights = {name: tensor.numpy() for name, tensor in tensors.items()}
        return Learnt(
            weights,
            tuple(self.curve),
            facts,
            {**{k: round(v, 3) for k, v in self.timings.items()}, "total": round(total, 3)},
        )

    # -- before the first step -----------------------------------------------------------------------------------------

    def _summary(self) -> dict[str, Any]:
        """The module's summary on one row of typical length."""
        rows = np.arange(min(1, len(self.train)))
        length = batches.lengths(self.train.arrays, self.model.ragged)
        if length is not None and len(length):
            rows = np.argsort(length, kind="stable")[len(length) // 2 :][:1]
        return summary(self.module, self._tensors(batches.take(self.train.arrays, rows, self.model.ragged)))

    def _choose_precision(self) -> None:
        if self.options.precision != "auto":
            self.precision: str = self.options.precision
            return
        import torch

        start = time.monotonic()
        # an eighth of the usual pass tells the ratio as well
        rows = np.random.default_rng(self.seed).permutation(len(self.train))[: max(2, self.options.batch_rows // 8)]
        arrays = self._tensors(batches.take(self.train.arrays, rows, self.model.ragged))
        target, turn = self.stepper.target(self.train, rows), self.model.turns[0]
        self.module.train()

        def loss(module: Any) -> Any:
            generator = torch.Generator().manual_seed(self.seed)
            return self.model.lost(turn, module, arrays, target, self.task, self.state, generator).sums.sum()

        self.precision = self.decide(f"{self.name}.precision", lambda: precision.choose(self.module, loss, self.device))
        self.timings["precision"] = time.monotonic() - start

    def _fix_vectors(self) -> None:
        """All but the head is frozen: compute its inputs once, and train the head on them."""
        self.module.eval()
        both = {"train": self.train, "validation": self.validation}
        found = forward.kept(
            self.folder / "vectors.safetensors",
            lambda: {name: self._outputs(self.module.vectors, examples) for name, examples in both.items()},
            {name: len(examples) for name, examples in both.items()},
        )
        self.train, self.validation = (
            Examples({"vectors": found[name]}, examples.target) for name, examples in both.items()
        )
        self.forward, self.ragged, self.precision = self.module.answer, (), "fp32"

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one of this very training."""
        import torch

        found = checkpoint.load(self.folder)
        if found is None or found[1]["key"] != self.options_key:
            return
        tensors, state = found
        self.best = checkpoint.under("best", tensors)
        self.curve = [Epoch.model_validate(epoch) for epoch in state["curve"]]
        self.step, self.best_step, self.without, self.stopped = (
            state[key] for key in ("step", "best_step", "without", "stopped")
        )
        metric, loss = (-math.inf if value is None else value for value in state["best_value"])
        self.best_value = metric, loss
        self.timings.update(state["timings"])
        self.clock.restore(state, self.step)
        for turn, kept in state["gradients"].items():
            self.stepper.watches[turn].restore(kept)
        if self.stopped:
            return
        self.module.load_state_dict(checkpoint.under("module", tensors))
        for turn, optimiser in self.stepper.optimisers.items():
            checkpoint.restore_optimiser(turn, optimiser, tensors)
        outputs, rows = tensors["seen.outputs"].numpy(), tensors["seen.rows"].numpy()
        self.seen = _Seen(state["loss"], state["count"], [outputs] if len(rows) else [], [rows] if len(rows) else [])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _epoch_steps(self, epoch: int) -> list[batches.Step]:
        if epoch != self._epoch:
            self._epoch = epoch
            self._steps = batches.steps(
                len(self.train), self.length, batch_rows=self.options.batch_rows, batch_tokens=self.options.batch_tokens,
                seed=self.seed, epoch=epoch,
            )  # fmt: skip
        return self._steps

    def _one_step(self) -> None:
        """One optimiser step of every turn."""
        start = time.monotonic()
        passes = self._epoch_steps(self.step // self.per_epoch)[self.step % self.per_epoch]
        planned = self.clock.schedule()
        rate = (
            self.options.learning_rate
            * optimise.share(self.step, planned, self.options)
            * self.clock.damping(self.step)
        )
        self.rate = rate
        self.model.thaw(self.module, self.step // self.per_epoch)
        self.module.train()
        done = self.stepper.step(self.train, passes, self.ragged, self.step, rate)
        if not done.finite:
            self.stopped = "loss_not_finite"
            return
        self.seen.add(done)
        self.clock.spent(time.monotonic() - start, batches.work(passes, self.length), self.step)
        self.timings["steps"] += time.monotonic() - start
        self.step += 1

    def _tensors(self, arrays: Arrays) -> dict[str, Any]:
        return forward.tensors(arrays, self.device)

    # -- validation ----------------------------------------------------------------------------------------------------

    def _validation_due(self) -> bool:
        inside = self.step % max(self.per_epoch, self.validate_every)
        return bool(self.seen.count) and (
            inside == 0 or inside % self.validate_every == 0 or self.step == self.clock.planned
        )

    def _outputs(self, function: Callable[..., Any], examples: Examples) -> Array:
        return forward.outputs(
            function, examples.arrays, ragged=self.ragged, rows=self.options.batch_rows, tokens=self.options.batch_tokens,
            number_format=self.precision, device=self.device,
        )  # fmt: skip

    def _validate(self, trackers: Sequence[Tracker]) -> None:
        """Measure the validation rows, keep the best weights, note an epoch, and stop where patience is over."""
        start = time.monotonic()
        self.module.eval()
        outputs = self._outputs(self.forward, self.validation)
        loss = self._loss(outputs) if self.task.judged else None
        value = self._metric(outputs, self.validation.target)
        if math.isfinite(loss or 0.0) and np.isfinite(outputs).all():
            self._keep_if_best((value if self.greater else -value, -(loss or 0.0)))
            self._note(loss, value, trackers)
        self.seen = _Seen()
        took = time.monotonic() - start
        self.clock.validated(took)
        self.timings["validation"] += took
        if self.options.patience is not None and self.without >= self.options.patience and not self.stopped:
            self.stopped = "patience"

    def _loss(self, outputs: Array) -> float:
        """The mean loss of the validation rows."""
        import torch

        target = self.stepper.target(self.validation, np.arange(len(outputs))).cpu()
        sums, counts = self.task.losses(torch.from_numpy(outputs), target, self.state)
        return float(sums.sum()) / max(float(counts.sum()), 1e-12)

    def _metric(self, outputs: Array, target: Array) -> float:
        """The metric in the target's own unit; 0 where it is not defined, as scikit-learn's zero_division."""
        if not np.isfinite(outputs).all():
            return math.nan
        target = self.task.restored(target, self.state)
        value = float(self.metric(self.task.scores(outputs, self.state), target))
        return value if math.isfinite(value) else 0.0

    def _keep_if_best(self, value: tuple[float, float]) -> None:
        if value > self.best_value:
            self.best_value, self.best_step, self.without = value, self.step, 0
            self.best = self._weights()
        else:
            self.without += 1

    def _note(self, loss: float | None, value: float, trackers: Sequence[Tracker]) -> None:
        if not self.seen.count:
            return
        means, measured = self.seen.means, None
        if self.seen.rows:
            outputs, rows = np.concatenate(self.seen.outputs), np.concatenate(self.seen.rows)
            measured = self._metric(outputs, self.train.target[rows])
        epoch = Epoch(
            epoch=round(self.step / self.per_epoch, 4), step=self.step, train_loss=means[self.model.turns[0]],
            validation_loss=loss, train_metric=measured, validation_metric=value, learning_rate=self.rate,
            losses=means if len(means) > 1 else {},
        )  # fmt: skip
        self.curve.append(epoch)
        for tracker in trackers:
            tracker.log(epoch)
        self.progress.say(
            f"{self.name}: epoch {epoch.epoch:g} step {epoch.step}/{self.clock.planned}  loss {_said(epoch.train_loss)}"
            f" / {_said(epoch.validation_loss)}  metric {_said(measured)} / {_said(value)}  (train / validation)"
        )

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, Any]:
        """A copy of all weights and buffers on the CPU."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}

    def _save_when_due(self) -> None:
        rarest = self.checkpoint_seconds and max(self.checkpoint_seconds, self.save_cost / SLOWEST_CHECKPOINT)
        if time.monotonic() - self.last_saved >= rarest and not self.stopped:
            self._save()

    def _save(self, *, finished: bool = False) -> None:
        """Write the checkpoint; a finished one holds the best weights only."""
        import torch

        start = time.monotonic()
        tensors = {f"best.{name}": tensor for name, tensor in (self.best or (self.initial if finished else {})).items()}
        if not finished:
            tensors |= {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
            for turn, optimiser in self.stepper.optimisers.items():
                tensors |= checkpoint.optimiser_tensors(turn, optimiser)
            width = self.state.outputs
            outputs = np.concatenate(self.seen.outputs) if self.seen.outputs else np.zeros((0, width), np.float32)
            rows = np.concatenate(self.seen.rows) if self.seen.rows else np.zeros(0, np.int64)
            tensors |= {
                "seen.outputs": torch.from_numpy(outputs),
                "seen.rows": torch.from_numpy(rows),
                "random.cpu": torch.get_rng_state(),
            }
            if self.device.type == "cuda":
                tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        state = {
            "key": self.options_key, "step": self.step, "best_step": self.best_step, "without": self.without, "stopped": self.stopped,
            "best_value": [value if math.isfinite(value) else None for value in self.best_value], "loss": self.seen.loss,
            "count": self.seen.count, "timings": self.timings,
            "gradients": {turn: watch.kept() for turn, watch in self.stepper.watches.items()}, "curve": [epoch.model_dump() for epoch in self.curve], **self.clock.state(),
        }  # fmt: skip
        checkpoint.save(self.folder, tensors, state)
        self.last_saved, self.save_cost = time.monotonic(), time.monotonic() - start
        self.timings["checkpoints"] += self.save_cost


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
