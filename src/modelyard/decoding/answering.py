"""Answers of a language model to rows, prompts and conversations, as a package was told to write them. It knows no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.decoding.searching import Answers, Decoder, searched
from modelyard.decoding.writing import Writer
from modelyard.errors import DataError, RequestError
from modelyard.rows import Rows
from modelyard.sampling import Generate

TOGETHER = 32
"""Prompts that are answered at once: on two cores more gain little, and each holds keys and values."""


@dataclass(frozen=True)
class Written:
    """One answer."""

    text: str
    input_tokens: int
    output_tokens: int
    finish: str
    """`stop`: it was ended; `length`: there was no more room."""

    def plain(self) -> dict[str, Any]:
        """As an API answers."""
        return {
            "answer": self.text, "finish_reason": self.finish,
            "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
        }  # fmt: skip


class Generator:
    """A language model with its tokenizer and its decoder, ready to write."""

    def __init__(self, model: Any, features: dict[str, Any], decoder: Decoder, options: Generate) -> None:
        self.model, self.features, self.decoder, self.options = model, features, decoder, options
        self.context, self.vocabulary = decoder.context, int(features.get("size", 257))

    def encode_prompt(self, text: str) -> Sequence[int]:
        """The tokens of a text that is to be continued."""
        return self.model.prompt(text, self.features)  # type: ignore[no-any-return]

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Sequence[int]:
        """The tokens of messages up to where the answer begins; RequestError where the model knows no conversations."""
        try:
            found = self.model.chat(messages, self.features)
        except DataError as error:
            raise RequestError([(0, "messages", str(error))]) from None
        if found is None:
            raise RequestError([(0, "messages", "this model was never shown a conversation. Use /v1/completions.")])
        return found  # type: ignore[no-any-return]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, ends left out."""
        return self.model.spell(ids, self.features)  # type: ignore[no-any-return]

    def answers(self, rows: Rows) -> list[dict[str, Any]]:
        """An answer to each row."""
        return [self.write(prompt).plain() for prompt in self.model.prompts(rows, self.features)]

    def several(self, prompts: Sequence[Sequence[int]], options: Generate, seeds: Sequence[int]) -> list[Written]:
        """An answer to each prompt, each with its own seed: together where the decoder reads several at once."""
        each = [options.model_copy(update={"seed": seed}) for seed in seeds]
        if options.beams > 1 or not hasattr(self.decoder, "read"):
            return [self.write(prompt, own) for prompt, own in zip(prompts, each, strict=True)]
        found: list[Written] = []
        for start in range(0, len(prompts), TOGETHER):
            found += self._together(prompts[start : start + TOGETHER], each[start : start + TOGETHER])
        return found

    def _together(self, prompts: Sequence[Sequence[int]], options: Sequence[Generate]) -> list[Written]:
        cut = [self._fitting(prompt, own) for prompt, own in zip(prompts, options, strict=True)]
        rngs = [np.random.default_rng([own.seed, len(ids)]) for ids, own in zip(cut, options, strict=True)]
        answers = Answers(self.decoder, cut, options[0], most=options[0].max_tokens, rngs=rngs)
        found: list[list[int]] = [[] for _ in cut]
        writers, ended = [Writer(self.decode, own.stop) for own in options], [False] * len(cut)
        while answers.going:
            for row, token in answers.step().items():
                if token is not None:
                    found[row].append(token.id)
                    writers[row].add(token.id)
                if token is None or writers[row].stopped:
                    ended[row] = True
                    answers.drop(row)
        return [
            self._written(prompt, tokens, own, ended=done)
            for prompt, tokens, own, done in zip(prompts, found, options, ended, strict=True)
        ]

    def write(self, prompt: Sequence[int], options: Generate | None = None) -> Written:
        """The answer to a prompt. One that is too long for the context keeps its end."""
        options = options or self.options
        ids = self._fitting(prompt, options)
        tokens, ended = self._beam(ids, options) if options.beams > 1 else self._drawn(ids, options)
        return self._written(prompt, tokens, options, ended=ended)

    def _fitting(self, prompt: Sequence[int], options: Generate) -> Any:
        """The end of a prompt that leaves room for its answer."""
        room = max(1, min(options.max_tokens, self.context // 2))
        return np.array(prompt[-(self.context - room) :], dtype=np.int64)

    def _written(self, prompt: Sequence[int], tokens: Sequence[int], options: Generate, *, ended: bool) -> Written:
        writer = Writer(self.decode, options.stop)
        text = ""
        for token in tokens:
            text += writer.add(token)
            if writer.stopped:
                ended = True
                break
        text += writer.end()
        return Written(text.strip(), len(prompt), len(tokens), "stop" if ended else "length")

    def _drawn(self, ids: Any, options: Generate) -> tuple[list[int], bool]:
        answers = Answers(
            self.decoder, ids, options, most=options.max_tokens, rngs=[np.random.default_rng([options.seed, len(ids)])]
        )
        found: list[int] = []
        writer = Writer(self.decode, options.stop)
        while answers.going:
            token = answers.step()[0]
            if token is None:
                return found, True
            found.append(token.id)
            writer.add(token.id)
            if writer.stopped:
                return found, True
        return found, False

    def _beam(self, ids: Any, options: Generate) -> tuple[list[int], bool]:
        steps = searched(self.decoder, ids, beams=options.beams, most=options.max_tokens)
        found = next(one for one in steps if one is not None)
        return found.ids, found.ended
