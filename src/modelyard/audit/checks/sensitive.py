"""Are people of different groups treated alike? Selection rates, equal opportunity and errors by declared column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import FEWEST, FEWEST_OF_CLASS, gap, plain, share_statistic
from modelyard.audit.world import World
from modelyard.errors import DataError, nearest
from modelyard.metrics import Statistic
from modelyard.metrics._contract import ratio
from modelyard.metrics.slicing import Slices, slices_of
from modelyard.records._base import Estimate
from modelyard.records.audited import Finding
from modelyard.rows import Array


class Figure(NamedTuple):
    """One figure of one group."""

    kind: str
    column: str
    value: str
    statistic: Statistic


class Part(Check):
    """Sensitive columns; numbers are cut at their quartiles. Figures, by group: `selection_ratio` and
    `opportunity_difference` to the group of the highest rate, `recall_gap` or `error_gap` and `bias` to all others."""

    cure: ClassVar[str] = (
        "Look at the group's rows and at what stands in for the column; give more of them or move the threshold."
    )

    favourable: str | None = None
    """The class people wish for; by default, of two classes, the one that is not looked for (paid back, no fraud)."""
    selection_ratio: float = Field(0.8, gt=0, lt=1)
    """Smallest selection rate of a group over the highest one: the four-fifths rule (29 CFR 1607.4 D, USA)."""
    opportunity: float = Field(0.1, gt=0, lt=1)
    """Largest difference of true-positive rates (equal opportunity, Hardt et al. 2016); the band is AIF360's."""
    recall_gap: float = Field(0.1, gt=0, lt=1)
    """Classes: largest gap of mean recall to all others; the same band."""
    error_gap: float = Field(0.5, gt=0)
    """Numbers: mean absolute error above all others', relative, that is shown as a warning, no more."""
    bias: float = Field(0.2, gt=0)
    """Numbers: largest difference of the mean error, in deviations of the target: a small effect (Cohen 1988; medium is 0.5)."""
    stops: Literal["limit", "far", "never"] = "far"
    """What stops the build: a figure certainly beyond its limit; only one twice as far from equality (0.6 for 0.8, 0.2 for 0.1); or
    none. What is beyond its limit is always shown: the limits are evidence to be explained, and groups do differ in what they deserve."""

    def applies(self, world: World) -> str:
        if world.state.makes == "image":
            return "made images are judged as a crowd, not row by row"
        return "" if world.blueprint.audit.sensitive else "no audit.sensitive columns are declared"

    def __call__(self, world: World) -> Finding:
        favourable = self._favourable(world)
        figures: list[Figure] = []
        details: dict[str, Any] = {}
        for name in world.blueprint.audit.sensitive:
            slices = slices_of(*world.column(name, "audit.sensitive"))
            figures += _figures(world, name, slices, favourable)
            details[name] = {value: {"rows": size} for value, size in zip(slices.names, slices.sizes(), strict=True)}
            if favourable is not None:
                for number, value in enumerate(slices.names):
                    details[name][value] |= rates(world, slices.mask(number), favourable)
        found = world.bootstrap.together([each.statistic for each in figures], len(world.sample), groups=world.groups)
        rules = []
        for figure, estimate in zip(figures, found, strict=True):
            if estimate is not None:
                rules.append(self._rule(figure, estimate))
                details[figure.column][figure.value][figure.kind] = plain(estimate)
        name_of = world.state.classes[favourable] if favourable is not None else None
        return finding("sensitive", rules, {"favourable": name_of, "columns": details}, most=24)

    def _rule(self, figure: Figure, estimate: Estimate) -> Rule:
        limit = {
            "selection_ratio": self.selection_ratio,
            "opportunity_difference": self.opportunity,
            "recall_gap": self.recall_gap,
            "error_gap": self.error_gap,
            "bias": self.bias,
        }[figure.kind]
        name = f"{figure.kind} {figure.column}={figure.value}"
        far = 1 - 2 * (1 - limit) if figure.kind == "selection_ratio" else 2 * limit
        fail = {"limit": limit, "far": far, "never": None}[self.stops if figure.kind != "error_gap" else "never"]
        if figure.kind == "selection_ratio":
            return Rule(name, estimate, limit, fail, "below")
        if figure.kind == "bias" and estimate.value < 0:
            return Rule(name, estimate, -limit, None if fail is None else -fail, "below")
        return Rule(name, estimate, limit, fail)

    def _favourable(self, world: World) -> int | None:
        """The number of the favourable class; None where there is no obvious one. DataError for an unknown name."""
        state = world.state
        if self.favourable is not None:
            if self.favourable not in state.classes:
                known = ", ".join(state.classes) or "none, the answers are numbers"
                raise DataError(
                    f"audit.checks.sensitive.favourable: no class {self.favourable!r}.{nearest(self.favourable, state.classes)} Classes: {known}"
                )
            return state.classes.index(self.favourable)
        two = state.positive is not None and len(state.classes) == 2
        return 1 - state.positive_class if two and state.positive_class is not None else None


