"""Small edits that should not change an answer: typos, case, spaces, lost fields, some noise, another light or focus. Rows in, rows out."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np

from modelyard.features import images
from modelyard.rows import Array, Rows, empty_column

Edit = Callable[[Rows, dict[str, str], np.random.Generator], Rows]
MOST_PIXELS = 512
"""Larger images are shrunk to so many pixels a side before they are edited: models see less, and a photograph takes a second to write."""


def _each_text(rows: Rows, types: dict[str, str], change: Callable[[str], str]) -> Rows:
    edited = {}
    for name, kind in types.items():
        if kind == "text":
            column = np.empty(len(rows), dtype=object)
            column[:] = [None if text is None else change(text) for text in rows[name]]
            edited[name] = column
    return rows.replace(**edited)


def typos(share: float) -> Edit:
    """One error in `share` of the words of four letters or more: two neighbours swapped, a letter lost or doubled."""

    def mistype(word: str, rng: np.random.Generator) -> str:
        place = int(rng.integers(1, len(word) - 1))
        kind = int(rng.integers(3))
        if kind == 0:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        return word[:place] + word[place + 1 :] if kind == 1 else word[:place] + word[place] + word[place:]

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(text: str) -> str:
            words = text.split(" ")
            struck = rng.uniform(size=len(words)) < share
            return " ".join(mistype(w, rng) if hit and len(w) >= 4 else w for w, hit in zip(words, struck, strict=True))

        return _each_text(rows, types, change)

    return edit


def case(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
    """Every text in lower case."""
    return _each_text(rows, types, str.lower)


def spaces(share: float) -> Edit:
    """`share` of the spaces doubled, and a line break at the end."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(text: str) -> str:
            words = text.split(" ")
            wide = rng.uniform(size=len(words)) < share
            return "".join(word + ("  " if twice else " ") for word, twice in zip(words, wide, strict=True)) + "\n"

        return _each_text(rows, types, change)

    return edit


def missing(share: float) -> Edit:
    """`share` of the fields lost, at random; no row loses all of them."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        names = list(types)
        lost = rng.uniform(size=(len(rows), len(names))) < share
        kept = rng.integers(0, len(names), size=len(rows))
        lost[np.arange(len(rows)), kept] = False
        return rows.replace(
            **{name: _blank(rows[name], types[name], lost[:, place]) for place, name in enumerate(names)}
        )

    return edit


def _blank(values: Array, kind: str, lost: Array) -> Array:
    copy = values.copy()
    copy[lost] = empty_column(kind, int(lost.sum()))
    return copy


def noise(share: float) -> Edit:
    """Numbers moved by `share` of their column's (a series' channel's) standard deviation, at random; whole numbers stay whole."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        edited = {}
        for name, kind in types.items():
            if kind == "number":
                values = rows[name]
                seen = values[~np.isnan(values)]
                if len(seen):
                    moved = values + share * float(seen.std()) * rng.normal(size=len(values))
                    edited[name] = np.round(moved) if (seen == np.round(seen)).all() else moved
            elif kind == "sequence":
                edited[name] = _shaken(rows[name], share, rng)
        return rows.replace(**edited)

    return edit


def _shaken(series: Array, share: float, rng: np.random.Generator) -> Array:
    """(n,) the series with noise of `share` of each channel's deviation over all of them."""
    present = [one for one in series if one is not None]
    result = empty_column("sequence", len(series))
    if present:
        spread = np.nan_to_num(np.nanstd(np.concatenate(present).astype(np.float64), axis=0))  # (C,)
        for place, one in enumerate(series):
            if one is not None:
                result[place] = (one + share * spread * rng.normal(size=one.shape)).astype(np.float32)
    return result


# -- images -------------------------------------------------------------------------------------------------------------


def _each_image(rows: Rows, types: dict[str, str], change: Callable[[Array], bytes]) -> Rows:
    """Every image's pixels (H, W, 3) uint8 changed into the bytes of a file."""
    edited = {}
    for name, kind in types.items():
        if kind == "image":
            column = empty_column("image", len(rows))
            for place, data in enumerate(rows[name]):
                column[place] = None if data is None else change(_shown(data))
            edited[name] = column
    return rows.replace(**edited)


def _shown(data: bytes) -> Array:
    from PIL import Image

    image = Image.fromarray(images.pixels(data, channels=3))
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))  # which only shrinks
    return np.asarray(image)


def brightness(share: float) -> Edit:
    """Images brighter or darker by `share`, either by chance."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(pixels: Array) -> bytes:
            changed = pixels * (1 + share * (1 if rng.random() < 0.5 else -1))
            return images.png(np.clip(np.round(changed), 0, 255).astype(np.uint8))

        return _each_image(rows, types, change)

    return edit


def blur(share: float) -> Edit:
    """Images out of focus: a Gaussian whose deviation is `share` of the longer side, half a pixel at least."""

    def change(pixels: Array) -> bytes:
        from PIL import Image, ImageFilter

        radius = max(0.5, share * max(pixels.shape[:2]))
        return images.png(np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius))))

    return lambda rows, types, rng: _each_image(rows, types, change)


def shift(share: float) -> Edit:
    """Images moved by `share` of each side, a pixel at least, in a random direction; the border that comes in is repeated."""

    def edit(rows: Rows, types: dict[str, str], rng: np.random.Generator) -> Rows:
        def change(pixels: Array) -> bytes:
            moved = pixels
            for axis in (0, 1):
                side = pixels.shape[axis]
                step = max(1, round(share * side)) * (1 if rng.random() < 0.5 else -1)
                moved = np.take(moved, np.clip(np.arange(side) + step, 0, side - 1), axis=axis)
            return images.png(moved)

        return _each_image(rows, types, change)

    return edit


def resaved(quality: int) -> Edit:
    """Images saved again as JPEG of this quality."""

    def change(pixels: Array) -> bytes:
        from PIL import Image

        memory = io.BytesIO()
        Image.fromarray(pixels).save(memory, format="JPEG", quality=quality)
        return memory.getvalue()

    return lambda rows, types, rng: _each_image(rows, types, change)
