"""The images of the worst errors, and where the model looks in them: what covering a patch takes from the answer it gave.

Occlusion (Zeiler and Fergus 2014) asks the artifact as it is, so that it works for every model, exported ones too, without gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelyard.features import images
from modelyard.predictor import Predictor
from modelyard.rows import Array, Rows, empty_column
from modelyard.store import Store, replacing

SHOWN = 12
"""Errors that are pictured."""
PATCHES = 7
"""Patches along a side; each is covered in turn, 49 answers an image."""
SIDE = 96
"""Pixels a side of what is written."""
LARGEST = 256
"""Pixels of the longer side of what is covered: models see no more, and a photograph would take a second to write, 49 times."""


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
    if column is None or not predictor.state.classes:
        return {}
    found: dict[int, Picture] = {}
    for place in places[:SHOWN]:
        data = rows[column][place]
        if data is not None:
            plain = images.resized(images.pixels(data, channels=3), SIDE, fit="squash")
            looks = occluded(predictor, rows.take([place]), column)
            name = f"{stage}/worst/{place}"
            found[int(place)] = Picture(
                _write(store, f"{name}.png", plain), _write(store, f"{name}-looks.png", _over(plain, looks))
            )
    return found


def occluded(predictor: Predictor, row: Rows, column: str) -> Array:
    """(PATCHES, PATCHES) what the probability of the answered class loses where a patch is covered with the image's mean; at least 0."""
    shown = _small(images.pixels(row[column][0], channels=3))
    mean = shown.mean(axis=(0, 1)).round()
    downs, acrosses = (np.linspace(0, side, PATCHES + 1).astype(int) for side in shown.shape[:2])
    asked = empty_column("image", PATCHES * PATCHES + 1)
    asked[0] = images.png(shown)
    for place in range(PATCHES * PATCHES):
        down, across = divmod(place, PATCHES)
        changed = shown.copy()
        changed[downs[down] : downs[down + 1], acrosses[across] : acrosses[across + 1]] = mean
        asked[place + 1] = images.png(changed)
    many = Rows({name: np.repeat(values, len(asked)) for name, values in row.columns.items()}, len(asked))
    scores = predictor.scores(many.replace(**{column: asked}))
    answer = int(predictor.task.labels(scores[:1], predictor.state, predictor.artifact.threshold)[0])
    lost: Array = np.maximum(scores[0, answer] - scores[1:, answer], 0.0)
    return lost.reshape(PATCHES, PATCHES)


def _small(pixels: Array) -> Array:
    """The image, shrunk to `LARGEST` where it is larger."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST))
    return np.asarray(image)


def _over(pixels: Array, looks: Array) -> Array:
    """The image in grey with the map in orange over it."""
    from PIL import Image

    top = float(looks.max())
    heat = Image.fromarray(np.round(255 * looks / top if top > 0 else looks).astype(np.uint8))
    share = np.asarray(heat.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)[:, :, None] / 255
    grey = pixels.mean(axis=2, keepdims=True) * np.ones(3)
    found: Array = np.round((1 - 0.7 * share) * grey + 0.7 * share * np.array([255.0, 110.0, 0.0]))
    return found.astype(np.uint8)


def _write(store: Store, name: str, pixels: Array) -> str:
    with replacing(store.path(*name.split("/"))) as temporary:
        temporary.write_bytes(images.png(pixels))
    return name
