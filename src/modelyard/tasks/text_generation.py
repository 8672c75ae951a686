"""A text for each row: what follows a prompt, an answer to a question, a translation; or any text at all, where nothing is given.

A row's score tells how well the model predicts the row's own text: nats, tokens and bytes. Models read and write tokens; this
task owns what is counted, compared and sold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from modelyard.errors import DataError
from modelyard.rows import Array, Column, Rows
from modelyard.tasks._contract import Kind, State, Task

NATS, TOKENS, BYTES = range(3)
"""Columns of a language model's outputs and scores."""


class Part(Task):
    """A text for each row."""

    units: ClassVar[tuple[str, ...]] = ("input token", "output token")
    kind: ClassVar[Kind] = "language"
    metrics: ClassVar[tuple[str, ...]] = ("bits_per_byte", "perplexity")
    baselines: ClassVar[tuple[str, ...]] = ("dummy", "ngram")
    combines: ClassVar[bool] = False
    tolerance: ClassVar[float] = 0.1
    """Nats a token of one text, most of it chance: int8 weights of SmolLM2 move a verse of 40 tokens by 0.015 typically, 1 to 3 % of them by
    more than 0.05, and all verses together by 0.002. The mean is held by `compress.max_drop`."""

    def added(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Where the data hold no prompt, a request may still begin the text."""
        return {} if inputs else {"prompt": "text"}

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        return {"ngram": {}, "gpt": {}}

    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        """Nothing is learnt of the texts here: tokenizers are models' own."""
        if len(set(values)) < 2:
            raise DataError(f"target {target!r} is the same text in every training row; there is nothing to learn")
        return State(task="text-generation", target=target, inputs=tuple(inputs), makes="text", width=3)

    def encode_target(self, values: Array, state: State) -> Array:
        """(n,) zeros: the scores tell of the target themselves."""
        return np.zeros(len(values))

    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        """Nats of each row (cross-entropy of its tokens, summed), and its tokens."""
        return outputs[:, NATS].float(), outputs[:, TOKENS].float()

    def first_loss(self, state: State) -> float:
        """Nothing is lost where nothing is put out; an untrained model's own first loss is ln of its vocabulary."""
        return 0.0

    def scores(self, outputs: Array, state: State) -> Array:
        """(n, 3) nats, tokens, bytes."""
        return np.asarray(outputs, dtype=np.float64)

    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        """(n,) nats a token."""
        result: Array = scores[:, NATS] / np.maximum(scores[:, TOKENS], 1.0)
        return result

    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        """What the scores say of the rows' own texts, which were read: nats a token. Texts are written by `decoding.answering`."""
        told = self.labels(scores, state, threshold)
        return [
            {"answer": float(nats), "input_tokens": int(row[TOKENS]), "output_tokens": 0}
            for nats, row in zip(told, scores, strict=True)
        ]

    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        """Equal tokens, and nats a token that differ by at most `tolerance`."""
        apart = np.abs(self.labels(ours, state, None) - self.labels(theirs, state, None))
        result: Array = (ours[:, TOKENS] == theirs[:, TOKENS]) & (apart <= tolerance)
        return result

    def usage(self, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Tokens read and tokens written, which have prices of their own."""
        return {
            "input token": sum(answer["input_tokens"] for answer in answers),
            "output token": sum(answer["output_tokens"] for answer in answers),
        }
