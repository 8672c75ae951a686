"""What leaving columns out costs: the figures behind `ignore` in the blueprints of credit and house-prices.

    python recipes/check_columns.py     # about a minute; needs polars, pandas, lightgbm, scikit-learn

LightGBM on the same folds with all columns and without some; the differences are paired. Prints; changes nothing.
"""

from __future__ import annotations

from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

HERE = Path(__file__).parent
COMMON = {"subsample": 0.8, "subsample_freq": 1, "n_jobs": 2, "verbose": -1, "seed": 0}


def table(path: str) -> pd.DataFrame:
    """The rows, with texts as categories."""
    rows = pl.read_parquet(HERE / path)
    return rows.with_columns(pl.col(pl.String).cast(pl.Categorical)).to_pandas()


def credit(without: tuple[str, ...]) -> np.ndarray:
    """ROC-AUC of bad loans on each of 5 x 2 folds."""
    rows = table("credit/credit.parquet")
    x, y = rows.drop(columns=["Status", *without]), (rows["Status"] == "bad").to_numpy()
    found = []
    for train, test in RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0).split(x, y):
        model = lightgbm.LGBMClassifier(
            n_estimators=200, learning_rate=0.03, num_leaves=12, colsample_bytree=0.6, **COMMON
        )
        model.fit(x.iloc[train], y[train])
        found.append(roc_auc_score(y[test], model.predict_proba(x.iloc[test])[:, 1]))
    return np.array(found)


def house_prices(without: tuple[str, ...]) -> np.ndarray:
    """Root mean squared error in USD on each of 5 folds; learnt on the logarithm."""
    rows = table("house-prices/house-prices.parquet")
    x, y = rows.drop(columns=["Sale_Price", *without]), rows["Sale_Price"].to_numpy()
    found = []
    for train, test in RepeatedKFold(n_splits=5, n_repeats=1, random_state=0).split(x):
        model = lightgbm.LGBMRegressor(
            n_estimators=400, learning_rate=0.04, num_leaves=15, colsample_bytree=0.5, **COMMON
        )
        model.fit(x.iloc[train], np.log(y[train]))
        found.append(np.sqrt(np.mean((np.exp(model.predict(x.iloc[test])) - y[test]) ** 2)))
    return np.array(found)


def main() -> None:
    """Both comparisons."""
    for title, measure, without in (
        ("credit", credit, ("Age", "Marital")),
        ("house-prices", house_prices, ("Sale_Type", "Sale_Condition")),
    ):
        every, fewer = measure(()), measure(without)
        difference = fewer - every
        print(
            f"{title}: all columns {every.mean():,.4f}, without {' and '.join(without)} {fewer.mean():,.4f}, "
            f"difference {difference.mean():,.4f}, standard deviation {difference.std():,.4f}"
        )


if __name__ == "__main__":
    main()
