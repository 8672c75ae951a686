"""What the linear model and the trees share in turning rows with text columns into one matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.features import ngrams
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


def text_columns(state: State) -> list[str]:
    """Names of the text inputs."""
    return [column.name for column in state.inputs if column.type == "text"]


def statistics(rows: Rows, names: list[str]) -> Array:
    """(n, 10 x texts) float32: the shape of each text."""
    blocks = [ngrams.statistics(rows[name]) for name in names]
    return np.hstack(blocks) if blocks else np.zeros((len(rows), 0), dtype=np.float32)


def statistic_names(names: list[str]) -> list[str]:
    """A name for each column of `statistics`."""
    return [f"{name} {statistic}" for name in names for statistic in ngrams.STATISTICS]


def fit_matrix(rows: Rows, target: Array, state: State, *, terms: int) -> dict[str, Any]:
    """Features of `encode_matrix`: the table's codes, and the `terms` words of each text column that most rows contain."""
    from modelyard.features import table

    names = text_columns(state)
    return {
        "table": table.fit_coded(rows, target, state),
        "texts": ngrams.fit_text({name: rows[name] for name in names}, longest=1, most=terms),
    }


def encode_matrix(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, d) float64 for trees: numbers, codes, text statistics, TF-IDF of the kept words."""
    from modelyard.features import table

    coded = table.encode_coded(rows, features["table"])
    if not features["texts"]:
        return coded
    words = ngrams.encode_text({name: rows[name] for name in features["texts"]}, features["texts"]).dense()
    return np.hstack([coded, statistics(rows, list(features["texts"])), words])


def matrix_names(features: dict[str, Any]) -> list[str]:
    """A name for each column of `encode_matrix`."""
    from modelyard.features import table

    words = [f"{name}: {term}" for name, inner in features["texts"].items() for term in inner["terms"]]
    return [*table.coded_names(features["table"]), *statistic_names(list(features["texts"])), *words]
