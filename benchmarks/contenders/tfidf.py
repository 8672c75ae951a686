"""TF-IDF of words and word pairs + logistic regression, tuned by grouped cross-validation: scikit-learn as its documentation uses it."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import _talk

GRID = {
    "vectoriser__min_df": [1, 2, 5],
    "vectoriser__sublinear_tf": [False, True],
    "model__C": [0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0],
}
FOLDS = 5


class Tfidf:
    """One tuned pipeline."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("scikit-learn", "numpy", "scipy")

    def fit(
        self, folder: str, train: str, test: str, target: str, identity: str, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Choose C, min_df and sublinear_tf by macro-F1 over folds of whole groups, then fit on every training row."""
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, GroupKFold
        from sklearn.pipeline import Pipeline

        table = _read(train)
        self.identity, self.texts = identity, settings["texts"]
        groups = np.unique([name or "" for name in table[settings["group"]]], return_inverse=True)[1]
        with tempfile.TemporaryDirectory(prefix="tfidf-") as memory:  # one vectoriser fit serves every C
            steps = [("vectoriser", TfidfVectorizer(ngram_range=(1, 2))), ("model", LogisticRegression(max_iter=2000))]
            grid, cores = settings.get("grid") or GRID, len(os.sched_getaffinity(0))
            search = GridSearchCV(
                Pipeline(steps, memory=memory),
                grid,
                scoring="f1_macro",
                cv=GroupKFold(FOLDS),
                n_jobs=cores,
                error_score="raise",
            )
            search.fit(_join(table, self.texts), table[target], groups=groups)
        self.best = search.best_estimator_
        self.best.memory = None
        return {
            "chosen": search.best_params_,
            "validation": float(search.best_score_),
            "tried": len(search.cv_results_["params"]),
        }

    def predict(self, rows: str) -> dict[str, Any]:
        """Answers for the rows of a file without target."""
        table = _read(rows)
        scores = self.best.predict_proba(_join(table, self.texts))
        classes = [str(name) for name in self.best.classes_]
        return {
            "identity": table[self.identity],
            "classes": classes,
            "scores": scores.tolist(),
            "labels": [classes[row.argmax()] for row in scores],
        }


def _read(path: str) -> dict[str, Any]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pydict()


def _join(table: dict[str, Any], names: list[str]) -> list[str]:
    """Subject and body as one text, a line each."""
    return ["\n".join(value or "" for value in row) for row in zip(*(table[name] for name in names), strict=True)]


if __name__ == "__main__":
    _talk.serve(Tfidf())
