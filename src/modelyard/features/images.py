"""Images as arrays: read upright, transparency laid on white, 8 bits a channel, one size. numpy and Pillow only.

    bytes of a file -> pixels (H, W, C) uint8 -> encode (n, C, S, S) uint8

Scaling to floats is the module's own work, so that what crosses processes and is kept in memory stays small. It knows no model.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import DataError, MissingExtra, RequestError
from modelyard.rows import MOST_FAULTS, Array, Rows

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

MOST_PIXELS = 50_000_000
"""Pixels of one image: a 50-megapixel camera's. More is refused before it is unpacked (a decompression bomb)."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
THREADED = 64
"""Images from which several threads decode: Pillow lets go of the interpreter while it does."""
CELL, GAP = 72, 3
"""Pixels of a sheet's cell a side at most (small images are enlarged to near it), and of the white between two."""
SAMPLE = 2000
"""Training images that sizes and colour statistics are learnt from."""


def file_bytes(place: Path) -> bytes:
    """A file as it is; DataError where it may not be read."""
    try:
        return place.read_bytes()
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror}") from None


def pixels(data: bytes, *, channels: int) -> Array:
    """(H, W, C) uint8 of a file's bytes, in grey (1) or colour (3); ValueError where they are no image that can be read."""
    image = _opened(data)
    try:
        return _flat(image, channels)
    except Exception as error:  # Pillow fails on damaged bytes in many ways
        raise ValueError(f"cannot be read as an image: {str(error)[:120] or type(error).__name__}") from None


def size_of(data: bytes) -> tuple[int, int, str]:
    """Width, height and Pillow's mode, from the header alone; ValueError where there is none."""
    image = _opened(data)
    return image.width, image.height, image.mode


def _opened(data: bytes) -> Image:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise MissingExtra("an image", "images") from None
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:  # its own words hold an address in memory: another text every time
        raise ValueError(f"is no image of a known format ({', '.join(FORMATS)})") from None
    except Exception as error:  # Pillow fails on damaged bytes in many ways
        raise ValueError(f"cannot be read as an image: {str(error)[:80] or type(error).__name__}") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"has {image.width} x {image.height} pixels; the most are {MOST_PIXELS:,}")
    return image


