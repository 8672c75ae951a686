"""Laws of models that learn by gradient: they can learn, a killed training goes on as if nothing had happened, what is exported answers alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.conformance._common import demand
from modelyard.conformance._trial import FEW, LEARNT, Trial
from modelyard.context import Silence
from modelyard.rows import Array

AGREE = 0.75
"""Share of the rows learnt by heart that a method which rounds answers as trained: of eight, two may stand on the edge."""
ROUNDED = 0.25
"""What rounding may move a number, of its size, or nats a token."""


# -- learning -----------------------------------------------------------------------------------------------------------


def learns_by_heart(trial: Trial) -> None:
    """A few rows are learnt by heart: their loss falls to a tenth of that of knowing nothing."""
    if not trial.toy.task.judged:
        return
    found = trial.by_heart
    demand(
        found.loss <= LEARNT * found.known,
        f"after {found.steps} steps on the same {FEW} rows the loss is {found.loss:.4f}, that of knowing nothing is {found.known:.4f}",
    )


# -- resuming -----------------------------------------------------------------------------------------------------------


class _Killed(Exception):
    """Stands for a process that ends between two checkpoints."""


class _Killer(Silence):
    """Ends a training after some steps, before that step's checkpoint is written."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    @contextmanager
    def bar(self, label: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        def advance(amount: float) -> None:
            self.steps -= 1
            if self.steps == 0:
                raise _Killed

        yield advance


def resumes(trial: Trial) -> None:
    """A training that is killed between two checkpoints and started again learns the same weights and curve, bit for bit."""
    shape: dict[str, Any] = {"epochs": 2, "batch_rows": 8}
    whole = trial.loop("whole", **shape)
    steps = whole.facts["steps"]
    try:
        trial.loop("killed", progress=_Killer(max(2, steps // 2 + 1)), checkpoint_seconds=0.0, **shape)
    except _Killed:
        pass
    else:
        demand(steps < 2, f"a training of {steps} steps was not killed")
    again = trial.loop("killed", **shape)
    for name, array in whole.weights.items():
        demand(np.array_equal(array, again.weights[name], equal_nan=array.dtype.kind == "f"), f"{name!r} differs")
    demand(whole.curve == again.curve, "the curves differ")
    demand(whole.facts == again.facts, "the facts differ")


# -- exporting ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Export:
    """A method on a trial whose few rows were learnt by heart."""

    trial: Trial
    method: str
    member: Any
    """`compress.methods._contract.Exportable`; what it made for one method the next one uses."""


def exports(trial: Trial, *, thorough: bool) -> Iterator[Export]:
    """Every method that can export the model here; where not `thorough`, the first that does not round."""
    from modelyard.compress.methods._contract import Exportable
    from modelyard.sessions.torch import load_module

    if not trial.toy.task.judged:
        return
    known = {name: parts.build("compress.methods", name) for name in parts.names("compress.methods")}
    usable = [name for name, method in known.items() if method.applies(trial.model) and not method.missing()]
    usable = usable if thorough else [name for name in usable if known[name].exact][:1]
    if not usable:
        return
    place, toy = trial.write(trial.by_heart.weights, "by-heart"), trial.toy
    workshop = trial.folder / "workshop"
    workshop.mkdir()
    member = Exportable(
        model=trial.model, open_module=lambda: load_module(place, trial.model, trial.features, toy.state), state=toy.state,
        examples=trial.encode(toy.train), workshop=workshop,
    )  # fmt: skip
    for name in usable:
        yield Export(trial, name, member)


def exported_is_trained(export: Export) -> None:
    """What is exported answers as what was trained, also alone, in a batch of all lengths, and strange rows; where it rounds, nearly so."""
    trial, member = export.trial, export.member
    method = parts.build("compress.methods", export.method)
    folder = trial.folder / f"exported-{export.method}"
    folder.mkdir()
    options = method.export(member, folder)
    given = {"threads": 1} if "threads" in parts.load("sessions", method.session).model_fields else {}
    exported = parts.build("sessions", method.session, {**options, **given})
    ours = exported.open(folder, trial.model, trial.features, trial.toy.state)
    theirs = parts.build("sessions", "torch").open(
        trial.folder / "by-heart", trial.model, trial.features, trial.toy.state
    )
    for rows in (
        trial.by_heart.rows,
        trial.by_heart.rows.take(slice(0, 1)),
        *([trial.toy.strange] if method.exact else []),
    ):
        arrays = trial.encode(rows)
        same = _same(trial, ours(arrays), theirs(arrays), exact=method.exact)
        least = 1.0 if method.exact else AGREE
        demand(
            same.mean() >= least,
            f"{(~same).sum()} of {len(rows)} answers differ from the trained model's (rows {np.flatnonzero(~same)[:5].tolist()})",
        )


def _same(trial: Trial, ours: Array, theirs: Array, *, exact: bool) -> Array:
    """(n,) bool: whether two outputs are the same answer, as the task defines it."""
    task, state = trial.toy.task, trial.toy.state
    demand(ours.shape == theirs.shape, f"outputs of shape {ours.shape}, trained {theirs.shape}")
    found: Array = task.same(
        task.scores(ours, state), task.scores(theirs, state), state, threshold=None, tolerance=task.tolerance if exact else ROUNDED
    )  # fmt: skip
    return found
