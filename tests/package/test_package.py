"""The package says what it is, answers alone, and comes out the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from package_builds import compressed_build

from modelyard.context import Context
from modelyard.errors import GateFailed, PackageError
from modelyard.package import requirements, run
from modelyard.packages import open_package
from modelyard.records._base import Gate, without_times
from modelyard.records.packaged import Packaged
from modelyard.rows import from_records, read_split


def test_it_answers_its_own_examples(built: Context) -> None:
    opened = open_package(built.store.path("package"))
    rows = from_records(opened.manifest.examples, opened.predictor.state.inputs)
    assert opened.predictor.answer(rows) == list(opened.manifest.answers)
    assert len(opened.manifest.examples) == 3 and not opened.refused
    first = opened.manifest.examples[0]
    assert isinstance(first["age"], int) and isinstance(first["member"], bool) and first["since"].startswith("202")


def test_examples_are_nobodys_row(built: Context) -> None:
    """A package travels; its examples must not carry somebody's text or a whole row of the training data."""
    rows = read_split(built.store.path("data"), "train")
    columns = ["age", "share", "town", "member", "note"]
    seen = {tuple(row) for row in rows.select(columns).rows()}
    for example in open_package(built.store.path("package")).manifest.examples:
        assert example["note"] not in set(rows["note"]) and tuple(example[name] for name in columns) not in seen


def test_gates_of_a_fresh_process_pass(built: Context) -> None:
    record = built.record(Packaged)
    assert {gate.name: gate.passed for gate in record.gates} == {
        "package.answers": True,
        "package.imports": True,
        "package.size": True,
    }
    assert record.measured_cold_start.value > 0 and record.sessions == ("native",)


def test_card_licence_and_requirements(built: Context) -> None:
    folder = built.store.path("package")
    card = (folder / "MODEL_CARD.md").read_text()
    for part in ("# demo 1.0.0", "Who pays back.", "`bad`, `good`", "`town` (category)", "compress.parity", "MIT"):
        assert part in card
    assert "Permission is hereby granted" in (folder / "LICENCE.txt").read_text()
    lines = (folder / "requirements.txt").read_text().splitlines()
    names = {line.split("==")[0] for line in lines if "==" in line}
    assert {"modelyard", "numpy", "pydantic-core", "starlette", "h11", "safetensors"} <= names
    assert names.isdisjoint(
        {"torch", "scikit-learn", "polars", "lightgbm", "openvino", "onnxruntime", "openvino-telemetry"}
    )


def test_requirements_are_closed(built: Context) -> None:
    from packaging.requirements import Requirement

    found = requirements.closure(requirements.SERVER)
    names = {each.metadata["Name"].lower().replace("_", "-") for each in found}
    for each in found:
        for line in each.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert needed.name.lower().replace("_", "-") in names | set(requirements.NOT_NEEDED)


def test_the_wheel_alone_runs_the_package(built: Context, tmp_path: Path) -> None:
    (wheel,) = (built.store.path("package") / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    program = "import modelyard, sys; from pathlib import Path; from modelyard.packages import open_package as o; o(Path(sys.argv[1])); print(modelyard.__file__)"
    command = [sys.executable, "-c", program, str(built.store.path("package"))]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip().startswith(str(tmp_path / "site")), ended.stderr


def test_the_same_build_makes_the_same_package(built: Context, tmp_path: Path) -> None:
    again = run(compressed_build(tmp_path))
    first = built.record(Packaged)
    assert (again.hash, again.archive_hash) == (first.hash, first.archive_hash)
    assert without_times(again) == without_times(first)


def test_a_failed_gate_stops_packaging(tmp_path: Path) -> None:
    context = compressed_build(tmp_path)
    failed = Gate(name="compress.parity", demanded="agreement >= 0.995", measured="0.9 (onnx)", passed=False)
    context.records["compress"] = context.records["compress"].model_copy(update={"gates": (failed,)})
    with pytest.raises(GateFailed, match=r"compress\.parity"):
        run(context)
    assert not context.store.path("package").exists()
    context.force = True
    assert run(context).refused
    assert "**Refused: compress.parity." in context.store.path("package", "MODEL_CARD.md").read_text()
    with pytest.raises(PackageError, match=r"compress\.parity demanded agreement >= 0\.995, measured 0\.9"):
        open_package(context.store.path("package"))
    assert open_package(context.store.path("package"), force=True).refused


def test_manifest_is_plain(built: Context) -> None:
    manifest = json.loads(built.store.path("package", "package.json").read_text())
    assert manifest["max_rows"] == 256 and manifest["p95"] == 0.1 and manifest["name"] == "demo"