def _flat(image: Image, channels: int) -> Array:
    """Upright, first frame, 8 bits, without transparency."""
    from PIL import Image as Images
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # in place and in 32 bits: 50 million pixels took 2 GB and 9 s in doubles, and are 200 MB
        deep = np.array(image, dtype=np.float32)
        np.nan_to_num(deep, copy=False, posinf=0.0, neginf=0.0)
        sixteen = image.mode.startswith("I;16") or deep.max(initial=0.0) > 255  # else 32 bits that hold 8, or 0 to 1
        top = 65535.0 if sixteen else 255.0 if deep.max(initial=0.0) > 1 else 1.0
        deep *= np.float32(255.0 / top)
        np.clip(np.round(deep, out=deep), 0, 255, out=deep)
        image = Images.fromarray(deep.astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Images.new("RGBA", clear.size, (255, 255, 255, 255))
        image = Images.alpha_composite(white, clear)
    found = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return found[:, :, None] if found.ndim == 2 else found  # (H, W, C)


def resized(image: Array, size: int, *, fit: str) -> Array:
    """(H, W, C) -> (S, S, C): squashed, cropped around the middle, or padded with its border's mean. Smoothed where it shrinks."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    elif fit == "pad" and height != width:
        side = max(height, width)
        border = np.concatenate(
            [image[[0, -1]].reshape(-1, image.shape[2]), image[:, [0, -1]].reshape(-1, image.shape[2])]
        )
        square = np.empty((side, side, image.shape[2]), dtype=np.uint8)
        square[:] = border.mean(axis=0).round()
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = image
        image = square
    from PIL import Image as Images

    plain = Images.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    found = np.asarray(plain.resize((size, size), Images.Resampling.BILINEAR, reducing_gap=3.0))
    return found[:, :, None] if found.ndim == 2 else found


def png(pixels: Array) -> bytes:
    """(H, W, 1 or 3) uint8 -> the bytes of a PNG."""
    from PIL import Image as Images

    memory = io.BytesIO()
    Images.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(memory, format="PNG")
    return memory.getvalue()


def sheet(cells: Array) -> Array:
    """(n, m, C, S, S) uint8 -> one image (H, W, 3) of n rows and m columns on white."""
    shown = [[_cell(one.transpose(1, 2, 0)) for one in row] for row in cells]
    side = len(shown[0][0]) + GAP
    grid = np.full((len(shown) * side - GAP, len(shown[0]) * side - GAP, 3), 255, dtype=np.uint8)
    for down, row in enumerate(shown):
        for across, cell in enumerate(row):
            top, left = down * side, across * side
            grid[top : top + len(cell), left : left + len(cell)] = cell  # grey: the same in each channel
    return grid


def _cell(pixels: Array) -> Array:
    """(S, S, C) enlarged by whole pixels, or shrunk to a cell."""
    if len(pixels) > CELL:
        return resized(pixels, CELL, fit="squash")
    times = CELL // len(pixels)
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def typical_side(rows: Rows, columns: Sequence[str], *, seed: int) -> float:
    """The median of the shorter sides, from the headers of training images; 0 where there is none."""
    shorter = [min(size_of(data)[:2]) for data in _sample(rows, columns, seed)]
    return float(np.median(shorter)) if shorter else 0.0


def usual(values: Iterable[bytes]) -> tuple[float, int]:
    """The median of the shorter sides, and 1 channel where no image has colour, else 3: of some 200, evenly over all."""
    given = list(values)
    side = float(np.median([min(size_of(data)[:2]) for data in given]))
    return side, 3 if any(_coloured(data) for data in given[:: max(1, len(given) // 200)]) else 1


def stacked(values: Iterable[bytes | None], *, side: int, channels: int) -> Array:
    """(n, C, S, S) uint8 of images that can all be read."""
    return _stack(values, {"size": side, "channels": channels, "fit": "squash"}, "image")


def _sample(rows: Rows, columns: Sequence[str], seed: int) -> list[bytes]:
    """The images that sizes and colour statistics are learnt from."""
    present = [data for name in columns for data in rows[name] if data is not None]
    order = np.random.default_rng(seed).permutation(len(present))[:SAMPLE]
    return [present[place] for place in order]


def fit(
    rows: Rows, columns: Sequence[str], *, size: int | None, channels: int | None, most: int, fit: str, seed: int
) -> dict[str, Any]:
    """Size, channels and the mean and deviation of each channel (0 to 1), from the training rows.

    Without a `size` it is the median of the shorter sides, in steps of 4, at most `most`; without `channels` 1 where no image has colour.
    """
    sample = _sample(rows, columns, seed)
    if size is None:
        side = typical_side(rows, columns, seed=seed)
        size = int(np.clip(round(side / 4) * 4 if sample else most, 8, most))
    if channels is None:
        channels = 3 if any(_coloured(data) for data in sample[:200]) else 1
    features: dict[str, Any] = {"columns": list(columns), "size": size, "channels": channels, "fit": fit}
    mean, scale = _moments(_stack(sample, features, columns[0]))
    return {**features, "mean": mean.round(6).tolist(), "scale": np.maximum(scale, 1e-3).round(6).tolist()}


def _moments(stack: Array) -> tuple[Array, Array]:
    """Mean and deviation of each channel, 0 to 1, of (n, C, S, S) bytes; an image at a time, for floats of all would be eight times as large."""
    if not len(stack):
        return np.full(stack.shape[1], 0.5), np.full(stack.shape[1], 0.25)
    means, squares = np.zeros(stack.shape[1]), np.zeros(stack.shape[1])
    for image in stack:
        scaled = image / 255.0  # (C, S, S)
        means += scaled.mean(axis=(1, 2)) / len(stack)
        squares += np.square(scaled).mean(axis=(1, 2)) / len(stack)
    return means, np.sqrt(np.maximum(squares - means**2, 0.0))


def _coloured(data: bytes) -> bool:
    """Whether the three channels differ anywhere by more than compression makes them."""
    if size_of(data)[2] in ("1", "L", "LA", "I", "F") or size_of(data)[2].startswith("I;16"):
        return False
    image = pixels(data, channels=3).astype(np.int16)
    return bool((image.max(axis=2) - image.min(axis=2)).mean() > 2.0)


def encode(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, C x columns, S, S) uint8; a missing image is of the training mean. RequestError names images that cannot be read."""
    blocks = [_stack(rows[name], features, name) for name in features["columns"]]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _stack(images: Iterable[bytes | None], features: dict[str, Any], name: str) -> Array:
    """(n, C, S, S) uint8."""
    given, size, channels = list(images), features["size"], features["channels"]
    empty = np.full((channels, 1, 1), 128, dtype=np.uint8)
    if "mean" in features:
        empty = np.round(np.asarray(features["mean"])[:, None, None] * 255).astype(np.uint8)

    def one(data: bytes | None) -> Array | str:
        if data is None:
            return np.broadcast_to(empty, (channels, size, size))
        try:
            return resized(pixels(data, channels=channels), size, fit=features["fit"]).transpose(2, 0, 1)
        except ValueError as error:
            return str(error)

    result = np.empty((len(given), channels, size, size), dtype=np.uint8)
    faults: list[tuple[int, str, str]] = []
    with ThreadPoolExecutor() if len(given) >= THREADED else nullcontext() as pool:
        for place, found in enumerate(pool.map(one, given) if pool else map(one, given)):
            if isinstance(found, str):
                faults.append((place, name, found))
            else:
                result[place] = found
    if faults:
        raise RequestError(faults[:MOST_FAULTS])
    return result
