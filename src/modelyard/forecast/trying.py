"""One candidate of the pilot: what its small runs took, and what that says of the whole data.

A model that learns in one call is run whole. Gradient training is run for so many steps that its pace is known, and whole only where that
is affordable; the number of steps is decided beforehand, by the same decisions that a budget takes. It knows nothing about stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelyard.forecast.estimates import Training
from modelyard.forecast.growing import Line, line
from modelyard.models._contract import LoopOptions
from modelyard.records._base import Estimate

STEPS = 16
"""Optimiser steps from which a pace is told: the first two of a process are slow, and lengths differ."""
PATIENCE_SHARE, PATIENCE_SPREAD = 0.6, 0.35
"""Epochs that training with patience takes, of those it may take, and the standard deviation of the logarithm: where no whole run tells."""
WHOLE_SPREAD = 0.2
"""... and where one does, on fewer rows."""
FEWER = 0.3
"""Epochs until patience ends fall with rows to this power. Set by hand: on credit's 2,850 rows it ended 16 to 23 of 40, on 500 it hardly ended any."""
FIXED = 0.1
"""Seconds of a fit that are thought not to grow with rows, where they are all that is known."""
PACE_SPREAD = 0.06
ONE_SIZE_SPREAD = 0.15
"""Of a growth that is known from runs of one size."""
UNLIMITED = 1e9
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One small run."""

    rows: int
    held: int
    total: float
    parts: dict[str, float]
    """Seconds: `encode`, and `fit`, or `steps` and `validation`."""
    peak: float
    epochs: float = 0.0
    steps: int = 0
    whole: bool = True
    """Whether it ended by itself."""
    metric: Estimate | None = None
    disk: float = 0.0
    """Bytes of the job's folder."""

    @property
    def other(self) -> float:
        """Seconds of no part: weights are loaded, graphs are made, results are saved and scored."""
        return max(self.total - sum(self.parts.values()), 0.0)


@dataclass(frozen=True, slots=True)
class Natural:
    """Seconds of one fold on the whole data that no budget cuts."""

    seconds: float
    least: float
    """Of these, what no budget can cut."""
    spread: float
    """Standard deviation of the logarithm."""
    cold: float = 0.0
    """Seconds of imports, which the first fold pays beside."""


