"""What `yard forecast` expects of a build before anything is spent: time, memory, disk, cost, energy, carbon and quality, with intervals.

It is written before the first stage and never changed by one; the report sets it beside the outcome.
"""

from __future__ import annotations

from typing import Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate, Record
from modelyard.units import Bytes, Measure, Seconds


class Likely(Frozen):
    """A quantity that is expected, and the interval that holds the outcome `level` of the times."""

    value: Measure
    low: Measure
    high: Measure
    level: float = 0.9

    def holds(self, outcome: float) -> bool:
        """Whether an outcome, in canonical units, lies inside."""
        return self.low.value <= outcome <= self.high.value


class StageForecast(Frozen):
    """One stage."""

    stage: str
    seconds: Likely
    memory: Likely
    """The process's peak while the stage runs."""
    disk: Likely
    """Bytes that the stage leaves in the build."""
    cost: Likely
    energy: Likely
    carbon: Likely


class Point(Frozen):
    """One small run of a candidate."""

    rows: int
    seconds: Seconds
    memory: Bytes
    metric: Estimate | None = None
    """The choosing metric on the pilot's held-out rows; null where it says nothing about them, or training was cut off."""


class Tried(Frozen):
    """One candidate in the pilot."""

    name: str
    model: str
    points: tuple[Point, ...] = ()
    seconds: Likely | None = None
    """Expected of all its jobs in the whole build, the budget kept."""
    parameters: int = 0
    flops_per_row: float = 0.0
    """Of one forward pass, as the model says."""
    training_memory: Bytes | None = None
    """Weights, gradients, the optimiser's state and activations of one step; null for models that learn in one call."""
    reason: str = ""
    """Why it was not tried."""


class Gain(Frozen):
    """What another choice would bring, in the choosing metric's own unit; positive is better."""

    what: Literal["rows", "model"]
    factor: float = 1.0
    """Times as many rows."""
    than: str = ""
    """The smaller model that the larger one was set against."""
    name: str = ""
    """The larger model."""
    gain: Estimate


class Quality(Frozen):
    """The choosing metric that the build's test rows will show."""

    metric: str
    greater_is_better: bool
    rows: int
    """Training rows of the whole build."""
    candidate: str
    """Whose learning curve it is."""
    expected: Estimate
    points: dict[int, float]
    """Rows of the pilot -> the metric."""
    gains: tuple[Gain, ...] = ()


class LanguageForecast(Frozen):
    """A language model's size against its data and this machine."""

    candidate: str
    parameters: int
    tokens: float
    """In the training texts."""
    epochs: int
    """Passes over them at most."""
    compute: Measure
    """Of all of them: 6 FLOP a parameter and token."""
    best_parameters: int | None = None
    """What that compute is best spent on, with `best_tokens` different tokens (English web text); null where weights are pretrained."""
    best_tokens: int | None = None
    fitting_parameters: int | None = None
    """The size whose optimal budget reads these tokens once."""
    cache: Bytes
    """Keys and values of one answer of the usual length."""
    beside: int
    """Answers that fit this machine's memory beside each other; 0: not even one."""
    rate: Measure
    """Tokens a second of all of them together, at best."""
    first_token: Seconds | None = None
    """Seconds to read a prompt of the usual length, at best."""


class Rented(Frozen):
    """The build on a machine of the price table."""

    machine: str
    provider: str
    memory: Bytes
    fits: bool
    """Whether the upper end of the expected peak is within its memory."""
    seconds: Likely
    """As here: a machine with other cores is not measured, so only machines that are no smaller are told."""
    cost: Likely


class Forecast(Record):
    """The forecast of one build on this machine."""

    stage: str = "forecast"
    name: str
    task: str
    made: str
    """When."""
    data: str
    """Fingerprint of the source rows."""
    machine: str
    """Fingerprint of this machine."""
    rows: int
    stages: tuple[StageForecast, ...]
    seconds: Likely
    memory: Likely
    disk: Likely
    cost: Likely
    energy: Likely
    carbon: Likely
    quality: Quality | None = None
    no_quality: str = ""
    """Why no quality is told."""
    candidates: tuple[Tried, ...] = ()
    language: tuple[LanguageForecast, ...] = ()
    rented: tuple[Rented, ...] = ()
    """The cheapest first; empty where no machine of the table is as large as this one."""
    chosen: str = ""
    """The machine that `cost`, `energy` and `carbon` are of."""
    memory_here: Bytes
    fits: bool
    """Whether the upper end of the expected peak is within this machine's memory."""
    constants: str
    """What the stages' constants were fitted on."""
    spent: Seconds
    """What the forecast itself took."""
    features: dict[str, dict[str, float]] = {}
    """What each stage's time was worked out from, for fitting the constants anew."""
