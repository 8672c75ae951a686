"""Ventures for tests: four blueprints' assumptions, and the facts of a service that was never measured."""

from __future__ import annotations

from typing import Any

from modelyard.business import rates
from modelyard.business.facts import Facts, Sold
from modelyard.units import quantity

VENTURES: dict[str, dict[str, Any]] = {
    "out of the box": {},
    "in euros": {"currency": "EUR", "exchange_rate": {"low": 0.8, "likely": 0.9, "high": 1.0}},
    "its own machine, few months": {"machine_price": 0.4, "months": 7, "minimum_machines": 1, "starting_customers": 40.0},
    "tokens and a hard quota": {
        "plans": [
            {"name": "by use", "price": 0, "included": 0, "overage": 0.0, "prices": {"output token": 20.0, "input token": 5.0}, "share": 0.4,
             "usage": {"low": 100, "likely": 3000, "high": 9000}},
            {"name": "hard", "price": 15, "included": 1000, "share": 0.4, "usage": {"low": 500, "likely": 900, "high": 5000}},
            {"name": "endless", "price": 99, "share": 0.2, "usage": 20000},
        ],
        "new_customers": 60.0, "growth": 0.15,
    },
}  # fmt: skip


def facts() -> Facts:
    return Facts(
        rate=quantity("37 request/s"), build_time=quantity("40 min"), machine=rates.machine("aws-m7i-large"), server=rates.server(),
        grid=rates.grid("USA"),
        units=(Sold("input token", quantity("120 input_token/request"), 0.2), Sold("output token", quantity("45 output_token/request"), 0.8)),
    )  # fmt: skip
