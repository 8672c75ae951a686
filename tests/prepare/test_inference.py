"""What a column is taken for, and how it is converted."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from prepare_helpers import texts

from modelyard.prepare import dates, inference, scripts
from tests import toys

MANY = 60
CASES: list[tuple[str, str, list[Any], str]] = [
    ("whole numbers", "x", [n % 9 for n in range(MANY)], "number"),
    ("few numbers stay numbers", "x", [0, 1] * 30, "number"),
    ("numbers as text", "x", [f"{n / 7:.3f}" for n in range(MANY)], "number"),
    ("numbers as text, some words", "x", [str(n) for n in range(199)] + ["unknown"], "number"),
    ("thousands and currency", "x", [f"${n},{n % 1000:03d}.50" for n in range(1, MANY)], "number"),
    ("decimal commas", "x", [f"{n},{n % 10}" for n in range(MANY)], "number"),
    ("codes with leading zeros", "x", [f"0{n % 9}" for n in range(MANY)], "category"),
    ("stored booleans", "x", [True, False] * 30, "boolean"),
    ("words for booleans", "x", ["yes", "no", None] * 20, "boolean"),
    ("Y and N", "x", ["Y", "N"] * 30, "boolean"),
    ("few words", "x", ["red", "green", "blue"] * 20, "category"),
    ("names that repeat", "x", [f"shop{n % 30}.example" for n in range(MANY * 5)], "category"),
    ("sentences", "x", texts(MANY), "text"),
    ("a few distinct sentences", "x", texts(10), "text"),
    ("Chinese sentences", "x", [f"这家餐厅的味道非常好服务也很周到第{chr(0x4E00 + n)}次" for n in range(MANY)], "text"),
    ("ISO days", "x", [f"2024-01-{1 + n % 28:02d}" for n in range(MANY)], "date"),
    ("ISO with zone", "x", [f"2024-01-{1 + n % 28:02d}T10:00:00+02:00" for n in range(MANY)], "date"),
    ("mail dates", "x", [f"{1 + n % 28} Aug 2002 18:26:25 +0700" for n in range(MANY)], "date"),
    ("slashes, day first", "x", [f"{1 + n % 28:02d}/01/2024" for n in range(MANY)], "date"),
    ("slashes, ambiguous", "x", [f"0{1 + n % 9}/01/2024" for n in range(MANY)], "category"),
    ("stored dates", "x", [date(2024, 1, 1 + n % 28) for n in range(MANY)], "date"),
    ("epoch numbers", "x", [1.7e9 + n * 1000 for n in range(MANY)], "number"),
    ("constant", "x", ["same"] * MANY, "ignore"),
    ("constant number", "x", [3] * MANY, "ignore"),
    ("one value or missing", "x", ["present", None] * 30, "category"),
    ("all missing", "x", [None] * MANY, "ignore"),
    ("row numbers", "x", list(range(MANY)), "ignore"),
    ("an id by name", "customer_id", [7 * n % 1009 for n in range(MANY)], "ignore"),
    ("distinct numbers are not ids by themselves", "area", [7 * n % 1009 for n in range(MANY)], "number"),
    ("marks", "x", [f"easy-ham-1/{n:05d}" for n in range(MANY)], "ignore"),
    ("uuids", "x", [f"550e8400-e29b-41d4-a716-4466554{n:05d}" for n in range(MANY)], "ignore"),
    ("distinct Chinese words", "name", [chr(0x4E00 + n) + chr(0x5000 + n) for n in range(MANY)], "category"),
    ("JSON", "x", [f'{{"a": {n}}}' for n in range(MANY)], "ignore"),
    ("lists", "x", [[n] for n in range(MANY)], "ignore"),
    ("bytes", "x", [b"\x00%d" % n for n in range(MANY)], "ignore"),
]


@pytest.mark.parametrize(("name", "values", "kind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_guess(name: str, values: list[Any], kind: str) -> None:
    found = inference.guess(pl.Series(name, values))
    assert found.type == kind, found
    assert found.reason


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", " 2.5 ", "", None], "number", [1.0, 2.5, None, None]),
        (["$1,234.50", "7", "x"], "number", [1234.5, 7.0, None]),
        ([True, False, None], "number", [1.0, 0.0, None]),
        (["Yes", "n", "", None], "boolean", [True, False, None, None]),
        ([1, 0, None], "boolean", [True, False, None]),
        ([1.0, 2.5, float("nan"), None], "category", ["1", "2.5", None, None]),
        ([True, None], "category", ["true", None]),
        (["a", "", None], "category", ["a", None, None]),
        (["a", "", None], "text", ["a", "", None]),
        (["2024-02-30", "2024-02-28"], "date", [None, datetime(2024, 2, 28)]),
        ([0.0, 86400.0], "date", [datetime(1970, 1, 1), datetime(1970, 1, 2)]),
    ],
)
def test_convert(values: list[Any], kind: str, expected: list[Any]) -> None:
    found, _ = inference.convert(pl.Series("x", values), kind)
    assert found.to_list() == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thu, 22 Aug 2002 18:26:25 +0700", datetime(2002, 8, 22, 11, 26, 25)),
        (
            "Sat, 14 Sep 102 02:29:32 -0500",
            datetime(2002, 9, 14, 7, 29, 32),
        ),  # RFC 2822 4.3: years 50 to 999 count from 1900
        ("23 Sep 02 10:32:49 GMT", datetime(2002, 9, 23, 10, 32, 49)),
        ("2024-01-31T10:00:00.5+02:00", datetime(2024, 1, 31, 8, 0, 0, 500000)),
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10)),
        ("2024-01-31 10:00", datetime(2024, 1, 31, 10)),
        ("2024/01/31", datetime(2024, 1, 31)),
        ("31.01.2024", datetime(2024, 1, 31)),
        ("yesterday", None),
        ("Mon, 32 Jan 2024 10:00:00 GMT", None),
        ("20240131102030405060", None),  # Python's reader of mail takes it for one
    ],
)
def test_dates(text: str, expected: datetime | None) -> None:
    assert dates.parse(pl.Series([text, None])).to_list() == [expected, None]


@pytest.mark.parametrize(("text", "script", "unspaced"), toys.SCRIPTS)
def test_scripts(text: str, script: str | None, unspaced: bool) -> None:
    found = scripts.script(pl.Series([text, None, text]))
    assert (found["script"], found["unspaced"]) == (script, unspaced)
