"""Texts into vectors, by the encoder of an artifact: what its classifier reads, at length 1. It knows no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from modelyard.models._vectors import VectorSession
from modelyard.rows import Array, Column, Rows
from modelyard.tasks._contract import State

TEXT = "text"
"""The one column that it reads."""


class Embedder:
    """An encoder with its tokenizer, ready to read texts of any columns. It answers rows like a predictor of a task of its own.

    >>> embedder = Predictor.open(Path("builds/mail/package")).embedder  # doctest: +SKIP
    >>> embedder.vectors(["Where is my order?"])[0].shape  # doctest: +SKIP
    (1, 384)
    """

    def __init__(self, model: Any, features: dict[str, Any], session: VectorSession, state: State) -> None:
        self._model, self._features, self._session = model, features, session
        self.task: Any = self
        """What counts the use."""
        self.state = state.model_copy(update={"inputs": (Column(name=TEXT, type="text"),)})
        self.longest = float(features["max_length"])
        """Tokens of a text beyond which nothing is read."""

    def vectors(self, texts: Sequence[str]) -> tuple[Array, Array]:
        """(n, D) float32 vectors of length 1, and (n,) how many tokens were read: special ones too, those cut off not."""
        arrays = self._model.read(texts, self._features)
        found = np.asarray(self._session.vectors(arrays), dtype=np.float32)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.maximum(length, np.finfo(np.float32).tiny), arrays["length"]

    @cached_property
    def size(self) -> int:
        """D, the numbers of a vector."""
        return int(self.vectors([""])[0].shape[1])

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """`{"embedding": (D,) float32, "tokens": n}` for each row's text."""
        vectors, tokens = self.vectors([value or "" for value in rows[TEXT]])
        return [{"embedding": vector, "tokens": int(count)} for vector, count in zip(vectors, tokens, strict=True)]

    def usage(self, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Texts, and the tokens that were read of them."""
        return {"request": len(answers), "input token": sum(answer["tokens"] for answer in answers)}


def texts(given: Sequence[str]) -> Rows:
    """Texts as rows of its column."""
    column = np.empty(len(given), dtype=object)
    column[:] = given
    return Rows({TEXT: column}, len(given))
