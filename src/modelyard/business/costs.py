"""What answering costs: machines, fees, carbon. Pure functions of quantities; they know nothing about plans.

>>> hour, rate = quantity("0.36 USD/h"), quantity("50 request/s")
>>> cost_per_unit(hour, rate, utilisation=0.5)
Quantity(value=4e-06, unit='USD/request')
"""

from __future__ import annotations

import math

from modelyard.business.rates import Machine, Server
from modelyard.errors import UnitError
from modelyard.units import Quantity, canonical, quantity

MONTH = quantity(730, "h/month")
"""8,760 hours a year by 12: the month that clouds quote prices for."""
NEARLY = 1e-9
"""Slack before rounding up, so that 3.0000000001 machines are 3."""


def check_unit(given: Quantity, unit: str, what: str) -> Quantity:
    """The quantity itself if it has that unit, else UnitError: a price per token is no price per request."""
    if given.unit != canonical(unit)[0]:
        raise UnitError(f"{what} must be in {canonical(unit)[0]!r}, got {given.unit!r}")
    return given


def cost_per_unit(machine_price: Quantity, rate: Quantity, *, utilisation: float, unit: str = "request") -> Quantity:
    """Cost of one answered unit: machine price ÷ (sustained rate x utilisation).

    A cloud is paid for the time it is provided, not for the time it is busy, hence utilisation (SCI charges energy the
    same way). `machine_price` in currency/s, `rate` in unit/s; another unit is a UnitError.
    """
    check_unit(rate, f"{unit}/s", "the sustained rate")
    if not machine_price.unit.endswith("/s"):
        raise UnitError(f"a machine's price must be an amount a second, got {machine_price.unit!r}")
    return machine_price / (rate * utilisation)


def noun(unit: str) -> str:
    """A unit of sale as the unit of a quantity, which is one word. `noun("output token") == "output_token"`."""
    return unit.replace(" ", "_")


def lot(unit: str) -> tuple[int, str]:
    """How many of a unit have a price together, and that as a unit: a million tokens, a thousand of anything else, as the market quotes them.

    >>> lot("output token"), lot("image")
    ((1000000, 'megaoutput_token'), (1000, 'kiloimage'))
    """
    return (1_000_000, f"mega{noun(unit)}") if unit.endswith("token") else (1_000, f"kilo{noun(unit)}")


def replicas(demand: Quantity, capacity: Quantity, *, minimum: int) -> int:
    """Whole machines for a mean demand: ⌈demand ÷ capacity⌉, at least `minimum`. Both in unit/s."""
    if capacity.value <= 0:
        raise ValueError("a machine that answers nothing has no capacity")
    if demand.unit != capacity.unit:
        raise UnitError(f"demand in {demand.unit!r} does not fit a capacity in {capacity.unit!r}")
    return max(minimum, math.ceil(demand.value / capacity.value - NEARLY))


def payment_fee(charge: Quantity, *, share: float, fixed: Quantity) -> Quantity:
    """Fee on a charge: share x charge + fixed; nothing is charged, nothing is due. Same currency or UnitError."""
    return charge * share + fixed if charge.value > 0 else charge * share


def power(machine: Machine, server: Server, *, utilisation: float) -> Quantity:
    """Watts of a machine, the building's included: (cores x (idle + utilisation x (busy - idle)) + memory) x PUE.

    Linear model and constants of Cloud Carbon Footprint; a machine with its own measured power uses that.
    """
    cores = machine.cores * (server.idle_watts + utilisation * (server.busy_watts - server.idle_watts))
    watts = machine.watts if machine.watts is not None else cores + machine.memory_gib * server.memory_watts
    return quantity(watts * server.overhead, "W")


def embodied(machine: Machine, server: Server) -> Quantity:
    """Carbon of making the machine's share of a server, for each second it is reserved: TE x (RR ÷ ToR) ÷ EL.

    M = TE x (TiR ÷ EL) x (RR ÷ ToR) of SCI v1.1.0 (ISO/IEC 21031:2024), divided by the time reserved.
    """
    share = min(1.0, machine.cores / server.host_cores)
    return quantity(server.embodied * share / server.lifetime_hours, "gCO2e/h")


def carbon_per_unit(energy: Quantity, intensity: Quantity, made: Quantity, rate: Quantity) -> Quantity:
    """SCI = ((E x I) + M) ÷ R (v1.1.0): `energy` J/s, `intensity` gCO2e/J, `made` gCO2e/s, `rate` unit/s."""
    return (energy * intensity + made) / rate
