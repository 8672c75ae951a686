"""A multilayer perceptron on one dense matrix: standardised numbers, one-hot categories, date parts, TF-IDF words and text shapes.

It knows nothing about training loops: `learn.loop` trains what `module` returns.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.errors import MissingExtra
from modelyard.features import lookups, ngrams, table
from modelyard.models import _inputs
from modelyard.models._contract import Arrays, LoopModel, LoopOptions, Weights
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(LoopModel):
    """A multilayer perceptron."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "tabular-classification", "tabular-regression")
    extra: ClassVar[str | None] = "neural"

    most_threads: ClassVar[int | None] = 1
    # a step of 64 rows x 300 columns: 1.9 ms on one thread; two spin, 87 ms beside another busy process (2 cores, torch 2.13)

    hidden: tuple[int, ...] = (128, 64)
    """Width of each hidden layer; none: a linear model."""
    activation: Literal["relu", "gelu", "tanh", "silu", "leaky_relu"] = "relu"
    """Between layers."""
    initialisation: Literal["he", "xavier"] = "he"
    """Of the hidden weights: He et al. 2015 (for relu's kin) or Glorot and Bengio 2010 (for tanh)."""
    normalisation: Literal["none", "batch", "layer"] = "none"
    """Before each activation."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """After each activation."""
    terms: int = Field(2000, ge=0)
    """Words of each text column that are read: those in most rows."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(2e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.01, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    l1: float = Field(0.0, ge=0)
    """Weight of the sum of absolute weights in the loss."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    epochs: int = Field(40, ge=1)
    """Passes over the data at most."""
    batch_rows: int = Field(64, ge=1)
    """Rows in an optimiser step."""
    patience: int | None = Field(10, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Matrices this small gain nothing from bf16 on a CPU."""

    def unfit(self, state: State) -> str:
        names = [column.name for column in state.inputs if column.type in ("image", "sequence")]
        return f"it reads neither images nor series ({', '.join(names)})" if names else ""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Scales, categories, vocabulary."""
        blocks = _inputs.text_blocks(state)
        found: dict[str, Any] = {"table": table.fit_dense(rows, state), "blocks": blocks}
        if blocks:
            read = _inputs.texts(rows, blocks)
            found["texts"] = ngrams.fit_text(read, longest=1, most=self.terms)
            shape = _inputs.statistics(read)
            found["shape"] = {"mean": shape.mean(axis=0).tolist(), "scale": (shape.std(axis=0) + 1e-6).tolist()}
        found["width"] = int(self.encode(rows.take(slice(0, 1)), found)["dense"].shape[1])
        return lookups.plain(found)  # without what encoding that row has kept

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`dense` (n, d) float32."""
        dense = table.encode_dense(rows, features["table"])
        if features["blocks"]:
            read = _inputs.texts(rows, features["blocks"])
            shape = (_inputs.statistics(read) - np.asarray(features["shape"]["mean"])) / np.asarray(
                features["shape"]["scale"]
            )
            words = ngrams.encode_text(read, features["texts"])
            # a row of TF-IDF has length 1: scaled so that its terms weigh like standardised columns
            scaled = words.dense() * np.float32(TERM_SCALE)
            dense = np.hstack([dense, np.clip(shape, -table.CUT, table.CUT), scaled])
        return {"dense": np.ascontiguousarray(dense, dtype=np.float32)}

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(dense)` -> (n, K)."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a multilayer perceptron", "neural") from None

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _network()(features["width"], state.outputs, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options."""
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay, l1=self.l1,
            schedule=self.schedule, warmup=0.05, epochs=self.epochs, batch_rows=self.batch_rows, patience=self.patience,
            precision=self.precision,
        )  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """Two FLOPs a weight of each matrix."""
        found = super().work(weights, features, state)
        return found.model_copy(
            update={"flops_per_row": float(sum(2 * array.size for array in weights.values() if array.ndim == 2))}
        )


TERM_SCALE = 10.0
"""About the square root of the 100 distinct common words of a typical text: one of them then has the size of a deviation."""


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    activations = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "silu": nn.SiLU, "leaky_relu": nn.LeakyReLU}

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Linear, normalisation, activation, dropout; again; linear head that starts at zero."""

        def __init__(self, width: int, outputs: int, options: Part) -> None:
            super().__init__()
            blocks: list[Any] = []
            for inner in options.hidden:
                linear = nn.Linear(width, inner)
                if options.initialisation == "he":
                    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
                blocks.append(linear)
                if options.normalisation != "none":
                    blocks.append(nn.BatchNorm1d(inner) if options.normalisation == "batch" else nn.LayerNorm(inner))
                blocks += [activations[options.activation](), nn.Dropout(options.dropout)]
                width = inner
            self.body = nn.Sequential(*blocks)
            self.head = nn.Linear(width, outputs)
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def forward(self, dense: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(dense))  # (B, d) -> (B, K)

    return Network
