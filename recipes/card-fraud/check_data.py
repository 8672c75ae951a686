"""Check `card-fraud.parquet`: no feature knows the future, and the task is neither trivial nor hopeless.

    python recipes/card-fraud/check_data.py     # about half a minute; needs polars, numpy, pandas, lightgbm, scikit-learn

Two checks, both independent of how `make_data.py` computes features:
1. *The past only.* For 400 rows drawn at random the history features are computed again from the kept table, one slow filter a row, with the
   windows written out; they must be equal. Rows of the first 37 days are left out, because their windows reach before the table.
2. *A plain model.* LightGBM on a time split (65 / 15 / 20 %), with and without the 7 days before each boundary whose labels a bank would not yet
   know; average precision, ROC-AUC, precision among the `K` highest a day, recall for each scenario; then without the history of
   the customer or the terminal; and the ROC-AUC of each column alone.

Prints; changes nothing.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
from sklearn.metrics import average_precision_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).parent))
from make_data import DAYS_BEFORE, DELAY_DAYS, START, TABLE, WINDOWS, make, span

K = 10  # transactions looked at a day; blueprint.yaml counts each card once
NOT_LEARNT = ["transaction_id", "time", "customer_id", "terminal_id", "fraud", "scenario"]


def mean(values: pl.Series, digits: int) -> float | None:
    """The mean, rounded; None of nothing."""
    return round(float(values.mean()), digits) if values.len() else None


def close(ours: float | None, theirs: float | None) -> bool:
    """Equal up to the rounding of the table; missing equals missing."""
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= 1e-2 + 1e-3 * abs(ours)


def check_past(table: pl.DataFrame, rows: int = 400) -> int:
    """How many feature values were compared; raises AssertionError at the first that is not what the past says."""
    fraud, compared = pl.col("fraud") == "yes", 0
    late = table.filter(pl.col("time") >= START + datetime.timedelta(days=DAYS_BEFORE))
    half = rows // 2  # half of them frauds, which matter most
    drawn = pl.concat([late.filter(fraud).sample(half, seed=0), late.filter(~fraud).sample(rows - half, seed=0)])
    for row in drawn.iter_rows(named=True):
        now, expected = row["time"], {}
        mine = table.filter((pl.col("customer_id") == row["customer_id"]) & (pl.col("time") < now))
        theirs = table.filter((pl.col("terminal_id") == row["terminal_id"]) & (pl.col("time") < now))
        for days in WINDOWS:
            length, known = datetime.timedelta(days=days), now - datetime.timedelta(days=DELAY_DAYS)
            recent = mine.filter(pl.col("time") >= now - length)
            labelled = theirs.filter((pl.col("time") >= known - length) & (pl.col("time") < known))
            expected[f"customer_count_{span(days)}"] = recent.height
            expected[f"customer_mean_amount_{span(days)}"] = mean(recent["amount"], 2)
            expected[f"terminal_count_{span(days)}"] = labelled.height
            expected[f"terminal_fraud_rate_{span(days)}"] = mean(labelled.select(fraud.cast(pl.Float64)).to_series(), 4)
        month = mine.filter(pl.col("time") >= now - datetime.timedelta(days=30))
        expected["visits_30_days"] = month.filter(pl.col("terminal_id") == row["terminal_id"]).height
        if mine.filter(pl.col("time") == now).height == 0 and mine.height:
            expected["seconds_since_last"] = (now - mine["time"].max()).total_seconds()
        for name, value in expected.items():
            assert close(value, row[name]), f"{row['transaction_id']}: {name} is {row[name]}, the past says {value}"
            compared += 1
    return compared


def target(part: pl.DataFrame) -> np.ndarray:
    """True where fraud."""
    return (part["fraud"] == "yes").to_numpy()


def fit(table: pl.DataFrame, gap: int, *, without: tuple[str, ...] = ()) -> tuple[pl.DataFrame, np.ndarray]:
    """The test rows and LightGBM's scores on them; `gap` days before each boundary are left out of training and choosing.

    Columns whose name begins like one of `without` are left out. The merchant's name always is: as a code it would only be memorised.
    """
    at = [table["time"][int(share * table.height)] for share in (0.65, 0.8)]
    wait = datetime.timedelta(days=gap)
    train = table.filter(pl.col("time") < at[0] - wait)
    valid = table.filter((pl.col("time") >= at[0]) & (pl.col("time") < at[1] - wait))
    test = table.filter(pl.col("time") >= at[1])
    learnt = [name for name in table.columns if name not in (*NOT_LEARNT, "merchant") and not name.startswith(without)]
    codes = {name: pl.Enum(table[name].unique().sort()) for name in learnt if table[name].dtype == pl.String}

    def features(part: pl.DataFrame) -> pd.DataFrame:
        return part.select(learnt).with_columns(pl.col(n).cast(c).to_physical() for n, c in codes.items()).to_pandas()

    model = lightgbm.LGBMClassifier(n_estimators=600, learning_rate=0.03, num_leaves=15, subsample=0.8, subsample_freq=1,
                                    colsample_bytree=0.6, min_child_samples=30, reg_lambda=5, n_jobs=2, seed=0, verbose=-1)  # fmt: skip
    model.fit(features(train), target(train), eval_X=(features(valid),), eval_y=(target(valid),), eval_metric="average_precision",
              callbacks=[lightgbm.early_stopping(60, verbose=False)], categorical_feature=list(codes))  # fmt: skip
    return test, model.predict_proba(features(test))[:, 1]


def main() -> None:
    """Run both checks."""
    table = pl.read_parquet(TABLE)
    print(f"past only: {check_past(table):,} values of 400 rows are what the past says")
    made = make()
    assert made.drop("scenario").equals(table), "card-fraud.parquet is not what make_data.py makes"
    for gap in (0, DELAY_DAYS):
        test, score = fit(made, gap)
        y = target(test)
        top = test.select("time", "scenario").with_columns(
            score=pl.Series(score), y=pl.Series(y), day=pl.col("time").dt.date()
        )
        top = top.with_columns(checked=pl.col("score").rank("ordinal", descending=True).over("day") <= K)
        print(f"gap {gap} days: test {y.size:,} rows, {y.sum()} frauds, average precision {average_precision_score(y, score):.3f}, "
              f"ROC-AUC {roc_auc_score(y, score):.3f}, precision at {K} a day {top.filter('checked')['y'].mean():.3f}")  # fmt: skip
        caught = top.filter("y").group_by("scenario").agg(pl.len(), caught=pl.col("checked").mean()).sort("scenario")
        print("  caught among those checked, by scenario:", {s: f"{c:.2f} of {n}" for s, n, c in caught.iter_rows()})
        amounts = test["amount"].to_numpy()
        flagged = score > 0.5
        saved = (
            amounts[y & flagged].sum() - 5.0 * (flagged & ~y).sum()
        )  # a false alarm costs 5 USD, as in blueprint.yaml
        best = max(
            amounts[y & (score > t)].sum() - 5.0 * ((score > t) & ~y).sum()
            for t in np.quantile(score, np.linspace(0.9, 1, 400))
        )
        print(
            f"  fraud in test {amounts[y].sum():,.0f} USD; saved at 0.5: {saved:,.0f}; at most (threshold seen on test, a bound): {best:,.0f}"
        )
    histories = {"customer": ("customer_", "amount_to_", "seconds_", "visits_"), "terminal": ("terminal_",)}
    for title, names in histories.items():
        test, score = fit(made, 0, without=names)
        print(f"without the {title}'s history: average precision {average_precision_score(target(test), score):.3f}")
    y = target(table)
    alone = {}
    for name in table.columns:
        column = table[name]
        value = (column.rank() if column.dtype == pl.String else column.cast(pl.Float64)).fill_null(-1).to_numpy()
        area = roc_auc_score(y, value) if name not in ("fraud", "time") else 0.5
        alone[name] = round(max(area, 1 - area), 3)
    print(
        "each column alone, ROC-AUC:",
        dict(sorted(alone.items(), key=lambda item: -item[1])[:12]),
        "transaction_id",
        alone["transaction_id"],
    )


if __name__ == "__main__":
    main()
