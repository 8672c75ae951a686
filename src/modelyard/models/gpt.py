"""A GPT from scratch: a tokenizer learnt from the data, and a decoder-only transformer that predicts the next token (Radford et al. 2019).

`modern` blocks (RMSNorm, rotary positions, SwiGLU, no biases: Touvron et al. 2023) or `classic` ones (GPT-2). Texts are packed into
blocks without padding, and no text sees another. It knows nothing about sampling and serving.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.errors import DataError, MissingExtra
from modelyard.features import subwords
from modelyard.models._contract import Arrays, Examples, LoopModel, LoopOptions, Weights
from modelyard.models._decoder import Shape, network
from modelyard.models._language import Language, prompted
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

HIDDEN = 8 / 3
"""Width of a SwiGLU layer as a multiple of the model's: three matrices of it cost what two of 4 do (Shazeer 2020)."""


class Part(LoopModel, Language):
    """A GPT."""

    tasks: ClassVar[tuple[str, ...]] = ("text-generation",)
    extra: ClassVar[str | None] = "text"
    ragged: ClassVar[tuple[str, ...]] = ("ids", "segment", "position", "counted", "bytes")

    tokenizer: Literal["bpe", "characters", "bytes"] = "bpe"
    """What a token is: a piece of a word (byte-pair encoding), a character, or a byte."""
    vocabulary: int | None = Field(None, ge=300, le=100_000)
    """Entries of a byte-pair vocabulary; null: by the size of the data."""
    blocks: Literal["modern", "classic"] = "modern"
    """modern: RMSNorm, rotary positions, SwiGLU; classic: GPT-2's LayerNorm, learned positions, GELU."""
    context: int = Field(128, ge=8, le=8192)
    """Tokens that it can see."""
    layers: int = Field(4, ge=1, le=48)
    """Blocks of attention and feed-forward."""
    heads: int = Field(4, ge=1, le=64)
    """Attention heads; they share the width."""
    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values, fewer for grouped-query attention; null: as many as heads."""
    width: int = Field(192, ge=16, le=4096)
    """Of a token's vector; a multiple of the heads."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """After the embedding and in each block."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(3e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.1, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; twice the usual, because a budget buys few steps."""
    epochs: int = Field(20, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    batch_rows: int = Field(32, ge=1)
    """Blocks of `context` tokens in an optimiser step."""
    validations_per_epoch: int = Field(1, ge=1)
    """How often the validation rows are scored."""
    patience: int | None = Field(4, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    @model_validator(mode="after")
    def _whole_heads(self) -> Part:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(f"width must be an even multiple of heads (got {self.width} and {self.heads})")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads must be a multiple of kv_heads (got {self.heads} and {self.kv_heads})")
        return self

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """The tokenizer, and which columns stand before an answer."""
        before = prompted(state)
        texts = [text for name in (*before, state.target) for text in rows[name] if text]
        found = subwords.fit(texts, kind=self.tokenizer, size=self.vocabulary)
        return {**found, "prompts": before, "target": state.target}

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """A row a text: (n, L) `ids`, `segment`, `position`, `counted`, `bytes`, and `length` (n,)."""
        found = subwords.documents(rows, features["prompts"], features["target"], features)
        return subwords.encode(found, features, context=self.context)

    def examples(self, rows: Rows, target: Array, features: dict[str, Any], *, seed: int) -> Examples:
        """Texts packed into blocks."""
        import numpy as np

        found = subwords.documents(rows, features["prompts"], features["target"], features)
        arrays = subwords.pack(found, features, context=self.context, seed=seed)
        return Examples(arrays, np.zeros(len(arrays["ids"])))

    def ends(self, features: dict[str, Any]) -> list[int]:
        return [features["end"]]

    def window(self, features: dict[str, Any]) -> int:
        return self.context

    def prompts(self, rows: Rows, features: dict[str, Any]) -> list[list[int]]:
        return subwords.heads(rows, features["prompts"] or ["prompt"], features, lines=bool(features["prompts"]))

    def prompt(self, text: str, features: dict[str, Any]) -> list[int]:
        return [features["end"], *subwords.ids_of([text], features)[0]]

    def spell(self, ids: Sequence[int], features: dict[str, Any]) -> str:
        return subwords.text_of(ids, features)

    def shape(self, features: dict[str, Any]) -> Shape:
        """The network's shape."""
        hidden = 4 * self.width if self.blocks == "classic" else 8 * math.ceil(HIDDEN * self.width / 8)
        return Shape(
            blocks=self.blocks, vocabulary=features["size"], context=self.context, layers=self.layers, heads=self.heads,
            kv_heads=self.kv_heads or self.heads, width=self.width, hidden=hidden, dropout=self.dropout,
        )  # fmt: skip

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(ids, segment, position, counted, bytes)` -> (n, 3)."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a language model", "text") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return network()(self.shape(features))

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options; Adam's second beta as GPT-3's (Brown et al. 2020)."""
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.95),
            schedule=self.schedule, warmup=self.warmup, epochs=self.epochs, batch_rows=self.batch_rows, patience=self.patience,
            precision=self.precision, validations_per_epoch=self.validations_per_epoch,
        )  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs of one token: two a weight, and the attention over a full context."""
        found = super().work(weights, features, state)
        attention = 4.0 * self.layers * self.context * self.width
        return found.model_copy(update={"flops_per_row": found.flops_per_row + attention, "typical_length": 1})

    def first_loss(self, features: dict[str, Any], task: Any, state: State) -> float:
        """Before training every token is about as likely as any other: ln of the vocabulary, in nats."""
        return math.log(features["size"])

    def unfit(self, state: State) -> str:
        if state.makes != "text":
            raise DataError(f"a language model makes texts; the target {state.target!r} is none")
        return ""
