"""Modelyard: the chain as `yard run` does it, on given training and test rows."""

from __future__ import annotations

from typing import Any

import _talk


class Ours:
    """One build."""

    def versions(self) -> dict[str, str]:
        """Of everything a record depends on."""
        from modelyard.records._base import versions

        return versions()

    def fit(
        self, folder: str, train: str, test: str, target: str, identity: str, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Build as far as `settings['to']`; gates are noted, not obeyed. The test rows' labels are read by evaluate only."""
        from modelyard.blueprint import Blueprint

        sections = dict(settings["blueprint"])
        columns = {identity: "ignore", **sections.pop("columns", {})}
        blueprint = Blueprint.build(
            name="benchmark", data={"source": train, "test": test, "target": target, "columns": columns}, **sections
        )
        build = blueprint.run(folder, to=settings["to"], force=True)
        trained = build.records["train"]
        compressed = build.records.get("compress")
        self.folder, self.identity = build.folder, identity
        self.artifact = build.folder / (compressed.artifact if compressed else trained.artifact)
        return {
            "weights": trained.weights,
            "candidates": {
                each.name: {"status": each.status, "reason": each.reason, **each.timings} for each in trained.candidates
            },
            "threshold": trained.threshold,
            "rows": {name: split.rows for name, split in build.records["prepare"].splits.items()},
            "stages": {name: record.run.seconds.value for name, record in build.records.items()},
            "variant": compressed.chosen if compressed else "trained",
            "failed_gates": [gate.name for gate in build.failed],
        }

    def predict(self, rows: str) -> dict[str, Any]:
        """Answers for the test rows as the build prepared them, by identity."""
        from modelyard.predictor import Predictor
        from modelyard.rows import from_frame, read_split

        self.predictor = Predictor.open(self.artifact)
        state = self.predictor.state
        frame = read_split(self.folder / "data", "test")
        given = from_frame(frame, state.types())
        self.records = [
            {name: value for name, value in given.record(row).items() if value is not None}
            for row in range(min(len(given), 200))
        ]
        scores = self.predictor.scores(given)
        labels = self.predictor.task.labels(scores, state, self.predictor.artifact.threshold)
        return {
            "identity": frame[self.identity].to_list(),
            "classes": list(state.classes),
            "scores": scores.tolist(),
            "labels": [state.classes[int(label)] for label in labels] if state.classes else [],
        }

    def one(self, count: int, start: int) -> list[float]:
        """Seconds of `count` rows one by one, each from a plain dict[str, Any], checks of its types included."""
        from modelyard.rows import from_records

        inputs = self.predictor.state.inputs
        return _talk.timed(
            lambda record: self.predictor.answer(from_records([record], inputs)), self.records, count=count, start=start
        )


if __name__ == "__main__":
    _talk.serve(Ours())
