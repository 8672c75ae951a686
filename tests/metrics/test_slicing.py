"""Slices cover every row once, with names one can read."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import DataError
from modelyard.metrics.slicing import MISSING, OTHER, column_of, slices_of

words = st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=40)
numbers = st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), min_size=1, max_size=40)


@given(words)
def test_texts_and_categories_are_partitioned(values: list[str | None]) -> None:
    column = np.array([*values, None], dtype=object)[:-1]
    for kind in ("category", "text"):
        slices = slices_of(column, kind)
        assert sum(slices.sizes()) == len(values) and min(slices.sizes()) > 0
        assert len(set(slices.names)) == len(slices.names)


@given(numbers)
def test_numbers_are_partitioned(values: list[float]) -> None:
    slices = slices_of(np.array(values), "number")
    assert sum(slices.sizes()) == len(values) and min(slices.sizes()) > 0
    assert len(set(slices.names)) == len(slices.names)


def test_quartiles_by_hand() -> None:
    slices = slices_of(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, np.nan]), "number")
    assert slices.names == ("1 to 2", "3 to 4", "5 to 6", "7 to 8", MISSING)
    assert slices_of(np.array([0.0, 1, 1]), "number").names == ("1", "0")
    assert slices_of(np.array([0.0, 1, 1, np.nan]), "boolean").names == ("true", "(missing)", "false")
    days = np.array([0.0, 86400 * 10, 86400 * 20, 86400 * 30, 86400 * 40, 86400 * 50])
    assert slices_of(days, "date").names[0] == "1970-01-01 to 1970-01-11"


def test_rare_values_are_other() -> None:
    column = np.array([str(number) for number in range(30)] + ["1"] * 5, dtype=object)
    slices = slices_of(column, "category")
    assert slices.names[0] == "1" and slices.names[-1] == OTHER and len(slices.names) == 21


def test_columns_are_read_by_type_and_named_when_missing() -> None:
    frame = pl.DataFrame({"age": [1.5, None], "home": ["x", None], "__row__": [0, 1], "yes": [True, None]})
    values, kind = column_of(frame, {"age": "ignore"}, "age", "audit.sensitive")
    assert kind == "number" and np.isnan(values[1])
    assert column_of(frame, {}, "home", "x")[1] == "category"
    assert column_of(frame, {"yes": "boolean"}, "yes", "x")[0][0] == 1.0
    with pytest.raises(
        DataError, match=r"audit\.sensitive: no column 'Age'\. Did you mean 'age'\? Columns: age, home, yes"
    ):
        column_of(frame, {}, "Age", "audit.sensitive")
