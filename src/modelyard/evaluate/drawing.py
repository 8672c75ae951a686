"""What models of images make: how alike a crowd of it is to real images, of which classes, how various, and whose copies.

A linear discriminant on the features of one fixed network judges classes, and is itself the classifier that learns from made images
alone: in closed form, so that nothing is drawn. It knows no networks that make images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modelyard.context import Context
from modelyard.evaluate._rows import Trial
from modelyard.features import images
from modelyard.metrics import Statistic, find, imagery, likeness, mean_of
from modelyard.metrics._contract import ratio
from modelyard.metrics.imagery import Copies, Discriminant
from modelyard.models import _gan
from modelyard.models._imaging import conditions
from modelyard.predictor import Predictor
from modelyard.records._base import Estimate
from modelyard.records.evaluated import Drawing, Drawn
from modelyard.records.trained import Trained
from modelyard.rows import Array, empty_column, from_frame, read_split
from modelyard.store import Store, replacing

FREE = {"tiny": 100, "small": 1000, "base": 2000, "large": 5000}
"""Images made without a class, by size: of a thousand, a share of 5 % is known to 1.4 points."""
MOST_TRAINING = 20_000
"""Training images that are looked at; more would take longer than training."""
ACROSS, SHOWN = 8, 12
"""Images of a class on a sheet, and pairs of a made image and the training image nearest to it."""
MOST_DOWN = 20
"""Classes on a sheet."""
LOST = 0.25
"""A class is lost where it is made less than a quarter as often as training shows it."""


def study(
    context: Context,
    chosen: Predictor,
    opened: Mapping[str, Predictor],
    test: Trial,
    scores: Array,
    theirs: Mapping[str, Array],
) -> Drawing:
    """Figures and sheets of what the chosen artifact and every candidate (`opened`, whose answers are `theirs`) made for the test rows."""
    trained, name = context.record(Trained), ""
    crowd = _Crowd.of(context, chosen, test)
    troubles = {
        one.name: [each for job in one.jobs for each in job.facts.get("troubles", ())] for one in trained.candidates
    }
    baseline = next(
        one.name for one in trained.candidates if one.model == chosen.task.baselines[0] and one.name in theirs
    )
    (first,) = trained.weights
    everyone = {"": (chosen, scores, troubles[first])}
    everyone |= {name: (opened[name], answers, troubles[name]) for name, answers in theirs.items()}
    with context.progress.bar("draw", len(everyone)) as advance:
        drawn = {}
        for name, (predictor, answers, seen) in everyone.items():
            drawn[name] = crowd.drawn(context.store, name, predictor, answers, theirs[baseline], seen)
            advance(1)
    return Drawing(
        rows=len(scores), free=crowd.free if crowd.classes else 0, network=likeness.identity(), baseline=baseline, classes=crowd.classes,
        expected=crowd.expected, chosen=drawn.pop(""), candidates=drawn, real_accuracy=crowd.real_accuracy(),
        real_copied=crowd.estimate(crowd.copies(test.target).statistic), nearest=crowd.beside(context.store, scores),
    )  # fmt: skip


@dataclass(frozen=True)
class _Crowd:
    """Real images, of training and of test, as everything made is compared with them."""

    test: Trial
    training: Array
    """(n, D) uint8 pixels."""
    labels: Array
    """(n,) class numbers of the training images; 0 where there are no classes."""
    asked: Array
    """(m,) class numbers of the test rows; -1 where training never saw the class."""
    classes: tuple[str, ...]
    condition: str
    """The column of classes; empty where there is none."""
    free: int
    seed: int

    @classmethod
    def of(cls, context: Context, chosen: Predictor, test: Trial) -> _Crowd:
        state, seed = test.state, context.blueprint.train.seed
        frame = read_split(context.store.path("data"), "train")
        some = np.sort(np.random.default_rng(seed).permutation(frame.height)[:MOST_TRAINING])
        frame = frame[some]
        condition = next(iter(conditions(state)), "")
        named = from_frame(frame, {condition: "category"})[condition] if condition else np.full(frame.height, "")
        classes = tuple(sorted({str(one) for one in named if one is not None}))
        number = {name: place for place, name in enumerate(classes)}
        asked = test.rows[condition] if condition else np.full(len(test.target), "")
        known = np.array([one is not None for one in named])
        target = chosen.task.encode_target(state.target_of(frame), state)
        return cls(
            test=test, training=target[known], labels=np.array([number[str(one)] for one in named[known]], dtype=np.int64),
            asked=np.array([number.get(str(one), -1) for one in asked], dtype=np.int64), classes=classes if condition else (),
            condition=condition, free=FREE[context.blueprint.size], seed=seed,
        )  # fmt: skip

    @property
    def expected(self) -> dict[str, float]:
        """Class -> its share of the training images."""
        if not self.classes:
            return {}
        shares = imagery.class_shares(self.labels, classes=len(self.classes))
        return dict(zip(self.classes, shares.tolist(), strict=True))

    @cached_property
    def seen(self) -> Array:
        """(n, d) features of the training images."""
        return likeness.features(self.training)

    @cached_property
    def judge(self) -> Discriminant:
        """Tells the classes of images apart, by real ones."""
        return Discriminant.fit(self.seen, self.labels, classes=len(self.classes))

    @cached_property
    def limit(self) -> float:
        """How near is a near-copy."""
        return imagery.near_limit(self.seen, seed=self.seed)

    def copies(self, pixels: Array) -> Copies:
        """The training images nearest to some."""
        return imagery.copies(likeness.features(pixels), self.seen, limit=self.limit)

    def estimate(self, statistic: Statistic) -> Estimate:
        """A figure of the test rows with its interval."""
        (found,) = self.test.bootstrap.of([statistic], len(self.test.target), groups=self.test.groups)
        assert found is not None, "there are test rows"
        return found

    def accuracy(self, features: Array, labels: Array) -> Statistic:
        """On real test rows, of a classifier that learnt from images of these features and classes."""
        learnt = Discriminant.fit(features, labels, classes=len(self.classes))
        right = learnt(likeness.features(self.test.target)) == self.asked
        return mean_of(right.astype(np.float64))

    def real_accuracy(self) -> Estimate | None:
        """The same where it learns from as many real images."""
        if not self.classes:
            return None
        some = np.random.default_rng(self.seed).permutation(len(self.labels))[: len(self.asked)]
        return self.estimate(self.accuracy(self.seen[some], self.labels[some]))

    def drawn(
        self, store: Store, name: str, predictor: Predictor, scores: Array, baseline: Array, troubles: list[str]
    ) -> Drawn:
        """Figures of what one artifact made for the test rows, and makes where no class is asked for."""
        features, known = likeness.features(scores), self.asked >= 0
        figures = {"kernel_ratio": self.estimate(self._ratio(scores, baseline))}
        figures["copied"] = self.estimate(self.copies(scores).statistic)
        variety = self._variety(features[known])
        troubles = [*troubles, *(["mode_collapse"] if variety is not None and variety < _gan.COLLAPSED else [])]
        shares: dict[str, float] = {}
        if self.classes:
            figures["sample_accuracy"] = self.estimate(self.accuracy(features[known], self.asked[known]))
            figures["agreement"] = self.estimate(mean_of((self.judge(features) == self.asked).astype(np.float64)))
            judged = self.judge(likeness.features(self._freely(predictor)))
            (least,) = self.test.bootstrap.of([imagery.least_share(judged, classes=len(self.classes))], len(judged))
            assert least is not None, "images were made"
            figures["least_share"] = least
            found = imagery.class_shares(judged, classes=len(self.classes))
            shares = dict(zip(self.classes, found.tolist(), strict=True))
            troubles += (
                ["class_lost"] if any(shares[one] < LOST * share for one, share in self.expected.items()) else []
            )
        return Drawn(
            figures=figures, variety=variety, shares=shares, troubles=tuple(dict.fromkeys(troubles)), sheet=self._sheet(store, name, scores)
        )  # fmt: skip

    def _ratio(self, scores: Array, baseline: Array) -> Statistic:
        """The kernel distance over the baseline's, on the same rows."""
        metric, labels = find("kernel_distance"), np.zeros(len(scores))
        ours, theirs = (metric.over(self.test.sample(each, labels)) for each in (scores, baseline))
        return lambda weights: ratio(ours(weights), theirs(weights), empty=np.nan)

    def _variety(self, features: Array) -> float | None:
        """Spread within classes over that of the real test images."""
        known, count = self.asked >= 0, len(self.classes)
        real = _gan.spread(likeness.features(self.test.target)[known], self.asked[known], classes=count)
        made = _gan.spread(features, self.asked[known], classes=count)
        return made / real if np.isfinite(made) and real > 0 else None

    def _freely(self, predictor: Predictor) -> Array:
        """(free, D) images of test rows that name no class; repeated rows have seeds of their own."""
        rows = self.test.rows.take(np.resize(np.arange(len(self.asked)), self.free))
        blank = {self.condition: empty_column("category", self.free), "seed": np.arange(self.free, dtype=np.float64)}
        return predictor.scores(rows.replace(**blank))

    def _sheet(self, store: Store, name: str, scores: Array) -> str:
        """Images of each class in the order of the test rows, a class a row."""
        places = [np.flatnonzero(self.asked == number)[:ACROSS] for number in range(max(len(self.classes), 1))][
            :MOST_DOWN
        ]
        if not self.classes:
            places = [np.arange(len(scores))[start : start + ACROSS] for start in range(0, ACROSS * ACROSS, ACROSS)]
        return _write(store, f"sheet{'-' if name else ''}{name}", [scores[each] for each in places if len(each)])

    def beside(self, store: Store, scores: Array) -> str:
        """Made images above, and below each the training image nearest to it."""
        some = np.linspace(0, len(scores) - 1, min(SHOWN, len(scores))).astype(int)
        return _write(store, "nearest", [scores[some], self.training[self.copies(scores[some]).number]])


def _write(store: Store, name: str, rows: list[Array]) -> str:
    """Rows of pixels (m, D), short ones filled with white, as a picture of the build."""
    across, shape = max(map(len, rows)), likeness.shape_of(rows[0].shape[1])
    cells = np.full((len(rows), across, *shape), 255, dtype=np.uint8)
    for down, row in enumerate(rows):
        cells[down, : len(row)] = row.reshape(len(row), *shape)
    place = f"evaluate/{name}.png"
    with replacing(store.path(*place.split("/"))) as temporary:
        temporary.write_bytes(images.png(images.sheet(cells)))
    return place
