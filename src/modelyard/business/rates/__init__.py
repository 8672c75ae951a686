"""Dated, sourced tables of prices and energy. It knows nothing about what is computed from them.

>>> machine("aws-m7i-large").price
Quantity(value=2.8e-05, unit='USD/s')
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from modelyard.frozen import Frozen
from modelyard.units import Quantity, quantity

FOLDER = Path(__file__).parent


class Machine(Frozen):
    """A machine one can rent."""

    name: str
    provider: str
    cores: int = Field(ge=1)
    memory_gib: float = Field(alias="memory", gt=0)
    instructions: str
    """Instruction sets that matter to speed, by the names of /proc/cpuinfo."""
    accelerator: str | None = None
    watts: float | None = Field(None, alias="power", gt=0)
    usd_per_hour: float = Field(alias="price", gt=0)
    date: str
    source: str

    @property
    def price(self) -> Quantity:
        """In USD/s."""
        return quantity(self.usd_per_hour, "USD/h")

    @property
    def memory(self) -> Quantity:
        """In bytes."""
        return quantity(self.memory_gib, "GiB")

    @property
    def origin(self) -> str:
        """Table and row."""
        return f"rates/machines.toml: {self.name}"


class Server(Frozen):
    """What a server's share uses and what making it emitted; see energy.toml."""

    idle_watts: float
    busy_watts: float
    memory_watts: float
    overhead: float
    embodied: float
    lifetime_hours: float
    host_cores: int
    date: str
    source: str


class Grid(Frozen):
    """Carbon of a country's electricity."""

    name: str
    grams_per_kwh: float
    date: str
    source: str

    @property
    def intensity(self) -> Quantity:
        """In gCO2e/J."""
        return quantity(self.grams_per_kwh, "gCO2e/kWh")

    @property
    def origin(self) -> str:
        """Table and row."""
        return f"rates/energy.toml: grids.{self.name}"


@cache
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def machines() -> dict[str, Machine]:
    """Every machine of the table, by name."""
    return {name: Machine(name=name, **row) for name, row in _table("machines").items()}


def machine(name: str) -> Machine:
    """One machine; the blueprint has checked the name."""
    return machines()[name]


def server() -> Server:
    """The energy model of a server."""
    return Server(**_table("energy")["server"])


def grid(name: str) -> Grid:
    """One country's electricity; the blueprint has checked the name."""
    table = _table("energy")
    return Grid(name=name, grams_per_kwh=table["grids"][name], **table["grids_source"])


def covers(row: Machine, *, cores: int, instructions: str) -> bool:
    """Whether a machine is no smaller than another: as many cores, and every instruction set."""
    return row.cores >= cores and set(instructions.split()) <= set(row.instructions.split())


def choose(*, cores: int, memory: Quantity, instructions: str) -> Machine:
    """The cheapest machine without accelerator that has at least these; where none has, the largest of the table."""
    plain = [row for row in machines().values() if row.accelerator is None]
    enough = [row for row in plain if covers(row, cores=cores, instructions=instructions) and memory <= row.memory]
    if enough:
        return min(enough, key=lambda row: row.usd_per_hour)
    return max(plain, key=lambda row: (row.cores, row.memory_gib))
