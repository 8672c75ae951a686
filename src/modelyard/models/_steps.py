"""What models that read step by step share: words of a text, or the steps of a numeric series, padded, with their lengths."""

from __future__ import annotations

import math
from typing import Any

from modelyard.features import sequences, vocabulary
from modelyard.models import _inputs
from modelyard.models._contract import Arrays, Weights
from modelyard.records.trained import Work
from modelyard.rows import Rows
from modelyard.tasks._contract import State


def unfit(state: State) -> str:
    """Why there is nothing to read; empty where there is a text or a series."""
    kinds = {column.type for column in state.inputs}
    return "" if kinds & {"text", "sequence"} else "there is no text and no series to read"


def fit(rows: Rows, state: State, *, most: int, longest: int) -> dict[str, Any]:
    """`series` where a column holds numeric series (the first that does), else `columns` and `words`: all text columns as one text."""
    series = next((column.name for column in state.inputs if column.type == "sequence"), None)
    if series is not None:
        return {"series": sequences.fit(rows, series, longest=longest)}
    columns = [column.name for column in state.inputs if column.type == "text"]
    texts = _inputs.texts(rows, {"text": columns})["text"]
    return {"columns": columns, "words": vocabulary.fit(texts, most=most, rarest=2, longest=longest)}


def passes(rows: int, batch_rows: int, *, epochs: int, patience: int | None, least: int) -> tuple[int, int | None]:
    """Epochs and patience, both longer where the epochs would not make `least` optimiser steps."""
    longer = max(1.0, least / (epochs * math.ceil(rows / batch_rows)))
    return math.ceil(epochs * longer), patience if patience is None else math.ceil(patience * longer)


def work(found: Work, weights: Weights, features: dict[str, Any]) -> Work:
    """Two FLOPs for each weight of a matrix and step of the length that most rows need; what attention adds is left out."""
    length = int((features["series"] if "series" in features else features["words"])["length"])
    once = ("embedding.", "head.", "positions") if "words" in features else ("head.", "positions")
    steps = sum(a.size for name, a in weights.items() if a.ndim == 2 and not name.startswith(once))
    flops = 2.0 * (length * steps + weights["head.weight"].size)
    return found.model_copy(update={"flops_per_row": flops, "typical_length": length})


def encode(rows: Rows, features: dict[str, Any]) -> Arrays:
    """`values` (n, L, C) or `ids` (n, L), and `length` (n,)."""
    if "series" in features:
        return sequences.encode(rows, features["series"])
    texts = _inputs.texts(rows, {"text": features["columns"]})["text"]
    return vocabulary.encode(list(texts), features["words"])
