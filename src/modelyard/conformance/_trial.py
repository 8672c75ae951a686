"""A model on a toy: what the laws of the shelf `models` hold it against, each part computed once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard import parts
from modelyard.conformance._common import Subject
from modelyard.conformance._toys import Toy
from modelyard.features import lookups
from modelyard.models._contract import Arrays, Clock, Examples, LoopModel, LoopOptions, Session, Weights
from modelyard.rows import Array, Rows

if TYPE_CHECKING:
    from modelyard.context import Progress
    from modelyard.learn.loop import Learnt

FEW = 8
"""Rows that are learnt by heart."""
MOST_STEPS = 1000
LEARNT = 0.1
"""Share of the loss of knowing nothing that is left of rows learnt by heart."""


@dataclass
class Trial:
    """A model on a toy; what laws share is computed once."""

    subject: Subject
    toy: Toy
    folder: Path
    model: Any = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.subject.kind()

    @cached_property
    def features(self) -> dict[str, Any]:
        """Learnt from the training rows, as it is written down."""
        toy = self.toy
        learnt = self.model.features(toy.train, toy.train_target, toy.state, seed=0)
        return json.loads(json.dumps(learnt, allow_nan=False))  # type: ignore[no-any-return]

    def encode(self, rows: Rows) -> Arrays:
        """Encoded with the features as a package would hold them."""
        found: Arrays = self.model.encode(rows, self.features)
        return found

    @cached_property
    def weights(self) -> Weights:
        return self.learn("first")

    def learn(self, name: str, *, seed: int = 0) -> Weights:
        """One training."""
        toy = self.toy
        if isinstance(self.model, LoopModel):
            learnt = self.loop(name, seed=seed, epochs=1, batch_rows=16).weights
            arrays = self.encode(toy.validation)
            weights: Weights = self.model.finished(learnt, self.features, toy.state, arrays, self.folder / name)[0]
            return weights
        held = Examples(self.encode(toy.validation), toy.validation_target)
        train = Examples(self.encode(toy.train), toy.train_target)
        found: Weights = self.model.fit(train, held, toy.state, self.features, seed=seed, threads=1, clock=Clock())
        return found

    def options(self, rows: int, **changed: Any) -> LoopOptions:
        """The model's own options on some rows, but for `changed`; in fp32."""
        found: LoopOptions = self.model.loop(self.features, self.toy.state, rows)
        return found.model_copy(update={"precision": "fp32", "patience": None, **changed})

    def loop(
        self,
        name: str,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        checkpoint_seconds: float = 1e9,
        **changed: Any,
    ) -> Learnt:
        """One training by gradient, in a folder of that name."""
        from modelyard.context import Silence
        from modelyard.learn.loop import train
        from modelyard.store import Store

        toy, place = self.toy, self.folder / name
        examples = self.model.examples(toy.train, toy.train_target, self.features, seed=seed)
        held = Examples(self.encode(toy.validation), toy.validation_target)
        return train(
            self.model, self.model.module(self.features, toy.state, seed=seed), examples, held, task=toy.task, state=toy.state,
            options=self.options(len(examples), **changed), metric=lambda scores, target: -float(np.abs(scores).mean()),
            greater_is_better=True, seed=seed, threads=1, seconds=None, folder=place, decide=Store(place).decide, name=name,
            checkpoint_seconds=checkpoint_seconds, progress=progress or Silence(), tracking=(),
        )  # fmt: skip

    def write(self, weights: Weights, name: str) -> Path:
        """A member's folder, as a build leaves it."""
        from safetensors.numpy import save_file

        from modelyard.store import write_json

        place = self.folder / name
        place.mkdir()
        write_json(place / "features.json", lookups.plain(self.features))
        save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, place / "weights.safetensors")
        return place

    @cached_property
    def saved(self) -> Path:
        """The first training's folder."""
        return self.write(self.weights, "saved")

    @cached_property
    def strange_outputs(self) -> Array:
        """What the first training answers to strange rows."""
        return self.session(self.encode(self.toy.strange))

    @cached_property
    def by_heart(self) -> ByHeart:
        """A few rows, learnt until there is nothing more to learn."""
        return by_heart(self)

    @cached_property
    def session(self) -> Session:
        """Answers from the files alone."""
        kind = "torch" if self.model.learns == "loop" else "native"
        opened: Session = parts.build("sessions", kind).open(
            self.saved, self.model, json.loads((self.saved / "features.json").read_text()), self.toy.state
        )
        return opened


@dataclass(frozen=True)
class ByHeart:
    """What a model learnt of a few rows until it knew them."""

    rows: Rows
    loss: float
    known: float
    """The loss of knowing nothing; of a model that knew something before, its own at the beginning."""
    steps: int
    weights: Weights


def by_heart(trial: Trial) -> ByHeart:
    """Steps of the training loop over one batch, until its loss is a tenth of that of knowing nothing."""
    import torch

    from modelyard.learn import forward
    from modelyard.learn.stepping import Stepper

    toy, model, device = trial.toy, trial.model, torch.device("cpu")
    rows, target = toy.train.take(slice(0, FEW)), toy.train_target[:FEW]
    with forward.settings(1, 0, device):
        module = model.module(trial.features, toy.state, seed=0)
        examples = model.examples(rows, target, trial.features, seed=0)
        held = Examples(trial.encode(rows), target)
        options = trial.options(len(examples), weight_decay=0.0, l1=0.0, schedule="constant", warmup=0.0)
        stepper = Stepper(model, module, toy.task, toy.state, options, 0, device, answer=module)
        stepper.open(MOST_STEPS)
        known = float(model.first_loss(trial.features, toy.task, toy.state))
        known = known if np.isfinite(known) else _loss(trial, module, held)
        enough = LEARNT * known
        loss, step, passes = np.inf, 0, [np.arange(len(examples))]
        while step < MOST_STEPS and not loss <= enough:
            model.thaw(module, step)
            module.train()
            stepper.step(examples, passes, tuple(model.ragged), step, options.learning_rate)
            step += 1
            if step % 10 == 0:
                loss = _loss(trial, module, held)
        weights = {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}
    weights = model.finished(weights, trial.features, toy.state, held.arrays, trial.folder / "heart")[0]
    return ByHeart(rows, float(loss), known, step, weights)


def _loss(trial: Trial, module: Any, examples: Examples) -> float:
    """The mean loss of examples in evaluation mode."""
    import torch

    module.eval()
    with torch.inference_mode():
        outputs = module(**{name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in examples.arrays.items()})
        target = torch.from_numpy(np.ascontiguousarray(examples.target))
        target = target if trial.toy.state.classes else target.float()
        sums, counts = trial.toy.task.losses(outputs, target, trial.toy.state)
    return float(sums.sum() / counts.sum())
