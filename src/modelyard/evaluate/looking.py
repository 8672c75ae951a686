"""The images of the worst errors, and where the model looks in them: what covering a patch takes from the answer it gave.

Occlusion (Zeiler and Fergus 2014) asks the artifact as it is, so that it works for every model, exported ones too, without gradients.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from modelyard.features import images
from modelyard.predictor import Predictor
from modelyard.rows import Array, Rows
from modelyard.store import Store, replacing

SHOWN = 12
"""Errors that are pictured."""
PATCHES = 7
"""Patches along a side; each is covered in turn, 49 answers an image."""
SIDE = 96
"""Pixels a side of what is written."""


@dataclass(frozen=True)
class Picture:
    """The image of one error and its map, as files of the build."""

    image: str
    looks: str


def pictures(
    store: Store, predictor: Predictor, rows: Rows, places: Array, *, stage: str = "evaluate"
) -> dict[int, Picture]:
    """Write the images of some rows and where the artifact looks in them; row number -> files. Empty where no column holds images."""
    column = next((column.name for column in predictor.state.inputs if column.type == "image"), None)
    found: dict[int, Picture] = {}
    for place in places[:SHOWN] if column is not None else ():
        data = rows[str(column)][place]
        if data is None:
            continue
        plain = images.resized(images.pixels(data, channels=3), SIDE, fit="squash")
        looks = occluded(predictor, rows.take([place]), str(column))
        found[int(place)] = Picture(
            _write(store, f"{stage}/worst/{place}.png", plain), _write(store, f"{stage}/worst/{place}-looks.png", _over(plain, looks))
        )  # fmt: skip
    return found


def occluded(predictor: Predictor, row: Rows, column: str) -> Array:
    """(PATCHES, PATCHES) what the probability of the answered class loses where a patch is covered with the image's mean; at least 0."""
    shown = images.pixels(row[column][0], channels=3)
    before = predictor.scores(row)
    answer = int(before[0].argmax())
    height, width = shown.shape[:2]
    downs, acrosses = (np.linspace(0, side, PATCHES + 1).astype(int) for side in (height, width))
    covered = []
    for down in range(PATCHES):
        for across in range(PATCHES):
            changed = shown.copy()
            changed[downs[down] : downs[down + 1], acrosses[across] : acrosses[across + 1]] = shown.mean(
                axis=(0, 1)
            ).round()
            covered.append(png(changed))
    many = Rows({name: np.repeat(values, len(covered)) for name, values in row.columns.items()}, len(covered))
    after = predictor.scores(many.replace(**{column: np.array([*covered, None], dtype=object)[:-1]}))
    return np.maximum(before[0, answer] - after[:, answer], 0.0).reshape(PATCHES, PATCHES)


def png(pixels: Array) -> bytes:
    """(H, W, 3) uint8 -> the bytes of a PNG."""
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, format="PNG", optimize=True)
    return memory.getvalue()


def _over(pixels: Array, looks: Array) -> Array:
    """The image in grey with the map in orange over it."""
    from PIL import Image

    top = float(looks.max())
    heat = Image.fromarray(np.round(255 * looks / top if top > 0 else looks).astype(np.uint8))
    share = np.asarray(heat.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)[:, :, None] / 255
    grey = pixels.mean(axis=2, keepdims=True) * np.ones(3)
    return np.round((1 - 0.7 * share) * grey + 0.7 * share * np.array([255.0, 110.0, 0.0])).astype(np.uint8)


def _write(store: Store, name: str, pixels: Array) -> str:
    with replacing(store.path(*name.split("/"))) as temporary:
        temporary.write_bytes(png(pixels))
    return name
