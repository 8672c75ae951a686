"""The network of GPT-like language models: decoder blocks, classic (GPT-2, Radford et al. 2019) or modern (as in Llama, Touvron et al. 2023).

One module scores whole texts (`forward`) and continues them a token at a time from its keys and values (`decode`). It knows
neither tokenizers nor training.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from modelyard.frozen import Frozen
from modelyard.rows import Array


class Stretch(Frozen):
    """How rotary frequencies are slowed for a context longer than the one first learnt (Grattafiori et al. 2024, Llama 3.1)."""

    factor: float
    """By how much the slow ones are."""
    low: float
    """Frequencies that turn fewer times than this in the first context are slowed in full."""
    high: float
    """Those that turn more often stay; between the two lies a line."""
    context: int
    """The first context, tokens."""


class Shape(Frozen):
    """What a network is."""

    blocks: str
    """`classic`: LayerNorm, learned positions, GELU; `modern`: RMSNorm, rotary positions, SwiGLU, no biases."""
    vocabulary: int
    context: int
    """Most tokens."""
    layers: int
    heads: int
    kv_heads: int
    """Heads of keys and values; fewer than heads: grouped-query attention (Ainslie et al. 2023)."""
    width: int
    hidden: int
    """Of the feed-forward part."""
    theta: float = 10_000.0
    """Base of the rotary frequencies (Su et al. 2021)."""
    stretch: Stretch | None = None
    """Of the rotary frequencies; null: as they are."""
    epsilon: float = 1e-5
    """Added to the variance (LayerNorm) or mean square (RMSNorm)."""
    tied: bool = True
    """Whether one matrix reads tokens in and scores them out."""
    biases: bool = False
    """Whether classic blocks have them, as GPT-2's do; without, they learn as well and are quicker."""
    dropout: float = 0.0


LOGITS = 1 << 26
"""Logits computed at a time while training (256 MB in fp32); where a batch has more, each part's are computed again for its gradient."""

FROZEN = 256
"""Places whose logits are held at a time where the matrix that scores tokens is frozen."""


def frequencies(shape: Shape) -> Array:
    """(d / 2,) radians by which each pair of a head turns from one position to the next."""
    size = shape.width // shape.heads
    found = shape.theta ** -(np.arange(0, size, 2) / size)
    if shape.stretch is not None:
        given = shape.stretch
        turns = given.context * found / (2 * np.pi)
        share = np.clip((turns - given.low) / (given.high - given.low), 0, 1)  # 1: stays
        found = share * found + (1 - share) * found / given.factor
    result: Array = found.astype(np.float32)
    return result


