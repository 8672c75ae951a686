"""The price of a machine, as the build that a package comes from worked it out: kept in the state folder for the live margin."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.store import read_json, write_json

if TYPE_CHECKING:
    from modelyard.accounts.earning import Machine

FILE = "economics.json"
HOURS = Decimal(730)
"""Of a month, as the business stage counts: 8,760 hours a year by 12."""


def keep(package: Path, state: Path) -> None:
    """What the build beside a package says of its machine; nothing where there is no business case."""
    case = package.parent / "business.json"
    try:
        found = read_json(case)
        month, unit = found["measured_costs"]["machine_month"]["likely"].split()
        told = {
            "price": str(Decimal(month) / HOURS), "currency": unit.partition("/")[0], "machine": found["machine"],
            "source": f"the business case of {package.parent.name}, a month of the machine by 730 hours",
        }  # fmt: skip
    except (OSError, ValueError, KeyError, ArithmeticError):
        return
    write_json(state / FILE, told)


def machine(state: Path) -> Machine | None:
    """The machine of a service, where its price is known."""
    from modelyard.accounts.earning import Machine

    try:
        told = read_json(state / FILE)
        return Machine(Decimal(told["price"]), told["currency"], told["machine"], told["source"])
    except (OSError, ValueError, KeyError, ArithmeticError):
        return None
