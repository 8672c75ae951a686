"""What the expected seconds cost: the price table's machines, energy and carbon by the same formulas as the business case.

It knows nothing about how the seconds were found.
"""

from __future__ import annotations

from modelyard.blueprint import Blueprint
from modelyard.blueprint.business import Business
from modelyard.business import costs, rates
from modelyard.business.facts import pick, table_of
from modelyard.business.rates import Machine
from modelyard.records.forecast import Likely, Rented
from modelyard.units import Quantity, quantity

BUSY = 1.0
"""Share of its cores that a build keeps busy: training does, and the rest of a build is short."""


def chosen(blueprint: Blueprint, *, cores: int, memory: Quantity, instructions: str) -> Machine:
    """The machine that the business case will price: the blueprint's, or the cheapest that is no smaller than this one."""
    business, file = blueprint.business, table_of(blueprint)
    if business.machine:
        return rates.machine(business.machine, rent=business.rent, file=file)
    return rates.choose(cores=cores, memory=memory, instructions=instructions, rent=business.rent, file=file)


def price(business: Business, machine: Machine) -> Quantity:
    """Of a second, in the blueprint's currency, as the business case takes it when all goes as likely."""
    if business.machine_price is not None:
        return quantity(pick(business.machine_price, "likely", "high"), f"{business.currency}/h")
    if business.exchange_rate is None:
        return machine.price
    return machine.price * quantity(pick(business.exchange_rate, "likely", "high"), f"{business.currency}/USD")


def watts(machine: Machine) -> Quantity:
    """Joules a second, the building's included."""
    return costs.power(machine, rates.server(), utilisation=BUSY)


def grams(business: Business, machine: Machine) -> Quantity:
    """Grams of CO2 equivalent a second: the electricity's, and the machine's own share (SCI, ISO/IEC 21031)."""
    return watts(machine) * rates.grid(business.grid).intensity + costs.embodied(machine, rates.server())


def times(each: Quantity, seconds: Likely) -> Likely:
    """An amount a second for so many seconds."""
    value, low, high = (each * end for end in (seconds.value, seconds.low, seconds.high))
    return Likely(value=value, low=low, high=high, level=seconds.level)


def rented(
    blueprint: Blueprint, *, seconds: Likely, memory: Likely, cores: int, instructions: str
) -> tuple[Rented, ...]:
    """The build on every machine without an accelerator that is no smaller than this one, those that hold it and are cheapest first."""
    plain = blueprint.business.model_copy(update={"machine_price": None})
    found = [
        Rented(
            machine=row.name, provider=row.provider, memory=row.memory, fits=memory.high <= row.memory, seconds=seconds,
            cost=times(price(plain, row), seconds),
        )
        for row in rates.machines(table_of(blueprint)).values()
        if row.accelerator is None and rates.covers(row, cores=cores, instructions=instructions)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda each: (not each.fits, each.cost.value.value)))
