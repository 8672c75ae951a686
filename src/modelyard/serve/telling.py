"""What a language model's answer looks like: OpenAI's chat completions and completions, whole and in chunks.

It knows neither requests nor how an answer is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from modelyard.serve.writer import Generation, Piece, Shown

Json = dict[str, Any]
IMPOSSIBLE = -9999.0
"""Told for a logarithm of nothing, which JSON cannot hold; OpenAI's value."""


class ChatShape:
    """The shape of `/v1/chat/completions`."""

    def __init__(self, model: str, request_id: str) -> None:
        self._head = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        self._begun: set[int] = set()

    def whole(self, choices: Sequence[Json]) -> Json:
        """The answer without its usage."""
        made = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice["text"], "refusal": None},
                "logprobs": _chat_logprobs(choice["tokens"]),
                "finish_reason": choice["finish"],
            }
            for index, choice in enumerate(choices)
        ]
        return {**self._head, "object": "chat.completion", "choices": made}

    def chunks(self, piece: Piece) -> list[Json]:
        """The chunks that tell a piece: the role first, the end last."""
        deltas: list[tuple[Json, Any]] = []
        if piece.choice not in self._begun:
            self._begun.add(piece.choice)
            deltas.append(({"role": "assistant", "content": "", "refusal": None}, None))
        if piece.text or piece.tokens:
            deltas.append(({"content": piece.text}, _chat_logprobs(piece.tokens)))
        made = [self._chunk(piece.choice, delta, tokens, None) for delta, tokens in deltas]
        return [*made, self._chunk(piece.choice, {}, None, piece.finish)] if piece.finish else made

    def last(self) -> Json:
        """The chunk that tells the usage."""
        return {**self._head, "object": "chat.completion.chunk", "choices": []}

    def _chunk(self, index: int, delta: Json, tokens: Any, finish: str | None) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": tokens, "finish_reason": finish}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}


class TextShape:
    """The shape of `/v1/completions`."""

    def __init__(self, model: str, request_id: str) -> None:
        self._head = {
            "id": f"cmpl-{request_id}", "object": "text_completion", "created": int(time.time()), "model": model,
        }  # fmt: skip

    def whole(self, choices: Sequence[Json]) -> Json:
        """The answer without its usage."""
        made = [
            self._choice(index, choice["text"], choice["tokens"], choice["finish"])
            for index, choice in enumerate(choices)
        ]
        return {**self._head, "choices": made}

    def chunks(self, piece: Piece) -> list[Json]:
        """The chunk that tells a piece."""
        return [{**self._head, "choices": [self._choice(piece.choice, piece.text, piece.tokens, piece.finish)]}]

    def last(self) -> Json:
        """The chunk that tells the usage."""
        return {**self._head, "choices": []}

    def _choice(self, index: int, text: str, tokens: Sequence[Shown] | None, finish: str | None) -> Json:
        return {"index": index, "text": text, "logprobs": _text_logprobs(tokens), "finish_reason": finish}


def _chat_logprobs(tokens: Sequence[Shown] | None) -> Json | None:
    if tokens is None:
        return None

    def one(text: str, logarithm: float | None) -> Json:
        return {
            "token": text,
            "logprob": _finite(logarithm),
            "bytes": list(text.encode()) if "\ufffd" not in text else None,
        }

    return {
        "content": [
            {**one(token.text, token.logarithm), "top_logprobs": [one(*other) for other in token.likeliest]}
            for token in tokens
        ],
        "refusal": None,
    }


def _text_logprobs(tokens: Sequence[Shown] | None) -> Json | None:
    if tokens is None:
        return None
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [_finite(token.logarithm) for token in tokens],
        "top_logprobs": [_by_text(token) if token.likeliest else None for token in tokens],
        "text_offset": [token.offset for token in tokens],
    }


def _by_text(token: Shown) -> dict[str, float | None]:
    """The likeliest tokens and the chosen one; of two that spell the same, the likelier."""
    found: dict[str, float | None] = {}
    for text, logarithm in (*token.likeliest, (token.text, token.logarithm)):
        found.setdefault(text, _finite(logarithm))
    return found


def _finite(logarithm: float | None) -> float | None:
    return IMPOSSIBLE if logarithm is not None and not math.isfinite(logarithm) else logarithm


def usage_of(generation: Generation) -> Json:
    read, written = generation.prompt_tokens, generation.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
