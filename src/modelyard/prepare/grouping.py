"""Which rows must stay together: equal inputs, near-duplicate texts, a group column. It knows typed columns, no target and no splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelyard.prepare import duplicates, pictures, scripts
from modelyard.rows import ROW, Array

if TYPE_CHECKING:
    import polars

LEAST_SHINGLES = 10
"""One text column of several is compared alone only where it has so many shingles (14 words): short remarks repeat by chance."""
LEAST_SHINGLES_UNSPACED = 30
FEWEST_DISTINCT = 10
SMALL_SHARE = 0.1
"""Tables whose distinct rows are fewer than this share have so few possible rows that equal ones say nothing."""
LARGEST_CLUSTER = 0.5


def duplicate_pairs(
    frame: polars.DataFrame,
    types: Mapping[str, str],
    *,
    threshold: float | None,
    text_task: bool,
    looked: Mapping[str, pictures.Looked] | None = None,
) -> tuple[Array, dict[str, int]]:
    """Pairs (m, 2) of rows that repeat each other, and counts for the record. `types` are the inputs'; `looked`: what was seen of those
    that are images, which stand in the frame as hashes of their pixels."""
    looked = looked or {}
    keys = _equal_inputs(frame, list(types))
    exact = duplicates.equal(keys)
    texts = [name for name, kind in types.items() if kind == "text"]
    if not texts and not looked and _natural(keys):
        return np.zeros((0, 2), dtype=np.int64), {"clusters": 0, "rows": 0, "exact": 0, "coincident": len(exact)}
    pairs = [exact]
    if texts and threshold is not None:
        pairs += _near(frame, texts, threshold, text_task=text_task)
    if threshold is not None:
        pairs += [pictures.near(seen) for seen in looked.values()]
    joined = np.concatenate(pairs)
    sizes = np.bincount(duplicates.clusters(frame.height, joined))
    return joined, {
        "clusters": int((sizes > 1).sum()),
        "rows": int(sizes[sizes > 1].sum()),
        "exact": len(exact),
        "largest": int(sizes.max()),
    }


def _equal_inputs(frame: polars.DataFrame, names: list[str]) -> Array:
    """(n,) number of the first row with the same inputs."""
    import polars as pl

    numbered = frame.select(names).with_row_index(ROW)
    return numbered.select(pl.col(ROW).first().over(names)).to_series().to_numpy().astype(np.int64)


def _natural(keys: Array) -> bool:
    """Whether equal inputs are ordinary in a table: few combinations are possible at all."""
    counts = np.bincount(keys)
    distinct = int((counts > 0).sum())
    return distinct < max(FEWEST_DISTINCT, SMALL_SHARE * len(keys)) or counts.max() > LARGEST_CLUSTER * len(keys)


def _near(frame: polars.DataFrame, texts: list[str], threshold: float, *, text_task: bool) -> list[Array]:
    import polars as pl

    unspaced = {name: bool(scripts.script(frame[name])["unspaced"]) for name in texts}
    pairs = []
    if text_task:
        joined = frame.select(
            pl.concat_str([pl.col(name) for name in texts], separator="\n", ignore_nulls=True)
        ).to_series()
        pairs.append(duplicates.near(joined, threshold, unspaced=any(unspaced.values())))
    if not text_task or len(texts) > 1:
        for name in texts:
            least = LEAST_SHINGLES_UNSPACED if unspaced[name] else LEAST_SHINGLES
            pairs.append(duplicates.near(frame[name], threshold, unspaced=unspaced[name], least=least))
    return pairs


def column_pairs(series: polars.Series) -> Array:
    """Pairs (m, 2) that join all rows of one group; a row without a group stands alone."""
    codes = series.rank("dense").cast(int).fill_null(-1).to_numpy().astype(np.int64)
    return duplicates.equal(codes)


def marks(frame: polars.DataFrame, names: Sequence[str]) -> Array:
    """(n,) 64-bit hashes of rows by their content, so that a split does not depend on the order of rows."""
    import polars as pl

    texts = frame.select(
        pl.concat_str([pl.col(name).cast(pl.String).fill_null("\x00") for name in names], separator="\x1f")
    ).to_series()
    found = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts]
    return np.array(found, dtype=np.uint64)
