"""Plots: round ticks inside the range, data inside the drawing box, finite coordinates."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelyard.report.charts import Axis, Chart, Track, compact, log_ticks, thinned, ticks

NUMBERS = st.floats(-1e9, 1e9)


@given(low=NUMBERS, width=st.floats(1e-3, 1e9))
def test_ticks_are_round_few_and_inside(low: float, width: float) -> None:
    width = max(width, 1e-6 * abs(low))  # narrower than that, positions are lost in the rounding of their ends
    high = low + width
    found = ticks(low, high)
    assert 4 <= len(found) <= 10
    assert all(low - 1e-6 * width <= value <= high + 1e-6 * width for value in found)
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) - min(steps) <= 1e-6 * width + 1e-12 * abs(low)


@given(low=st.floats(1e-6, 1e6), factor=st.floats(3, 1e6))
def test_log_ticks_are_inside(low: float, factor: float) -> None:
    found = log_ticks(low, low * factor)
    assert found and all(low * 0.99 <= value <= low * factor * 1.01 for value in found)


@given(points=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30))
def test_points_stay_inside_the_drawing(points: list[tuple[float, float]]) -> None:
    chart = Chart(Axis.around([x for x, _ in points]), Axis.around([y for _, y in points]))
    for x, y in points:
        across, up = chart.at(x, y)
        assert 0 <= across <= chart.width and 0 <= up <= chart.height
    svg = chart.line([x for x, _ in points], [y for _, y in points], "s1").svg("test")
    assert "nan" not in svg and "inf" not in svg


def test_an_axis_of_nothing_and_of_one_value_is_drawn() -> None:
    for values in ([], [3.0], [0.0, 0.0], [math.nan]):
        axis = Axis.around(values)
        assert axis.high > axis.low and axis.ticks()


def test_one_far_row_becomes_an_arrow_and_leaves_the_others_apart() -> None:
    triples = [(0.96, 0.95, 0.97), (0.95, 0.94, 0.96), (0.40, 0.39, 0.41)]
    track = Track.of(triples, 0.96, compact)
    assert track.axis.low > 0.9
    assert "beyond" in track.row(0.40, 0.39, 0.41, "s8") and "◂" in track.row(0.40, 0.39, 0.41, "s8")
    inside = track.row(0.95, 0.94, 0.96, "s8")
    assert "beyond" not in inside and "<circle" in inside
    together = Track.of([(0.5, 0.4, 0.6), (0.7, 0.6, 0.8), (0.9, 0.8, 1.0)], None, compact)
    assert together.axis.low < 0.4, "rows that share the scale are all kept"


def test_long_lines_are_thinned_but_keep_their_ends() -> None:
    points = [(float(x), 0.0) for x in range(5000)]
    assert len(thinned(points)) == 400 and thinned(points)[0] == points[0] and thinned(points)[-1] == points[-1]


def test_the_drawing_names_itself() -> None:
    svg = Chart(Axis(0, 1), Axis(0, 1)).svg("cost <of> errors")
    assert re.search(r'role="img"', svg) and "cost &lt;of&gt; errors" in svg
