"""What `train` learnt: every candidate, and the artifact put together from them."""

from __future__ import annotations

from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate, Record


class Work(Frozen):
    """What one row costs a model, as the model itself says."""

    parameters: int
    flops_per_row: float
    """Floating-point operations of one forward pass of a typical row (of `typical_length` tokens, where it has a length)."""
    bytes: int
    """Bytes of the weights."""
    typical_length: int | None = None


class Epoch(Frozen):
    """One validation during gradient training."""

    epoch: float
    step: int
    train_loss: float
    validation_loss: float | None
    """None where the loss says nothing about rows that training never saw, as that of two networks against each other."""
    train_metric: float | None
    """None where training passes answer no rows."""
    validation_metric: float
    learning_rate: float
    losses: dict[str, float] = {}
    """The training loss by optimiser, where there are several."""


class Job(Frozen):
    """One candidate on one fold with one seed: the unit of caching."""

    fold: int
    seed: int
    key: str
    folder: str
    """Relative to the build."""
    curve: tuple[Epoch, ...] = ()
    facts: dict[str, Any] = {}
    """Steps, precision, stopped early, chosen number of trees or strength."""
    timings: dict[str, float] = {}
    """Seconds, by part."""


class Candidate(Frozen):
    """A model with its options, on the validation rows."""

    name: str
    model: str
    options: dict[str, Any] = {}
    status: Literal["trained", "skipped"]
    reason: str = ""
    """Why it was skipped."""
    jobs: tuple[Job, ...] = ()
    validation: dict[str, Estimate] = {}
    work: Work | None = None
    explain: dict[str, Any] = {}
    """Layers, rules, top features; see Model.explain."""
    timings: dict[str, float] = {}
    artifact: str | None = None
    """Folder of this candidate's own artifact, relative to the build."""


Weighting = Literal["single", "best", "greedy", "equal"]
"""One candidate because nothing was put together, or because nothing helped it; weights that answer best together; equal ones."""


class Trained(Record):
    """Candidates, choice, threshold and calibration; all chosen on validation rows only."""

    stage: str = "train"
    task: str
    metric: str
    greater_is_better: bool
    folds: int
    candidates: tuple[Candidate, ...]
    weights: dict[str, float]
    """Candidate to its weight in the chosen artifact."""
    weighting: Weighting = "single"
    """How the weights came about."""
    validation: dict[str, Estimate]
    """The chosen artifact on the validation rows (out of fold where folds > 1)."""
    temperature: float
    bias: tuple[float, ...] = ()
    """Class biases of the calibration; see predictor.temper."""
    threshold: float | None
    threshold_reason: str
    threshold_curve: dict[str, list[float]] = {}
    """`threshold` with `cost` (each row's mean) where costs are declared, else with `metric`, on the validation rows."""
    artifact: str = "model"
    """Folder of the chosen artifact, relative to the build."""
    hashes: dict[str, str] = {}
    """Files of the artifact."""
    validation_scores: str = "train/validation.npz"
    """`row` (source row numbers), `target`, `scores` (n, K) of the chosen artifact on validation rows, `group`, and `period` and
    `entity` where they are; relative to the build."""
    augmented: str | None = None
    """A file of the build: training images, and each as a model of the artifact met it; null where none changes images."""
    timings: dict[str, Any] = {}

    @property
    def saw_validation(self) -> bool:
        """Whether a model of the artifact learnt from validation rows: one of several folds, or one refitted on every row."""
        shares = [candidate for candidate in self.candidates if self.weights.get(candidate.name)]
        return self.folds > 1 or any(
            job.fold not in range(self.folds) for candidate in shares for job in candidate.jobs
        )
