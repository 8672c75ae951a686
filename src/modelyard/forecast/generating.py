"""Serving a language model: the memory of its keys and values, how many answers fit beside each other, and how fast tokens can come at best."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """What a decoder-only transformer is built like."""

    layers: int
    heads: int
    """Of keys and values: fewer than of queries where they are shared (grouped-query attention)."""
    width: int
    """Numbers of a head."""
    parameters: int

    def __post_init__(self) -> None:
        if min(self.layers, self.heads, self.width, self.parameters) < 1:
            raise ValueError("a transformer has layers, heads, widths and parameters of at least 1")

    def cache(self, tokens: float, *, each: float = 2.0) -> float:
        """Bytes of keys and values of so many tokens: 2 x layers x heads x width x tokens x bytes of a number (Llama-3-8B: 131,072 a token)."""
        return 2.0 * self.layers * self.heads * self.width * tokens * each


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a machine was measured to do at best."""

    flops: float
    """A second, of matrix products in the model's number format."""
    bandwidth: float
    """Bytes read a second."""
    memory: float
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Answers beside each other on one machine, at best."""

    batch: int
    """Answers that fit; 0: not even the weights and one of them do."""
    tokens_per_second: float
    """Written, of all answers together: a bound from bytes and operations, not a measurement."""
    first_token: float
    """Seconds to read the prompt of one answer."""


def serving(shape: Shape, ceiling: Ceiling, *, prompt: float, answer: float, weight: float = 2.0, number: float = 2.0, reserve: float = 0.1, most: int = 256) -> Serving:  # fmt: skip
    """How a machine serves answers of these lengths (tokens). `weight` and `number` are bytes of a weight and of a key or value.

    A step reads every weight once and every answer's cache, and computes 2 FLOP a parameter and answer: it takes at least the longer of
    both. On average an answer's cache is half written. `reserve` of the memory is left to all else.
    """
    if prompt < 0 or answer <= 0 or not 0 <= reserve < 1:
        raise ValueError("an answer has tokens, a prompt not below 0, and the reserve is a share")
    weights, cache = shape.parameters * weight, shape.cache(prompt + answer, each=number)
    batch = min(most, math.floor((ceiling.memory * (1 - reserve) - weights) / cache))
    if batch < 1:
        return Serving(0, 0.0, float("inf"))
    read = weights + batch * shape.cache(prompt + answer / 2, each=number)
    step = max(read / ceiling.bandwidth, 2.0 * shape.parameters * batch / ceiling.flops)
    return Serving(batch, batch / step, 2.0 * shape.parameters * prompt / ceiling.flops)


def machines(demand: float, each: Serving, *, utilisation: float) -> int | None:
    """Machines for so many written tokens a second at a mean load; None where the model does not fit one."""
    if not 0 < utilisation <= 1:
        raise ValueError("utilisation lies above 0 and at most at 1")
    return None if each.batch == 0 else max(1, math.ceil(demand / (each.tokens_per_second * utilisation) - 1e-9))
