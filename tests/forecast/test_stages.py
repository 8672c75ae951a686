"""Constants: complete, found again where they made the outcomes, left alone where nothing is known."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.forecast import stages
from modelyard.forecast.calibration import Ceilings
from modelyard.forecast.stages import Constants, fit
from modelyard.run import NAMES

FIRST = Constants({"fixed": 1.0, "scored": 1.0, "weights": 10.0}, 0.4)


def planted(count: int, noise: float = 0.0) -> list[tuple[dict[str, float], float]]:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        given = {"fixed": 1.0, "scored": float(rng.uniform(0, 20)), "weights": float(rng.uniform(0, 2))}
        truth = 2.0 + 0.5 * given["scored"] + 30.0 * given["weights"]
        found.append((given, truth * float(np.exp(noise * rng.standard_normal()))))
    return found


def test_every_stage_has_constants_of_every_kind() -> None:
    assert stages.NAMES == NAMES
    table = stages.table()
    for kind in stages.KINDS:
        assert set(table.of[kind]) == set(NAMES)
        assert all(
            0 < one.spread < 1 and all(value >= 0 for value in one.values.values()) for one in table.of[kind].values()
        )


def test_constants_that_made_the_outcomes_are_found_again() -> None:
    found = fit(planted(60), FIRST, belief=5.0)
    assert found.values == pytest.approx({"fixed": 2.0, "scored": 0.5, "weights": 30.0}, rel=0.1)
    assert found.spread < 0.1


def test_noise_is_seen_in_the_spread() -> None:
    assert 0.2 < fit(planted(80, noise=0.3), FIRST, belief=5.0).spread < 0.4


def test_nothing_known_changes_nothing_and_one_build_only_a_little() -> None:
    assert fit([], FIRST) == FIRST
    right = {"fixed": 1.0, "scored": 1.0, "weights": 1.0}
    once = fit([(right, FIRST.of(right))], FIRST)
    assert once.values == pytest.approx(FIRST.values, rel=1e-6)


def test_an_outcome_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        fit([({"fixed": 1.0}, 0.0)], FIRST)


def test_a_machine_of_half_the_speed_is_twice_as_slow() -> None:
    here = Ceilings(flops=1e10, bandwidth=1e9, trees=1e6, words=1e6, python=1e7)
    half = Ceilings(**{name: value / 2 for name, value in here.model_dump().items()})
    assert here.slowness(here) == pytest.approx(1.0)
    assert half.slowness(here) == pytest.approx(2.0)
