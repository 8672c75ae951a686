"""When a trial of a version is ended, and when it is not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.serve.judging import Comparison, quantile_bounds, tail


def filled(*, live: tuple[int, int], trial: tuple[int, int], slower: float = 1.0, seed: int = 0) -> Comparison:
    """(answered, failed) of both, with times of 10 ms and half as much again, the trial's so many times as long."""
    made, rng = Comparison(), random.Random(seed)
    for seen, (answered, failed), factor in ((made.live, live, 1.0), (made.trial, trial, slower)):
        for _ in range(answered):
            seen.add(0.01 * factor * (1 + rng.random()))
        for _ in range(failed):
            seen.add(None)
    return made


def test_the_tail_is_the_binomials() -> None:
    from scipy.stats import binom

    for count, of, share in ((3, 3, 0.02), (0, 9, 0.5), (17, 40, 0.3), (1, 500, 0.001), (500, 500, 0.99), (5, 9, 1.0)):
        assert tail(count, of, share) == pytest.approx(binom.sf(count - 1, of, share), rel=1e-9)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.sampled_from([0.5, 0.95]))
def test_the_bounds_hold_the_samples_own_quantile(times: list[float], quantile: float) -> None:
    low, high = quantile_bounds(times, quantile)
    assert low <= sorted(times)[min(int(len(times) * quantile), len(times) - 1)] <= high


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_a_quantiles_bounds_hold_it_in_nearly_every_sample(quantile: float) -> None:
    rng, missed = random.Random(1), 0
    true = -math.log(1 - quantile)
    for _ in range(2000):
        low, high = quantile_bounds([rng.expovariate(1) for _ in range(300)], quantile)
        missed += not low <= true <= high
    assert missed <= 2  # 0.03 are to be expected


def test_too_few_times_say_nothing() -> None:
    assert quantile_bounds([1.0] * 5, 0.5) == (0.0, math.inf)
    assert quantile_bounds([1.0] * 200, 0.95)[1] == math.inf
    assert quantile_bounds([1.0] * 225, 0.95)[1] == 1.0


@pytest.mark.parametrize(
    ("comparison", "reason"),
    [
        (filled(live=(100, 0), trial=(0, 4)), "4 of 4 requests failed"),
        (filled(live=(1000, 0), trial=(80, 15)), "requests failed"),
        (filled(live=(300, 0), trial=(40, 0), slower=2.5), "answers took over"),
        (Comparison(compared=60, differed=30), "answers differ"),
    ],
)
def test_a_worse_version_is_found(comparison: Comparison, reason: str) -> None:
    assert reason in str(comparison.worse(disagreement=0.1))


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(),
        filled(live=(0, 0), trial=(1, 1)),
        filled(live=(1000, 10), trial=(100, 1)),
        filled(live=(300, 0), trial=(300, 0), slower=1.2),
        Comparison(compared=60, differed=6),
    ],
)
def test_an_equal_version_goes_on(comparison: Comparison) -> None:
    assert comparison.worse(disagreement=0.1) is None


def test_an_equal_version_is_hardly_ever_turned_away() -> None:
    rng, turned = random.Random(2), 0
    for _ in range(30):
        made = Comparison()
        for _ in range(600):  # looked at after every request, as in service
            trial = rng.random() < 0.3
            (made.trial if trial else made.live).add(None if rng.random() < 0.01 else rng.lognormvariate(-4.6, 0.5))
            if trial:
                made.compared, made.differed = made.compared + 1, made.differed + (rng.random() < 0.05)
            if made.worse(disagreement=0.1):
                turned += 1
                break
    assert turned == 0
