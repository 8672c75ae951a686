"""A real server over a small real language model: trigrams counted in a text. `python writing_service.py [OPTIONS as JSON]`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from slow_service import Sleeper

from modelyard.errors import RequestError
from modelyard.features import subwords
from modelyard.rows import Array
from modelyard.serve.app import App
from modelyard.serve.deployed import Service
from modelyard.serve.limits import Limits
from modelyard.serve.lines import configure
from modelyard.serve.server import _bound, _serve_here
from modelyard.serve.writer import GenerationLimits

BREAKS = "#"
"""What follows it cannot be computed."""


def documents() -> list[str]:
    """Small talk in two languages: one line to learn from, again and again with other words."""
    rng = np.random.default_rng(0)
    who, where = ["cat", "dog", "owl", "猫", "naïve café owner"], ["mat", "roof", "moon 🌙", "垫子", "old wall"]
    said = [
        f"user: where is the {rng.choice(who)}?\nassistant: the {rng.choice(who)} sat on the {rng.choice(where)}. "
        f"then the {rng.choice(who)} went to the {rng.choice(where)}, and slept well."
        for _ in range(300)
    ]
    return [*said, "system: be kind."]


class Trigrams:
    """A decoder whose state is the two latest tokens of each row: shares of three, two and one of them, mixed."""

    def __init__(
        self, texts: Sequence[Sequence[int]], *, vocabulary: int, end: int, context: int, pause: float
    ) -> None:
        self.ends, self.context, self.pause, self.broken = frozenset({end}), context, pause, -1
        self._one = np.full(vocabulary, 1e-3)
        self._two = np.zeros((vocabulary, vocabulary))
        self._three: dict[tuple[int, int], Array] = {}
        for text in texts:
            ids = [end, *text, end]
            for before, latest, token in zip([end, *ids], ids, ids[1:], strict=False):
                self._one[token] += 1
                self._two[latest, token] += 1
                self._three.setdefault((before, latest), np.zeros(vocabulary))[token] += 1

    def _logits(self, state: Array) -> Array:
        """State (B, 2) -> (B, V)."""
        time.sleep(self.pause)
        if self.broken in state[:, 1]:
            raise RuntimeError("SECRET: a prompt of Mr. X broke me")
        nothing = np.zeros(len(self._one))
        mixed = [
            weight * counts / max(counts.sum(), 1)
            for before, latest in state.tolist()
            for weight, counts in (
                (0.02, self._one), (0.18, self._two[latest]), (0.8, self._three.get((before, latest), nothing)),
            )
        ]  # fmt: skip
        return np.log(np.reshape(mixed, (len(state), 3, -1)).sum(axis=1)).astype(np.float32)

    def start(self, ids: Array) -> tuple[Array, Array]:
        state = np.array([[*ids[-2:-1], ids[-1]]]) if len(ids) > 1 else np.array([[ids[-1], ids[-1]]])
        return self._logits(state)[0], state

    def step(self, ids: Array, state: Array) -> tuple[Array, Array]:
        after = np.stack([state[:, 1], ids], axis=1)
        return self._logits(after), after

    def pick(self, state: Array, rows: Array) -> Array:
        return state[rows]

    def more(self, ids: Array, state: Array) -> tuple[Array, Array]:
        after = np.concatenate([state[0], ids])[None, -2:]
        return self._logits(after)[0], after

    def join(self, states: Sequence[Array]) -> Array:
        return np.concatenate(states)


class Speaker:
    """A generator over trigrams, with its own way to write a conversation."""

    def __init__(self, *, context: int = 300, pause: float = 0.0, chat: bool = True) -> None:
        texts = documents()
        self.features = subwords.fit(texts, kind="bpe", size=320)
        self.context, self.vocabulary, self._chat, self._end = (
            context,
            self.features["size"],
            chat,
            self.features["end"],
        )
        ids = subwords.ids_of(texts, self.features)
        self.decoder = Trigrams(ids, vocabulary=self.vocabulary, end=self._end, context=context, pause=pause)
        self.decoder.broken = self.encode_prompt(BREAKS)[-1]

    def encode_prompt(self, text: str) -> list[int]:
        return [self._end, *subwords.ids_of([text], self.features)[0]]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        if not self._chat:
            raise RequestError([(0, "messages", "this model was not trained on conversations")])
        told = "".join(f"{message['role']}: {message['content']}\n" for message in messages)
        return self.encode_prompt(f"{told}assistant:")

    def decode(self, ids: list[int]) -> str:
        return subwords.text_of(ids, self.features)


class Writes(Sleeper):
    """A predictor that has a generator."""

    def __init__(self, generator: Speaker) -> None:
        super().__init__(0.0)
        self.generator = generator


def application(
    *,
    context: int = 300,
    pause: float = 0.0,
    chat: bool = True,
    names: Sequence[str] = ("speaker",),
    gate: Any = None,
    **limits: Any,
) -> App:
    """The application; `pause`: seconds that each step takes."""
    speaker = Speaker(context=context, pause=pause, chat=chat)
    served = Limits(generation=GenerationLimits(**limits))
    return App(
        *(Service(name=name, version="1", predictor=Writes(speaker), limits=served) for name in names), gate=gate
    )


if __name__ == "__main__":
    configure()
    made = application(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))
    with _bound("127.0.0.1", 0) as sock:
        sys.exit(_serve_here(made, sock))
