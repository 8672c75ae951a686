"""What `prepare` finds in whole columns goes with the model: a file and a service read every value as the build did."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_helpers import blueprint, run, table, whole

from modelyard import prepare
from modelyard.context import Context
from modelyard.errors import DataError, RequestError
from modelyard.predict import reading
from modelyard.prepare import dates, inference
from modelyard.records.prepared import Prepared
from modelyard.rows import Array, Column, Reading, from_frame, from_records
from modelyard.rows_schema import input_columns
from modelyard.store import Store
from modelyard.train.world import look

ROWS = 400


def source(folder: Path) -> Path:
    """Rows whose spelling only the whole columns show, unreadable and impossible values among them."""
    numbers = range(ROWS)
    ages = ["unknown" if n % 150 == 7 else "999" if n % 100 == 3 else str(20 + n % 60) for n in numbers]
    days = [date(2024, 1, 1) + timedelta(days=n // 8 * 7 % 360) for n in numbers]
    frame = table(ROWS).with_columns(
        price=pl.Series([("1,250", "12", f"{n % 9},5", f"{n},{n % 1000:03d}")[n // 8 % 4] for n in numbers]),
        bill=pl.Series([(f"${n + 1000}.50", f"{n + 1},{n:03d}.25", str(n % 77))[n % 3] for n in numbers]),
        when=pl.Series([day.strftime("%d/%m/%Y") for day in days]),
        age=pl.Series(ages),
        flag=pl.Series(["yes", "no", None] * (ROWS // 3) + [None] * (ROWS % 3)),
    )
    frame.write_csv(folder / "rows.csv")
    return folder / "rows.csv"


def inputs_of(folder: Path, record: Prepared) -> tuple[Column, ...]:
    """The inputs as training makes them."""
    train = pl.read_parquet(folder / "build" / "data" / "train.parquet")
    return input_columns(train, record.inputs_types(), mended=True, readings=record.readings())


def read_file(file: Path, inputs: tuple[Column, ...]) -> dict[str, Array]:
    """As `yard predict` reads it, piece by piece."""
    with reading.opened(file) as opened:
        found = reading.pieces(file, opened, file.suffix[1:], inputs, reading.MISSING)
        parts = [reading.read(frame, inputs, file.name, first) for first, frame in found]
    return {column.name: np.concatenate([part[column.name] for part in parts]) for column in inputs}


def requests(file: Path, inputs: tuple[Column, ...]) -> dict[str, Array]:
    """As the service reads the same rows, sent as they are spelt."""
    names = [column.name for column in inputs]
    with file.open(encoding="utf-8", newline="") as opened:
        lines = list(csv.DictReader(opened))
    rows = from_records([{name: line[name] if line[name] != "" else None for name in names} for line in lines], inputs)
    return {name: rows[name] for name in names}


@pytest.mark.parametrize("impossible", ["missing", "drop", "keep"])
def test_every_row_of_the_source_is_read_as_in_the_build(
    impossible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = source(tmp_path)
    record = run(tmp_path, file.name, prepare={"clean": {"limits": {"age": [0, 120]}, "impossible": impossible}})
    assert record.inputs_types() == {
        "x": "number", "z": "number", "c": "category", "price": "number", "bill": "number", "when": "date", "age": "number", "flag": "boolean",
    }  # fmt: skip
    readings = record.readings()
    assert readings["price"].decimal_comma and not readings["bill"].decimal_comma
    assert readings["when"].day_first is True
    assert readings["age"].unread == ("unknown",) and not readings["age"].messy
    assert readings["age"].limits == ((None, None) if impossible == "keep" else (0, 120))
    inputs, built = inputs_of(tmp_path, record), whole(tmp_path)
    monkeypatch.setattr(reading, "PIECE", 8)  # pieces of one price and one day: alone, nothing shows how they are spelt
    places, wanted = built["__row__"].to_numpy(), from_frame(built, record.inputs_types())
    for found in (read_file(file, inputs), requests(file, inputs)):
        for column in inputs:
            np.testing.assert_array_equal(found[column.name][places], wanted[column.name], err_msg=column.name)
        assert np.isnan(found["age"][7])
        assert np.isnan(found["age"][3]) == (impossible != "keep")
        assert found["price"][:8].tolist() == [1.25] * 8


def test_training_hands_readings_to_the_artifact(tmp_path: Path) -> None:
    source(tmp_path)
    context = Context(blueprint(tmp_path, "rows.csv", size="tiny"), Store(tmp_path / "build"))
    context.records["prepare"] = record = prepare.run(context)
    world, _ = look(context, 0.0)
    again = type(world.state).model_validate_json(world.state.model_dump_json())
    assert {column.name: column.reading for column in again.inputs} == record.readings()
    assert Prepared.model_validate_json(record.model_dump_json()) == record


# -- numbers ------------------------------------------------------------------------------------------------------------

COMMA, PLAIN = (Column(name="n", type="number", reading=Reading(decimal_comma=comma)) for comma in (True, False))
CASES: list[tuple[Column, Any, float | None]] = [
    (COMMA, "1,250", 1.25), (COMMA, "0,5", 0.5), (COMMA, " -12 ", -12.0), (COMMA, 1.25, 1.25), (COMMA, "1.25", None), (COMMA, "1,2,3", None),
    (PLAIN, "1,250", 1250.0), (PLAIN, "0,5", None), (PLAIN, "$1234.50", 1234.5), (PLAIN, "$1,234.50", 1234.5), (PLAIN, "12 €", 12.0),
    (PLAIN, "1e3", 1000.0), (PLAIN, ".5", 0.5), (PLAIN, "1_000", None), (PLAIN, "nan", None), (PLAIN, "inf", None), (PLAIN, "12 kg", None),
]  # fmt: skip


@pytest.mark.parametrize(("column", "given", "wanted"), CASES)
def test_numbers_in_a_request(column: Column, given: Any, wanted: float | None) -> None:
    if wanted is not None:
        assert from_records([{"n": given}], [column])["n"][0] == wanted
        return
    with pytest.raises(RequestError, match="must be a number") as told:
        from_records([{"n": given}], [column])
    assert ("with a decimal comma" in str(told.value)) == column.reading.decimal_comma


@settings(max_examples=500, deadline=None)
@given(st.lists(st.text("0123456789,.$€ +-eE", max_size=9), min_size=1, max_size=8), st.booleans())
def test_a_request_and_a_column_agree_on_numbers(texts: list[str], comma: bool) -> None:
    column = COMMA if comma else PLAIN
    wanted = inference.in_type(pl.Series("n", texts), "number", reading=column.reading).to_list()
    for text, number in zip(texts, wanted, strict=True):
        try:
            found = from_records([{"n": text}], [column])["n"][0]
        except RequestError:
            assert number is None or np.isinf(number), text
        else:
            assert np.isnan(found) if number is None else found == number, text


def test_numbers_among_texts_keep_their_value(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"n": n}) for n in (1.125, "1,25", 3, 1e-9, None)))
    found = read_file(tmp_path / "rows.jsonl", (COMMA,))["n"]
    np.testing.assert_array_equal(found, [1.125, 1.25, 3.0, 1e-9, np.nan])


# -- dates --------------------------------------------------------------------------------------------------------------

DAYS = (
    "05/01/2026", "31/01/2026", "01/31/2026", "05/01/2026 10:00", "05/01/2026 10:00:07", "2026/1/5", "2026-01-05 10:00", "31.01.2026", "1.2.2026 07:30",
    "2026-01-05T10:00:00+02:00", "Sat, 14 Sep 102 02:29:32 -0500", "23 Sep 02 10:32:49 GMT", "2026-02-30", "99/99/2026", "yesterday",
)  # fmt: skip


@pytest.mark.parametrize("day_first", [True, False, None])
@pytest.mark.parametrize("text", DAYS)
def test_a_request_and_a_column_agree_on_dates(text: str, day_first: bool | None) -> None:
    column = Column(name="d", type="date", reading=Reading(day_first=day_first))
    moment = dates.parse(pl.Series([text]), day_first=day_first).dt.epoch("us").to_list()[0]
    try:
        found = from_records([{"d": text}], [column])["d"][0]
    except RequestError:
        found = None
    assert found == (None if moment is None else moment / 1e6)


def test_days_and_months_are_not_guessed() -> None:
    at = {
        first: from_records([{"d": "05/01/2026"}], [Column(name="d", type="date", reading=Reading(day_first=first))])
        for first in (True, False)
    }
    days = {first: date(1970, 1, 1) + timedelta(seconds=float(rows["d"][0])) for first, rows in at.items()}
    assert days == {True: date(2026, 1, 5), False: date(2026, 5, 1)}
    with pytest.raises(RequestError, match="must be a date such as 2026-01-31 "):
        from_records([{"d": "05/01/2026"}], [Column(name="d", type="date")])


# -- what cannot be read ------------------------------------------------------------------------------------------------


def test_what_training_could_not_read_is_missing_and_a_typo_is_told() -> None:
    column = Column(name="age", type="number", reading=Reading(unread=("unknown",)))
    read = reading.read(pl.DataFrame({"age": ["42", " unknown ", None]}), [column], "rows.csv", 1)
    np.testing.assert_array_equal(read["age"], [42, np.nan, np.nan])
    np.testing.assert_array_equal(from_records([{"age": "unknown"}, {"age": 7}], [column])["age"], [np.nan, 7])
    with pytest.raises(DataError, match=r"rows\.csv: row 12: age: must be a number \(got '4O'\)"):
        reading.read(pl.DataFrame({"age": ["1", "unknown", "4O"] * 50}), [column], "rows.csv", 10)
    with pytest.raises(RequestError, match="row 0: age: must be a number"):
        from_records([{"age": "4O"}], [column])


def test_a_messy_column_stays_messy(tmp_path: Path) -> None:
    odd = [f"about {n}" if n % 2 else str(n % 77) for n in range(ROWS)]
    table(ROWS).with_columns(age=pl.Series(odd)).write_csv(tmp_path / "rows.csv")
    record = run(tmp_path, "rows.csv", data={"columns": {"age": "number"}})
    found = record.readings()["age"]
    assert found.messy and len(found.unread) == 100
    column = Column(name="age", type="number", reading=found)
    read = reading.read(pl.DataFrame({"age": ["1", "2", "never seen"]}), [column], "x", 1)
    np.testing.assert_array_equal(read["age"], [1, 2, np.nan])
    with pytest.raises(DataError, match="row 2: age"):
        reading.read(pl.DataFrame({"age": ["1", "never seen", "nor this"]}), [column], "x", 1)


def test_dates_that_could_not_be_read_make_a_column_messy() -> None:
    given = pl.Series("d", ["2024-01-01", "soon", "2024-01-03", "soon", "later"])
    found, unread = inference.convert(given, "date")
    assert unread == 3
    assert inference.with_unread(Reading(), given, found, kind="date") == Reading(unread=("soon", "later"), messy=True)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [((0.0, 120.0), [0, 120, np.nan, np.nan, np.nan]), ((None, 120.0), [0, 120, -1, np.nan, np.nan]), ((None, None), [0, 120, -1, 999, np.nan])],
)  # fmt: skip
def test_impossible_numbers_are_missing(limits: tuple[float | None, float | None], wanted: list[float]) -> None:
    column, values = Column(name="age", type="number", reading=Reading(limits=limits)), [0.0, 120.0, -1.0, 999.0, None]
    np.testing.assert_array_equal(from_records([{"age": value} for value in values], [column])["age"], wanted)
    np.testing.assert_array_equal(reading.read(pl.DataFrame({"age": values}), [column], "x", 1)["age"], wanted)
    with pytest.raises(DataError, match="must be a number"):
        reading.read(pl.DataFrame({"age": [float("inf"), 1.0]}), [column], "x", 1)


@pytest.mark.parametrize(
    "text",
    ["1" * 200_000 + "x", " " * 200_000 + "x", "1,234" * 40_000 + "x", "1" * 200_000 + "." + "1" * 200_000 + "€x"],
)
@pytest.mark.parametrize("column", [COMMA, PLAIN, Column(name="n", type="date", reading=Reading(day_first=True))])
def test_no_text_takes_long_to_refuse(text: str, column: Column) -> None:
    """A pattern that tries every way to cut 200,000 digits would not end within the life of this test."""
    with pytest.raises(RequestError):
        from_records([{"n": text}], [column])


def test_numbers_are_mended_as_the_texts_of_the_source_were(tmp_path: Path) -> None:
    bills = [f"{'â‚¬' if n % 2 else '€'}{n}.50" for n in range(ROWS)]  # every other one UTF-8 read as cp1252
    table(ROWS).with_columns(bill=pl.Series(bills)).write_csv(tmp_path / "rows.csv")
    inputs = inputs_of(tmp_path, run(tmp_path, "rows.csv"))
    for found in (read_file(tmp_path / "rows.csv", inputs), requests(tmp_path / "rows.csv", inputs)):
        np.testing.assert_array_equal(found["bill"], [n + 0.5 for n in range(ROWS)])
