"""Answering in batches of similar length = answering all at once."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.models._contract import Arrays
from modelyard.rows import Array
from modelyard.sessions._batches import by_length


def summed(arrays: Arrays) -> Array:
    """What every honest model does: it reads no padding."""
    shown = np.arange(arrays["ids"].shape[1])[None, :] < arrays["length"][:, None]
    return (arrays["ids"] * shown).sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("count", "rows", "multiple"), [(1, 32, 16), (7, 3, 1), (100, 32, 16), (64, 64, 8)])
def test_order_and_values_are_kept(count: int, rows: int, multiple: int) -> None:
    rng = np.random.default_rng(count)
    arrays = {"ids": rng.integers(1, 9, size=(count, 50)), "length": rng.integers(1, 51, size=count)}
    widths = []

    def run(batch: Arrays) -> Array:
        widths.append(batch["ids"].shape[1])
        return summed(batch)

    np.testing.assert_array_equal(
        by_length(arrays, ("ids",), run, rows=rows, multiple=multiple, longest=64), summed(arrays)
    )
    assert all(width % multiple == 0 for width in widths)


def test_never_longer_than_it_was_exported_with() -> None:
    widths = []

    def run(batch: Arrays) -> Array:
        widths.append(batch["ids"].shape[1])
        return summed(batch)

    by_length({"ids": np.ones((1, 50), dtype=int), "length": np.array([50])}, ("ids",), run, multiple=16, longest=50)
    assert widths == [50]


def test_arrays_without_length_are_answered_in_order() -> None:
    values = np.arange(1000.0)[:, None]
    np.testing.assert_array_equal(by_length({"dense": values}, (), lambda batch: batch["dense"], rows=16), values)