def _figures(world: World, column: str, slices: Slices, favourable: int | None) -> Iterator[Figure]:
    """The figures of each group that is large enough."""
    sample, every = world.sample, np.ones(len(world.sample), dtype=bool)
    masks = {value: slices.mask(number) for number, value in enumerate(slices.names)}
    masks = {value: mask for value, mask in masks.items() if FEWEST <= mask.sum() <= len(every) - FEWEST}
    for value, mask in masks.items():
        statistic = gap(sample, mask, classes=bool(world.state.classes))
        if statistic is not None:
            yield Figure("recall_gap" if world.state.classes else "error_gap", column, value, statistic)
        if not world.state.classes:
            yield Figure("bias", column, value, bias(sample.target, sample.labels, mask))
    if favourable is None:
        return
    chosen, deserved = sample.labels == favourable, sample.target == favourable
    highest = _highest(masks, chosen, every)
    for value, mask in masks.items():
        if highest is not None and value != highest:
            yield Figure("selection_ratio", column, value, _over(chosen, mask, masks[highest]))
    open_to = {value: mask for value, mask in masks.items() if (mask & deserved).sum() >= FEWEST_OF_CLASS}
    highest = _highest(open_to, chosen, deserved)
    for value, mask in open_to.items():
        if highest is not None and value != highest:
            statistic = _less(chosen, mask & deserved, open_to[highest] & deserved)
            yield Figure("opportunity_difference", column, value, statistic)


def _highest(masks: dict[str, Array], chosen: Array, base: Array) -> str | None:
    """The group of the highest rate of `chosen` among `base` rows."""
    found = {value: float(chosen[mask & base].mean()) for value, mask in masks.items()}
    return max(found, key=lambda value: found[value]) if len(found) > 1 else None


def _over(chosen: Array, mask: Array, reference: Array) -> Statistic:
    own, other = share_statistic(chosen, mask), share_statistic(chosen, reference)
    return lambda weights: ratio(own(weights), other(weights), empty=np.nan)


def _less(chosen: Array, mask: Array, reference: Array) -> Statistic:
    own, other = share_statistic(chosen, mask), share_statistic(chosen, reference)
    return lambda weights: other(weights) - own(weights)


def bias(target: Array, answer: Array, mask: Array) -> Statistic:
    """Mean error (answer minus truth) of the group minus that of the others, in standard deviations of the target."""
    errors = (answer - target) / (float(np.std(target)) or 1.0)
    sides = np.stack([errors * mask, mask.astype(float), errors * ~mask, (~mask).astype(float)], axis=1)

    def statistic(weights: Array) -> Array:
        own, count, rest, others = (weights @ sides).T
        return ratio(own, count, empty=np.nan) - ratio(rest, others, empty=np.nan)

    return statistic


def rates(world: World, mask: Array, favourable: int) -> dict[str, float | None]:
    """Selection rate and true-positive rate of the favourable class in a group, without intervals."""
    chosen, deserved = world.sample.labels == favourable, world.sample.target == favourable
    both = mask & deserved
    return {
        "selection_rate": float(chosen[mask].mean()) if mask.any() else None,
        "true_positive_rate": float(chosen[both].mean()) if both.any() else None,
    }
