"""Dated, sourced tables of prices and energy. It knows nothing about what is computed from them.

>>> machine("aws-m7i-large").price
Quantity(value=2.8e-05, unit='USD/s')
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from modelyard.errors import UserError, nearest
from modelyard.frozen import Frozen
from modelyard.units import Quantity, quantity

FOLDER = Path(__file__).parent
TABLE = "rates/machines.toml"
Rent = Literal["on-demand", "reserved-1-year", "reserved-3-years", "spot"]


class Machine(Frozen):
    """A machine one can rent."""

    name: str
    table: str = TABLE
    """The file it stands in."""
    provider: str
    cores: int = Field(ge=1)
    memory_gib: float = Field(alias="memory", gt=0)
    instructions: str
    """Instruction sets that matter to speed, by the names of /proc/cpuinfo."""
    accelerator: str | None = None
    watts: float | None = Field(None, alias="power", gt=0)
    on_demand: float = Field(alias="price", gt=0)
    """USD an hour, as are the other ways of renting it; null: not known."""
    reserved_1_year: float | None = Field(None, gt=0)
    reserved_3_years: float | None = Field(None, gt=0)
    spot: float | None = Field(None, gt=0)
    """It may be taken away at any moment."""
    date: str
    source: str
    rent: Rent = "on-demand"
    """How this one is rented."""

    @property
    def prices(self) -> dict[Rent, float]:
        """USD an hour by the ways of renting it that are known."""
        every: dict[Rent, float | None] = {
            "on-demand": self.on_demand, "reserved-1-year": self.reserved_1_year, "reserved-3-years": self.reserved_3_years, "spot": self.spot,
        }  # fmt: skip
        return {rent: price for rent, price in every.items() if price is not None}

    @property
    def usd_per_hour(self) -> float:
        """As it is rented."""
        return self.prices[self.rent]

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
        way = "" if self.rent == "on-demand" else f", {self.rent}"
        return f"{self.table}: {self.name}{way}"


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


ALLOWED = "provider, cores, memory, instructions, price, date, source; accelerator, power, reserved_1_year, reserved_3_years, spot"
"""Keys of a row: those that must be there, and those that may be."""


@cache
def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def _ours() -> dict[str, Machine]:
    return {name: Machine(name=name, **row) for name, row in _table("machines").items()}


def machines(file: Path | None = None) -> dict[str, Machine]:
    """Every machine of the table, by name; those of a file of one's own come besides, or in the place of one of the same name.

    UserError names the file, the row and the key where the file does not fit.
    """
    return _ours() if file is None else _ours() | _read(file)


def _read(file: Path) -> dict[str, Machine]:
    try:
        rows = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UserError(f"the price table {file} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the price table {file} is not valid TOML: {error}") from None
    found = {}
    for name, row in rows.items():
        try:
            found[name] = Machine(**{**row, "name": name, "table": file.name}) if isinstance(row, dict) else None
        except ValidationError as error:
            wrong = error.errors()[0]
            key = ".".join(map(str, wrong["loc"])) or "the row"
            raise UserError(
                f"the price table {file}, machine {name}: {key}: {wrong['msg']} (allowed: {ALLOWED})"
            ) from None
        if found[name] is None:
            raise UserError(
                f"the price table {file}: {name} must be a table such as [my-machine] (allowed in it: {ALLOWED})"
            )
    return {name: row for name, row in found.items() if row is not None}


def machine(name: str, *, rent: Rent = "on-demand", file: Path | None = None) -> Machine:
    """One machine, rented so; UserError where it is not there, or not rented so."""
    table = machines(file)
    if name not in table:
        raise UserError(f"no machine {name!r} in the price table.{nearest(name, table)} Allowed: {', '.join(table)}")
    return _rented(table[name], rent)


def _rented(row: Machine, rent: Rent) -> Machine:
    if rent not in row.prices:
        raise UserError(
            f"the price table has no price of {row.name} for business.rent: {rent}. It has {', '.join(row.prices)}; add the other to a table of your own (business.rates)"
        )
    return row.model_copy(update={"rent": rent})


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


def choose(
    *, cores: int, memory: Quantity, instructions: str, rent: Rent = "on-demand", file: Path | None = None
) -> Machine:
    """The cheapest machine without accelerator that has at least these; where none has, the largest of the table. UserError where none is rented so."""
    rows = [row for row in machines(file).values() if row.accelerator is None]
    plain = [_rented(row, rent) for row in rows if rent in row.prices]
    if not plain:
        raise UserError(
            f"the price table has no machine for business.rent: {rent}. Add its price to a table of your own (business.rates)"
        )
    enough = [row for row in plain if covers(row, cores=cores, instructions=instructions) and memory <= row.memory]
    if enough:
        return min(enough, key=lambda row: row.usd_per_hour)
    return max(plain, key=lambda row: (row.cores, row.memory_gib))
