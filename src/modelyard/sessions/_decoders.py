"""Decoders: what scores texts and continues token ids, with torch, or without it from an exported OpenVINO graph.

    decoder = OpenVinoDecoder(folder, ends=[2], context=2048)
    logits, state = decoder.start(prompt)          a prompt is read once
    logits, state = decoder.step(tokens, state)    then a token at a time
    state = decoder.join([state, other])           answers that began at different times go on in one call
    decoder.score(arrays)                          nats, tokens and bytes of whole texts

They know no tokenizer, no sampling and no text. Several threads may ask one decoder; each answer keeps a state of its own.
"""

from __future__ import annotations

import itertools
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.errors import PackageError
from modelyard.models._contract import Arrays
from modelyard.rows import Array
from modelyard.sessions._batches import cores
from modelyard.sessions.openvino import openvino_quietly

LOGITS = 1 << 25
"""Logits held at a time while texts are scored: 128 MB."""
PLACES = 512
"""Places of a row that are read at once, and most of a batch: more gain nothing and attend to a larger square."""
MULTIPLE = 16
"""Batches of texts are widened to a multiple of it, because each new shape costs a runtime milliseconds once."""


@dataclass(frozen=True)
class State:
    """What rows have read. Going on from it uses it up."""

    held: Any
    """Their keys and values, in the decoder's own form."""
    mask: Array
    """(B, P) 1 where a token stands, 0 where a shorter row is filled up."""
    position: Array
    """(B,) of the next token."""


