"""How a language model's tokens are drawn, and how its answers are written where a request says nothing else. Options only.

Order and meaning are those of transformers, so that the same options give the same distribution; `decoding` does the work.
"""

from __future__ import annotations

from pydantic import Field

from modelyard.frozen import Frozen


class Sampling(Frozen):
    """How the next token is drawn."""

    temperature: float = Field(1.0, ge=0, le=5)
    """Logits are divided by it; 0: always the likeliest token (greedy)."""
    top_k: int = Field(0, ge=0)
    """Only so many likeliest tokens; 0: all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Only the likeliest tokens that together reach this probability (Holtzman et al. 2020)."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Only tokens with at least this share of the likeliest one's probability (Nguyen et al. 2024)."""
    repetition: float = Field(1.0, gt=0, le=5)
    """A token that stands already: its logit is divided by it where positive, else multiplied (Keskar et al. 2019); 1: no penalty."""
    presence: float = Field(0.0, ge=-2, le=2)
    """Taken from the logit of each token that was generated already, once (OpenAI's `presence_penalty`)."""
    frequency: float = Field(0.0, ge=-2, le=2)
    """... and as often as it was generated (`frequency_penalty`)."""
    bias: dict[int, float] = {}
    """Added to the logits of these tokens, before anything else (`logit_bias`)."""


class Generate(Sampling):
    """How answers are written where a request says nothing else."""

    max_tokens: int = Field(128, ge=1, le=32_768)
    """Tokens of an answer at most."""
    temperature: float = Field(0.0, ge=0, le=5)
    """Logits are divided by it; 0: always the likeliest token (greedy)."""
    beams: int = Field(1, ge=1, le=16)
    """Width of a beam search; 1: tokens are drawn one by one."""
    stop: tuple[str, ...] = Field((), max_length=4)
    """Texts that end an answer; they are not part of it."""
    seed: int = Field(0, ge=0)
    """Of what is drawn: the answer depends on it, the options and the prompt alone."""
