"""Do small edits change answers? Typing errors, case, white space, lost fields, a little noise; light, focus and place of images."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.audit import edits
from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import plain
from modelyard.audit.world import World
from modelyard.metrics import Sample, Statistic, mean_of
from modelyard.metrics._contract import ratio
from modelyard.records.audited import Finding
from modelyard.rows import Array

SAME = 0.05
"""A number that moves by less than 5 % is the same answer: well inside what any of our regressions promises."""


class Part(Check):
    """Small edits. Figures: `<edit> changed` (share of answers), `<edit> drop` (of the metric; relative for errors)."""

    cure: ClassVar[str] = "Train on rows edited in the same way, or choose a model that reads parts of words."

    rows: int = Field(300, ge=30)
    """Test rows that are edited, at random: enough to know a share of changed answers to about 3 points."""
    typos: float = Field(0.05, ge=0, le=1)
    """Share of words with a typing error: about one a sentence of 20 words. 0 leaves the edit out."""
    spaces: float = Field(0.1, ge=0, le=1)
    """Share of spaces doubled."""
    missing: float = Field(0.1, ge=0, lt=1)
    """Share of fields lost, where there is more than one."""
    noise: float = Field(0.01, ge=0, le=1)
    """Noise on numbers and series, in standard deviations of their column or channel."""
    case: bool = True
    """Whether texts are also read in lower case."""
    brightness: float = Field(0.1, ge=0, lt=1)
    """Share by which images are brighter or darker: the mildest step of ImageNet-C (Hendrycks and Dietterich 2019)."""
    blur: float = Field(0.0045, ge=0, le=0.5)
    """How far images are out of focus, in shares of their side: one pixel of 224, the mildest step of ImageNet-C. 0 leaves the edit out."""
    shift: float = Field(0.05, ge=0, le=0.5)
    """Share of the side by which images are moved: half of what image models train with by default. 0 leaves the edit out."""
    jpeg: int = Field(50, ge=0, le=95)
    """Quality of the JPEG as which images are saved again; ImageNet-C's mildest step, 25, is what nobody saves. 0 leaves the edit out."""
    warn_changed: float = Field(0.1, gt=0, le=1)
    """Share of changed answers that is shown as a warning; one typing error a text changed 4 to 10 % of the answers of
    commercial sentiment services (CheckList, Ribeiro et al. 2020, table 1)."""
    warn_drop: float = Field(0.05, gt=0)
    """Loss of the choosing metric, in points, that is shown: ten times the half point that compression may cost."""
    fail_drop: float | None = Field(0.2, gt=0)
    """The same, that stops the build; null: never."""
    warn_ratio: float = Field(0.2, gt=0)
    """Where the choosing metric is an error: its growth, relative, that is shown."""
    fail_ratio: float | None = Field(1.0, gt=0)
    """The same, that stops the build: 1 is twice the error; null: never."""

    def applies(self, world: World) -> str:
        if world.state.makes == "image":
            return "an image is made from its seed; another seed is another image"
        return "" if self._edits(world) else "no text, number, image, series or second field to edit"

    def _edits(self, world: World) -> dict[str, edits.Edit]:
        asked = [column for column in world.state.inputs if column.missing < 1]
        kinds = {column.type for column in asked}
        found: dict[str, edits.Edit] = {}
        if "text" in kinds:
            found |= {"typos": edits.typos(self.typos)} if self.typos else {}
            found |= {"case": edits.case} if self.case else {}
            found |= {"spaces": edits.spaces(self.spaces)} if self.spaces else {}
        if kinds & {"number", "sequence"} and self.noise:
            found["noise"] = edits.noise(self.noise)
        if "image" in kinds:
            found |= {"brightness": edits.brightness(self.brightness)} if self.brightness else {}
            found |= {"blur": edits.blur(self.blur)} if self.blur else {}
            found |= {"shift": edits.shift(self.shift)} if self.shift else {}
            found |= {"resaved": edits.resaved(self.jpeg)} if self.jpeg else {}
        if len(asked) > 1 and self.missing:
            found["missing"] = edits.missing(self.missing)
        return found

    def __call__(self, world: World) -> Finding:
        index = world.some(len(world.sample), self.rows)
        before, rows = world.sample.take(index), world.rows.take(index)
        groups = None if world.groups is None else world.groups[index]
        points = world.metric.greater_is_better
        warn, fail = (self.warn_drop, self.fail_drop) if points else (self.warn_ratio, self.fail_ratio)
        rules, details = [], dict[str, Any]()
        for number, (name, edit) in enumerate(self._edits(world).items()):
            rng = np.random.default_rng([world.seed, number])
            after = world.answers(edit(rows, world.state.types(), rng), before.target, before.top_k)
            changed, drop = world.bootstrap.of(
                [mean_of(self._changed(world, before, after)), loss(world, before, after)], len(index), groups=groups
            )
            if changed is not None:
                rules.append(Rule(f"{name} changed", changed, self.warn_changed))
            if drop is not None:
                rules.append(Rule(f"{name} drop", drop, warn, fail))
            details[name] = {"changed": plain(changed) if changed else None, "drop": plain(drop) if drop else None}
        return finding("robustness", rules, {"rows": len(index), "edits": details})

    def _changed(self, world: World, before: Sample, after: Sample) -> Array:
        if world.state.classes:
            same: Array = before.labels == after.labels
        else:
            same = world.task.same(after.scores, before.scores, world.state, threshold=None, tolerance=SAME)
        changed: Array = np.logical_not(same).astype(np.float64)
        return changed


def loss(world: World, before: Sample, after: Sample) -> Statistic:
    """How much worse the choosing metric is after: in points, or relative for an error."""
    first, then = world.metric.over(before), world.metric.over(after)
    if world.metric.greater_is_better:
        return lambda weights: first(weights) - then(weights)
    return lambda weights: ratio(then(weights), first(weights), empty=np.nan) - 1
