"""The price and energy tables: dated, sourced, in range; and the choice of a machine."""

from __future__ import annotations

from datetime import date

import pytest

from modelyard.business import rates
from modelyard.units import quantity

NEW = "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8"
SMALL = quantity("500 MiB")


@pytest.mark.parametrize("name", sorted(rates.machines()))
def test_every_price_has_a_date_and_a_source(name: str) -> None:
    row = rates.machine(name)
    assert date(2025, 1, 1) <= date.fromisoformat(row.date) <= date(2027, 1, 1)
    assert len(row.source) > 20
    assert 0.005 < row.usd_per_hour / row.cores < 0.3  # USD a core and hour: a slipped digit would leave this band
    assert row.price.to("USD/h") == pytest.approx(row.usd_per_hour)


def test_grids() -> None:
    assert rates.grid("FRA").intensity.to("gCO2e/kWh") == pytest.approx(56.0)
    assert rates.grid("SWE").intensity < rates.grid("IND").intensity
    assert rates.grid("USA").source and rates.server().source


def test_the_cheapest_machine_that_is_no_smaller() -> None:
    assert rates.choose(cores=2, memory=SMALL, instructions=NEW).name == "aws-c7i-large"
    assert rates.choose(cores=2, memory=SMALL, instructions="avx2").name == "nebius-e2-2vcpu-8gb"
    assert rates.choose(cores=2, memory=quantity("5 GiB"), instructions=NEW).name == "aws-m7i-large"
    assert rates.choose(cores=3, memory=SMALL, instructions="avx2").name == "nebius-e2-4vcpu-16gb"


def test_none_is_large_enough() -> None:
    chosen = rates.choose(cores=500, memory=SMALL, instructions=NEW)
    assert chosen.cores == max(row.cores for row in rates.machines().values() if row.accelerator is None)
    assert not rates.covers(chosen, cores=500, instructions=NEW)
