"""Thousands of ventures at once: quantiles in order, chances that are counted again by hand, speed, and stresses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from modelyard.blueprint.business import Business
from modelyard.business.draws import drawn
from modelyard.business.planning import venture
from modelyard.business.uncertain import LINES, Stress, stressed, uncertain
from tests.business.business_helpers import facts


def test_out_of_the_box() -> None:
    model = venture(Business(), facts())
    began = time.process_time()
    found = uncertain(model, seed=4)
    assert time.process_time() - began < 5 and found.draws == 20_000
    assert set(found.outcomes) == set(LINES) and len(found.cash) == len(found.ruin) == 36
    assert all(low <= middle <= high for low, middle, high in found.cash)
    assert all(one.p10 <= one.p50 <= one.p90 for one in found.outcomes.values())
    assert list(found.ruin) == sorted(found.ruin) and found.ruin[0] >= 0 and found.ruin[-1] <= 1
    names = {name for name, given in model.givens.items() if given.spread.high > given.spread.low}
    assert {bar.name for bar in found.tornado} == names == {share.name for share in found.shares}
    assert 0.9 < sum(share.first for share in found.shares) <= 1.05
    assert max(found.shares, key=lambda share: share.total).name == found.shares[0].name


def test_chances_are_counted_again_one_by_one() -> None:
    model = venture(Business(starting_cash=60_000.0), facts())  # type: ignore[arg-type]
    found = uncertain(model, count=300, seed=2)
    drawing = drawn({name: given.spread for name, given in model.givens.items()}, 300, seed=2)
    gone = healthy = 0
    for draw in range(300):
        one = model.sheet.solve(
            {name: float(values[draw]) * model.givens[name].factor for name, values in drawing.items()}
        )
        gone += bool((one["cash"] < 0).any())
        healthy += bool(one["LTV:CAC"] > 3)
    assert found.ruin[-1] == pytest.approx(gone / 300) and found.healthy == pytest.approx(healthy / 300)
    assert 0 < gone < 300


def test_correlated_numbers_spread_the_outcome() -> None:
    model = venture(Business(), facts())
    alone = uncertain(model, seed=1)
    together = uncertain(model, seed=1, correlations={("business.new_customers", "business.growth"): 0.9})
    width = [one.outcomes["cash at the end"].p90 - one.outcomes["cash at the end"].p10 for one in (alone, together)]
    assert width[1] > 1.05 * width[0]


def test_stresses() -> None:
    model = venture(Business(), facts())
    found = stressed(model, [Stress("nothing", {}), Stress("price of machines", {"rates.machine": 3.0})])
    likely = model.sheet.solve(model.values("likely"))
    np.testing.assert_allclose(found["nothing"]["cash"], likely["cash"])
    np.testing.assert_allclose(found["price of machines"]["cost of machines"], 3 * likely["cost of machines"])
    with pytest.raises(ValueError, match=r"no such number: business\.chrun"):
        stressed(model, [Stress("typo", {"business.chrun": 2.0})])
