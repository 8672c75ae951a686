"""Rows: records become typed columns, and every fault is told, but no more than help."""

from __future__ import annotations

import pytest

from modelyard.errors import RequestError
from modelyard.rows import Column, Rows, from_records

INPUTS = (
    Column(name="age", type="number"), Column(name="job", type="category"), Column(name="member", type="boolean"),
    Column(name="joined", type="date"), Column(name="note", type="text"),
)  # fmt: skip


def test_records_become_typed_columns() -> None:
    rows = from_records([{"age": "42", "job": 7, "member": "yes", "joined": "1970-01-02", "note": ""}, {}], INPUTS)
    assert rows["age"].dtype == float
    assert rows.record(0) == {"age": 42.0, "job": "7", "member": 1.0, "joined": 86400.0, "note": ""}
    assert rows.record(1) == dict.fromkeys(("age", "job", "member", "joined", "note"))
    assert len(rows.take([1])) == 1 and len(rows.take(slice(0, 0))) == 0


def test_every_fault_of_every_row_is_told() -> None:
    with pytest.raises(RequestError) as caught:
        from_records([{"age": "old", "jobb": "x"}, {"member": "perhaps", "joined": "soon", "note": {"a": 1}}], INPUTS)
    told = {(row, field) for row, field, _ in caught.value.faults}
    assert told == {(0, "age"), (0, "jobb"), (1, "member"), (1, "joined"), (1, "note")}
    assert "row 0: age: must be a number (got 'old')" in str(caught.value)


def test_no_more_faults_are_told_than_help() -> None:
    for records in ([{f"k{number}": 1 for number in range(1000)}], [{"age": "old", "joined": "soon"}] * 50):
        with pytest.raises(RequestError) as caught:
            from_records(records, INPUTS)
        assert len(caught.value.faults) == 20
    wide = [Column(name=f"column_{number}", type="number") for number in range(1000)]
    with pytest.raises(RequestError, match=r"Allowed: column_0, .* and 970 more$"):
        from_records([{"stranger": 1}], wide)


def test_blank_texts_are_missing_but_in_a_text() -> None:
    assert from_records([{"age": " ", "job": " ", "member": "", "joined": "\t", "note": " "}], INPUTS).record(0) == {
        **dict.fromkeys(("age", "job", "member", "joined")),
        "note": " ",
    }


def test_rows_are_replaced_by_column() -> None:
    rows = from_records([{"age": 1}, {"age": 2}], INPUTS)
    changed = rows.replace(age=rows["age"] * 10)
    assert isinstance(changed, Rows)
    assert changed["age"].tolist() == [10, 20] and rows["age"].tolist() == [1, 2]
