"""Lines over rows: the one that made the values is found again, it never falls, and doubt grows with the distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.forecast.growing import line


@given(st.floats(0.0, 100.0), st.floats(1e-6, 1.0))
def test_a_line_is_found_again(fixed: float, each: float) -> None:
    rows = [250.0, 500.0, 1000.0, 2000.0]
    found = line(rows, [fixed + each * n for n in rows])
    assert found.at(50_000) == pytest.approx(fixed + each * 50_000, rel=1e-4)


def test_what_falls_is_level_and_what_begins_below_nothing_begins_at_nothing() -> None:
    falling = line([100, 200, 400], [3.0, 2.0, 1.0])
    assert falling.each == 0.0 and 1.0 <= falling.fixed <= 3.0
    steep = line([100, 200, 400], [1.0, 3.0, 7.0])
    assert steep.fixed == 0.0 and steep.at(400) == pytest.approx(6.8, rel=0.2)


def test_one_size_grows_in_proportion() -> None:
    assert line([500], [2.0]).at(2000) == pytest.approx(8.0)


def test_doubt_grows_with_the_distance_only_where_something_grows() -> None:
    growing, level = line([100, 200, 400], [1.0, 2.0, 4.0]), line([100, 200, 400], [2.0, 2.0, 2.0])
    assert growing.spread(400) < growing.spread(4000) < growing.spread(40_000)
    assert level.spread(40_000) == pytest.approx(level.spread(400))


def test_scatter_is_seen() -> None:
    rng = np.random.default_rng(0)
    rows = np.geomspace(100, 3000, 12)
    noisy = line(rows, (1 + 0.01 * rows) * np.exp(0.2 * rng.standard_normal(12)))
    assert 0.1 < noisy.scatter < 0.35


@pytest.mark.parametrize(("rows", "values"), [([], []), ([1.0], [-1.0]), ([0.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0], [float("nan")])])  # fmt: skip
def test_no_line(rows: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="a line needs runs"):
        line(rows, values)
