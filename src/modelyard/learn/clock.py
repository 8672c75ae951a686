"""A wall-clock budget in steps: measured on the first real steps, corrected while the rate still hardly falls, written down before it is used.

    <name>.steps       {"at": 6, "steps": 180}    from step 6 on, 180 steps are planned (none: all epochs fitted easily)
    <name>.steps.2     {"at": 20, "steps": 205}   measured on more of them, it is 205
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
"""The first plan is made after at least so many steps, or when half the time is gone."""
PLANNING = (0.01, 0.05, 0.15, 0.35)
"""... and not before the first of these shares of the time; at the others it is made anew, if twice as many steps have been measured.
Until there is a plan, warm-up is stretched over all epochs and the rate is next to nothing: a late first plan wastes steps and ends in a
jump. A plan of the first steps alone is wrong by a third: they are slower than the rest."""
PLANNED = 0.45
"""From this share of the time on the rate falls too fast for another plan; stops do what is left to do."""
RESERVE = 0.97
"""Share of the time that is planned for; the rest is for checkpoints and noise."""
THREAT = 1.05
"""A predicted overrun by this factor shortens the training: half of the 10 % within which a budget is to be kept."""
STOPS = 9
"""Most stops."""
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
    """Those in force, in order; the last one holds."""
    stops: list[dict[str, int]] = field(default_factory=list)
    """Those in force, in order."""
    step_seconds: float = 0.0
    step_works: float = 0.0
    validation_seconds: float = 0.0
    begun: int = 0
    """The step this process began with."""
    _pending: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """Kinds and decisions that an earlier process took, in order."""
    _over: bool = False
    _recent: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=20))
    """(seconds, work) of the latest steps measured."""

    def __post_init__(self) -> None:
        self.planned = self.most
        if self.seconds is None:
            return
        self._over = peek(self.decide, f"{self.name}.end") is not None
        for kind, most in (("steps", len(PLANNING)), ("stop", STOPS)):
            found = (peek(self.decide, self._named(kind, number)) for number in range(most))
            self._pending += [(kind, decision) for decision in found if decision is not None]
        self._pending.sort(key=lambda one: one[1]["at"])

    def _named(self, kind: str, number: int) -> str:
        return f"{self.name}.{kind}" + (f".{number + 1}" if number else "")

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
        while self._pending and self._pending[0][1]["at"] <= step:
            self._apply(*self._pending.pop(0))
        seconds = self.seconds
        if seconds is None or self._over or self._pending:
            return
        gone = self.elapsed() / seconds
        if self._planning(step, gone):
            self._take("steps", self.plans, lambda: {"at": step, "steps": self._affordable(step, self.most, RESERVE)})
        elif self._threatened(step, gone) and self._predicted(step, self.planned) > seconds * THREAT:
            self._take("stop", self.stops, lambda: {"at": step, "steps": self._affordable(step, self.planned, 1.0)})

    def _planning(self, step: int, gone: float) -> bool:
        """Whether a plan is due when a share of the time is gone."""
        if not self.plans:
            return (step >= MEASURED and gone >= PLANNING[0]) or (step > 0 and gone > 0.5)
        due = sum(share <= gone for share in PLANNING)
        return len(self.plans) < due and gone < PLANNED and bool(self._recent) and step >= 2 * self.plans[-1]["at"]

    def _threatened(self, step: int, gone: float) -> bool:
        """Whether a stop may be due: enough has been measured since the last decision; near the end every step is looked at."""
        if gone < PLANNING[-1] or not self.plans or step >= self.planned or len(self.stops) == STOPS:
            return False
        last = (self.stops or self.plans)[-1]["at"]
        enough = step - last >= max(len(self._recent) // 2, CALM * self.planned)
        return bool(self._recent) and (enough or gone > 0.9)

    def _take(self, kind: str, taken: list[dict[str, int]], choose: Callable[[], dict[str, int]]) -> None:
        self._apply(kind, self.decide(self._named(kind, len(taken)), choose))

    def damping(self, step: int) -> float:
        """Share of the learning rate that the stops in force leave: a line to 0 from the moment each was decided."""
        share = 1.0
        for stop in self.stops:
            share *= max(0.0, (stop["steps"] - step) / max(1, stop["steps"] - stop["at"]))
        return share

    def schedule(self) -> int:
        """Steps over which the schedule runs: the last plan's, whatever stops came after."""
        return self.plans[-1]["steps"] if self.plans else self.most

    def end(self, step: int) -> None:
        """Training is over; a repetition with these decisions measures nothing."""
        if self.seconds is not None:
            self.decide(f"{self.name}.end", lambda: step)

    def _apply(self, kind: str, decision: dict[str, int]) -> None:
        (self.plans if kind == "steps" else self.stops).append(decision)
        self.planned = min(each["steps"] for each in (self.plans[-1:] + self.stops))

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

    def _affordable(self, step: int, most: int, share: float) -> int:
        """The most steps, up to `most`, that end within a share of the time."""
        assert self.seconds is not None
        low, high = step, most
        while low < high:
            middle = (low + high + 1) // 2
            if self._predicted(step, middle) <= share * self.seconds:
                low = middle
            else:
                high = middle - 1
        return low
