"""Image columns: paths become bytes, broken files are listed, equal and nearly equal images are found. It knows no target and no splits.

Each image is decoded once, in small: `look` keeps a 16 x 16 grey thumbnail, a hash of its pixels, its size and mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import DataError
from modelyard.features import images
from modelyard.records.prepared import CleaningStep
from modelyard.rows import ROW, Array

if TYPE_CHECKING:
    import polars

MOSTLY = 0.98
"""Share of a column's values that must name image files for it to hold images."""
THUMB = 16
"""Side of the thumbnails that are compared."""
NEAR = 3.0
"""Mean difference of two thumbnails, of 255, up to which two images are near duplicates: saved again, or scaled."""
FLAT = 2.0
"""Deviation of a thumbnail below which it says nothing: only equal pixels make two such images duplicates."""
BAND = 20
"""Bits of a band: two images whose thumbnails differ so little share one of twelve bands with near certainty."""
LISTED = 100
"""Broken files that the record names."""
CHUNK = 100_000
"""Pairs of thumbnails compared at once."""
HEADS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
"""How files of the known formats begin; WebP has its name further in."""


@dataclass(frozen=True)
class Looked:
    """What one pass over a column of images saw; a row without an image, or with a broken one, has zeros."""

    faults: tuple[str, ...]
    """Why a row's image cannot be read; empty where it can, or where there is none."""
    marks: Array
    """(n,) int64 hash of the upright pixels; -1 without an image."""
    thumbs: Array
    """(n, 16, 16) uint8."""
    sizes: Array
    """(n, 2) width and height."""
    modes: tuple[str, ...]
    """Pillow's mode as stored: L, RGB, RGBA, I;16, ..."""

    def take(self, rows: Array) -> Looked:
        """That of some rows."""
        places = np.arange(len(self.marks))[rows]
        return Looked(
            tuple(self.faults[place] for place in places), self.marks[places], self.thumbs[places], self.sizes[places],
            tuple(self.modes[place] for place in places),
        )  # fmt: skip


def is_image(data: Any) -> bool:
    """Whether bytes begin like an image of a known format."""
    return isinstance(data, bytes) and (data.startswith(HEADS) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"))


def naming(frame: polars.DataFrame) -> list[str]:
    """The columns that mostly hold names of image files."""
    import polars as pl

    endings = "|".join(suffix.replace(".", r"\.") for suffix in images.SUFFIXES)
    found = []
    for name, kind in frame.schema.items():
        known = frame[name].drop_nulls() if kind == pl.String else frame[name].head(0)
        if len(known) and known.str.to_lowercase().str.contains(rf"(?:{endings})$").mean() >= MOSTLY:  # type: ignore[operator]
            found.append(name)
    return found


def files_of(frame: polars.DataFrame, base: Path) -> list[Path]:
    """The image files that a table names and that are there, each once, in the order of their names."""
    texts = {text for name in naming(frame) for text in frame[name].drop_nulls().to_list() if "://" not in text}
    return [base / text for text in sorted(texts) if text and (base / text).is_file()]


def from_paths(frame: polars.DataFrame, base: Path) -> polars.DataFrame:
    """The frame, columns of paths to image files read: relative to `base`, the folder of the table. DataError names files that lack."""
    import polars as pl

    for name in naming(frame):
        series = frame[name]
        if series.drop_nulls().str.contains("://").any():
            raise DataError(
                f"the column {name!r} holds addresses of images. Nothing is fetched: save the files, and name their paths"
            )
        found: list[bytes | None] = []
        absent = []
        for text in series.to_list():
            place = base / text if text else None
            there = place is not None and place.is_file()
            if place is not None and not there:
                absent.append(text)
            found.append(images.file_bytes(place) if place is not None and there else None)
        if len(absent) == series.drop_nulls().len():
            continue  # names of images that are elsewhere: a text like any other
        if absent:
            shown = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
            raise DataError(f"the column {name!r} names image files that are not there, relative to {base}: {shown}")
        frame = frame.with_columns(pl.Series(name, found, dtype=pl.Binary))
    return frame


def look(series: polars.Series) -> Looked:
    """Decode every image of a column once."""
    given = series.to_list()

    def one(data: bytes | None) -> tuple[str, int, Array, tuple[int, int], str]:
        blank = np.zeros((THUMB, THUMB), dtype=np.uint8)
        if data is None:
            return "", -1, blank, (0, 0), ""
        try:
            width, height, mode = images.size_of(data)
            colours = images.pixels(data, channels=3)
        except ValueError as error:
            return str(error), -1, blank, (0, 0), ""
        digest = hashlib.blake2b(colours.tobytes() + repr(colours.shape).encode(), digest_size=8).digest()
        small = images.resized(colours, THUMB, fit="squash")
        grey = np.round(small @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)  # ITU-R BT.601, as Pillow's L
        return "", int.from_bytes(digest, "little") >> 1, grey, (width, height), mode

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(one, given)) if given else []
    faults, marks, thumbs, sizes, modes = zip(*found, strict=True) if found else ((), (), (), (), ())
    return Looked(
        tuple(faults), np.array(marks, dtype=np.int64), np.array(thumbs, dtype=np.uint8).reshape(-1, THUMB, THUMB),
        np.array(sizes, dtype=np.int64).reshape(-1, 2), tuple(modes),
    )  # fmt: skip


