"""A recurrent network over words or numeric series: plain (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997) or GRU (Cho et al. 2014).

Series of different lengths are exact: each step counts only while its series lasts, and the backward direction of a bidirectional
network starts at each series' own end, as with packed sequences, but in operations that ONNX can express.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from modelyard.errors import DataError, MissingExtra
from modelyard.features import lookups, sequences, vocabulary
from modelyard.models import _steps
from modelyard.models._contract import Arrays, LoopModel, LoopOptions, Weights
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(LoopModel):
    """A recurrent network."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "sequence-classification")
    extra: ClassVar[str | None] = "neural"
    ragged: ClassVar[tuple[str, ...]] = ("ids", "values")
    recurrent: ClassVar[bool] = True
    most_threads: ClassVar[int | None] = 1
    # one step after another, each a small matrix: 32 series of 20 steps take a GRU 17 ms on one thread; two wait for each other, 119 ms
    # beside other busy processes (2 cores, torch 2.13)

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """What remembers from step to step; a plain rnn forgets within some ten steps, which the record of its gradients shows."""
    bidirectional: bool = True
    """Read from both ends."""
    layers: int = Field(1, ge=1, le=4)
    """Recurrent layers, one on the other."""
    hidden: int = Field(128, ge=4, le=1024)
    """Width of a layer's memory, in each direction."""
    embedding: int = Field(100, ge=4, le=1024)
    """Width of a word's vector (texts)."""
    vocabulary: int = Field(20_000, ge=100)
    """Most words that have a vector of their own (texts)."""
    longest: int = Field(256, ge=8, le=4096)
    """Steps at most: words of a text are cut, a numeric series is thinned."""
    pooling: Literal["mean", "max", "last"] = "max"
    """How the states of all steps become one vector."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """After the embedding and before the head."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(2e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.01, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    clip: float | None = Field(1.0, gt=0)
    """Largest global norm of the gradient, against explosions; null: none."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    epochs: int = Field(12, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    least_steps: int = Field(300, ge=0)
    """Optimiser steps at least, where the budget buys them: few rows are passed over more often than `epochs`, and patience lasts as much longer."""
    batch_rows: int = Field(32, ge=1)
    """Rows in an optimiser step."""
    patience: int | None = Field(4, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Recurrent steps are small; bf16 rarely pays."""

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
            raise MissingExtra("a recurrent network", "neural") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _network()(features, state.outputs, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options, with more epochs where rows are few."""
        epochs, patience = _steps.passes(
            rows, self.batch_rows, epochs=self.epochs, patience=self.patience, least=self.least_steps
        )
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay, clip=self.clip,
            schedule=self.schedule, warmup=0.1, epochs=epochs, batch_rows=self.batch_rows, patience=patience,
            precision=self.precision,
        )  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs of a row of usual length."""
        return _steps.work(super().work(weights, features, state), weights, features)


OPEN = 50.0
"""A gate's bias at which it is open: 1 - sigmoid(50) is 2e-22, nothing beside a float32."""


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    cells = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

    def turned(steps: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        """(B, L, W), each series turned round within its own length; its own inverse."""
        return steps.gather(1, back[:, :, None].expand(-1, -1, steps.shape[2]))

    def read(cell: Any, steps: torch.Tensor) -> torch.Tensor:
        """(B, L, W) -> (B, L, H): the memory after each step."""
        if isinstance(cell, nn.RNN) and torch.compiler.is_exporting():
            return as_gru(cell, steps)
        return cell(steps)[0]

    def as_gru(cell: Any, steps: torch.Tensor) -> torch.Tensor:
        """A plain recurrent layer as a GRU that always resets and never keeps: the same numbers, and an operation that exporters know."""
        hidden, into, own = cell.hidden_size, cell.weight_ih_l0, cell.weight_hh_l0
        reset, keep = (own.new_full((hidden,), bias) for bias in (OPEN, -OPEN))
        weights = [  # of reset, keep and the new memory, one above the other
            torch.cat([into.new_zeros(2 * hidden, into.shape[1]), into]),
            torch.cat([own.new_zeros(2 * hidden, hidden), own]),
            torch.cat([reset, keep, cell.bias_ih_l0]),
            torch.cat([own.new_zeros(2 * hidden), cell.bias_hh_l0]),
        ]
        start = steps.new_zeros(1, steps.shape[0], hidden)
        return torch.gru(steps, start, weights, True, 1, 0.0, False, False, True)[0]

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Embedding or values, recurrent layers in one or two directions, a pooled state, a head that starts at zero."""

        def __init__(self, features: dict[str, Any], outputs: int, options: Part) -> None:
            super().__init__()
            if "words" in features:
                width = options.embedding
                self.embedding = nn.Embedding(vocabulary.width(features["words"]), width, padding_idx=vocabulary.PAD)
            else:
                width, self.embedding = sequences.width(features["series"]), None
            self.dropout, self.pooling, self.hidden = nn.Dropout(options.dropout), options.pooling, options.hidden
            self.ahead, self.back = nn.ModuleList(), nn.ModuleList()
            for _ in range(options.layers):
                self.ahead.append(cells[options.cell](width, options.hidden, batch_first=True))
                if options.bidirectional:
                    self.back.append(cells[options.cell](width, options.hidden, batch_first=True))
                width = options.hidden * (2 if options.bidirectional else 1)
            self.head = nn.Linear(width, outputs)
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def forward(
            self,
            ids: torch.Tensor | None = None,
            values: torch.Tensor | None = None,
            length: torch.Tensor | None = None,
        ) -> torch.Tensor:
            assert length is not None
            given: Any = values if self.embedding is None else self.embedding(ids)
            steps = given if self.embedding is None else self.dropout(given)  # (B, L, W)
            places = torch.arange(steps.shape[1], device=steps.device)[None, :]  # (1, L)
            inside = places < length[:, None]  # (B, L)
            back = torch.where(inside, length[:, None] - 1 - places, places)  # each series' steps, its last one first
            for number, ahead in enumerate(self.ahead):
                found = read(ahead, steps)
                if len(self.back):
                    found = torch.cat([found, turned(read(self.back[number], turned(steps, back)), back)], dim=2)
                steps = found
            return self.head(self.dropout(self._pooled(steps, length, inside)))  # (B, K)

        def _pooled(self, steps: torch.Tensor, length: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
            """(B, L, W) -> (B, W) over each series' own steps."""
            if self.pooling == "last":  # of each direction: backwards, that is where the series begins
                last = steps.gather(1, (length - 1)[:, None, None].expand(-1, 1, steps.shape[2]))[:, 0]
                first = steps[:, 0, self.hidden :]
                return torch.cat([last[:, : self.hidden], first], dim=1) if len(self.back) else last
            if self.pooling == "max":
                return steps.masked_fill(~inside[:, :, None], -1e4).amax(dim=1)
            return (steps * inside[:, :, None].to(steps.dtype)).sum(dim=1) / length[:, None].to(steps.dtype)

    return Network
