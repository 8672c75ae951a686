"""The OpenAPI document says what the validator does, and the page needs no network."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_helpers import COLUMNS, ROW, make_records

from modelyard.rows import Column, from_records
from modelyard.serve.limits import Limits
from modelyard.serve.openapi import describe, example_row
from modelyard.serve.page import page, policy
from modelyard.serve.reading import read_rows
from modelyard.serve.refusing import Refused
from modelyard.tasks._contract import State

STATE = State(
    task="tabular-classification",
    target="standing",
    inputs=COLUMNS,
    classes=("bad", "good"),
    counts=(1, 1),
    positive="bad",
)


def document(**given: Any) -> dict[str, Any]:
    """A service's document."""
    return describe(name="demo", version="1", description="About </script><b>", state=STATE, limits=Limits(), **given)


def test_references_resolve_and_every_field_is_described() -> None:
    found = document()
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)):
        assert name in found["components"]["schemas"]
    row = found["components"]["schemas"]["Row"]
    assert list(row["properties"]) == list(ROW)
    assert all(field["description"] for field in row["properties"].values())
    assert "clerk" in row["properties"]["job"]["description"]
    assert "enum" not in row["properties"]["job"]  # categories are open


@pytest.mark.parametrize(
    "column", [*COLUMNS, Column(name="bare", type="number"), Column(name="day", type="date", low=0.0, high=1e9)]
)
def test_the_example_is_answerable(column: Column) -> None:
    example = example_row([column])
    assert len(from_records([example], [column])) == 1
    assert example[column.name] is not None


def test_the_services_own_examples_come_first() -> None:
    rows = make_records(2)
    examples = document(examples=rows)["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    assert examples["one"]["value"] == {"row": rows[0]}
    assert examples["many"]["value"] == {"rows": rows}


def test_the_page_stands_alone_and_is_safe() -> None:
    html = page(document())
    assert "__OPENAPI__" not in html
    assert re.findall(r"(?:src|href)=\"(?!data:|/openapi.json)[^\"]*\"", html) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html) == []
    assert "</script><b>" not in html
    assert "unsafe" not in policy(html)
    assert policy(html).count("sha256-") == 2


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*ROW, "row", "rows", "stranger"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        rows = read_rows(json.dumps(value).encode(), COLUMNS, Limits())
    except Refused as refused:
        assert 400 <= refused.status < 500
        json.dumps(refused.body("x"))
    else:
        assert 1 <= len(rows) <= 256


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read_rows(body, COLUMNS, Limits())
    except Refused as refused:
        assert refused.status in (400, 422)


@pytest.mark.parametrize("name", ["row", "rows"])
def test_inputs_called_row_or_rows_are_no_trap(name: str) -> None:
    columns = (Column(name=name, type="number"),)
    for body in ({name: 3}, {"rows": [{name: 3}]}, {"row": {name: 3}}):
        assert read_rows(json.dumps(body).encode(), columns, Limits())[name].tolist() == [3.0]
