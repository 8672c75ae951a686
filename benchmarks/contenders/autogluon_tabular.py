"""AutoGluon Tabular with its default preset and a time limit, models kept in memory while single rows are asked."""

from __future__ import annotations

from typing import Any

import _talk


class AutoGluon:
    """One predictor."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions(
            "autogluon.tabular",
            "lightgbm",
            "catboost",
            "xgboost-cpu",
            "fastai",
            "torch",
            "scikit-learn",
            "numpy",
            "pandas",
        )

    def fit(
        self, folder: str, train: str, test: str, target: str, identity: str, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """`TabularPredictor(label).fit(train, time_limit)`: nothing else is chosen for it but the metric."""
        import pandas
        from autogluon.tabular import TabularPredictor

        self.identity = identity
        frame = pandas.read_parquet(train).drop(columns=[identity])
        self.predictor = TabularPredictor(
            label=target, eval_metric=settings["metric"], path=f"{folder}/autogluon", verbosity=2
        )
        self.predictor.fit(frame, time_limit=settings["time_limit"])
        self.predictor.persist()  # what its documentation advises for online inference
        board = self.predictor.leaderboard(silent=True)
        return {
            "best": self.predictor.model_best,
            "models": {
                str(row.model): {"score": float(row.score_val), "seconds": float(row.fit_time)}
                for row in board.itertuples()
            },
        }

    def predict(self, rows: str) -> dict[str, Any]:
        """Answers for the rows of a file without target."""
        import pandas

        whole = pandas.read_parquet(rows)
        frame = whole.drop(columns=[self.identity])
        self.classified = self.predictor.problem_type != "regression"
        self.rows = [frame.iloc[[row]] for row in range(min(len(frame), 200))]
        scores = self._answer(frame)
        classes = [str(name) for name in scores.columns] if self.classified else []
        return {
            "identity": whole[self.identity].tolist(),
            "classes": classes,
            "scores": scores.to_numpy().reshape(len(frame), -1).tolist(),
            "labels": [],
        }

    def one(self, count: int, start: int) -> list[float]:
        """Seconds of `count` rows one by one, each a ready frame of one row."""
        return _talk.timed(self._answer, self.rows, count=count, start=start)

    def _answer(self, frame: Any) -> Any:
        return self.predictor.predict_proba(frame) if self.classified else self.predictor.predict(frame)


if __name__ == "__main__":
    _talk.serve(AutoGluon())
