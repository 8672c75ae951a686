"""What language models share: prompts, texts and their tokens; and the session that scores texts and continues them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelyard.decoding.searching import Decoder
from modelyard.models._contract import Arrays, Model
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Scoring(Decoder, Protocol):
    """A decoder that also scores texts as they are."""

    def score(self, arrays: Arrays) -> Array:
        """Encoded rows -> (n, 3) nats, tokens, bytes."""


@dataclass(frozen=True)
class LanguageSession:
    """A session like any other (arrays to outputs), which also continues prompts."""

    decoder: Scoring

    def __call__(self, arrays: Arrays) -> Array:
        """(n, 3) nats, tokens, bytes."""
        return self.decoder.score(arrays)


class Language(Model):
    """A model of texts. Abstract: what else it needs is that its sessions are `LanguageSession`s."""

    @abstractmethod
    def ends(self, features: dict[str, Any]) -> list[int]:
        """Tokens that end an answer."""

    @abstractmethod
    def window(self, features: dict[str, Any]) -> int:
        """Most tokens that it can see, prompt and answer together."""

    @abstractmethod
    def prompts(self, rows: Rows, features: dict[str, Any]) -> list[list[int]]:
        """For each row of inputs, the tokens that an answer follows."""

    @abstractmethod
    def prompt(self, text: str, features: dict[str, Any]) -> list[int]:
        """The tokens of a text that is to be continued."""

    @abstractmethod
    def spell(self, ids: Sequence[int], features: dict[str, Any]) -> str:
        """The text of tokens, ends left out."""

    def chat(self, messages: Sequence[dict[str, str]], features: dict[str, Any]) -> list[int] | None:
        """The tokens of a conversation that is to be answered; None where it was never shown any."""
        return None


def prompted(state: State) -> list[str]:
    """The inputs that stand before an answer: those that the data held."""
    return [column.name for column in state.inputs if column.missing < 1]
