"""What the linear model and the trees share in turning rows with text columns into one matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from modelyard.features import ngrams, sequences
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

LONGEST_SERIES = 10_000
"""Steps of a series that its statistics read."""
PIXELS = 28
"""Side to which a model of plain columns sees an image: 784 columns, as the field's first benchmark had."""


def text_blocks(state: State) -> dict[str, list[str]]:
    """Text columns that are read as one text, by the block's name.

    A text task reads all its columns as one: apart and each of length one, a mail's five-word subject weighed like its body, and
    senders that training never saw cost twice the errors (docs/log.md). In a table every column keeps its own words.
    """
    names = [column.name for column in state.inputs if column.type == "text"]
    if not state.task.startswith("text") or not names:
        return {name: [name] for name in names}
    return {" + ".join(names): names}


def texts(rows: Rows, blocks: dict[str, list[str]]) -> dict[str, Array]:
    """Each block's texts (n,), a line a column."""
    return {block: rows[names[0]] if len(names) == 1 else _lines(rows, names) for block, names in blocks.items()}


def _lines(rows: Rows, names: list[str]) -> Array:
    columns = [rows[name] for name in names]
    return np.array(["\n".join(text or "" for text in row) for row in zip(*columns, strict=True)], dtype=object)


def statistics(read: dict[str, Array]) -> Array:
    """(n, 10 x blocks) float32: the shape of each text."""
    return np.hstack([ngrams.statistics(block) for block in read.values()])


def statistic_names(names: list[str]) -> list[str]:
    """A name for each column of `statistics`."""
    return [f"{name} {statistic}" for name in names for statistic in ngrams.STATISTICS]


def fit_matrix(rows: Rows, target: Array, state: State, *, terms: int) -> dict[str, Any]:
    """Features of `encode_matrix`: the table's codes, and the `terms` words of each text column that most rows contain."""
    from modelyard.features import table

    blocks = text_blocks(state)
    return {
        "table": table.fit_coded(rows, target, state),
        "blocks": blocks,
        "texts": ngrams.fit_text(texts(rows, blocks), longest=1, most=terms),
        "pixels": fit_pixels(rows, state),
        "series": fit_series(rows, state),
    }


def encode_matrix(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, d) float64 for trees: numbers, codes, text statistics, TF-IDF of the kept words, pixels."""
    from modelyard.features import table

    blocks = [table.encode_coded(rows, features["table"])]
    if features["texts"]:
        read = texts(rows, features["blocks"])
        blocks += [statistics(read), ngrams.encode_text(read, features["texts"]).dense()]
    if features["pixels"]:
        blocks.append(encode_pixels(rows, features["pixels"]))
    blocks += [sequences.statistics(rows, series) for series in features["series"]]
    return blocks[0] if len(blocks) == 1 else np.hstack(blocks)


def matrix_names(features: dict[str, Any]) -> list[str]:
    """A name for each column of `encode_matrix`."""
    from modelyard.features import table

    words = [f"{name}: {term}" for name, inner in features["texts"].items() for term in inner["terms"]]
    shown = pixel_names(features["pixels"]) if features["pixels"] else []
    shown += series_names(features["series"])
    return [*table.coded_names(features["table"]), *statistic_names(list(features["texts"])), *words, *shown]


def fit_series(rows: Rows, state: State) -> list[dict[str, Any]]:
    """Scales of each column of numeric series, and the mean and deviation of what `sequences.statistics` says of it."""
    found = []
    for column in (column.name for column in state.inputs if column.type == "sequence"):
        features = sequences.fit(rows, column, longest=LONGEST_SERIES)
        told = sequences.statistics(rows, features)
        known = np.isfinite(told).any(axis=0)
        mean = np.where(known, np.nanmean(np.where(known, told, 0.0), axis=0), 0.0)
        scale = np.where(known, np.nanstd(np.where(known, told, 0.0), axis=0), 1.0)
        found.append({**features, "usual": mean.tolist(), "spread": np.where(scale > 0, scale, 1.0).tolist()})
    return found


def encode_series(rows: Rows, features: list[dict[str, Any]]) -> list[Array]:
    """(n, d) float32 for each column of series: its statistics, standardised; what lacks is 0."""
    return [
        np.nan_to_num(
            np.clip((sequences.statistics(rows, one) - one["usual"]) / one["spread"], -sequences.CUT, sequences.CUT)
        ).astype(np.float32)
        for one in features
    ]  # fmt: skip


def series_names(features: list[dict[str, Any]]) -> list[str]:
    """A name for each column of `sequences.statistics`."""
    return [
        f"{one['column']}{f' {channel}' if one['channels'] > 1 else ''} {name}"
        for one in features for channel in range(one["channels"]) for name in sequences.STATISTICS
    ]  # fmt: skip


def fit_pixels(rows: Rows, state: State) -> dict[str, Any]:
    """Features of `encode_pixels`; empty where no column holds images."""
    from modelyard.features import images

    columns = [column.name for column in state.inputs if column.type == "image"]
    return images.fit(rows, columns, size=None, channels=None, most=PIXELS, fit="squash", seed=0) if columns else {}


def encode_pixels(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, d) float64, 0 to 1: every pixel of every channel is a column."""
    from modelyard.features import images

    found = images.encode(rows, features)  # (n, C, S, S)
    return found.reshape(len(rows), math.prod(found.shape[1:])) / 255.0


def pixel_names(features: dict[str, Any]) -> list[str]:
    """A name for each column of `encode_pixels`: row and column of the image, and the channel where there are several."""
    side, channels = range(features["size"]), ["red", "green", "blue"] if features["channels"] == 3 else [""]
    return [
        f"{name} {row},{column} {channel}".strip()
        for name in features["columns"] for channel in channels for row in side for column in side
    ]  # fmt: skip


def loss(outputs: Array, target: Array, state: State) -> float:
    """Log loss, or mean squared error: what chooses a strength or a depth on the validation rows."""
    if not state.classes:
        return float(((outputs[:, 0] - target) ** 2).mean())
    known = target >= 0
    outputs = outputs[known]
    peak = outputs.max(axis=1, keepdims=True)
    logs = outputs - peak - np.log(np.exp(outputs - peak).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(logs)), target[known]].mean())
