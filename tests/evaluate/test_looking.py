"""Where a model looks: covering what its answer rests on takes the answer away, and covering anything else does not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.evaluate import looking
from modelyard.features import images
from modelyard.rows import Column, Rows
from modelyard.store import Store
from modelyard.tasks._contract import State
from tests.toys import png

pytest.importorskip("PIL")
STATE = State(
    task="image-classification", target="t", inputs=(Column(name="picture", type="image"),), classes=("dark", "light"), counts=(1, 1),
)  # fmt: skip


class Corner:
    """Says `light` by the brightness of the upper left quarter; nothing else counts."""

    def __init__(self, state: State = STATE, threshold: float | None = None) -> None:
        self.state, self.task = state, parts.build("tasks", "image-classification")
        self.artifact = SimpleNamespace(threshold=threshold)

    def scores(self, rows: Rows) -> Any:
        found = []
        for data in rows["picture"]:
            shown = images.pixels(data, channels=1)[:, :, 0] / 255
            found.append(shown[: shown.shape[0] // 2, : shown.shape[1] // 2].mean())
        return np.stack([1 - np.array(found), np.array(found)], axis=1)


def picture(height: int = 70, width: int = 70) -> bytes:
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[: height // 2, : width // 2] = 255
    return png(pixels)


def rows(*files: bytes | None) -> Rows:
    column = np.empty(len(files), dtype=object)
    column[:] = files
    return Rows({"picture": column}, len(files))


@pytest.mark.parametrize(("height", "width"), [(70, 70), (40, 300), (2000, 1000)])
def test_the_map_is_high_where_the_answer_rests(height: int, width: int) -> None:
    found = looking.occluded(Corner(), rows(picture(height, width)), "picture")  # type: ignore[arg-type]
    assert found.shape == (looking.PATCHES, looking.PATCHES)
    assert found[:3, :3].min() > 0.02 and found[4:].max() < 1e-6 and found[:, 4:].max() < 1e-6


def test_the_answer_that_was_given_is_the_one_that_is_explained() -> None:
    """No threshold is met, so the answer is `dark`, though `light` is likelier: covering the bright corner makes it surer, never less."""
    state = STATE.model_copy(update={"positive": "light"})
    found = looking.occluded(Corner(state, threshold=1.1), rows(picture()), "picture")  # type: ignore[arg-type]
    assert found.max() == 0.0


def test_pictures_are_written_beside_the_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    found = looking.pictures(store, Corner(), rows(picture(), None, picture()), np.array([2, 1]))  # type: ignore[arg-type]
    assert set(found) == {2}, "a missing image has no picture"
    for name in (found[2].image, found[2].looks):
        pixels = images.pixels((tmp_path / name).read_bytes(), channels=3)
        assert pixels.shape == (looking.SIDE, looking.SIDE, 3)
    plain, looks = (
        images.pixels((tmp_path / name).read_bytes(), channels=3) for name in (found[2].image, found[2].looks)
    )
    assert (plain[20, 20] == 255).all() and plain[80, 80].max() == 0
    assert looks[20, 20, 0] > looks[20, 20, 2] + 50, "orange where it looks"
    assert np.ptp(looks[80, 80].astype(int)) < 20, "grey where it does not"


def test_no_more_than_so_many_are_pictured(tmp_path: Path) -> None:
    many = rows(*[picture(14, 14)] * (looking.SHOWN + 5))
    assert len(looking.pictures(Store(tmp_path), Corner(), many, np.arange(len(many)))) == looking.SHOWN  # type: ignore[arg-type]


def test_rows_without_images_have_no_pictures(tmp_path: Path) -> None:
    state = STATE.model_copy(update={"inputs": (Column(name="n", type="number"),)})
    assert looking.pictures(Store(tmp_path), Corner(state), Rows({"n": np.zeros(3)}, 3), np.arange(3)) == {}  # type: ignore[arg-type]
