"""A wall-clock budget in steps: measured on the first real steps, decided once, written down before it is used.

    <name>.steps       {"at": 6, "steps": 180}    from step 6 on, 180 steps are planned (none: all epochs fitted easily)
    <name>.stop        {"at": 120, "steps": 150}  the clock threatened: from step 120 on, the rate falls to 0 at step 150
    <name>.end         150                        training is over: with this decision a repetition measures nothing

Given these decisions nothing depends on a clock. It knows nothing about what a step does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Decide = Callable[[str, Callable[[], Any]], Any]

SKIPPED = 2
"""The first steps of a process prepare kernels and are not typical."""
MEASURED = 6
"""The plan is made after at least so many steps, or when half the time is gone."""
LOOKING = 0.04
"""... and not before this share of the time: six steps of a millisecond would tell nothing."""
RESERVE = 0.97
"""Share of the time that is planned for; the rest is for checkpoints and noise."""
THREAT = 1.05
"""A predicted overrun by this factor shortens the training: half of the 10 % within which a budget is to be kept."""
CALM = 0.1
"""Share of the planned steps between two decisions: a few slow steps are noise, and each stop bends the schedule."""
FORWARD = 0.4
"""A validation row against a training row before the first is measured: one pass of three, and some overhead."""


class _Untaken(Exception):
    """A decision that nobody has taken."""


def peek(decide: Decide, name: str) -> Any:
    """A decision already taken, or None; none is taken."""

    def refuse() -> Any:
        raise _Untaken

    try:
        return decide(name, refuse)
    except _Untaken:
        return None


@dataclass
class Clock:
    """How many steps there will be. `planned` holds from the current step on; `damping(step)` is the share of the rate."""

    name: str
    decide: Decide
    seconds: float | None
    most: int
    """Steps of all epochs."""
    validate_every: int
    step_work: float
    """Mean work of a step."""
    validation_work: float
    planned: int = 0
    used: float = 0.0
    """Seconds used up to `started` (before a kill)."""
    started: float = field(default_factory=time.monotonic)
    plans: list[dict[str, int]] = field(default_factory=list)
    """The decisions in force, in order: the plan, then the stops."""
    step_seconds: float = 0.0
    step_works: float = 0.0
    validation_seconds: float = 0.0
    begun: int = 0
    """The step this process began with."""
    _pending: list[dict[str, int]] = field(default_factory=list)
    _over: bool = False
    _recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20))
    """(seconds, work) of the latest steps measured."""

    def __post_init__(self) -> None:
        self.planned = self.most
        if self.seconds is None:
            return
        self._over = peek(self.decide, f"{self.name}.end") is not None
        for name in (
            f"{self.name}.steps",
            f"{self.name}.stop",
            *(f"{self.name}.stop.{number}" for number in range(2, 10)),
        ):
            found = peek(self.decide, name)
            if found is not None:
                self._pending.append(found)

    def elapsed(self) -> float:
        """Seconds used, those before a kill included."""
        return self.used + time.monotonic() - self.started

    def spent(self, seconds: float, work: float, step: int) -> None:
        """Note what a training step took."""
        if step >= self.begun + SKIPPED:
            self.step_seconds += seconds
            self.step_works += work
            self._recent.append((seconds, work))

    def validated(self, seconds: float) -> None:
        """Note what a validation took."""
        self.validation_seconds = seconds

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: seconds used, and what steps and validations took. JSON values."""
        return {
            "used": self.elapsed(), "step_seconds": self.step_seconds, "step_works": self.step_works,
            "recent": list(self._recent), "validation_seconds": self.validation_seconds,
        }  # fmt: skip

    def restore(self, state: dict[str, Any], step: int) -> None:
        """Go on at a step from what `state` kept; a checkpoint may lack what steps took."""
        # the time this process took to get here is left out: an unbroken run would not have spent it
        self.used, self.started, self.begun = state["used"], time.monotonic(), step
        self.validation_seconds = state["validation_seconds"]
        self.step_seconds, self.step_works = state.get("step_seconds", 0.0), state.get("step_works", 0.0)
        self._recent.extend((seconds, work) for seconds, work in state.get("recent", ()))

    def look(self, step: int) -> None:
        """Called before each step with the number of steps done: replays or takes the decisions of this moment."""
        while self._pending and self._pending[0]["at"] <= step:
            self._apply(self._pending.pop(0))
        seconds = self.seconds
        if seconds is None or self._over or self._pending:
            return
        if not self.plans:
            enough = step >= MEASURED and self.elapsed() >= LOOKING * seconds
            if enough or (step > 0 and self.elapsed() > seconds / 2):
                self._apply(
                    self.decide(
                        f"{self.name}.steps", lambda: {"at": step, "steps": self._affordable(step, seconds * RESERVE)}
                    )
                )
        elif step < self.planned and self._calm(step) and self._predicted(step, self.planned) > seconds * THREAT:
            number = len(self.plans)
            name = f"{self.name}.stop" if number == 1 else f"{self.name}.stop.{number}"
            if number < 10:
                self._apply(self.decide(name, lambda: {"at": step, "steps": self._affordable(step, seconds)}))

    def _calm(self, step: int) -> bool:
        """Whether enough has been measured since the last decision for another; near the end every step is looked at."""
        assert self.seconds is not None
        return bool(self._recent) and (
            step - self.plans[-1]["at"] >= max(len(self._recent) // 2, CALM * self.planned)
            or self.elapsed() > 0.9 * self.seconds
        )

    def damping(self, step: int) -> float:
        """Share of the learning rate that the stops in force leave: a line to 0 from the moment each was decided."""
        share = 1.0
        for stop in self.plans[1:]:
            share *= max(0.0, (stop["steps"] - step) / max(1, stop["steps"] - stop["at"]))
        return share

    def schedule(self) -> int:
        """Steps over which the schedule runs: the plan's, whatever stops came after."""
        return self.plans[0]["steps"] if self.plans else self.most

    def end(self, step: int) -> None:
        """Training is over; a repetition with these decisions measures nothing."""
        if self.seconds is not None:
            self.decide(f"{self.name}.end", lambda: step)

    def _apply(self, plan: dict[str, int]) -> None:
        self.plans.append(plan)
        self.planned = min(self.planned, plan["steps"])

    def _rate(self, step: int) -> float:
        """Seconds for a unit of work: the mean of all steps' and the latest steps' rate, or all time over all steps until one is measured."""
        if not self._recent:
            return self.elapsed() / (max(1, step) * self.step_work)
        recent = sum(s for s, _ in self._recent) / max(1e-12, sum(w for _, w in self._recent))
        return (self.step_seconds / self.step_works + recent) / 2

    def _predicted(self, step: int, total: int) -> float:
        rate = self._rate(step)
        validations = -(-total // self.validate_every) - step // self.validate_every
        each = self.validation_seconds or self.validation_work * rate * FORWARD
        return self.elapsed() + (total - step) * self.step_work * rate + validations * each

    def _affordable(self, step: int, seconds: float) -> int:
        """The most steps, up to those planned, that end within `seconds`."""
        low, high = step, self.planned
        while low < high:
            middle = (low + high + 1) // 2
            if self._predicted(step, middle) <= seconds:
                low = middle
            else:
                high = middle - 1
        return low