@dataclass
class Candidate:
    """What is known of one candidate."""

    name: str
    model: str
    options: dict[str, Any]
    learns: Literal["fit", "loop"]
    baseline: bool = False
    floor: bool = False
    """Whether it is what must be beaten: it learns nothing from more rows."""
    share: float | None = None
    warm: Ran | None = None
    """The first run: it pays for imports."""
    begun: float = 0.0
    """Seconds before it, in which a network was made and weighed: its imports are paid there."""
    runs: list[Ran] = field(default_factory=list)
    loop: LoopOptions | None = None
    """How it trains on the whole data."""
    training: Training | None = None
    blocks: float = 1.0
    """Training examples of a row: texts may be packed, several to a block, or cut."""
    tokens: float = 0.0
    """Of a row, where the model reads tokens of a language."""
    shape: dict[str, Any] | None = None
    """Of a decoder."""
    pretrained: bool = False
    row_seconds: float = 0.0
    """Of an answer, in batches, through the trained artifact."""
    weights: float = 0.0
    parameters: int = 0
    flops_per_row: float = 0.0
    reason: str = ""

    @property
    def known(self) -> list[Ran]:
        """Runs from which times are told: the warm ones, else the first."""
        return self.runs or ([self.warm] if self.warm else [])

    @property
    def peak(self) -> float:
        """The highest of all runs, in bytes."""
        return max((run.peak for run in (self.warm, *self.runs) if run), default=0.0)

    def disk(self, rows: int) -> float:
        """Bytes of a job's folder after so many rows: trees and vocabularies grow, networks do not."""
        if self.learns == "loop" or len(self.runs) < 2:
            return max((run.disk for run in self.known), default=0.0)
        return self._growth(lambda run: run.disk, lambda run: float(run.rows)).at(rows)

    def expected(self, rows: int, held: int, steps: int | None = None) -> float:
        """Seconds of another small run: what the largest one took, grown in proportion."""
        if not self.known:
            return 0.0
        last = max(self.known, key=lambda run: run.rows)
        grown = (rows + held) / (last.rows + last.held)
        if self.learns == "fit":
            lasting = min(last.total, FIXED)
            return lasting + (last.total - lasting) * grown
        pace = last.parts["steps"] / max(last.steps, 1) * self._batch(rows) / self._batch(last.rows)
        validation = last.parts["validation"] * held / max(last.held, 1)
        return last.other + last.parts["encode"] * grown + pace * (steps or last.steps) + validation

    def _batch(self, rows: int) -> float:
        return min(rows * self.blocks, float(self.loop.batch_rows)) if self.loop else float(rows)

    def steps_of(self, rows: int) -> int:
        """Optimiser steps of a whole training on so many rows."""
        assert self.loop is not None
        return max(1, math.ceil(rows * self.blocks / self.loop.batch_rows)) * self.loop.epochs

    def natural(self, rows: int, held: int) -> Natural | None:
        """One fold on the whole data; None where nothing ran."""
        if not self.known:
            return None
        found = self._fit(rows, held) if self.learns == "fit" else self._loop(rows, held)
        return replace(found, cold=self._cold())

    def _cold(self) -> float:
        """What the first run took beyond a warm one: imports."""
        if self.warm is None or not self.runs:
            return 0.0
        again = min(self.runs, key=lambda run: run.rows)
        warm = line([run.rows for run in self.runs], [run.total for run in self.runs]).at(self.warm.rows)
        kept = again.other if self.learns == "loop" else warm
        first = self.warm.other if self.learns == "loop" else self.warm.total
        return max(first - kept, 0.0) + max(self.begun - kept, 0.0)

    def _growth(self, read: Callable[[Ran], float], x: Callable[[Ran], float]) -> Line:
        return line([x(run) for run in self.known], [read(run) for run in self.known])

    def _sized(self) -> float:
        return 0.0 if len({run.rows for run in self.known}) > 1 else ONE_SIZE_SPREAD

    def _fit(self, rows: int, held: int) -> Natural:
        encode = self._growth(lambda run: run.parts["encode"], lambda run: float(run.rows + run.held))
        fit = self._growth(lambda run: run.parts["fit"], lambda run: float(run.rows))
        last = max(self.known, key=lambda run: run.rows)
        other = last.other * (0.5 + 0.5 * held / max(last.held, 1))
        outside = encode.at(rows + held) + other
        seconds = outside + fit.at(rows)
        spread = math.hypot(fit.spread(rows), self._sized())
        return Natural(seconds, outside, spread)

    def _loop(self, rows: int, held: int) -> Natural:
        assert self.loop is not None
        encode = self._growth(lambda run: run.parts["encode"], lambda run: float(run.rows + run.held))
        other = self._others()
        last = max(self.known, key=lambda run: (run.steps, run.rows))
        epoch = last.parts["steps"] / max(last.epochs, 1e-9) * rows / last.rows
        epochs, doubt = self._epochs(rows)
        validations = max(1.0, epochs * self.loop.validations_per_epoch)
        validation = self._validation() * held
        outside = encode.at(rows + held) + other.at(rows + held)
        seconds = outside + epochs * epoch + validations * validation
        trained = (epochs * epoch + validations * validation) / max(seconds, 1e-9)
        grows = other.spread(rows + held) * other.at(rows + held) / max(seconds, 1e-9)
        spread = math.hypot(PACE_SPREAD, doubt * trained, grows, self._sized())
        return Natural(seconds, outside, spread)

    def _others(self) -> Line:
        """Loading, saving and scoring by rows; from one run nothing is told to grow, because the first one pays for imports."""
        if len(self.runs) < 2:
            return Line(self.known[-1].other, 0.0, float(self.known[-1].rows), ONE_SIZE_SPREAD)
        return self._growth(lambda run: run.other, lambda run: float(run.rows + run.held))

    def _epochs(self, rows: int) -> tuple[float, float]:
        """Epochs of a whole training, and the doubt: patience may end it early."""
        assert self.loop is not None
        most = float(self.loop.epochs)
        if self.loop.patience is None:
            return most, 0.0
        whole = [run for run in self.runs if run.whole]
        if whole:
            last = max(whole, key=lambda run: run.rows)
            fewer = last.epochs * min(1.0, last.rows / rows) ** FEWER
            return min(most, max(fewer, float(self.loop.patience + 2))), WHOLE_SPREAD
        return most * PATIENCE_SHARE, PATIENCE_SPREAD

    def _validation(self) -> float:
        """Seconds of a held-out row, each time it is validated."""
        assert self.loop is not None
        last = max(self.known, key=lambda run: (run.held, run.rows))
        times = max(1.0, last.epochs * self.loop.validations_per_epoch) if last.whole else 1.0
        return last.parts["validation"] / max(last.held, 1) / times


def cut(
    steps: int, decide: Callable[[str, Callable[[], Any]], Any], *, precision: str | None = None
) -> Callable[[str, Callable[[], Any]], Any]:
    """`decide`, but that a training takes so many steps: the plan that its clock would have made is there already.

    With `precision` that one is taken too, so that none is tried out.
    """

    def decided(name: str, choose: Callable[[], Any]) -> Any:
        if precision is not None and name.endswith(".precision"):
            return precision
        return {"at": 0, "steps": steps} if name.endswith(".steps") else decide(name, choose)

    return decided
