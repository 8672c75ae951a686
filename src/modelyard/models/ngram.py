"""Byte n-grams with Witten-Bell smoothing: no training steps, hard to beat on little text. The language models' honest baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from modelyard.models import _ngrams
from modelyard.models._contract import Arrays, Clock, Examples, FitModel, Session, Weights
from modelyard.models._language import Language, LanguageSession, prompted
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(FitModel, Language):
    """Byte n-grams."""

    tasks: ClassVar[tuple[str, ...]] = ("text-generation",)
    ragged: ClassVar[tuple[str, ...]] = ("ids",)

    order: int = Field(5, ge=1, le=_ngrams.LONGEST)
    """Bytes counted together: the one that follows, and those before it."""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Which columns stand before an answer."""
        return {"prompts": prompted(state), "target": state.target}

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`ids` (n, L), `start` (n,), `length` (n,)."""
        return _ngrams.encode(rows, features["prompts"], features["target"])

    def fit(
        self,
        train: Examples,
        validation: Examples,
        state: State,
        features: dict[str, Any],
        *,
        seed: int,
        threads: int,
        clock: Clock,
    ) -> Weights:
        arrays = train.arrays
        return _ngrams.count(
            [ids[:length] for ids, length in zip(arrays["ids"], arrays["length"], strict=True)], self.order
        )

    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        return self.fit(train, train, state, features, seed=seed, threads=threads, clock=Clock())

    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        return LanguageSession(_ngrams.NgramDecoder(weights, self.order))

    def ends(self, features: dict[str, Any]) -> list[int]:
        return [_ngrams.END]

    def window(self, features: dict[str, Any]) -> int:
        return _ngrams.WINDOW

    def prompts(self, rows: Rows, features: dict[str, Any]) -> list[list[int]]:
        if features["prompts"]:
            return _ngrams.heads(rows, features["prompts"])
        return [self.prompt(text or "", features) for text in rows["prompt"]]

    def prompt(self, text: str, features: dict[str, Any]) -> list[int]:
        return [_ngrams.END, *_ngrams.symbols(text).tolist()]

    def spell(self, ids: Sequence[int], features: dict[str, Any]) -> str:
        return _ngrams.spell(ids)
