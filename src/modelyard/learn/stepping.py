"""One optimiser step: gradients of summed losses over its passes, divided by their count, so that passes of any shape equal one batch.

A model may have several optimisers that take turns (a critic, then a generator), each with weights of its own. It knows nothing
about budgets, validation or checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.learn import batches, forward, optimise, precision
from modelyard.learn.gradients import Watch
from modelyard.models._contract import Examples, LoopModel, LoopOptions
from modelyard.rows import Array
from modelyard.tasks._contract import State


def fold(seed: int, step: int) -> int:
    """A seed of its own for every step, so that a resumed training changes its rows as an unbroken one."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1)[0])


@dataclass
class Stepped:
    """What a step lost and answered."""

    loss: dict[str, float] = field(default_factory=dict)
    """Sum over the rows, by turn."""
    count: dict[str, float] = field(default_factory=dict)
    """What the sums are over, by turn."""
    outputs: list[Array] = field(default_factory=list)
    """(n, K) of each pass, where the module answers rows."""
    rows: list[Array] = field(default_factory=list)
    finite: bool = True
    """False: nothing was moved by the turn that was not."""


@dataclass
class Stepper:
    """A module with its optimisers."""

    model: LoopModel
    module: Any
    task: Any
    state: State
    options: LoopOptions
    seed: int
    device: Any
    precision: str = "fp32"
    answer: Any = None
    """What passes go through: the module, or its head where all else is frozen."""
    optimisers: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, list[Any]] = field(default_factory=dict)
    watches: dict[str, Watch] = field(default_factory=dict)
    """Of the gradients, by turn."""

    def open(self, per_epoch: int) -> None:
        """Make an optimiser for each turn, and a watch over its gradients."""
        for turn in self.model.turns:
            groups = self.model.groups_of(turn, self.module)
            self.parameters[turn] = [one for _, members in groups for one in members]
            self.optimisers[turn] = optimise.optimiser(groups, self.options)
            self.watches[turn] = Watch.over(self.module, self.parameters[turn], self.options.clip, per_epoch)

    def forward(self, **tensors: Any) -> Any:
        """One pass, in the chosen precision."""
        with precision.autocast(self.precision, self.device):
            return self.answer(**tensors)

    def step(
        self, examples: Examples, passes: batches.Step, ragged: tuple[str, ...], number: int, rate: float
    ) -> Stepped:
        """Let each optimiser whose turn it is move its weights once."""
        import torch

        generator = torch.Generator().manual_seed(fold(self.seed, number))
        done = Stepped()
        for turn in self.model.turns:
            if not self.model.moves(turn, number):
                continue
            optimise.set_rate(self.optimisers[turn], rate * self.options.rates.get(turn, 1.0))
            self.module.zero_grad(set_to_none=True)
            self._turn(turn, examples, passes, ragged, generator, done)
            if not done.finite:
                break
        return done

    def _turn(
        self,
        turn: str,
        examples: Examples,
        passes: batches.Step,
        ragged: tuple[str, ...],
        generator: Any,
        done: Stepped,
    ) -> None:
        import torch

        total = count = 0.0
        watch = self.watches[turn]
        with watch.along(self.module):
            for rows in passes:
                tensors = forward.tensors(batches.take(examples.arrays, rows, ragged), self.device)
                target = self.target(examples, rows)
                lost = self.model.lost(turn, self.forward, tensors, target, self.task, self.state, generator)
                loss = lost.sums.sum()
                loss.backward()
                total, count = total + float(loss.detach()), count + float(lost.counts.detach().sum())
                if lost.outputs is not None:
                    done.outputs.append(lost.outputs.detach().float().cpu().numpy())
                    done.rows.append(rows)
        optimise.normalise(self.parameters[turn], max(count, 1e-12))
        watch.look()
        if self.options.l1:
            optimise.add_l1(self.optimisers[turn], self.options.l1)
        norm = optimise.clip(self.parameters[turn], self.options.clip)
        done.loss[turn], done.count[turn] = total, count
        done.finite = math.isfinite(total) and math.isfinite(norm)
        watch.stepped(norm, finite=done.finite)
        if done.finite:
            self.optimisers[turn].step()
            with torch.no_grad():
                self.model.moved(turn, self.module)

    def target(self, examples: Examples, rows: Array) -> Any:
        """The target of some rows, on the device."""
        import torch

        target = torch.from_numpy(examples.target[rows])
        return (target if self.state.classes else target.float()).to(self.device)
