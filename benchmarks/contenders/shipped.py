"""Modelyard's models as they answer: makes a build, opens its package or its trained model, and times single rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import _talk

TOKENS = 128
"""Length of the texts asked of an encoder: the bar's."""
ROWS = 100


class Shipped:
    """One model."""

    def versions(self) -> dict[str, str]:
        """Of everything a record depends on."""
        from modelyard.records._base import versions

        return versions()

    def build(self, recipe: str, folder: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Run a recipe up to `package`, with some keys changed; what is up to date is not run again. Gates are noted, not obeyed."""
        from modelyard.blueprint import Blueprint

        given = Blueprint.load(recipe)
        values = given.model_dump(mode="json", exclude_unset=True)
        for section, keys in changes.items():
            values[section] = {**values.get(section, {}), **keys} if isinstance(keys, dict) else keys
        build = Blueprint.build(folder=given.folder, **values).run(folder, to="package", force=True)
        return {
            "weights": build.records["train"].weights,
            "variant": build.records["compress"].chosen,
            "bytes": build.records["package"].bytes.value,
            "failed_gates": [gate.name for gate in build.failed],
        }

    def rows(self, folder: str, text: bool) -> list[dict[str, Any]]:
        """Test rows as a client would send them; texts of an encoder are cut to 128 tokens, shorter ones left out."""
        from modelyard.predictor import Predictor
        from modelyard.rows import from_frame, read_split

        predictor = Predictor.open(Path(folder) / "model")
        given = from_frame(read_split(Path(folder) / "data", "test"), predictor.state.types())
        records = [
            {name: value for name, value in given.record(row).items() if value is not None} for row in range(len(given))
        ]
        cut = [self._cut(record, predictor) for record in records[: 5 * ROWS]] if text else records
        return [record for record in cut if record][:ROWS]

    def peer_files(self, folder: str, place: str, count: int) -> dict[str, Any]:
        """What a peer needs to serve the same encoder: graph, tokenizer, weights; and the same test rows as records and as texts."""
        import shutil

        from modelyard.features import tokens
        from modelyard.models.encoder import HEAD_GAIN
        from modelyard.predictor import Predictor
        from modelyard.rows import from_frame, read_split
        from modelyard.store import read_json, write_json

        build, target = Path(folder), Path(place)
        target.mkdir(parents=True)
        trained = Predictor.open(build / "model")
        (member,) = trained.artifact.members
        features = read_json(build / "model" / member.folder / "features.json")
        shutil.copy(build / "compress" / "onnx" / member.folder / "model.onnx", target)
        shutil.copy(build / "model" / member.folder / "weights.safetensors", target)
        (target / "tokenizer.json").write_text(features["tokenizer"], encoding="utf-8")
        write_json(target / "config.json", features["config"])
        told = {name: features[name] for name in ("max_length", "pad")}
        write_json(target / "peer.json", {**told, "classes": list(trained.state.classes), "gain": HEAD_GAIN})
        rows = from_frame(read_split(build / "data", "test"), trained.state.types())
        rows = rows.take(slice(0, count))
        records = [
            {name: value for name, value in rows.record(row).items() if value is not None} for row in range(len(rows))
        ]
        return {"records": records, "texts": tokens.texts(rows, features["columns"])}

    def open(self, folder: str, packaged: bool) -> None:
        """A package, or a trained model's folder."""
        from modelyard.packages import open_package
        from modelyard.predictor import Predictor

        self.predictor = open_package(Path(folder), force=True).predictor if packaged else Predictor.open(Path(folder))

    def one(self, records: list[dict[str, Any]], count: int, start: int) -> list[float]:
        """Seconds of `count` rows one by one, each from a plain dict."""
        from modelyard.rows import from_records

        inputs = self.predictor.state.inputs
        return _talk.timed(
            lambda record: self.predictor.answer(from_records([record], inputs)), records, count=count, start=start
        )

    def _cut(self, record: dict[str, Any], predictor: Any) -> dict[str, Any]:
        """The longest beginning of the longest text that makes 128 tokens with the rest; nothing where the row is too short."""
        from modelyard import parts
        from modelyard.rows import from_records
        from modelyard.store import read_json

        member = predictor.artifact.members[0]
        features = {**read_json(predictor.folder / member.folder / "features.json"), "max_length": 512}
        model = parts.build("models", member.model, member.options)
        name = max(record, key=lambda key: len(str(record[key])))

        def length(characters: int) -> int:
            rows = from_records([{**record, name: record[name][:characters]}], predictor.state.inputs)
            return int(model.encode(rows, features)["length"][0])

        low, high = 1, len(record[name])
        if length(high) < TOKENS or length(low) > TOKENS:
            return {}
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if length(middle) <= TOKENS else (low, middle - 1)
        return {**record, name: record[name][:low]}


if __name__ == "__main__":
    _talk.serve(Shipped())
