"""Bytes and seconds of a language model's service, by hand."""

from __future__ import annotations

import pytest

from modelyard.forecast.generating import Ceiling, Serving, Shape, machines, serving

LLAMA = Shape(layers=32, heads=8, width=128, parameters=8_030_000_000)
H200 = Ceiling(flops=780e12, bandwidth=4.3e12, memory=139 * 2**30)


def test_the_cache_of_llama_3_8b() -> None:
    assert LLAMA.cache(1) == 131_072
    assert Shape(80, 8, 128, 70_000_000_000).cache(4096) == pytest.approx(1.342e9, rel=1e-3), (
        "the 70B of IETF's draft: 1.342 GB at 4k"
    )


def test_small_batches_are_bound_by_bytes_and_large_ones_by_operations() -> None:
    one = serving(LLAMA, H200, prompt=128, answer=128, most=1)
    assert one.batch == 1 and one.tokens_per_second == pytest.approx(1 / ((2 * 8.03e9 + 131_072 * 192) / 4.3e12))
    cheap = Ceiling(flops=1e12, bandwidth=4.3e12, memory=139 * 2**30)
    many = serving(LLAMA, cheap, prompt=128, answer=128)
    assert many.tokens_per_second == pytest.approx(1e12 / (2 * 8.03e9)) and many.first_token == pytest.approx(
        2 * 8.03e9 * 128 / 1e12
    )


def test_memory_bounds_the_batch() -> None:
    small = Ceiling(flops=780e12, bandwidth=4.3e12, memory=20e9)
    found = serving(LLAMA, small, prompt=4000, answer=96, reserve=0.1)
    assert found.batch == int((18e9 - 16.06e9) // (131_072 * 4096))
    assert serving(LLAMA, Ceiling(1e12, 1e12, 1e9), prompt=1, answer=1) == Serving(0, 0.0, float("inf"))


def test_machines_for_a_demand() -> None:
    each = Serving(8, 100.0, 0.1)
    assert [machines(demand, each, utilisation=0.5) for demand in (0, 50, 51, 500)] == [1, 1, 2, 10]
    assert machines(5, Serving(0, 0.0, float("inf")), utilisation=0.5) is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Shape(0, 1, 1, 1),
        lambda: serving(LLAMA, H200, prompt=-1, answer=1),
        lambda: serving(LLAMA, H200, prompt=1, answer=0),
        lambda: serving(LLAMA, H200, prompt=1, answer=1, reserve=1.0),
        lambda: machines(1, Serving(1, 1.0, 1.0), utilisation=0.0),
    ],
)
def test_what_cannot_be(wrong: object) -> None:
    with pytest.raises(ValueError):
        wrong()  # type: ignore[operator]
