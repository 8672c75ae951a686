"""The network of GPT-like language models: decoder blocks, classic (GPT-2, Radford et al. 2019) or modern (as in Llama, Touvron et al. 2023).

One module scores whole texts (`forward`) and continues them a token at a time from its keys and values (`decode`). It knows
neither tokenizers nor training.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from modelyard.frozen import Frozen


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
    epsilon: float = 1e-5
    tied: bool = True
    """Whether one matrix reads tokens in and scores them out."""
    dropout: float = 0.0


CHUNK = 8192
"""Places whose logits are computed at a time while training: all at once, a large vocabulary's fill the memory."""


@cache
def network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn import functional

    def turned(vectors: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        """Rotary positions: (B, H, L, d) by angles (B, L, d / 2)."""
        cosine, sine = angles.cos()[:, None].to(vectors.dtype), angles.sin()[:, None].to(vectors.dtype)
        first, second = vectors.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

    def norm(shape: Shape) -> nn.Module:
        kind = nn.LayerNorm if shape.blocks == "classic" else nn.RMSNorm
        return kind(shape.width, eps=shape.epsilon)

    class Attention(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Causal self-attention."""

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            self.shape, self.size = shape, shape.width // shape.heads
            biased = shape.blocks == "classic"
            self.query = nn.Linear(shape.width, shape.heads * self.size, bias=biased)
            self.key = nn.Linear(shape.width, shape.kv_heads * self.size, bias=biased)
            self.value = nn.Linear(shape.width, shape.kv_heads * self.size, bias=biased)
            self.out = nn.Linear(shape.heads * self.size, shape.width, bias=biased)

        def split(self, vectors: torch.Tensor) -> torch.Tensor:
            """(B, L, H x d) -> (B, H, L, d)."""
            return vectors.unflatten(2, (-1, self.size)).transpose(1, 2)

        def forward(
            self, steps: torch.Tensor, angles: torch.Tensor | None, mask: torch.Tensor, past: Any = None
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            query, key, value = (self.split(layer(steps)) for layer in (self.query, self.key, self.value))
            if angles is not None:
                query, key = turned(query, angles), turned(key, angles)
            if past is not None:
                key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
            groups = self.shape.heads // self.shape.kv_heads
            wide_key, wide_value = (
                (part if groups == 1 else part.repeat_interleave(groups, dim=1)) for part in (key, value)
            )
            found = functional.scaled_dot_product_attention(query, wide_key, wide_value, attn_mask=mask)
            return self.out(found.transpose(1, 2).flatten(2)), key, value

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """steps + attention(norm), then + feed-forward(norm)."""

        def __init__(self, shape: Shape) -> None:
            super().__init__()
            modern = shape.blocks == "modern"
            self.first, self.second, self.attention = norm(shape), norm(shape), Attention(shape)
            self.gate = nn.Linear(shape.width, shape.hidden, bias=False) if modern else None
            self.up = nn.Linear(shape.width, shape.hidden, bias=not modern)
            self.down = nn.Linear(shape.hidden, shape.width, bias=not modern)
            self.dropout = nn.Dropout(shape.dropout)

        def forward(
            self, steps: torch.Tensor, angles: torch.Tensor | None, mask: torch.Tensor, past: Any = None
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            found, key, value = self.attention(self.first(steps), angles, mask, past)
            steps = steps + self.dropout(found)
            given = self.second(steps)
            inner = (
                functional.gelu(self.up(given))
                if self.gate is None
                else functional.silu(self.gate(given)) * self.up(given)
            )
            return steps + self.dropout(self.down(inner)), key, value

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
            size = shape.width // shape.heads
            steps = torch.arange(0, size, 2, dtype=torch.float32) / size
            self.register_buffer("frequencies", shape.theta**-steps, persistent=False)
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
            self, ids: torch.Tensor, position: torch.Tensor, mask: torch.Tensor, past: Any = None
        ) -> tuple[torch.Tensor, list[torch.Tensor]]:
            """(B, L) -> (B, L, W), and each layer's keys and values."""
            steps = self.tokens(ids)
            angles = None
            if self.positions is not None:
                steps = steps + self.positions(position)
            else:
                angles = position[:, :, None].float() * self.frequencies  # (B, L, d / 2)
            steps, kept = self.dropout(steps), []
            for number, block in enumerate(self.blocks):
                before = None if past is None else (past[2 * number], past[2 * number + 1])
                steps, key, value = block(steps, angles, mask, before)
                kept += [key, value]
            return self.last(steps), kept

        def logits(self, steps: torch.Tensor) -> torch.Tensor:
            """(..., W) -> (..., V)."""
            return functional.linear(steps, self.tokens.weight if self.head is None else self.head.weight)

        def forward(
            self, ids: torch.Tensor, segment: torch.Tensor, position: torch.Tensor, counted: torch.Tensor,
            bytes: torch.Tensor, length: torch.Tensor | None = None,
        ) -> torch.Tensor:  # fmt: skip
            """(B, L) each -> (B, 3): nats, tokens and bytes of what is counted. A place sees its own segment, up to itself."""
            inside = segment[:, :-1]
            width = inside.shape[1]
            causal = torch.ones(width, width, dtype=torch.bool, device=ids.device).tril()
            mask = (inside[:, :, None] == inside[:, None, :]) & causal  # (B, L - 1, L - 1)
            steps, _ = self._through(ids[:, :-1], position[:, :-1], mask[:, None])
            weight = counted[:, 1:].float()
            nats = self._nats(steps, ids[:, 1:]) * weight
            return torch.stack([nats.sum(1), weight.sum(1), (bytes[:, 1:] * counted[:, 1:]).float().sum(1)], dim=1)

        def _nats(self, steps: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            """(B, L) negative log-probabilities of the wanted tokens."""
            if not self.training:
                scores = self.logits(steps).float()
                return scores.logsumexp(dim=2) - scores.gather(2, wanted[:, :, None])[:, :, 0]
            flat, target = steps.flatten(0, 1), wanted.flatten()
            found = [
                functional.cross_entropy(self.logits(part).float(), here, reduction="none")
                for part, here in zip(flat.split(CHUNK), target.split(CHUNK), strict=True)
            ]
            return torch.cat(found).view_as(wanted)

        def decode(self, ids: torch.Tensor, past: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
            """Tokens (B, T) after a past of P (keys and values (B, Hkv, P, d) by layer) -> logits (B, V) of what follows, and the past with them."""
            before, width = past[0].shape[2], ids.shape[1]
            position = (before + torch.arange(width, device=ids.device))[None].expand(ids.shape[0], -1)
            seen = torch.arange(before + width, device=ids.device)
            mask = seen[None, :] <= position[0][:, None]  # (T, P + T)
            steps, kept = self._through(ids, position, mask[None, None], past)
            return self.logits(steps[:, -1]), kept

    return Network
