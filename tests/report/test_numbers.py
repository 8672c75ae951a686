"""Numbers as printed: significant digits, units in both languages, and that reading them back gives the number within its last digit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.report.catalogue import Words
from modelyard.report.charts import compact
from modelyard.report.numbers import fixed, metric_decimals, read, show, significant, sizes, steps
from modelyard.report.traced import Traced

EN, ZH = Words("en").plain, Words("zh").plain


@pytest.mark.parametrize(
    ("value", "style", "english", "chinese"),
    [
        (0.9671, "metric", "0.967", "0.967"),
        (23865.4, "metric", "23,865", "23,865"),
        (0.00123, "metric", "0.0012", "0.0012"),
        (0.9989, "percent", "99.9 %", "99.9%"),
        (1.0, "percent", "100 %", "100%"),
        (0.99996, "percent", "100.0 %", "100.0%"),
        (0.0004, "percent", "0.04 %", "0.04%"),
        (22713216, "short", "22.7 M", "2,271 万"),
        (345678912, "short", "346 M", "3.46 亿"),
        (0.0123, "seconds", "12.3 ms", "12.3 毫秒"),
        (90, "seconds", "90 s", "90 秒"),
        (361, "seconds", "6.02 min", "6.02 分钟"),
        (0.0000004, "seconds", "0.400 µs", "0.400 微秒"),
        (26012345, "bytes", "26.0 MB", "26.0 MB"),
        (512, "bytes", "512 B", "512 B"),
        (0, "bytes", "0 B", "0 B"),
        (1234.5, "money", "$1,234", "1,234 美元"),
        (-29, "money", "−$29.00", "−29.00 美元"),
        (0.000875, "money", "$0.00088", "0.00088 美元"),
        (80, "rate", "80 /s", "80 次/秒"),
        (2.8e-05, "hourly", "$0.10/h", "0.10 美元/小时"),
        (6046, "count", "6,046", "6,046"),
        (5.6, "ratio", "5.6", "5.6"),
        (5.11, "factor", "5.11×", "5.11×"),
        (1.13, "plain", "1.13", "1.13"),
        (0.0000123, "plain", "1.23 × 10⁻⁵", "1.23 × 10⁻⁵"),
        (1795651200, "date", "2026-11-26", "2026-11-26"),
    ],
)
def test_printed(value: float, style: str, english: str, chinese: str) -> None:
    assert show(value, style, EN, currency="USD") == english  # type: ignore[arg-type]
    assert show(value, style, ZH, currency="USD") == chinese  # type: ignore[arg-type]


def test_ticks_speak_the_language() -> None:
    assert (
        compact(50_000, steps(EN)) == "50k"
        and compact(50_000, steps(ZH)) == "5万"
        and compact(-2.5e8, steps(ZH)) == "−2.5亿"
    )
    assert compact(0.25, steps(ZH)) == "0.25" and compact(9000, steps(EN)) == "9000"


def test_other_currencies() -> None:
    assert show(12, "money", EN, currency="CNY") == "¥12.00" and show(12, "money", ZH, currency="CNY") == "12.00 元"
    assert show(12, "money", EN, currency="CHF") == show(12, "money", ZH, currency="CHF") == "12.00 CHF"


@given(
    value=st.floats(-1e12, 1e12).filter(lambda value: abs(value) > 1e-9 or value == 0),
    style=st.sampled_from(
        [
            "plain",
            "metric",
            "percent",
            "count",
            "short",
            "money",
            "hourly",
            "seconds",
            "bytes",
            "rate",
            "factor",
            "points",
        ]
    ),
)
def test_reading_back_gives_the_number_within_its_last_digit(value: float, style: str) -> None:
    for say in (EN, ZH):
        printed = show(value, style, say, currency="USD")  # type: ignore[arg-type]
        number, half = read(printed, sizes(say))
        assert abs(number - value) <= half * 1.0001 + 1e-9 * abs(value), printed


@given(value=st.floats(1e-4, 1e6), digits=st.integers(1, 6))
def test_significant_digits_are_enough(value: float, digits: int) -> None:
    number, _ = read(significant(value, digits), {})
    assert abs(number - value) <= 0.51 * 10 ** (math.floor(math.log10(value)) - digits + 1) + 1e-12


def test_negative_zero_is_zero() -> None:
    assert (
        fixed(-0.0001, 2) == "0.00"
        and fixed(-0.0, 0) == "0"
        and show(-0.001, "money", EN, currency="USD") == "−$0.0010"
    )


def test_an_estimate_shows_its_bounds_with_the_same_decimals() -> None:
    assert (
        metric_decimals(0.967, 0.958, 1.0) == 3
        and metric_decimals(23865, 22100, 25400) == 0
        and metric_decimals(0.0008, -0.0007, 0.002) == 4
    )


def test_units_of_two_words_are_read() -> None:
    assert Traced("55.6 input_token/request", "serve.json#x").number == 55.6