@cache
def network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.utils.checkpoint import checkpoint

    def turned(vectors: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Rotary positions (Su et al. 2021), halves turned against each other as in Llama: (B, L, H, d) by turns (B, L, 1, d)."""
        half, (cosine, sine) = vectors.shape[-1] // 2, (part.to(vectors.dtype) for part in turns)
        first, second = vectors[..., :half], vectors[..., half:]
        return vectors * cosine + torch.cat([second * -1.0, first], dim=-1) * sine

    class Turned(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
        """Heads (B, L, H + 2 Hkv, d) -> queries and keys turned by their positions, and values. The gradient is turned back.

        Each way one pass over memory for each half, and one buffer for the gradient of all: written with `turned` and `split`, a third of the
        time of a small network went into copies.
        """

        @staticmethod
        def forward(context: Any, heads: torch.Tensor, turns: Any, parts: list[int]) -> tuple[torch.Tensor, ...]:
            turns = tuple(part[..., : part.shape[-1] // 2].to(heads.dtype) for part in turns)
            context.turns, context.parts = turns, parts
            query, key, value = heads.split(parts, dim=2)
            found = torch.empty_like(query), torch.empty_like(key)
            for given, out in zip((query, key), found, strict=True):
                _turn(given, out, *turns)
            return *found, value.clone()

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> Any:
            (cosine, sine), parts = context.turns, context.parts
            batch, length, _, size = gradients[0].shape
            found = gradients[0].new_empty(batch, length, sum(parts), size)
            query, key, value = found.split(parts, dim=2)
            for given, out in zip(gradients[:2], (query, key), strict=True):
                _turn(given, out, cosine, -sine)
            value.copy_(gradients[2])
            return found, None, None

    def _turn(given: torch.Tensor, out: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> None:
        first, second = given.chunk(2, dim=-1)
        low, high = out.chunk(2, dim=-1)
        torch.mul(first, cosine, out=low).addcmul_(second, sine, value=-1)
        torch.mul(second, cosine, out=high).addcmul_(first, sine)

    class Gated(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
        """SwiGLU: (..., 2 H) -> (..., H), the first half gates the second; its gradient is made in one buffer."""

        @staticmethod
        def forward(context: Any, given: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(given)
            gate, up = given.chunk(2, dim=-1)
            return functional.silu(gate).mul_(up)

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> Any:
            (given,), (gradient,) = context.saved_tensors, gradients
            found = torch.empty_like(given)
            (gate, up), (low, high) = given.chunk(2, dim=-1), found.chunk(2, dim=-1)
            torch.mul(functional.silu(gate), gradient, out=high)
            torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=low)
            return found

    def norm(shape: Shape) -> nn.Module:
        if shape.blocks == "classic":
            return nn.LayerNorm(shape.width, eps=shape.epsilon, bias=shape.biases)
        return nn.RMSNorm(shape.width, eps=shape.epsilon)

    def biased(shape: Shape) -> bool:
        return shape.blocks == "classic" and shape.biases

    class Attention(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Causal self-attention."""

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.shape, self.size = shape, shape.width // shape.heads
            self.parts = [shape.heads, shape.kv_heads, shape.kv_heads]
            self.all = nn.Linear(shape.width, sum(self.parts) * self.size, bias=biased(shape))  # queries, keys, values
            self.out = nn.Linear(shape.heads * self.size, shape.width, bias=biased(shape))

        def forward(
            self, steps: torch.Tensor, turns: Any, mask: torch.Tensor | None, past: Any = None
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            """Without a mask a place sees all up to itself."""
            heads = self.all(steps).unflatten(2, (-1, self.size))  # (B, L, H + 2 Hkv, d)
            if turns is None:
                query, key, value = heads.split(self.parts, dim=2)
            elif heads.requires_grad and torch.is_grad_enabled():
                query, key, value = Turned.apply(heads, turns, self.parts)
            else:  # queries and keys at once
                both, value = heads.split([self.parts[0] + self.parts[1], self.parts[2]], dim=2)
                query, key = turned(both, turns).split(self.parts[:2], dim=2)
            if past is not None:
                key, value = torch.cat([past[0], key], dim=1), torch.cat([past[1], value], dim=1)
            query, wide_key, wide_value = (part.transpose(1, 2) for part in (query, self.wide(key), self.wide(value)))
            found = functional.scaled_dot_product_attention(
                query, wide_key, wide_value, attn_mask=mask, is_causal=mask is None
            )  # (B, H, L, d)
            return self.out(found.transpose(1, 2).flatten(2)), key, value

        def wide(self, given: torch.Tensor) -> torch.Tensor:
            """(B, P, Hkv, d) -> (B, P, H, d): heads of a group share their keys and values."""
            groups = self.shape.heads // self.shape.kv_heads
            return given if groups == 1 else given[:, :, :, None].expand(-1, -1, -1, groups, -1).flatten(2, 3)

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """steps + attention(norm), then + feed-forward(norm)."""

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.modern = shape.blocks == "modern"
            self.first, self.second, self.attention = norm(shape), norm(shape), Attention(shape)
            self.up = nn.Linear(shape.width, shape.hidden * (2 if self.modern else 1), bias=biased(shape))
            self.down = nn.Linear(shape.hidden, shape.width, bias=biased(shape))
            self.dropout = nn.Dropout(shape.dropout)

        def forward(
            self, steps: torch.Tensor, turns: Any, mask: torch.Tensor | None, past: Any = None
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            found, key, value = self.attention(self.first(steps), turns, mask, past)
            steps = steps + self.dropout(found)
            return steps + self.dropout(self.down(self.inner(self.up(self.second(steps))))), key, value

        def inner(self, given: torch.Tensor) -> torch.Tensor:
            """GELU, or SwiGLU (Shazeer 2020): the first half gates the second."""
            if not self.modern:
                return functional.gelu(given)
            if given.requires_grad and torch.is_grad_enabled():
                return Gated.apply(given)
            gate, up = given.split(self.down.in_features, dim=-1)
            return functional.silu(gate) * up

    class Surprise(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
        """Negative log-probabilities under a frozen matrix of scores: a few places at a time, each with its gradient at once.

        No logits are kept and none is computed twice (as in fused linear cross-entropy, Hsu et al. 2024).
        """

        @staticmethod
        def forward(context: Any, steps: torch.Tensor, matrix: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            nats, gradient = torch.empty(len(steps), device=steps.device), torch.empty_like(steps)
            for start in range(0, len(steps), FROZEN):
                here = slice(start, start + FROZEN)
                logits, target = functional.linear(steps[here], matrix).float(), wanted[here, None]
                logits -= logits.amax(1, keepdim=True)
                nats[here] = -logits.gather(1, target)[:, 0]
                total = logits.exp_().sum(1, keepdim=True)
                nats[here] += total[:, 0].log()
                logits /= total
                logits.scatter_add_(1, target, -torch.ones_like(total))
                gradient[here] = logits.to(matrix.dtype) @ matrix
            context.save_for_backward(gradient)
            return nats

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> Any:
            (gradient,) = context.saved_tensors
            return gradient * gradients[0][:, None], None, None

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Tokens in, the next token's logits out."""

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.shape = shape
            self.tokens = nn.Embedding(shape.vocabulary, shape.width)
            self.positions = nn.Embedding(shape.context, shape.width) if shape.blocks == "classic" else None
            self.dropout = nn.Dropout(shape.dropout)
            self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
            self.last = norm(shape)
            self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
            self.register_buffer("frequencies", torch.from_numpy(frequencies(shape)), persistent=False)
            self._initialise()

        def _initialise(self) -> None:
            """Normal, 0.02; what ends a residual branch by 1 / sqrt(2 x layers) smaller (GPT-2). First loss: about ln V."""
            for name, weight in self.named_parameters():
                if weight.dim() < 2:
                    continue
                ends = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / (2 * self.shape.layers) ** 0.5 if ends else 0.02)
            for module in self.modules():
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)

        def _through(
            self, ids: torch.Tensor, position: torch.Tensor, mask: torch.Tensor | None, past: Any = None
        ) -> tuple[torch.Tensor, list[torch.Tensor]]:
            """(B, L) -> (B, L, W), and each layer's keys and values."""
            steps, turns = self.tokens(ids), None
            if self.positions is not None:
                steps = steps + self.positions(position)
            else:
                angles = position[:, :, None, None].float() * self.frequencies  # (B, L, 1, d / 2)
                angles = torch.cat([angles, angles], dim=-1)
                turns = angles.cos(), angles.sin()
            steps, kept = self.dropout(steps), []
            for number, block in enumerate(self.blocks):
                before = None if past is None else past[2 * number : 2 * number + 2]
                steps, key, value = block(steps, turns, mask, before)
                kept += [key, value]
            return self.last(steps), kept

        def logits(self, steps: torch.Tensor) -> torch.Tensor:
            """(..., W) -> (..., V)."""
            return functional.linear(steps, self.tokens.weight if self.head is None else self.head.weight)

        def forward(
            self, ids: torch.Tensor, segment: torch.Tensor, position: torch.Tensor, counted: torch.Tensor,
            bytes: torch.Tensor, length: torch.Tensor | None = None,
        ) -> torch.Tensor:  # fmt: skip
            """(B, L) each -> (B, 3): nats, tokens and bytes of what is counted. A place sees its own segment, up to itself.

            A row longer than the context + 1 is so many rows of context + 1 beside each other, none of which sees another.
            """
            rows, block = len(ids), self.shape.context + 1
            if ids.shape[1] > block:
                ids, segment, position, counted, bytes = (
                    functional.pad(part, (0, -part.shape[1] % block)).view(-1, block)
                    for part in (ids, segment, position, counted, bytes)
                )
            inside, mask = segment[:, :-1], None
            if bool(((inside != inside[:, :1]) & (inside > 0)).any()):
                # several documents in a row; one alone, and what fills it up, needs no mask
                width = inside.shape[1]
                causal = torch.ones(width, width, dtype=torch.bool, device=ids.device).tril()
                mask = ((inside[:, :, None] == inside[:, None, :]) & causal)[:, None]  # (B, 1, L - 1, L - 1)
            steps, _ = self._through(ids[:, :-1], position[:, :-1], mask)
            weight = counted[:, 1:].float()
            wanted, chosen = ids[:, 1:].long(), weight > 0
            if not bool(chosen.all()):  # scores of what is not counted cost as much as those of what is
                nats = torch.zeros_like(weight).masked_scatter(chosen, self._nats(steps[chosen], wanted[chosen]))
            else:
                nats = self._nats(steps, wanted)
            nats = nats * weight
            found = torch.stack([nats.sum(1), weight.sum(1), (bytes[:, 1:] * counted[:, 1:]).float().sum(1)], dim=1)
            return found.unflatten(0, (rows, -1)).sum(1)

        def _nats(self, steps: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            """(..., W), (...) -> (...) negative log-probabilities of the wanted tokens."""

            def part(steps: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
                return functional.cross_entropy(self.logits(steps).float(), wanted, reduction="none")

            flat, target, places = steps.flatten(0, -2), wanted.flatten(), max(LOGITS // self.shape.vocabulary, 1)
            matrix = self.tokens.weight if self.head is None else self.head.weight
            if not matrix.requires_grad and flat.requires_grad:
                return Surprise.apply(flat, matrix, target).view_as(wanted)
            if len(flat) <= places:
                return part(flat, target).view_as(wanted)
            found = [
                checkpoint(part, *pair, use_reentrant=False) if torch.is_grad_enabled() else part(*pair)
                for pair in zip(flat.split(places), target.split(places), strict=True)
            ]
            return torch.cat(found).view_as(wanted)

        def decode(
            self, ids: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, places: torch.Tensor, past: list[torch.Tensor]
        ) -> tuple[torch.Tensor, list[torch.Tensor]]:  # fmt: skip
            """Tokens (B, T) after a past of P -> logits (B, K, V) of what follows `places` (B, K) of the T, and the past with them.

            `mask` (B, P + T) is 1 where a token stands and 0 where a row is filled up; `position` (B, T) counts a row's own tokens;
            `past` is the keys and values (B, P, Hkv, d) of each layer in turn. A row's logits do not depend on how it is filled up.
            """
            whole, width = mask.shape[1], ids.shape[1]
            order = torch.arange(whole, device=ids.device)
            seen = mask.bool()[:, None, None, :] & (order[None, :] <= order[whole - width :, None])  # (B, 1, T, P + T)
            kind = self.tokens.weight.dtype
            # the least number, not -inf: a place that sees nothing must not become NaN, which no weight of 0 makes disappear
            hidden = torch.zeros(seen.shape, dtype=kind, device=ids.device).masked_fill(~seen, torch.finfo(kind).min)
            steps, kept = self._through(ids, position, hidden, past)
            chosen = steps.gather(1, places[:, :, None].expand(-1, -1, steps.shape[2]))  # (B, K, W)
            return self.logits(chosen), kept

        def nothing(self, rows: int) -> list[torch.Tensor]:
            """The past of rows of which nothing has been read."""
            shape = self.shape
            empty = self.tokens.weight.new_zeros(rows, 0, shape.kv_heads, shape.width // shape.heads)
            return [empty] * (2 * shape.layers)

    return Network
