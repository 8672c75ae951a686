"""Texts into token ids: a pretrained tokenizer as JSON text, so that serving needs `tokenizers` and numpy, not transformers.

It knows nothing about models: it cuts, pads and counts. Rows of ids are padded to the longest of the call; `length` says
how much of each is text.

>>> found = encode(["a b", "a"], features)  # doctest: +SKIP
>>> found["ids"].shape, found["length"].tolist()  # doctest: +SKIP
((2, 4), [4, 3])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from modelyard.errors import DataError, MissingExtra
from modelyard.rows import Array, Rows

CHARACTERS_A_TOKEN = 20
"""Only so many characters a token of `max_length` are read from either end of a text: English has 4 to 5 a token, and
tokenizing the rest of a long text only to cut it off costs more than a small encoder's forward pass."""
UNKNOWN_SHARE = 0.02
"""Largest allowed share of characters that the tokenizer does not know; above it the script is not one it was made for."""


@lru_cache(maxsize=8)
def _tokenizer(text: str) -> Any:
    """A tokenizer from its JSON, without truncation and padding. Cached, because building one takes longer than a request."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("a text encoder", "text") from None
    found = Tokenizer.from_str(text)
    found.no_truncation()
    found.no_padding()
    return found


def fit(tokenizer: str, *, pad: int, max_length: int, truncation: str) -> dict[str, Any]:
    """What encoding needs: the tokenizer's JSON and the special tokens it puts around a text."""
    marked = _tokenizer(tokenizer).encode("a")
    plain = len(_tokenizer(tokenizer).encode("a", add_special_tokens=False).ids)
    before = next((place for place, special in enumerate(marked.special_tokens_mask) if not special), 0)
    return {
        "tokenizer": tokenizer,
        "prefix": marked.ids[:before],
        "suffix": marked.ids[before + plain :],
        "pad": pad,
        "max_length": max_length,
        "truncation": truncation,
    }


def encode(texts: Sequence[str | None], features: dict[str, Any]) -> dict[str, Array]:
    """Texts -> `ids` (n, L) int64, padded, and `length` (n,) int64, special tokens counted."""
    tokenizer = _tokenizer(features["tokenizer"])
    prefix, suffix, longest = features["prefix"], features["suffix"], features["max_length"]
    room = longest - len(prefix) - len(suffix)
    window = longest * CHARACTERS_A_TOKEN
    if features["truncation"] == "head":
        plain = [(text or "")[:window] for text in texts]
        kept = [found.ids[:room] for found in tokenizer.encode_batch_fast(plain, add_special_tokens=False)]
    else:
        kept = _both_ends(tokenizer, texts, room, window)
    length = np.array([len(ids) + len(prefix) + len(suffix) for ids in kept], dtype=np.int64)
    ids = np.full((len(kept), int(length.max(initial=1))), features["pad"], dtype=np.int64)
    for row, found in enumerate(kept):
        ids[row, : length[row]] = [*prefix, *found, *suffix]
    return {"ids": ids, "length": length}


def _both_ends(tokenizer: Any, texts: Sequence[str | None], room: int, window: int) -> list[list[int]]:
    """The first and the last part of each text that is too long: a quarter from the head, the rest from the tail.

    Sun et al. 2019 ("How to fine-tune BERT for text classification?"): head 128 of 510 and tail 382 did best.
    """
    short = [text or "" for text in texts]
    heads = [text[:window] for text in short]
    tails = [text[-window:] if len(text) > window else "" for text in short]
    first = tokenizer.encode_batch_fast(heads, add_special_tokens=False)
    last = tokenizer.encode_batch_fast(tails, add_special_tokens=False)
    head = room // 4
    kept = []
    for begin, end in zip(first, last, strict=True):
        if end.ids:
            kept.append(begin.ids[:head] + end.ids[-(room - head) :])
        else:
            kept.append(begin.ids if len(begin.ids) <= room else begin.ids[:head] + begin.ids[-(room - head) :])
    return kept


def unknown_characters(texts: Sequence[str | None], tokenizer: str) -> tuple[float, list[str]]:
    """Share of the characters (spaces left out) that the tokenizer turns into its unknown token, and the commonest of them."""
    found = _tokenizer(tokenizer)
    unknown = getattr(found.model, "unk_token", None)
    place = found.token_to_id(unknown) if isinstance(unknown, str) else getattr(found.model, "unk_id", None)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text or "")
    counts = Counter({character: count for character, count in counts.items() if not character.isspace()})
    if place is None or not counts:
        return 0.0, []
    characters = list(counts)
    missed = [
        character
        for character, encoded in zip(characters, found.encode_batch(characters, add_special_tokens=False), strict=True)
        if place in encoded.ids
    ]
    missed.sort(key=lambda character: (-counts[character], character))
    return sum(counts[character] for character in missed) / counts.total(), missed


def check_known(texts: Sequence[str | None], tokenizer: str, name: str) -> float:
    """The unknown share; DataError where it is above `UNKNOWN_SHARE`."""
    share, missed = unknown_characters(texts, tokenizer)
    if share > UNKNOWN_SHARE:
        raise DataError(
            f"the encoder {name!r} does not know {share:.1%} of the characters of the training text (at most {UNKNOWN_SHARE:.0%} "
            f"allowed), the commonest of them {' '.join(missed[:10])!r}. Name an encoder made for this script (train.candidates: "
            "encoder: pretrained), or leave the encoder out: n-gram models read every script."
        )
    return share


def texts(rows: Rows, columns: Sequence[Sequence[str]]) -> list[str]:
    """One text a row from `(name, type)` columns: a lone text as it is, several as lines `name: value`; missing ones left out."""
    if len(columns) == 1 and columns[0][1] == "text":
        return [value or "" for value in rows[columns[0][0]]]
    lines: list[list[str]] = [[] for _ in range(len(rows))]
    for name, kind in columns:
        for row, value in enumerate(rows[name]):
            shown = _shown(value, kind)
            if shown:
                lines[row].append(f"{name}: {shown}")
    return ["\n".join(parts) for parts in lines]


def _shown(value: Any, kind: str) -> str:
    """A value as a reader would write it; empty where missing."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return ""
    if kind == "boolean":
        return "yes" if value else "no"
    if kind == "date":
        return str(np.datetime64(int(value), "s")).replace("T", " ")
    return f"{value:.6g}" if kind == "number" else str(value)


def batches(length: Array, tokens: int) -> list[Array]:
    """Row numbers in batches of like length, each of at most `tokens` tokens when padded to its longest (or of one row)."""
    order = np.argsort(-length, kind="stable")
    found, start = [], 0
    while start < len(order):
        rows = max(1, tokens // max(1, int(length[order[start]])))
        found.append(order[start : start + rows])
        start += rows
    return found
