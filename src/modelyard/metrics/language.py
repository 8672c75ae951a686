"""How well a language model predicts texts: bits per byte, which no choice of tokens changes, and perplexity per token.

Scores are (n, 3): nats, tokens and bytes of each text. Sums over texts come first, so that long texts count for what they are.
"""

from __future__ import annotations

import math

import numpy as np

from modelyard.metrics._contract import Metric, Sample, Statistic, ratio
from modelyard.rows import Array


def _bits_per_byte(sample: Sample) -> Statistic:
    nats, _, size = sample.scores.T
    return lambda weights: ratio(weights @ nats, weights @ size, empty=np.nan) / math.log(2)


def _perplexity(sample: Sample) -> Statistic:
    nats, tokens, _ = sample.scores.T

    def over(weights: Array) -> Array:
        found: Array = np.exp(np.minimum(ratio(weights @ nats, weights @ tokens, empty=np.nan), 700.0))
        return found

    return over


METRICS = (
    Metric("bits_per_byte", "language", greater_is_better=False, over=_bits_per_byte),
    Metric("perplexity", "language", greater_is_better=False, over=_perplexity),
)
