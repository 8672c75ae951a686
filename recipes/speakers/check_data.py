"""Check `speakers.parquet`: it is what its authors describe, and neither its order nor its lengths give the speaker away.

    python recipes/speakers/check_data.py     # a few seconds; needs polars, numpy, scikit-learn

1. *As described.* Utterances by speaker and split, coefficients a step, steps an utterance, no value missing, no utterance twice.
2. *How hard is it?* Accuracy on the test utterances of simple classifiers that learn from the training ones: of the number of steps alone, of one step
   alone (the first, the middle, the last), of the mean of all steps, and of the nearest neighbour among those means. And the same the other way
   round, learning from the test utterances, because the two were spoken on different occasions.

Prints; changes nothing.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from make_data import CHANNELS, TABLE
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TEST_ROWS = (31, 35, 88, 44, 29, 24, 40, 50, 29)  # by speaker; the data set's own description
TRAINING_ROWS = 30  # of each speaker


def check_description(table: pl.DataFrame) -> None:
    """Raise AssertionError where the table is not as its authors describe it."""
    for split, wanted in (("train", [TRAINING_ROWS] * 9), ("test", list(TEST_ROWS))):
        counts = table.filter(pl.col("split") == split).group_by("speaker").len().sort("speaker")
        assert counts["speaker"].to_list() == [f"speaker {number}" for number in range(1, 10)]
        assert counts["len"].to_list() == wanted, f"{split}: {counts['len'].to_list()}"
    steps = table["cepstrum"].list.len()
    assert (steps.min(), steps.max()) == (7, 29), f"{steps.min()} to {steps.max()} steps"
    series = [np.array(one, dtype=np.float64) for one in table["cepstrum"].to_list()]
    assert all(one.shape[1] == CHANNELS and np.isfinite(one).all() for one in series)
    assert len({one.tobytes() for one in series}) == len(series), "an utterance stands twice"


def views(table: pl.DataFrame) -> dict[str, np.ndarray]:
    """What the simple classifiers see, (n, d) each."""
    series = [np.array(one, dtype=np.float64) for one in table["cepstrum"].to_list()]
    return {
        "number of steps": np.array([[len(one)] for one in series], dtype=np.float64),
        "first step": np.stack([one[0] for one in series]),
        "middle step": np.stack([one[len(one) // 2] for one in series]),
        "last step": np.stack([one[-1] for one in series]),
        "mean of all steps": np.stack([one.mean(axis=0) for one in series]),
    }


def accuracies(learnt: pl.DataFrame, tested: pl.DataFrame) -> dict[str, float]:
    """Accuracy on `tested` by view."""
    before, after, found = views(learnt), views(tested), {}
    target, wanted = learnt["speaker"].to_numpy(), tested["speaker"].to_numpy()
    for name in before:
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        found[name] = logistic.fit(before[name], target).score(after[name], wanted)
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    name = "mean of all steps"
    found["nearest mean of all steps"] = nearest.fit(before[name], target).score(after[name], wanted)
    return found


def main() -> None:
    """Run both checks."""
    table = pl.read_parquet(TABLE)
    check_description(table)
    steps = table["cepstrum"].list.len()
    print(
        f"as described: {table.height} utterances of {steps.min()} to {steps.max()} steps, median {steps.median():g}; no two are equal"
    )
    train, test = (table.filter(pl.col("split") == split) for split in ("train", "test"))
    commonest = test["speaker"].value_counts()["count"].max() / test.height
    print(f"always the commonest speaker of the test: {commonest:.3f}")
    for title, learnt, tested in (
        ("learnt from train, tested on test", train, test),
        ("the other way round", test, train),
    ):
        shown = ", ".join(f"{name} {value:.3f}" for name, value in accuracies(learnt, tested).items())
        print(f"{title}: {shown}")


if __name__ == "__main__":
    main()
