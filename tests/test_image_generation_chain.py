"""Images that are made, through all nine stages, on toys: a Gaussian, two networks against each other and a flow; served as PNG without torch."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.features import images
from modelyard.report import render
from modelyard.report.world import World
from modelyard.rows import Array
from modelyard.run import NAMES, Build, run
from modelyard.serve.client import running
from tests.report_laws import faults_of, free_numbers, parse
from tests.toys import png

pytest.importorskip("torch")
pytest.importorskip("PIL")
pytest.importorskip("onnxruntime")
GAN: dict[str, Any] = {
    "width": 16, "critic_width": 16, "noise": 8, "batch_rows": 16, "epochs": 12, "validations_per_epoch": 0.25,
    "learning_rate": 4e-3, "averaging": 0.9,
}  # fmt: skip
FLOW: dict[str, Any] = {
    "width": 16, "batch_rows": 16, "epochs": 60, "validations_per_epoch": 0.06, "learning_rate": 4e-3, "averaging": 0.95,
    "steps": 3, "method": "euler",
}  # fmt: skip


def shapes(count: int) -> list[dict[str, Any]]:
    """A bright square, or a corner of two bars, anywhere: no mean image shows it."""
    rng, found = np.random.default_rng(0), []
    for number in range(count):
        pixels, (down, across) = np.full((16, 16), 30.0), rng.integers(0, 9, 2)
        if number % 2:
            pixels[down : down + 8, across : across + 8] = 220
        else:
            pixels[down : down + 8, across : across + 3] = 220
            pixels[down : down + 3, across : across + 8] = 220
        noisy = np.clip(pixels + rng.normal(0, 6, (16, 16)), 0, 255).astype(np.uint8)
        found.append({"picture": png(noisy), "shape": "square" if number % 2 else "corner"})
    return found


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("shapes")
    pl.DataFrame(shapes(320)).write_parquet(folder / "shapes.parquet")
    blueprint = Blueprint.build(
        name="shapes", task="image-generation", size="tiny", data={"source": str(folder / "shapes.parquet"), "target": "picture"},
        prepare={"near_duplicates": None}, train={"budget": "60 min", "candidates": {"gan": GAN, "flow": FLOW}},
        evaluate={"bootstrap": 100, "gates": {"kernel_ratio": 0.9, "kernel_distance": 5.0}}, compress={"methods": {"onnx": {}, "openvino": {}}},
        serve={"p95": "250 ms", "levels": [5, 20], "level_time": "0.5 s"},
    )  # fmt: skip
    return run(blueprint, folder / "build")


def record(build: Build, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build.folder / f"{stage}.json").read_text())
    return found


def read(answer: str) -> Array:
    return images.pixels(base64.b64decode(answer), channels=1)[:, :, 0]


def test_every_stage_leaves_its_record(build: Build) -> None:
    assert set(build.records) == set(NAMES)
    assert not build.failed


def test_a_seed_is_added_and_the_class_is_what_is_asked_for(build: Build) -> None:
    state = json.loads((build.package / "artifact.json").read_text())["state"]
    assert [(column["name"], column["type"]) for column in state["inputs"]] == [
        ("shape", "category"),
        ("seed", "number"),
    ]
    assert state["shape"] == [1, 16, 16] and state["makes"] == "image"


def test_a_network_beats_the_gaussian_which_is_never_chosen(build: Build) -> None:
    trained = record(build, "train")
    figures = {one["name"]: one["validation"]["kernel_distance"]["value"] for one in trained["candidates"]}
    assert set(figures) == {"gaussian", "gan", "flow"}
    (chosen,) = trained["weights"]
    assert chosen != "gaussian" and figures[chosen] < figures["gaussian"]
    curve = next(one for one in trained["candidates"] if one["name"] == "gan")["jobs"][0]["curve"]
    assert set(curve[0]["losses"]) == {"critic", "generator"}
    gates = {gate["name"]: gate["passed"] for gate in record(build, "evaluate")["gates"]}
    assert gates == dict.fromkeys(
        ("evaluate.beats_gaussian", "evaluate.collapse", "evaluate.kernel_ratio", "evaluate.kernel_distance"), True
    )


def test_what_was_made_is_studied(build: Build) -> None:
    drawing = record(build, "evaluate")["drawing"]
    figures = drawing["chosen"]["figures"]
    assert drawing["candidates"]["gaussian"]["figures"]["kernel_ratio"]["value"] == pytest.approx(1.0)
    assert figures["kernel_ratio"]["value"] < 0.9
    ghosts = drawing["candidates"]["gaussian"]["figures"]
    assert all(figures[name]["value"] > ghosts[name]["value"] for name in ("sample_accuracy", "agreement"))
    assert figures["agreement"]["value"] > 0.6
    assert drawing["real_accuracy"]["value"] > 0.95
    assert sum(drawing["chosen"]["shares"].values()) == pytest.approx(1.0)
    assert figures["least_share"]["value"] == pytest.approx(min(drawing["chosen"]["shares"].values()))
    assert len(drawing["network"]) > 64 and drawing["baseline"] == "gaussian"
    for place in (drawing["nearest"], drawing["chosen"]["sheet"]):
        assert (build.folder / place).read_bytes().startswith(b"\x89PNG")


def test_the_exported_graph_makes_the_same_images(build: Build) -> None:
    variants = record(build, "compress")["variants"]
    assert [(one["name"], one["status"], one["agreement"]) for one in variants] == [
        ("onnx", "measured", 1.0), ("openvino", "measured", 1.0),
    ]  # fmt: skip
    assert all(one["difference"] <= 1 for one in variants), "of 255, at any pixel"
    assert not list(build.package.rglob("weights.safetensors"))
    requirements = (build.package / "requirements.txt").read_text()
    assert not any(line.startswith("torch") for line in requirements.splitlines())


def test_it_is_served_as_json_and_as_png(build: Build) -> None:
    ask = json.dumps({"rows": [{"shape": "square", "seed": 7}, {"shape": "corner", "seed": 7}, {"seed": 8}]}).encode()
    one = json.dumps({"row": {"shape": "square", "seed": 7}}).encode()
    with running(build.package) as service:
        status, body = service.ask("POST", "/v1/predict", ask)
        again = json.loads(service.ask("POST", "/v1/predict", one)[1])
        picture = service.ask("POST", "/v1/predict", one, headers={"Accept": "image/png"})
        refused = service.ask("POST", "/v1/predict", ask, headers={"Accept": "image/png"})
        described = json.loads(service.ask("GET", "/openapi.json")[1])
    answered = json.loads(body)
    assert status == 200 and answered["usage"] == {"image": 3}
    square, corner, _ = (read(one["answer"]) for one in answered["answers"])
    assert square.shape == (16, 16) and square.mean() > corner.mean()
    assert answered["answers"][0] == again["answers"][0], "a seed and a class make one image"
    assert picture[0] == 200 and base64.b64encode(picture[1]).decode() == again["answers"][0]["answer"]
    assert refused[0] == 406 and json.loads(refused[1])["error"]["type"] == "one_row_a_picture"
    operation = described["paths"]["/v1/predict"]["post"]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/png"}
    answer = described["components"]["schemas"]["Answer"]["properties"]["answer"]
    assert answer["contentMediaType"] == "image/png" and answer["contentEncoding"] == "base64"


def test_other_seeds_make_other_images(build: Build) -> None:
    made = [read(one["answer"]) for one in build.predict([{"shape": "square", "seed": seed} for seed in range(20)])]
    assert len({one.tobytes() for one in made}) == 20
    assert np.mean([one.mean() for one in made]) > 60


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_shows_the_images_and_nothing_loose(build: Build, language: str) -> None:
    world = World.open(build.folder, language)
    page = parse(render(world))
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []
    shown = [node for node in page.walk() if node.name == "img"]
    assert len(shown) == 5  # chosen, its neighbours, and a sheet of each candidate
    assert all(node.attributes["src"].startswith("data:image/png;base64,") and node.attributes["alt"] for node in shown)


def test_the_resolved_blueprint_names_every_option(build: Build) -> None:
    resolved = Blueprint.load(Path(build.folder / "blueprint.resolved.yaml"))
    assert resolved.task == "image-generation" and resolved.train.candidates is not None
    assert resolved.train.candidates["gan"]["loss"] == "hinge" and "gaussian" in resolved.train.candidates
