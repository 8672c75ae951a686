"""LightGBM with its defaults, early stopping on 15 % of the training rows (the latest, where time counts), categories as it takes them natively.

A column of text is a category too, or left out: whichever is better on the rows held out, for a category of names overfits.
"""

from __future__ import annotations

from typing import Any

import _talk

ROUNDS, PATIENCE, HELD_OUT = 5000, 50, 0.15
"""The defaults otherwise: learning rate 0.1, 31 leaves."""
GREATER = ("auc", "average_precision")
"""Metrics that are better when greater."""


class LightGBM:
    """One boosted model."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("lightgbm", "scikit-learn", "numpy", "pandas")

    def fit(
        self, folder: str, train: str, test: str, target: str, identity: str, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Train until the held-out metric has not improved for 50 rounds.

        `settings`: `kind` (classification or regression), `metric` (LightGBM's name), `seed`; `ignored` columns; `latest`: the column of
        time whose last rows are held out, instead of random ones; `texts`: columns to try without.
        """
        import pandas
        from sklearn.model_selection import train_test_split

        frame = pandas.read_parquet(train)
        left_out = {target, identity, *settings.get("ignored", ())}
        self.identity, columns = identity, [name for name in frame.columns if name not in left_out]
        self.categories = {
            name: frame[name].astype("category").dtype
            for name in columns
            if not pandas.api.types.is_numeric_dtype(frame[name])
        }
        classes = settings["kind"] == "classification"
        if "latest" in settings:
            learn, held = train_test_split(frame.sort_values(settings["latest"]), test_size=HELD_OUT, shuffle=False)
        else:
            learn, held = train_test_split(
                frame, test_size=HELD_OUT, random_state=settings["seed"], stratify=frame[target] if classes else None
            )
        texts = settings.get("texts", [])
        tried = [columns, *([[name for name in columns if name not in texts]] if texts else [])]
        fitted = [self._fitted(each, learn, held, target, settings) for each in tried]
        greater = settings["metric"] in GREATER
        best = max(range(len(tried)), key=lambda place: fitted[place][1] if greater else -fitted[place][1])
        self.model, self.columns = fitted[best][0], tried[best]
        return {
            "rounds": int(self.model.best_iteration_),
            "held_out": [score for _, score in fitted],
            "left_out": [name for name in columns if name not in self.columns],
        }

    def _fitted(
        self, columns: list[str], learn: Any, held: Any, target: str, settings: dict[str, Any]
    ) -> tuple[Any, float]:
        """A model of these columns, and its metric on the rows held out."""
        import lightgbm

        kind = lightgbm.LGBMClassifier if settings["kind"] == "classification" else lightgbm.LGBMRegressor
        model = kind(n_estimators=ROUNDS, metric=settings["metric"], random_state=settings["seed"], verbosity=-1)
        model.fit(
            self._typed(learn, columns),
            learn[target],
            eval_set=[(self._typed(held, columns), held[target])],
            callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )
        (held_out,) = model.best_score_["valid_0"].values()
        return model, float(held_out)

    def predict(self, rows: str) -> dict[str, Any]:
        """Answers for the rows of a file without target."""
        import pandas

        frame = pandas.read_parquet(rows)
        typed = self._typed(frame, self.columns)
        self.rows = [typed.iloc[[row]] for row in range(min(len(typed), 200))]
        classes = [str(name) for name in getattr(self.model, "classes_", [])]
        scores = self._answer(typed)
        return {
            "identity": frame[self.identity].tolist(),
            "classes": classes,
            "scores": scores.reshape(len(frame), -1).tolist(),
            "labels": [],
        }

    def one(self, count: int, start: int) -> list[float]:
        """Seconds of `count` rows one by one, each a ready frame of one row."""
        return _talk.timed(self._answer, self.rows, count=count, start=start)

    def _answer(self, frame: Any) -> Any:
        return self.model.predict_proba(frame) if hasattr(self.model, "classes_") else self.model.predict(frame)

    def _typed(self, frame: Any, columns: list[str]) -> Any:
        return frame[columns].astype({name: kind for name, kind in self.categories.items() if name in columns})


if __name__ == "__main__":
    _talk.serve(LightGBM())
