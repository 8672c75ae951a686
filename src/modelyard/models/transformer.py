"""A small transformer encoder from scratch (Vaswani et al. 2017, pre-normalised) over words or numeric series.

It needs more rows than a recurrent network to be as good, and trains faster for each of them. It knows nothing about training loops.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.errors import DataError, MissingExtra
from modelyard.features import lookups, sequences, vocabulary
from modelyard.models import _steps
from modelyard.models._contract import Arrays, LoopModel, LoopOptions, Weights
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(LoopModel):
    """A small transformer encoder."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "sequence-classification")
    extra: ClassVar[str | None] = "neural"
    ragged: ClassVar[tuple[str, ...]] = ("ids", "values")
    most_threads: ClassVar[int | None] = 1
    # a step of 32 series of 20 values: 37 ms on one thread; two wait for each other, 150 ms beside other busy processes (2 cores, torch 2.13)

    layers: int = Field(2, ge=1, le=12)
    """Blocks of attention and feed-forward."""
    heads: int = Field(4, ge=1, le=16)
    """Attention heads; they share the width."""
    width: int = Field(128, ge=8, le=1024)
    """Of a step's vector; a multiple of the heads."""
    vocabulary: int = Field(20_000, ge=100)
    """Most words that have a vector of their own (texts)."""
    longest: int = Field(256, ge=8, le=4096)
    """Steps at most: words of a text are cut, a numeric series is thinned."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """After the embedding and in each block."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(1e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.05, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    epochs: int = Field(15, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    least_steps: int = Field(300, ge=0)
    """Optimiser steps at least, where the budget buys them: few rows are passed over more often than `epochs`, and patience lasts as much longer."""
    batch_rows: int = Field(32, ge=1)
    """Rows in an optimiser step."""
    patience: int | None = Field(5, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    @model_validator(mode="after")
    def _whole_heads(self) -> Part:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads (got {self.width} and {self.heads})")
        return self

    def unfit(self, state: State) -> str:
        return _steps.unfit(state)

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Vocabulary, or scales."""
        if reason := self.unfit(state):
            raise DataError(reason)
        return lookups.plain(_steps.fit(rows, state, most=self.vocabulary, longest=self.longest))

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`ids` (n, L) or `values` (n, L, C), and `length` (n,)."""
        return _steps.encode(rows, features)

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(ids or values, length)` -> (n, K)."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a transformer", "neural") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _network()(features, state.outputs, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options, with more epochs where rows are few."""
        epochs, patience = _steps.passes(
            rows, self.batch_rows, epochs=self.epochs, patience=self.patience, least=self.least_steps
        )
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay,
            schedule=self.schedule, warmup=0.1, epochs=epochs, batch_rows=self.batch_rows, patience=patience,
            precision=self.precision,
        )  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs of a row of usual length."""
        return _steps.work(super().work(weights, features, state), weights, features)


LEAST = 8
"""Positions at least: graphs are traced with 8 steps or more (`compress.methods`)."""


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """x + attention(norm(x)), then x + feed-forward(norm(x))."""

        def __init__(self, options: Part) -> None:
            super().__init__()
            width = options.width
            self.heads = options.heads
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.asked, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.forward_part = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            self.dropout = nn.Dropout(options.dropout)

        def forward(self, steps: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
            batch, length, width = steps.shape
            query, key, value = (
                part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)  # (B, H, L, d)
                for part in self.asked(self.first(steps)).chunk(3, dim=2)
            )
            found = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=inside[:, None, None, :])
            steps = steps + self.dropout(self.out(found.transpose(1, 2).reshape(batch, length, width)))
            return steps + self.dropout(self.forward_part(self.second(steps)))

    def waves(length: int, width: int) -> torch.Tensor:
        """(L, W) sines and cosines of the place (Vaswani et al. 2017, 3.5), as strong as the embedded values of a series.

        Beside them positions of 0.02, as words have, were not heard: 0.76 of 300 days of ItalyPowerDemand told right and now 0.97,
        0.75 and 0.95 of GunPoint's motions (cross-validated, 43 epochs).
        """
        places = torch.arange(max(length, LEAST))[:, None]
        turns = places * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))  # (L, W / 2)
        return torch.stack([turns.sin(), turns.cos()], dim=2).flatten(1)[:, :width]

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Embedding or values with positions, blocks, the mean over each series' own steps, a head that starts at zero."""

        def __init__(self, features: dict[str, Any], outputs: int, options: Part) -> None:
            super().__init__()
            if "words" in features:
                longest = features["words"]["length"]
                self.embedding = nn.Embedding(
                    vocabulary.width(features["words"]), options.width, padding_idx=vocabulary.PAD
                )
                nn.init.normal_(self.embedding.weight, std=0.02)
            else:
                longest = features["series"]["length"]
                self.embedding = nn.Linear(sequences.width(features["series"]), options.width)
            self.words = "words" in features
            places = (
                torch.randn(max(longest, LEAST), options.width) * 0.02 if self.words else waves(longest, options.width)
            )
            self.positions = nn.Parameter(places)
            self.dropout = nn.Dropout(options.dropout)
            self.blocks = nn.ModuleList(Block(options) for _ in range(options.layers))
            self.last, self.head = nn.LayerNorm(options.width), nn.Linear(options.width, outputs)
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def forward(
            self,
            ids: torch.Tensor | None = None,
            values: torch.Tensor | None = None,
            length: torch.Tensor | None = None,
        ) -> torch.Tensor:
            assert length is not None
            steps = self.embedding(ids if self.words else values)  # (B, L, W)
            places = torch.arange(steps.shape[1], device=steps.device)  # (L,)
            # looked up and not sliced: a slice would tie the length of an exported graph to that of the table
            steps = self.dropout(steps + nn.functional.embedding(places, self.positions))
            inside = places[None, :] < length[:, None]  # (B, L)
            for block in self.blocks:
                steps = block(steps, inside)
            counted = self.last(steps) * inside[:, :, None].to(steps.dtype)
            return self.head(counted.sum(dim=1) / length[:, None].to(steps.dtype))  # (B, K)

    return Network