class Reader(ABC):
    """What both decoders do alike. `Decoder` of `decoding.searching` is its outside."""

    def __init__(self, *, ends: Iterable[int], context: int, vocabulary: int) -> None:
        self.ends, self.context, self.vocabulary = frozenset(ends), context, vocabulary

    token_bytes: int = 0
    """Bytes of the keys and values of one token."""

    @abstractmethod
    def nothing(self, rows: int) -> Any:
        """What rows hold that have read nothing."""

    @abstractmethod
    def run(self, arrays: Arrays, held: Any) -> tuple[Array, Any]:
        """`ids`, `mask`, `position`, `places` of `Network.decode` -> logits (B, K, V), valid until the next run, and what is held then."""

    @abstractmethod
    def picked(self, held: Any, rows: Array) -> Any:
        """What these rows hold, in this order."""

    @abstractmethod
    def joined(self, parts: Sequence[tuple[Any, int]], width: int) -> Any:
        """What all these rows hold, one part after another: the last so many places of each, filled up at the left to `width`."""

    def start(self, ids: Array) -> tuple[Array, State]:
        """A prompt (T,) -> logits of what follows (V,), and the state after it for one row."""
        logits, state = self.read([ids])
        return logits[0], state

    def read(self, prompts: Sequence[Array]) -> tuple[Array, State]:
        """Prompts (T,), no one empty -> logits of what follows each (B, V), and the state of them all."""
        lengths = np.array([len(prompt) for prompt in prompts])
        assert lengths.min() > 0, "a prompt has at least the token that begins every text"
        width = int(lengths.max())
        order = np.arange(width) - (width - lengths)[:, None]  # (B, T), negative where a shorter row is filled up
        mask = (order >= 0).astype(np.int64)
        ids, position = np.zeros_like(order), np.maximum(order, 0)
        for row, prompt in zip(ids, prompts, strict=True):
            row[width - len(prompt) :] = prompt
        held = self.nothing(len(prompts))
        for start in range(0, width, PLACES):
            stop = min(start + PLACES, width)
            places = np.full((len(prompts), 1), stop - start - 1)
            logits, held = self.run(_piece(ids, mask, position, start, stop, places), held)
        return np.array(logits[:, 0]), State(held, mask, lengths)

    def more(self, ids: Array, state: State) -> tuple[Array, State]:
        """More of the text of one row (T,), T > 0 -> logits of what follows (V,), and the state; the state given is used up."""
        held, size = state.held, len(ids)
        past = state.mask.shape[1]
        mask = np.concatenate([state.mask, np.ones((1, size), dtype=np.int64)], axis=1)
        position = state.position[:, None] + np.arange(size)
        for start in range(0, size, PLACES):
            stop = min(start + PLACES, size)
            here = {"ids": ids[None, start:stop], "mask": mask[:, : past + stop], "position": position[:, start:stop]}
            logits, held = self.run({**here, "places": np.array([[stop - start - 1]])}, held)
        return np.array(logits[0, 0]), State(held, mask, state.position + size)

    def join(self, states: Sequence[State]) -> State:
        """The state of all their rows, one after another; the states given are used up. Places that no row needs any more go."""
        kept = [_needed(state.mask) for state in states]
        width = max(kept)
        masks = [
            np.pad(state.mask[:, -size:], [(0, 0), (width - size, 0)]) for state, size in zip(states, kept, strict=True)
        ]
        held = self.joined([(state.held, size) for state, size in zip(states, kept, strict=True)], width)
        return State(held, np.concatenate(masks), np.concatenate([state.position for state in states]))

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """One more token for each row (B,) -> logits (B, V) and the state; the state given is used up."""
        rows = len(ids)
        mask = np.concatenate([state.mask, np.ones((rows, 1), dtype=np.int64)], axis=1)
        arrays = {"ids": ids[:, None], "mask": mask, "position": state.position[:, None]}
        logits, held = self.run({**arrays, "places": np.zeros((rows, 1), dtype=np.int64)}, state.held)
        return np.array(logits[:, 0]), State(held, mask, state.position + 1)

    def pick(self, state: State, rows: Array) -> State:
        """The state of these rows, in this order; a row may come twice. It and the state given cannot both be gone on from."""
        return State(self.picked(state.held, rows), state.mask[rows], state.position[rows])

    def score(self, arrays: Arrays) -> Array:
        """Texts as `features.subwords.encode` gives them -> (n, 3) float64: nats, tokens and bytes of what is counted."""
        if int(arrays["segment"].max(initial=0)) > 1:
            alone, row = _apart(arrays)
            found = np.zeros((len(arrays["ids"]), 3))
            np.add.at(found, row, self.score(alone))
            return found
        counted = arrays["counted"][:, 1:]
        found = np.stack([np.zeros(len(counted)), counted.sum(1), (counted * arrays["bytes"][:, 1:]).sum(1)], axis=1)
        order = np.argsort(arrays["length"], kind="stable")
        most = min(max(LOGITS // self.vocabulary, 1), PLACES)
        while len(order):
            width = min(_rounded(int(arrays["length"][order[-1]]) - 1), most)  # the longest that are left
            chosen, order = order[-max(most // width, 1) :], order[: -max(most // width, 1)]
            found[chosen, 0] = self._nats({name: values[chosen] for name, values in arrays.items()}, most)
        return found

    def _nats(self, arrays: Arrays, most: int) -> Array:
        """(B,) summed over what is counted; at most so many places of a row at a time."""
        width = int(arrays["length"].max()) - 1
        ids, position = (
            _filled(arrays[name][:, :width].astype(np.int64), _rounded(width)) for name in ("ids", "position")
        )
        wanted, counted = arrays["ids"][:, 1 : width + 1], arrays["counted"][:, 1 : width + 1]
        mask = np.ones_like(ids)  # what fills up stands behind, where nothing that counts sees it
        held, nats = self.nothing(len(ids)), np.zeros(len(ids))
        for start in range(0, width, most):
            stop = min(start + most, ids.shape[1])
            places = np.broadcast_to(np.arange(stop - start), (len(ids), stop - start))
            logits, held = self.run(_piece(ids, mask, position, start, stop, places), held)
            here = slice(start, min(stop, width))
            nats += (_surprise(logits, wanted[:, here]) * counted[:, here]).sum(axis=1)
        return nats


def _piece(ids: Array, mask: Array, position: Array, start: int, stop: int, places: Array) -> Arrays:
    """What one run reads of longer rows."""
    return {"ids": ids[:, start:stop], "mask": mask[:, :stop], "position": position[:, start:stop], "places": places}


def _needed(mask: Array) -> int:
    """Places from the first at which any row has a token."""
    return int(mask.shape[1] - mask.any(axis=0).argmax())


def _wide(past: Array, size: int, width: int) -> Array:
    """The last places of a past (B, P, H, d), filled up at the left."""
    return np.pad(past[:, past.shape[1] - size :], [(0, 0), (width - size, 0), (0, 0), (0, 0)])


def _apart(arrays: Arrays) -> tuple[Arrays, Array]:
    """Rows of several pieces as a row a piece, and which row each is of."""
    each = [np.flatnonzero(np.diff(row, prepend=0, append=0)) for row in arrays["segment"]]
    spans = [
        (row, start, stop)
        for row, edges in enumerate(each)
        for start, stop in itertools.pairwise(edges)
        if arrays["segment"][row, start]
    ]
    length = np.array([stop - start for _, start, stop in spans], dtype=np.int64)
    names = [name for name, values in arrays.items() if values.ndim == 2]
    found = {name: np.zeros((len(spans), int(length.max())), dtype=np.int64) for name in names}
    for place, (row, start, stop) in enumerate(spans):
        for name in names:
            found[name][place, : stop - start] = arrays[name][row, start:stop]
    found["segment"] = (found["segment"] > 0).astype(np.int64)
    return {**found, "length": length}, np.array([row for row, _, _ in spans], dtype=np.int64)


def _rounded(width: int) -> int:
    return -(-width // MULTIPLE) * MULTIPLE


def _filled(array: Array, width: int) -> Array:
    return np.pad(array, [(0, 0), (0, width - array.shape[1])])


def _surprise(logits: Array, wanted: Array) -> Array:
    """(B, T or more, V) and (B, T) -> (B, T) float64 negative log-probabilities of the wanted tokens."""
    logits = logits[:, : wanted.shape[1]]
    greatest = logits.max(axis=2, keepdims=True)
    total = np.exp(logits - greatest).sum(axis=2, dtype=np.float64)
    chosen = np.take_along_axis(logits, wanted[:, :, None], axis=2)[:, :, 0]
    result: Array = np.log(total) + greatest[:, :, 0].astype(np.float64) - chosen
    return result


# -- with torch ------------------------------------------------------------------------------------------------------------


class TorchDecoder(Reader):
    """A Network of `models._decoder`, wherever its weights lie."""

    def __init__(self, network: Any, *, ends: Iterable[int]) -> None:
        super().__init__(ends=ends, context=network.shape.context, vocabulary=network.shape.vocabulary)
        self.network, shape = network.eval(), network.shape
        each = next(network.parameters()).element_size()
        self.token_bytes = 2 * shape.layers * shape.kv_heads * (shape.width // shape.heads) * each

    def nothing(self, rows: int) -> Any:
        return self.network.nothing(rows)

    def run(self, arrays: Arrays, held: Any) -> tuple[Array, Any]:
        import torch

        device = next(self.network.parameters()).device
        given = {name: torch.from_numpy(np.array(values)).to(device) for name, values in arrays.items()}
        with torch.inference_mode():
            logits, held = self.network.decode(**given, past=held)
            return logits.float().cpu().numpy(), held

    def picked(self, held: Any, rows: Array) -> Any:
        import torch

        with torch.inference_mode():
            chosen = torch.from_numpy(rows).to(held[0].device)
            return [part.index_select(0, chosen) for part in held]

    def joined(self, parts: Sequence[tuple[Any, int]], width: int) -> Any:
        import torch

        def wide(past: Any, size: int) -> Any:
            filler = past.new_zeros(past.shape[0], width - size, *past.shape[2:])
            return torch.cat([filler, past[:, past.shape[1] - size :]], dim=1)

        with torch.inference_mode():
            layers = range(len(parts[0][0]))
            return [torch.cat([wide(held[layer], size) for held, size in parts]) for layer in layers]


# -- with OpenVINO ---------------------------------------------------------------------------------------------------------


class _Lease:
    """A request that one answer keeps, with the keys and values inside; it goes back when nobody remembers the answer."""

    def __init__(self, request: Any, free: deque[Any]) -> None:
        self.request, self.turn = request, 0
        weakref.finalize(self, free.append, request).atexit = False


@dataclass(frozen=True)
class _Held:
    """Which rows of a request's past, as they were after so many turns."""

    lease: _Lease
    rows: Array
    turn: int


class OpenVinoDecoder(Reader):
    """A graph of `compress.methods._language`."""

    def __init__(
        self, folder: Path, *, ends: Iterable[int], context: int, file: str = "model.xml", threads: int | None = None,
        precision: Literal["fp32", "bf16"] = "fp32", cache: Literal["fp32", "fp16", "int8"] = "fp32", group: int = 0,
    ) -> None:  # fmt: skip
        """Load and compile. `cache`: what keys and values are kept in; `group`: activations that are rounded to int8 together where
        weights are integers (0: none are). PackageError where the graph cannot be read."""
        openvino = openvino_quietly()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": threads or cores(),
            "KV_CACHE_PRECISION": {"fp32": "f32", "fp16": "f16", "int8": "u8"}[cache],
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": group,
        }
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # a mapped file that is overwritten kills the process (bus error)
        try:
            self._compiled = core.compile_model(core.read_model(folder / file), "CPU", settings)
        except Exception as error:
            raise PackageError(
                f"{folder / file} is not a graph that OpenVINO {openvino.__version__} reads: {error}"
            ) from None
        vocabulary = self._compiled.output(0).get_partial_shape()[2].get_length()
        super().__init__(ends=ends, context=context, vocabulary=vocabulary)
        self._free: deque[Any] = deque()
        """Requests that nobody uses: making one takes as long as some tokens."""
        heads = [tuple(variable.state.shape)[2:] for variable in self.nothing(1).lease.request.query_state()]
        # int8: a scale and a zero point in fp32 for each head of a token
        size, more = {"fp32": (4, 0), "fp16": (2, 0), "int8": (1, 8)}[cache]
        self.token_bytes = sum(number * (width * size + more) for number, width in heads)

    def nothing(self, rows: int) -> _Held:
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        request.reset_state()
        return _Held(_Lease(request, self._free), np.arange(rows), 0)

    def run(self, arrays: Arrays, held: Any) -> tuple[Array, Any]:
        lease = held.lease
        assert held.turn == lease.turn, "a state can be gone on from once"
        lease.turn += 1
        given = {name: np.ascontiguousarray(values, dtype=np.int64) for name, values in arrays.items()}
        given["beam_idx"] = np.ascontiguousarray(held.rows, dtype=np.int32)
        logits = lease.request.infer(given, share_inputs=True, share_outputs=True)[0]
        return logits, _Held(lease, np.arange(len(given["ids"])), lease.turn)

    def picked(self, held: Any, rows: Array) -> _Held:
        return _Held(held.lease, held.rows[rows], held.turn)

    def joined(self, parts: Sequence[tuple[Any, int]], width: int) -> _Held:
        """Copied out of each request and into a fresh one: a graph's own state only picks among the rows that it has."""
        import openvino

        whole: dict[str, list[Array]] = {}
        for held, size in parts:
            assert held.turn == held.lease.turn, "a state can be gone on from once"
            held.lease.turn += 1
            for variable in held.lease.request.query_state():
                past = np.array(variable.state.data)[held.rows]  # (B, P, H, d), float32 whatever it is kept in
                whole.setdefault(variable.name, []).append(_wide(past, size, width))
        found = self.nothing(sum(len(held.rows) for held, _ in parts))
        for variable in found.lease.request.query_state():
            variable.state = openvino.Tensor(np.concatenate(whole[variable.name]))
        return found
