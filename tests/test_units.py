"""Quantities with units: what texts become, what does not mix, and how fields of them read and write."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelyard import units
from modelyard.errors import UnitError
from modelyard.frozen import Frozen
from modelyard.units import Bytes, Measure, Quantity, Seconds, counted, quantity


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("6 min", 360, "s"), ("100 ms", 0.1, "s"), ("1.5 h", 5400, "s"), ("2 days", 172800, "s"), ("4 MiB", 4 * 2**20, "B"), ("4 MB", 4e6, "B"),
        ("1e-3 s", 0.001, "s"), (".5 s", 0.5, "s"), ("-2 s", -2, "s"), ("1,000,000 rows", 1e6, "row"), ("10_000 tokens", 1e4, "token"),
        ("3.6 USD/h", 0.001, "USD/s"), ("1 kWh", 3.6e6, "J"), ("2 years", 24, "month"), ("7", 7, ""), ("200 W", 200, "J/s"),
        ("0.02 USD/request", 0.02, "USD/request"), ("3 kW*h", 3 * 3.6e6, "J"),
    ],
)  # fmt: skip
def test_texts_become_canonical_quantities(text: str, value: float, unit: str) -> None:
    found = quantity(text)
    assert found.value == pytest.approx(value)
    assert found.unit == unit


@pytest.mark.parametrize("text", ["", "min", "six min", "1e999 s", "nan s", "--1 s", "1 2 3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises((ValueError, UnitError)):
        quantity(text, "s")


def test_quantities_of_different_kinds_do_not_mix() -> None:
    cost, time = quantity("3 USD"), quantity("1 s")
    for mix in (
        lambda: cost + time,
        lambda: cost - time,
        lambda: cost < time,
        lambda: cost <= time,
        lambda: time.to("B"),
        lambda: quantity("5 B", "s"),
    ):
        with pytest.raises(UnitError):
            mix()
    with pytest.raises(TypeError):  # whoever catches TypeError catches it too
        cost + 1  # type: ignore[operator]
    assert not isinstance(cost == time, Quantity)
    assert cost != time


def test_a_cost_per_token_is_no_cost_per_request() -> None:
    hourly = quantity("3.6 USD/h")
    each = hourly / quantity("10 request/s")
    assert each == Quantity(0.0001, "USD/request")
    assert (each * quantity("1000 requests")).unit == "USD"
    assert (each * quantity("1000 tokens")).unit == "USD*token/request"
    with pytest.raises(UnitError):
        each + hourly / quantity("10 token/s")


UNITS = st.sampled_from(["s", "min", "B", "MiB", "USD", "request", "request/s", "USD/h", "J", "kWh", "USD/request", ""])
NUMBERS = st.floats(1e-6, 1e9)


@given(NUMBERS, UNITS, NUMBERS, UNITS)
def test_products_and_quotients_cancel(a: float, first: str, b: float, second: str) -> None:
    one, two = quantity(a, first), quantity(b, second)
    back = one * two / two
    assert back.unit == one.unit
    assert math.isclose(back.value, one.value, rel_tol=1e-9)
    assert (one * two).unit == (two * one).unit
    assert (one / one).unit == ""


@given(NUMBERS, UNITS)
def test_a_written_quantity_reads_back_exactly(value: float, unit: str) -> None:
    found = quantity(value, unit)
    assert quantity(f"{found.value!r} {found.unit}") == found


@given(NUMBERS, NUMBERS)
def test_sums_and_orders_are_those_of_the_numbers(a: float, b: float) -> None:
    one, two = Quantity(a, "s"), Quantity(b, "s")
    assert (one + two).value == a + b
    assert (one - two).value == a - b
    assert (one < two) == (a < b)
    assert (one <= two) == (a <= b)
    assert (2 * one).value == 2 * a


def test_fields_of_quantities_read_and_write() -> None:
    class Holder(Frozen):
        time: Seconds = Quantity(1.0, "s")
        size: Bytes = Quantity(1.0, "B")
        any: Measure = Quantity(1.0, "USD")

    held = Holder.model_validate({"time": "6 min", "size": 100, "any": "0.02 USD/request"})
    assert (held.time, held.size, held.any) == (
        Quantity(360.0, "s"),
        Quantity(100.0, "B"),
        Quantity(0.02, "USD/request"),
    )
    assert held.model_dump(mode="json") == {"time": "360.0 s", "size": "100.0 B", "any": "0.02 USD/request"}
    assert Holder.model_validate_json(held.model_dump_json()) == held
    for bad in (
        {"time": "6 MB"},
        {"time": -1},
        {"time": True},
        {"time": "soon"},
        {"time": None},
        {"time": {"value": 1}},
        {"time": [1]},
    ):
        with pytest.raises(ValidationError):
            Holder.model_validate(bad)


def test_every_scale_is_canonical_itself() -> None:
    for name, (base, factor) in units.SCALES.items():
        assert factor > 0, name
        assert units.canonical(base) == (base, 1.0), f"{name} leads to {base}, which is not canonical"


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (1, "answer", "1 answer"),
        (0, "answer", "0 answers"),
        (1200, "row", "1,200 rows"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (2, "key", "2 keys"),
    ],
)
def test_one_is_one(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said
