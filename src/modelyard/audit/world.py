"""What a check may look at: the test rows and their saved answers, the artifact, and the records before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.metrics import Bootstrap, Metric, Sample, TopK, find, top_k_of
from modelyard.metrics.slicing import column_of
from modelyard.predictor import Predictor
from modelyard.records.evaluated import Evaluated
from modelyard.records.prepared import Prepared
from modelyard.records.trained import Trained
from modelyard.rows import Array, Rows, from_frame, read_split
from modelyard.store import Store
from modelyard.tasks._contract import State, Task

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class World:
    """The test rows, what was answered, and who answered."""

    blueprint: Blueprint
    store: Store
    prepared: Prepared
    trained: Trained
    evaluated: Evaluated
    predictor: Predictor
    sample: Sample
    """Saved answers of the chosen artifact on the test rows."""
    groups: Array | None
    """(n,) groups of rows that hang together, where there are any."""
    bootstrap: Bootstrap
    metric: Metric
    """The choosing metric."""

    @classmethod
    def of(cls, context: Context) -> World:
        """The world of a build that has been evaluated."""
        trained, evaluated = context.record(Trained), context.record(Evaluated)
        predictor = Predictor.open(context.store.path(trained.artifact))
        state, wanted = predictor.state, context.blueprint.evaluate
        with np.load(context.store.path(evaluated.scores), allow_pickle=False) as saved:
            sample = Sample.of(
                saved["target"],
                saved["scores"],
                labels=saved["labels"],
                positive=state.positive_class,
                top_k=top_k_of(read_split(context.store.path("data"), "test"), context.blueprint),
            )
            groups = saved.get("group")
        return cls(
            blueprint=context.blueprint,
            store=context.store,
            prepared=context.record(Prepared),
            trained=trained,
            evaluated=evaluated,
            predictor=predictor,
            sample=sample,
            groups=groups,
            bootstrap=Bootstrap(wanted.bootstrap, wanted.level, context.blueprint.train.seed),
            metric=find(trained.metric),
        )

    @property
    def task(self) -> Task:
        """The task."""
        return self.predictor.task  # type: ignore[no-any-return]

    @property
    def state(self) -> State:
        """The task's state."""
        return self.predictor.state

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.blueprint.train.seed

    @cached_property
    def test(self) -> polars.DataFrame:
        """The test split, every column."""
        return read_split(self.store.path("data"), "test")

    @cached_property
    def rows(self) -> Rows:
        """The inputs of the test rows."""
        return from_frame(self.test, self.state.scored())

    @cached_property
    def train(self) -> polars.DataFrame:
        """The training split, every column."""
        return read_split(self.store.path("data"), "train")

    @cached_property
    def types(self) -> Mapping[str, str]:
        """Type of every column of the source."""
        return {column.name: column.type for column in self.prepared.columns}

    def column(self, name: str, where: str) -> tuple[Array, str]:
        """A column of the test rows and its type; DataError names the nearest column."""
        return column_of(self.test, self.types, name, where)

    def truth(self, frame: polars.DataFrame) -> Array:
        """The encoded target of a split: class numbers, or numbers."""
        return self.task.encode_target(self.state.target_of(frame), self.state)

    def answers(self, rows: Rows, target: Array, top_k: TopK = TopK()) -> Sample:  # noqa: B008  # frozen
        """The chosen artifact's answers to other rows."""
        scores = self.predictor.scores(rows)
        labels = self.task.labels(scores, self.state, self.predictor.artifact.threshold)
        return Sample.of(target, scores, labels=labels, positive=self.sample.positive, top_k=top_k)

    def some(self, count: int, most: int) -> Array:
        """At most `most` of `count` row numbers, in order, the same ones each time."""
        return np.sort(np.random.default_rng(self.seed).permutation(count)[:most])
