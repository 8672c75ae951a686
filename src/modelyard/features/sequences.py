"""Series of numbers of different lengths as padded arrays, standardised by channel. numpy only; it knows no model.

A value that lacks is the channel's mean; a channel beside says that it lacked, where training ever missed one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.rows import Array, Rows

CUT = 8.0
"""Standardised values are cut here, so that one absurd reading cannot carry the answer away."""


def fit(rows: Rows, name: str, *, longest: int) -> dict[str, Any]:
    """Mean and deviation of each channel, which ever lack, and the length that 99 % need, at most `longest`."""
    present = [series for series in rows[name] if series is not None]
    channels = max((series.shape[1] for series in present), default=1)
    # float64: the square of what float32 can just hold is beyond it
    flat = np.concatenate(present).astype(np.float64) if present else np.zeros((0, channels))  # (steps, C)
    with np.errstate(all="ignore"):
        mean = np.array([np.nanmean(column) if np.isfinite(column).any() else 0.0 for column in flat.T])
        scale = np.array([np.nanstd(column) if np.isfinite(column).any() else 1.0 for column in flat.T])
    lengths = [len(series) for series in present] or [1]
    return {
        "column": name, "channels": channels, "mean": mean.tolist(), "scale": np.where(scale > 0, scale, 1.0).tolist(),
        "missing": np.isnan(flat).any(axis=0).tolist(), "length": int(min(longest, max(1, np.ceil(np.quantile(lengths, 0.99))))),
    }  # fmt: skip


def width(features: dict[str, Any]) -> int:
    """Channels of what `encode` gives."""
    return features["channels"] + sum(features["missing"])  # type: ignore[no-any-return]


def encode(rows: Rows, features: dict[str, Any]) -> dict[str, Array]:
    """`values` (n, L, C + flags) float32 and `length` (n,) int64, at least 1. A longer series is thinned evenly, not cut."""
    mean, scale = np.asarray(features["mean"]), np.asarray(features["scale"])
    missing, longest = np.flatnonzero(features["missing"]), features["length"]
    found = []
    for series in rows[features["column"]]:
        given = np.full((1, features["channels"]), np.nan) if series is None else series
        if len(given) > longest:
            given = given[np.linspace(0, len(given) - 1, longest).round().astype(int)]
        absent = np.isnan(given)
        scaled = np.clip(np.where(absent, 0.0, (given - mean) / scale), -CUT, CUT)
        found.append(np.hstack([scaled, absent[:, missing]]).astype(np.float32))
    length = np.array([len(series) for series in found], dtype=np.int64)
    values = np.zeros((len(found), int(length.max(initial=1)), width(features)), dtype=np.float32)
    for place, series in enumerate(found):
        values[place, : len(series)] = series
    return {"values": values, "length": length}


def statistics(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, 9 x C) float64 of each channel: mean, deviation, lowest, highest, first, last, slope, roughness, length; NaN where all lack."""
    result = np.full((len(rows), features["channels"], len(STATISTICS)), np.nan)
    for place, series in enumerate(rows[features["column"]]):
        if series is None:
            continue
        values, known = series.astype(np.float64), ~np.isnan(series)
        if known.all():
            result[place, :, :-1] = _told(values)
        else:
            for channel in np.flatnonzero(known.any(axis=0)):
                result[place, channel, :-1] = _told(values[known[:, channel], channel, None])
        result[place, known.any(axis=0), -1] = len(series)
    return result.reshape(len(rows), features["channels"] * len(STATISTICS))


def _told(values: Array) -> Array:
    """(L, C) without gaps -> (C, 8): all statistics but the length."""
    places = np.linspace(-0.5, 0.5, len(values)) if len(values) > 1 else np.ones(1)  # the series as one unit of time
    slope = places @ (values - values.mean(axis=0)) / (places @ places)  # least squares
    rough = np.abs(np.diff(values, axis=0)).mean(axis=0) if len(values) > 1 else np.zeros(values.shape[1])
    return np.stack([
        values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0), values[0], values[-1], slope, rough,
    ], axis=1)  # fmt: skip


STATISTICS = ("mean", "deviation", "lowest", "highest", "first", "last", "slope", "roughness", "length")
