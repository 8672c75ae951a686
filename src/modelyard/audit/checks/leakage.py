"""Does a column give the answer away, or do test rows stand in training? Suspects of `prepare` are shown beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import plain
from modelyard.audit.world import World
from modelyard.metrics import Statistic
from modelyard.metrics._contract import ratio
from modelyard.records.audited import Finding
from modelyard.rows import Array, Rows, from_frame

if TYPE_CHECKING:
    import polars

ROWS = 20_000
"""Training rows that a column's tree learns from; more would not change what one column can say."""
LEAF = 5
"""Fewest rows of a leaf: a value seen less often says nothing that could be told from chance."""


class Part(Check):
    """Leakage. Figures: `<column> alone` (share of the dummy's errors that it removes), `seen rows` (gain from
    test rows whose inputs stand in training; of an error, relative)."""

    cure: ClassVar[str] = (
        "Leave the column out (data.columns: NAME: ignore) if it is not known when the service is asked; split by group or time if rows repeat."
    )

    warn_alone: float = Field(0.9, gt=0, lt=1)
    """Share of the errors that a single column may certainly remove before it is shown: rarely does one honest
    column say so much."""
    fail_alone: float | None = Field(0.98, gt=0, lt=1)
    """The same, that stops the build: such a column is the target under another name (too good to be true, Kaufman et
    al. 2012)."""
    warn_seen: float = Field(0.005, gt=0)
    """Gain of the choosing metric from rows already seen that is shown: the half point that compression may cost."""
    fail_seen: float | None = Field(0.05, gt=0)
    """The same, that stops the build."""

    def applies(self, world: World) -> str:
        return ""

    def __call__(self, world: World) -> Finding:
        rules = self._alone(world)
        seen = self._seen(world)
        details: dict[str, Any] = {
            "alone": {rule.figure: plain(rule.estimate) for rule in rules},
            "rows_seen": int(seen.sum()),
        }
        if 0 < seen.sum() < len(seen):
            (gain,) = world.bootstrap.of([gain_from(world, ~seen)], len(seen), groups=world.groups)
            if gain is not None:
                rules.append(Rule("seen rows", gain, self.warn_seen, self.fail_seen))
        details["suspects"] = [suspect.model_dump(mode="json") for suspect in world.prepared.suspects]
        found = finding("leakage", rules, details)
        shown = [suspect for suspect in world.prepared.suspects if suspect.detail.get("role") != "ignored"]
        if found.status == "passed" and shown:
            return found.model_copy(update={"status": "warning"})
        return found

    def _alone(self, world: World) -> list[Rule]:
        """What each number, category, boolean and date can do by itself. A sole input is the service, not a leak."""
        columns = [name for name, kind in world.state.types().items() if kind not in ("text", "image", "sequence")]
        if len(world.state.types()) < 2 or not columns or world.state.makes:
            return []
        frame = world.train[world.some(world.train.height, ROWS)]
        train, truth = from_frame(frame, world.state.types()), world.truth(frame)
        statistics = {name: alone(name, train, truth, world) for name in columns}
        found = world.bootstrap.together(list(statistics.values()), len(world.sample), groups=world.groups)
        return [
            Rule(f"{name} alone", estimate, self.warn_alone, self.fail_alone)
            for name, estimate in zip(statistics, found, strict=True)
            if estimate is not None
        ]

    def _seen(self, world: World) -> Array:
        """(n,) whether a test row's inputs (where an answer is made, the row's own) stand in the training rows, exactly."""
        names = [world.state.target] if world.state.makes else list(world.state.types())
        train = set(_marks(world.train, names))
        return np.array([one in train for one in _marks(world.test, names)], dtype=bool)


def _marks(frame: polars.DataFrame, names: list[str]) -> list[int]:
    """A hash of each row's inputs; series count by what would be printed of them."""
    import polars as pl

    nested = [name for name in names if frame.schema[name].is_nested()]
    spelt = [pl.Series(name, [str(value) for value in frame[name].to_list()], dtype=pl.String) for name in nested]
    return frame.select(names).with_columns(spelt).hash_rows(seed=0).to_list()


def alone(name: str, train: Rows, truth: Array, world: World) -> Statistic:
    """1 - errors of a tree of this one column / errors of the most frequent class (or squared errors of the mean)."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    column, test = _coded(train[name], world.rows[name])
    target = world.sample.target
    known = truth >= 0 if world.state.classes else np.isfinite(truth)
    kind = DecisionTreeClassifier if world.state.classes else DecisionTreeRegressor
    answer = kind(min_samples_leaf=LEAF, random_state=0).fit(column[known], truth[known]).predict(test)
    if world.state.classes:
        usual = np.bincount(truth[known].astype(np.int64)).argmax()
        errors, dummy = (answer != target).astype(float), (usual != target).astype(float)
    else:
        errors, dummy = (answer - target) ** 2, (truth[known].mean() - target) ** 2
    return lambda weights: 1 - ratio(weights @ errors, weights @ dummy, empty=np.nan)


def _coded(train: Array, test: Array) -> tuple[Array, Array]:
    """Two (n, 1) columns of numbers; categories by number, those not in training as missing."""
    if train.dtype != object:
        return train[:, None], test[:, None]
    number = {value: place for place, value in enumerate(sorted({value for value in train if value is not None}))}
    both = [
        np.array([number.get(value, np.nan) for value in column], dtype=np.float64)[:, None] for column in (train, test)
    ]
    return both[0], both[1]


def gain_from(world: World, unseen: Array) -> Statistic:
    """The choosing metric on all test rows against unseen ones only: points, or for an error the share it hides."""
    over = world.metric.over(world.sample)
    if world.metric.greater_is_better:
        return lambda weights: over(weights) - over(weights * unseen)
    return lambda weights: 1 - ratio(over(weights), over(weights * unseen), empty=np.nan)
