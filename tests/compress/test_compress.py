"""Exported = trained; what is not is refused; what is killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compress_builds import tiny_encoder, trained_build

from modelyard.compress import run
from modelyard.compress.measuring import open_with
from modelyard.errors import MissingExtra
from modelyard.records._base import without_times
from modelyard.rows import from_frame, read_split
from modelyard.store import read_json, write_json

CLASSES = {"task": "tabular-classification", "model": "mlp", "target": "label"}
NUMBERS = {"task": "tabular-regression", "model": "mlp", "target": "price"}
EXACT = {"onnx": {}, "openvino": {}}


def test_table_network_keeps_its_answers_and_loses_torch(tmp_path: Path) -> None:
    context = trained_build(tmp_path, **CLASSES, methods={**EXACT, "openvino-int8": {}})
    record = run(context)
    by_name = {variant.name: variant for variant in record.variants}
    assert all(gate.passed for gate in record.gates)
    assert by_name["onnx"].agreement == 1.0 and by_name["onnx"].difference < 1e-5
    assert by_name["openvino"].difference < 1e-2  # weights in half precision on disk
    assert by_name["openvino-int8"].bytes < by_name["onnx"].bytes
    chosen = by_name[record.chosen]
    assert chosen.passed and chosen.rows == record.rows == 300
    members = read_json(context.store.path(record.artifact, "artifact.json"))["members"]
    assert {member["session"] for member in members} <= {"onnxruntime", "openvino"}
    assert not (context.store.path(record.artifact) / "member" / "weights.safetensors").exists()


def test_numbers_agree_to_the_tolerance(tmp_path: Path) -> None:
    record = run(trained_build(tmp_path, **NUMBERS, methods={**EXACT, "openvino-int8": {}}))
    by_name = {variant.name: variant for variant in record.variants}
    assert record.chosen in EXACT and by_name[record.chosen].agreement == 1.0
    assert (
        by_name["openvino-int8"].agreement < 0.995 and by_name["openvino-int8"].passed is False
    )  # int8 cannot keep 1e-4


def test_perturbed_weights_are_refused(tmp_path: Path, planted: None) -> None:
    record = run(trained_build(tmp_path, **CLASSES, methods={"perturbed": {}}))
    gates = {gate.name: gate for gate in record.gates}
    assert not gates["compress.parity"].passed and "perturbed" in gates["compress.parity"].measured
    assert record.variants[0].passed is False


def test_a_drop_is_refused_where_parity_is_not_asked(tmp_path: Path, planted: None) -> None:
    record = run(
        trained_build(tmp_path, **NUMBERS, methods={"perturbed": {"noise": 3.0}}, agreement=0.0001, tolerance=1e6)
    )
    gates = {gate.name: gate.passed for gate in record.gates}
    assert gates == {"compress.parity": True, "compress.drop": False}
    drop = record.variants[0].drop
    assert (
        drop is not None and drop.low <= drop.value <= drop.high and drop.value > 0.005
    )  # an error that grows is a positive drop


def test_a_sound_method_wins_over_a_planted_fast_one(tmp_path: Path, planted: None) -> None:
    record = run(trained_build(tmp_path, **CLASSES, methods={"perturbed": {}, "onnx": {}}))
    assert record.chosen == "onnx" and all(gate.passed for gate in record.gates)


def test_what_cannot_run_here_is_skipped_and_what_breaks_is_told(tmp_path: Path, planted: None) -> None:
    record = run(trained_build(tmp_path, **CLASSES, methods={"absent": {}, "broken": {}, "onnx": {}}))
    by_name = {variant.name: variant for variant in record.variants}
    assert by_name["absent"].status == "skipped" and "no_such_library" in by_name["absent"].reason
    assert by_name["broken"].status == "failed" and "no kernel" in by_name["broken"].reason
    assert record.chosen == "onnx"


def test_nothing_can_run_here(tmp_path: Path, planted: None) -> None:
    with pytest.raises(MissingExtra, match="no_such_library"):
        run(trained_build(tmp_path, **CLASSES, methods={"absent": {}}))


def test_a_killed_stage_goes_on_and_ends_in_the_same_record(tmp_path: Path) -> None:
    context = trained_build(tmp_path, **CLASSES, methods=EXACT)
    first = run(context)
    kept = (context.store.path("compress", "onnx") / "member" / "model.onnx").stat().st_ino
    (context.store.path("compress", "openvino") / "variant.json").unlink()  # as if it had never been finished
    for place in context.store.path("compress").glob("openvino.*.json"):
        place.unlink()
    again = run(context)
    assert (context.store.path("compress", "onnx") / "member" / "model.onnx").stat().st_ino == kept
    assert without_times(again) == without_times(first)


@pytest.mark.parametrize(
    "methods", [EXACT, pytest.param({"onnx-int8": {}, "openvino-int8": {"rows": 20}}, marks=pytest.mark.long)]
)
def test_exports_do_not_depend_on_where_and_when(tmp_path: Path, methods: dict[str, Any]) -> None:
    records = [run(trained_build(tmp_path / name, **CLASSES, rows=50, methods=methods)) for name in ("one", "another")]
    hashes = [{variant.name: variant.hashes for variant in record.variants} for record in records]
    assert hashes[0] == hashes[1]


def test_the_order_of_speeds_is_decided_once(tmp_path: Path) -> None:
    context = trained_build(tmp_path, **CLASSES, methods=EXACT)
    first = run(context)
    decisions = read_json(tmp_path / "decisions.json")
    (name,) = decisions
    slowest = decisions[name][-1]
    assert first.chosen == decisions[name][0] != slowest
    write_json(tmp_path / "decisions.json", {name: [slowest, first.chosen]})
    assert run(context).chosen == slowest


@pytest.mark.parametrize(
    "methods",
    [
        {"openvino": {}, "openvino-int8-weights": {}},
        pytest.param({"openvino": {}, "onnx-int8": {}, "openvino-int8": {"rows": 20}}, marks=pytest.mark.long),
    ],
)
def test_tiny_encoder(tmp_path: Path, methods: dict[str, Any]) -> None:
    context = trained_build(
        tmp_path,
        task="text-classification",
        model="encoder",
        target="label",
        rows=40,
        edit=tiny_encoder,
        methods=methods,
    )
    record = run(context)
    assert {variant.status for variant in record.variants} == {"measured"}, [
        variant.reason for variant in record.variants
    ]
    by_name = {variant.name: variant for variant in record.variants}
    assert by_name["openvino"].difference < 0.01
    agreed = {variant.name: variant.agreement for variant in record.variants}
    # random weights decide by a hair; without VNNI, sums of two 8-bit products saturate at 16 bits as well (0.63 on AVX2)
    assert agreed.pop("openvino-int8", 1.0) > 0.5
    assert min(agreed.values()) > 0.7, agreed
    rows = from_frame(read_split(tmp_path / "data", "validation"), {"body": "text"})
    predictor = open_with(context.store.path("compress", "openvino"), 2)
    together = predictor.scores(rows)
    alone = np.concatenate([predictor.scores(rows.take(slice(row, row + 1))) for row in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-5)  # a row's padding and neighbours do not matter