def drop_broken(
    frame: polars.DataFrame, looked: Mapping[str, Looked]
) -> tuple[polars.DataFrame, dict[str, Looked], list[CleaningStep]]:
    """The rows whose images can all be read, what was seen of them, and a step a column that lists the others: by file, or by row."""
    import polars as pl

    kept, steps = np.ones(frame.height, dtype=bool), []
    for name, seen in looked.items():
        places = [place for place, fault in enumerate(seen.faults) if fault]
        if places and not (seen.marks >= 0).any():
            raise DataError(f"no image of the column {name!r} can be read; the first {seen.faults[places[0]]}")
        if places:
            shown = places[:LISTED]
            listed = {called: seen.faults[place] for called, place in zip(_named(frame, shown), shown, strict=True)}
            after, detail = frame.height - len(places), {"listed": listed}
            steps.append(
                CleaningStep(name="broken_images", column=name, before=frame.height, after=after, detail=detail)
            )
            kept[places] = False
    if kept.all():
        return frame, dict(looked), steps
    return frame.filter(pl.Series(kept)), {name: seen.take(kept) for name, seen in looked.items()}, steps


def _named(frame: polars.DataFrame, places: Sequence[int]) -> list[str]:
    """What rows are called: their file, where a column `file` says it, else their number in the source, from 1."""
    import polars as pl

    if "file" in frame.columns and frame["file"].dtype == pl.String:
        return [str(frame["file"][place]) for place in places]
    return [f"row {frame[ROW][place] + 1}" for place in places]


def marked(frame: polars.DataFrame, looked: Mapping[str, Looked]) -> polars.DataFrame:
    """The frame with a hash in the place of each image (of its pixels) and of each list: what equal rows are found by."""
    import polars as pl

    lists = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(
        *(pl.Series(name, seen.marks) for name, seen in looked.items()),
        *(pl.Series(name, [_mark(value) for value in frame[name].to_list()], dtype=pl.Int64) for name in lists),
    )


def _mark(value: Any) -> int | None:
    if value is None:
        return None
    return int.from_bytes(hashlib.blake2b(repr(value).encode(), digest_size=8).digest(), "little") >> 1


def near(looked: Looked) -> Array:
    """Pairs (m, 2) of rows whose images are nearly the same; each is joined with few others, a cluster by a chain."""
    thumbs = looked.thumbs.reshape(len(looked.marks), THUMB * THUMB).astype(np.int16)  # (n, 256)
    rows = np.flatnonzero((looked.marks >= 0) & (thumbs.std(axis=1) >= FLAT))
    steps = np.diff(looked.thumbs[rows].astype(np.int16), axis=2) > 0  # (r, 16, 15): a difference hash (dHash)
    bits = steps.reshape(len(rows), THUMB * (THUMB - 1))  # (r, 240)
    found = [np.zeros((0, 2), dtype=np.int64)]
    brightness = thumbs[rows].mean(axis=1)
    for start in range(0, bits.shape[1], BAND):
        keys = (
            bits[:, start : start + BAND]
            @ (1 << np.arange(BAND, dtype=np.int64))[: bits[:, start : start + BAND].shape[1]]
        )
        order = np.lexsort((brightness, keys))  # neighbours in a bucket are of like brightness
        again = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        found.append(np.stack([rows[order[again]], rows[order[again + 1]]], axis=1))
    both = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    apart = np.zeros(len(both))
    for start in range(0, len(both), CHUNK):
        part = both[start : start + CHUNK]
        apart[start : start + CHUNK] = np.abs(thumbs[part[:, 0]] - thumbs[part[:, 1]]).mean(axis=1)
    return np.asarray(both[apart <= NEAR])


def facts(looked: Looked, series: polars.Series) -> dict[str, Any]:
    """What the data card says of a column of images: sides, bytes, modes, brightness."""
    from modelyard.prepare.cards import quantiles

    there = looked.marks >= 0
    if not there.any():
        return {}
    modes, counts = np.unique(np.array(looked.modes)[there], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {
        "width": quantiles(looked.sizes[there, 0]),
        "height": quantiles(looked.sizes[there, 1]),
        "bytes": quantiles(series.bin.size().to_numpy()[there]),
        "modes": {str(modes[place]): int(counts[place]) for place in order},
        "brightness": quantiles(looked.thumbs[there].mean(axis=(1, 2))),
    }
