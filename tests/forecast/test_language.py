"""Language models: their compute against the published optimum, and serving bounded by the machine."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.blueprint import Blueprint
from modelyard.forecast import language, scaling
from modelyard.forecast.calibration import Ceilings
from modelyard.forecast.trying import Candidate
from modelyard.models._contract import LoopOptions

HERE = Ceilings(flops=1e11, bandwidth=1e10, trees=1e7, words=1e6, python=1e7)
BLUEPRINT = Blueprint.parse("name: demo\ndata: {source: rows.csv, target: text}\ngenerate: {max_tokens: 64}")


def speaker(**changes: Any) -> Candidate:
    shape = {"layers": 6, "heads": 6, "kv_heads": 2, "width": 384, "context": 256}
    one = Candidate(
        "gpt", "gpt", {}, "loop", loop=LoopOptions(epochs=10), parameters=10_000_000, tokens=200.0, shape=shape
    )
    for name, value in changes.items():
        setattr(one, name, value)
    return one


def test_compute_and_its_best_use() -> None:
    told = language.told(speaker(), BLUEPRINT, HERE, rows=5000, memory=8e9)
    assert told is not None
    assert (
        told.tokens == 1e6 and told.compute.value == pytest.approx(6 * 1e7 * 1e6 * 10) and told.compute.unit == "FLOP"
    )
    best = scaling.best(told.compute.value)
    assert (told.best_parameters, told.best_tokens) == (round(best.parameters), round(best.tokens))
    assert told.fitting_parameters is not None and told.fitting_parameters < told.parameters


def test_the_cache_is_of_the_shared_heads() -> None:
    told = language.told(speaker(), BLUEPRINT, HERE, rows=5000, memory=8e9)
    assert told is not None and told.cache.value == 2 * 6 * 2 * 64 * 4 * 256  # prompt 192 + answer 64 tokens
    assert told.beside > 0 and 0 < told.rate.value < 256 * 1e11 / 2e7


def test_what_does_not_fit_is_told() -> None:
    told = language.told(speaker(), BLUEPRINT, HERE, rows=5000, memory=1e7)
    assert told is not None and told.beside == 0 and told.first_token is None


def test_pretrained_weights_have_no_optimum_and_other_models_no_language() -> None:
    told = language.told(speaker(pretrained=True), BLUEPRINT, HERE, rows=5000, memory=8e9)
    assert told is not None and told.best_parameters is None and told.fitting_parameters is None
    assert language.told(speaker(shape=None), BLUEPRINT, HERE, rows=5000, memory=8e9) is None
