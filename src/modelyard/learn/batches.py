"""Which rows stand in which optimiser step and forward pass: a pure function of seed and epoch, so that a cursor is a number.

Rows of like length stand together, so that little is computed on padding; a step's rows are cut into passes of at most
`batch_tokens` padded tokens. It knows nothing about modules or devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelyard.features.tokens import batches as by_tokens
from modelyard.models._contract import Arrays
from modelyard.rows import Array

MEGABATCH = 50
"""Optimiser steps whose rows are sorted by length together (fairseq and transformers' LengthGroupedSampler use 50)."""
MULTIPLE = 8
"""Lengths are rounded up to it: fewer shapes for the matrix kernels to specialise on, and whole vector registers."""

Step = list[Array]
"""The passes of one optimiser step: row numbers of each."""


def lengths(arrays: Arrays, ragged: Sequence[str]) -> Array | None:
    """(n,) lengths of the ragged arrays, or None where there are none."""
    return arrays["length"] if ragged and "length" in arrays else None


def steps(
    count: int,
    length: Array | None,
    *,
    batch_rows: int,
    batch_tokens: int | None,
    seed: int,
    epoch: int,
    group: bool = True,
) -> list[Step]:
    """The optimiser steps of one epoch; every row stands in exactly one pass of one step.

    A last row that would stand alone joins the step before (batch normalisation needs two); their number is the same in every epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(count)
    if length is not None and group:
        span = batch_rows * MEGABATCH
        blocks = [order[start : start + span] for start in range(0, count, span)]
        order = (
            np.concatenate([block[np.argsort(-length[block], kind="stable")] for block in blocks]) if blocks else order
        )
    found = [order[start : start + batch_rows] for start in range(0, count, batch_rows)]
    if len(found) > 1 and len(found[-1]) == 1:
        found[-2:] = [np.concatenate(found[-2:])]
    shuffled = [found[place] for place in generator.permutation(len(found))] if group and length is not None else found
    return [passes(rows, length, batch_tokens) for rows in shuffled]


def passes(rows: Array, length: Array | None, tokens: int | None) -> Step:
    """Rows cut into passes of at most `tokens` padded tokens."""
    if length is None or tokens is None:
        return [rows]
    return [rows[place] for place in by_tokens(length[rows], tokens)]


def work(step: Step, length: Array | None) -> int:
    """Padded tokens of a step (rows, where rows have no length): what its time is in proportion to."""
    return sum(len(rows) * (1 if length is None else _padded(int(length[rows].max()))) for rows in step)


def take(arrays: Arrays, rows: Array, ragged: Sequence[str]) -> Arrays:
    """The rows of every array, ragged ones trimmed to the longest of them."""
    if not ragged or "length" not in arrays:
        return {name: values[rows] for name, values in arrays.items()}
    longest = _padded(int(arrays["length"][rows].max()))
    return {name: values[rows, :longest] if name in ragged else values[rows] for name, values in arrays.items()}


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE
