"""A tokenizer learnt from the data, and texts as the arrays a language model scores and learns from. numpy and `tokenizers` only.

    texts -> tokens of byte-pair encoding (Sennrich et al. 2016, on bytes as in GPT-2), characters, or bytes
    rows  -> (prompt and) text, an end after each -> `ids`, and for each place its `segment`, `position`, whether it is `counted`, its `bytes`

It knows no model. A place that is counted is one whose token the model must predict from what stands before it in its segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from modelyard.errors import DataError, MissingExtra
from modelyard.features import lookups
from modelyard.rows import Array, Rows

END = "<|end|>"
"""Stands before the first token and after the last one; predicting it counts as one byte, as a line break would."""
Kind = Literal["bpe", "characters", "bytes"]
SMALLEST = 300
"""Words of a byte-pair vocabulary: 256 bytes, the end, and some merges."""
BYTES_A_WORD = 400
"""Training bytes that each entry of a vocabulary is chosen from where its size is not given: enough to learn what follows it."""
AT_ONCE = 64
"""Texts given to a tokenizer at a time: what it notes of each token takes about 100 bytes, far more than its number."""


def fit(texts: Sequence[str], *, kind: Kind, size: int | None) -> dict[str, Any]:
    """`tokenizer` (JSON) and its `size`. DataError where there is no text at all."""
    given = [text for text in texts if text]
    if not given:
        raise DataError("there is no text to learn a tokenizer from: every row is empty")
    made = _characters(given) if kind == "characters" else _bytes(given, kind, size)
    return {"tokenizer": made.to_str(), "size": made.get_vocab_size(), "end": made.token_to_id(END), "kind": kind}


def _bytes(texts: Sequence[str], kind: Kind, size: int | None) -> Any:
    library = _library()
    found = library.Tokenizer(library.models.BPE())
    found.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = library.decoders.ByteLevel()
    if size is None:
        total = sum(len(text.encode("utf-8", errors="replace")) for text in texts)
        size = int(np.clip(total // BYTES_A_WORD, 512, 16_384))
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    trainer = library.trainers.BpeTrainer(
        vocab_size=len(alphabet) + 1 if kind == "bytes" else max(size, SMALLEST), initial_alphabet=alphabet,
        special_tokens=[END], show_progress=False,
    )  # fmt: skip
    found.train_from_iterator(texts, trainer)
    return found


def _characters(texts: Sequence[str]) -> Any:
    """One token a character; one that training never saw is the unknown one."""
    library = _library()
    seen = sorted(set().union(*map(set, texts)))
    names = {END: 0, "<|unknown|>": 1} | {character: place + 2 for place, character in enumerate(seen)}
    found = library.Tokenizer(library.models.WordLevel(names, unk_token="<|unknown|>"))
    found.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), "isolated")
    found.decoder = library.decoders.Fuse()
    found.add_special_tokens([END, "<|unknown|>"])
    return found


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtra("a tokenizer", "text") from None
    return tokenizers


@lru_cache(maxsize=8)
def tokenizer(text: str) -> Any:
    """A tokenizer of its JSON, to which special tokens in a text are text. Cached, because building one takes longer than a request."""
    found = read(text)
    found.encode_special_tokens = True
    return found


def read(text: str) -> Any:
    """A tokenizer of its JSON, which cuts and fills up nothing."""
    found = _library().Tokenizer.from_str(text)
    found.no_truncation()
    found.no_padding()
    return found


def ids_of(texts: Sequence[str], features: dict[str, Any]) -> list[list[int]]:
    """Token ids of texts; what looks like a special token in a text is text."""
    made = tokenizer(features["tokenizer"])
    return [
        found.ids
        for start in range(0, len(texts), AT_ONCE)
        for found in made.encode_batch_fast(list(texts[start : start + AT_ONCE]), add_special_tokens=False)
    ]


def text_of(ids: Iterable[int], features: dict[str, Any]) -> str:
    """The text that ids spell, ends left out."""
    return tokenizer(features["tokenizer"]).decode(list(ids), skip_special_tokens=True)  # type: ignore[no-any-return]


def sizes(features: dict[str, Any]) -> Array:
    """(V,) bytes that each token spells; the end counts one."""

    def count(found: dict[str, Any]) -> Array:
        made = tokenizer(found["tokenizer"])
        names = [made.id_to_token(place) or "" for place in range(found["size"])]
        level = found["kind"] != "characters"  # a byte is one letter of the byte-level alphabet
        result = np.array([len(name) if level else len(name.encode("utf-8")) for name in names], dtype=np.int64)
        result[found["end"]] = 1
        return result

    return lookups.kept(features, count)


# -- rows ------------------------------------------------------------------------------------------------------------------


def documents(rows: Rows, prompts: Sequence[str], target: str, features: dict[str, Any]) -> list[tuple[list[int], int]]:
    """For each row its ids, an end before and after, and how many of them are prompt: the first end, and the prompt columns' texts."""
    before = _joined([rows[name] for name in prompts], len(rows))
    bodies = ids_of([text or "" for text in rows[target]], features)
    heads: list[list[int]] = ids_of(before, features) if prompts else [[] for _ in bodies]
    end = features["end"]
    return [([end, *head, *body, end], 1 + len(head)) for head, body in zip(heads, bodies, strict=True)]


def heads(rows: Rows, prompts: Sequence[str], features: dict[str, Any], *, lines: bool) -> list[list[int]]:
    """For each row the ids that an answer follows: an end, and the prompt columns' texts, one a line or as they are."""
    texts = _joined([rows[name] for name in prompts], len(rows)) if lines else [text or "" for text in rows[prompts[0]]]
    return [[features["end"], *ids] for ids in ids_of(texts, features)]


def _joined(columns: Sequence[Array], count: int) -> list[str]:
    """The prompt columns' texts, one a line, and a line break before what follows."""
    return ["".join(f"{column[place] or ''}\n" for column in columns) for place in range(count)]


def encode(found: Sequence[tuple[list[int], int]], features: dict[str, Any], *, context: int) -> dict[str, Array]:
    """One row a document, padded: (n, L) each and `length` (n,).

    One longer than the context stands there in pieces of `context + 1` tokens, a segment each.
    """
    cut = [_pieces(ids, prompt, context) for ids, prompt in found]
    length = np.array([sum(len(ids) for ids, _ in pieces) for pieces in cut], dtype=np.int64)
    arrays = _empty(len(cut), int(length.max(initial=2)), features["end"])
    each = sizes(features)
    for row, pieces in enumerate(cut):
        at = 0
        for number, (piece, before) in enumerate(pieces, start=1):
            _place(arrays, row, at, piece, before, segment=number, each=each)
            at += len(piece)
    return {**arrays, "length": np.maximum(length, 2)}


def _pieces(ids: list[int], prompt: int, context: int) -> list[tuple[list[int], int]]:
    """A document in pieces of at most `context + 1` tokens, each but the first beginning with the last token of the one before."""
    starts = range(0, max(len(ids) - 1, 1), context)
    return [(ids[start : start + context + 1], max(prompt - start, 1)) for start in starts]


def pack(
    found: Sequence[tuple[list[int], int]], features: dict[str, Any], *, context: int, seed: int
) -> dict[str, Array]:
    """Blocks (m, context + 1) full of whole documents, a segment each: first the longest that still fits (best fit, Ding et al. 2024).

    A document longer than the context is cut into pieces, each of which begins with the last token of the one before.
    """
    pieces = [piece for ids, prompt in found for piece in _pieces(ids, prompt, context)]
    width = context + 1
    order = np.random.default_rng(seed).permutation(len(pieces))
    order = order[np.argsort([-len(pieces[place][0]) for place in order], kind="stable")]
    room: dict[int, list[int]] = {}
    """Blocks by the places they have left."""
    blocks: list[list[int]] = []
    for place in order:
        size = len(pieces[place][0])
        left = next((left for left in range(size, width + 1) if room.get(left)), None)
        if left is None:
            block, left = len(blocks), width
            blocks.append([])
        else:
            block = room[left].pop()
        blocks[block].append(int(place))
        room.setdefault(left - size, []).append(block)
    arrays, each = _empty(len(blocks), width, features["end"]), sizes(features)
    for row, members in enumerate(blocks):
        at = 0
        for number, place in enumerate(members):
            ids, prompt = pieces[place]
            _place(arrays, row, at, ids, prompt, segment=number + 1, each=each)
            at += len(ids)
    return {**arrays, "length": np.full(len(blocks), width, dtype=np.int64)}


def _empty(count: int, width: int, end: int) -> dict[str, Array]:
    arrays = {
        name: np.zeros((count, width), dtype=np.int32) for name in ("ids", "segment", "position", "counted", "bytes")
    }
    arrays["ids"][:] = end
    return arrays


def _place(
    arrays: dict[str, Array], row: int, at: int, ids: list[int], prompt: int, *, segment: int, each: Array
) -> None:
    """Write a document into its row; its first `prompt` tokens are not counted."""
    where = slice(at, at + len(ids))
    arrays["ids"][row, where] = ids
    arrays["segment"][row, where] = segment
    arrays["position"][row, where] = np.arange(len(ids))
    arrays["counted"][row, at + prompt : at + len(ids)] = 1
    arrays["bytes"][row, where] = each[ids]
