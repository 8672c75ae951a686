"""Pretraining from scratch: how large a model and how many tokens a compute budget is best spent on. Not for fine-tuning.

Loss(N, D) = E + A ÷ N^alpha + B ÷ D^beta for N parameters and D tokens, and compute C = 6 N D FLOP (Hoffmann and others 2022, arXiv 2203.15556).
The constants are those of Epoch's replication (Besiroglu and others 2024, arXiv 2404.10102), which fit Hoffmann's data where the published ones
do not. They are of web text in English and a tokenizer of 32,000 pieces: elsewhere only the shape carries over.
"""

from __future__ import annotations

from dataclasses import dataclass

A, B, E = 482.01, 2085.43, 1.8172
ALPHA, BETA = 0.3478, 0.3658
FLOP_EACH = 6.0
"""Of a parameter and a token, forward and backward."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """What a budget is best spent on."""

    parameters: float
    tokens: float
    loss: float
    """Nats a token."""

    @property
    def tokens_each(self) -> float:
        """Tokens for each parameter."""
        return self.tokens / self.parameters


def loss(parameters: float, tokens: float) -> float:
    """Expected nats a token on held-out text."""
    if parameters <= 0 or tokens <= 0:
        raise ValueError("a model has parameters and reads tokens")
    found: float = E + A / parameters**ALPHA + B / tokens**BETA
    return found


def best(compute: float) -> Optimum:
    """The optimum of a compute budget in FLOP: N = G (C ÷ 6)^(beta ÷ (alpha + beta)), G = (alpha A ÷ (beta B))^(1 ÷ (alpha + beta)).

    >>> round(best(5.76e23).tokens_each, 1)
    18.4
    """
    if compute <= 0:
        raise ValueError("a budget of compute is above 0")
    together = ALPHA + BETA
    parameters = (ALPHA * A / (BETA * B)) ** (1 / together) * (compute / FLOP_EACH) ** (BETA / together)
    tokens = compute / FLOP_EACH / parameters
    return Optimum(parameters, tokens, loss(parameters, tokens))


def best_with(tokens: float, *, most: float = float("inf")) -> Optimum:
    """The model that so many tokens are best read by once: the one whose optimal budget reads as many, of at most `most` parameters."""
    if tokens <= 0:
        raise ValueError("there are no tokens")
    together = ALPHA + BETA
    # tokens = (C/6)^(alpha/together) / G, solved for C
    scale = (ALPHA * A / (BETA * B)) ** (1 / together)
    parameters = min(scale * (tokens * scale) ** (BETA / ALPHA), most)
    return Optimum(parameters, tokens, loss(parameters, tokens))
