"""The next token: distributions as transformers makes them, draws as often as they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.decoding import sampling
from modelyard.decoding.sampling import Sampling, draw, probabilities

NONE = np.zeros(0, dtype=np.int64)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999), temperature=st.floats(0.2, 3), top_k=st.integers(0, 60), top_p=st.floats(0.05, 1),
    min_p=st.floats(0, 0.5), repetition=st.floats(0.5, 2),
)  # fmt: skip
def test_the_distribution_is_that_of_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, repetition: float
) -> None:
    torch = pytest.importorskip("torch")
    processors = pytest.importorskip("transformers.generation.logits_process")
    rng = np.random.default_rng(seed)
    logits, seen = rng.normal(0, 3, 50), rng.integers(0, 50, 8)
    scores = torch.tensor(logits[None])
    chain = [
        processors.RepetitionPenaltyLogitsProcessor(repetition),
        processors.TemperatureLogitsWarper(temperature),
        *([processors.TopKLogitsWarper(top_k)] if top_k else []),
        *([processors.TopPLogitsWarper(top_p)] if top_p < 1 else []),
        *([processors.MinPLogitsWarper(min_p)] if min_p > 0 else []),
    ]
    for one in chain:
        scores = one(torch.tensor(seen[None]), scores)
    expected = scores.softmax(dim=-1)[0].numpy()
    options = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition=repetition)
    np.testing.assert_allclose(probabilities(logits, seen, options), expected, atol=1e-6)


def test_the_nucleus_of_a_large_vocabulary_is_that_of_sorting_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(0, 4, 5000)
    for least in (0.5, 0.9, 0.9999):
        fast = probabilities(logits, NONE, Sampling(top_p=least))
        monkeypatch.setattr(sampling, "LIKELY", 10**9)
        np.testing.assert_allclose(fast, probabilities(logits, NONE, Sampling(top_p=least)), atol=1e-12)
        monkeypatch.undo()


def test_temperature_zero_is_the_likeliest() -> None:
    assert probabilities(np.array([1.0, 3.0, 2.0]), NONE, Sampling(temperature=0)).tolist() == [0, 1, 0]


def test_penalties_count_what_was_generated_and_not_the_prompt() -> None:
    flat, seen = np.zeros(4), np.array([0, 1, 1])
    found = probabilities(flat, seen, Sampling(presence=1.0, frequency=0.5), generated=seen[1:])
    expected = np.exp([0.0, -2.0, 0.0, 0.0])
    np.testing.assert_allclose(found, expected / expected.sum())


def test_a_bias_is_added_to_logits() -> None:
    logits = np.array([0.5, 0.0, -1.0])
    found = probabilities(logits, NONE, Sampling(bias={2: 3.0, 0: -0.5}, temperature=2.0))
    expected = np.exp(np.array([0.0, 0.0, 2.0]) / 2)
    np.testing.assert_allclose(found, expected / expected.sum())


def test_equals_at_the_edge_of_the_nucleus_are_taken_in_order() -> None:
    found = probabilities(np.zeros(10), NONE, Sampling(top_p=0.35))
    np.testing.assert_allclose(found, [0.25] * 4 + [0] * 6)


def test_a_large_vocabulary_is_drawn_from_as_a_small_one() -> None:
    shares, rng = np.zeros(1000), np.random.default_rng(0)
    shares[[0, 255, 256, 999]] = 0.1, 0.2, 0.3, 0.4
    drawn = np.bincount([draw(shares, rng) for _ in range(20_000)], minlength=1000) / 20_000
    np.testing.assert_allclose(drawn, shares, atol=0.015)
    assert drawn.astype(bool).sum() == 4


def test_draws_are_as_frequent_as_their_shares_and_never_impossible() -> None:
    shares, rng = np.array([0.0, 0.7, 0.0, 0.3, 0.0]), np.random.default_rng(0)
    drawn = np.bincount([draw(shares, rng) for _ in range(20_000)], minlength=5) / 20_000
    np.testing.assert_allclose(drawn, shares, atol=0.015)
    assert drawn[0] == drawn[2] == drawn[4] == 0
