"""The business stage: from the measured rate and the declared assumptions to costs, margins, unit economics and cash.

It only multiplies: models and machines report what they measured, price tables are dated files beside this module, and
all the rest is an assumption of the blueprint. It knows nothing about how the numbers are shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelyard.blueprint.business import Business
from modelyard.business import market_and_strategy, offers, rates, valuing, workbook
from modelyard.business.facts import Facts, Sold, table_of
from modelyard.business.market_and_strategy import forecast_in
from modelyard.business.planning import venture
from modelyard.business.remarks import machine_remarks, remarks
from modelyard.business.running import running
from modelyard.business.solving import Solved
from modelyard.business.trace import assumptions, trace
from modelyard.business.venture import Venture
from modelyard.context import Context
from modelyard.errors import MissingExtra
from modelyard.records._base import Derived, Gate, Record, machine
from modelyard.records.served import Served
from modelyard.records.valued import SCENARIOS, Rate, Remark, Valued
from modelyard.store import Store, replacing_folder
from modelyard.units import Quantity

WORKBOOK = "venture.xlsx"
TOLD = (
    "cost of a request", "revenue of a customer", "gross margin", "lifetime value", "LTV:CAC", "CAC payback", "net present value", "money needed",
    "customers", "revenue", "net", "last month of a loss", "lowest cash", "cash at the end",
)  # fmt: skip
"""Lines of the workbook's summary."""


def run(context: Context) -> Valued:
    """Price the service that `serve` measured. A bad result raises nothing: it is a gate, a remark or a null."""
    business, served = context.blueprint.business, context.record(Served)
    measured_on, facts = _measured_on(served), facts_of(context)
    chosen, server, grid = facts.machine, facts.server, facts.grid
    declared = assumptions(business)
    gates = [_rate_gate(served), _memory_gate(served.measured_memory, chosen)]
    record = Valued(
        currency=business.currency,
        months=business.months,
        machine=chosen.name,
        assumptions=declared,
        rates=_rates(business, chosen, grid, server),
        trace=trace(business, chosen, server, grid, declared),
        derived=() if business.machine else (_derived(chosen, *measured_on),),
    )
    if facts.rate.value > 0:
        first = machine_remarks(chosen, cores=measured_on[0], instructions=measured_on[1])
        record = _looked_ahead(_value(record, context, facts, first), context, facts)
        gates += _margin_gate(business, record)
    else:
        market, strategy = market_and_strategy.without_rate(context.blueprint, context.records)
        record = record.model_copy(update={"measured_market": market, "measured_strategy": strategy})
    return record.model_copy(update={"gates": tuple(gates)})


def facts_of(context: Context) -> Facts:
    """What was measured and looked up."""
    business, served = context.blueprint.business, context.record(Served)
    cores, instructions = _measured_on(served)
    table = table_of(context.blueprint)
    if business.machine:
        chosen = rates.machine(business.machine, rent=business.rent, file=table)
    else:
        chosen = rates.choose(
            cores=cores, memory=served.measured_memory, instructions=instructions, rent=business.rent, file=table
        )
    return Facts(
        rate=served.measured_rate,
        build_time=_build_time(context.records.values()),
        machine=chosen,
        server=rates.server(),
        grid=rates.grid(business.grid),
        units=_sold(served),
        table=table,
    )


def _value(record: Valued, context: Context, facts: Facts, first: tuple[Remark, ...]) -> Valued:
    business = context.blueprint.business
    cores, instructions = _measured_on(context.record(Served))
    model = venture(business, facts)
    found = Solved.of(model)
    cash, economics = valuing.cash(found, business), valuing.economics(found, business)
    units = tuple(offers.unit_price(found, one, business) for one in facts.units)
    return record.model_copy(
        update={
            "measured_costs": offers.machine_costs(found, facts),
            "measured_units": units,
            "measured_plans": tuple(
                offers.plan_value(found, number, business) for number in range(len(business.plans))
            ),
            "measured_unit_economics": economics,
            "measured_build": offers.build(found, facts, business),
            "measured_cash": cash,
            "measured_returns": valuing.returns(found),
            "measured_running": running(
                found,
                business,
                facts,
                context.records,
                folder=context.blueprint.folder,
                cores=cores,
                instructions=instructions,
            ),
            "measured_owners": valuing.owners(business),
            "measured_outlook": valuing.outlook(model, business),
            "workbook": _workbook(
                market_and_strategy.whole(context.blueprint, facts, forecast=forecast_in(context.store)), context.store
            ),
            "measured_remarks": (
                *first,
                *remarks(found, business, economics, cash, record.assumptions, units),
            ),
        }
    )


def _workbook(model: Venture, store: Store) -> str | None:
    """Write the workbook beside the record, where openpyxl is installed."""
    try:
        with replacing_folder(store.path("business")) as folder:
            workbook.write(model, folder / WORKBOOK, told=TOLD, drawn="cash")
    except MissingExtra:
        return None
    return f"business/{WORKBOOK}"


def _looked_ahead(record: Valued, context: Context, facts: Facts) -> Valued:
    """With what the blueprint says of its market and strategy."""
    found = market_and_strategy.valued(
        context.blueprint, facts, context.records, economics=record.measured_unit_economics, units=record.measured_units,
        forecast=forecast_in(context.store),
    )  # fmt: skip
    trace = record.trace | market_and_strategy.traces(found, context.blueprint)
    update = {"measured_market": found.market, "measured_strategy": found.strategy, "trace": trace}
    return record.model_copy(update=update)


def _sold(served: Served) -> tuple[Sold, ...]:
    """What a request sells. Where tokens are read and written, the time until the first one written is what reading costs."""
    units = {unit: each for unit, each in served.measured_units.items() if each.value > 0}
    reading = served.measured_stream.reading.value if served.measured_stream is not None else 0.0
    shares = {"input token": reading, "output token": 1.0 - reading} if len(units) > 1 else dict.fromkeys(units, 1.0)
    return tuple(Sold(unit, each, shares[unit]) for unit, each in units.items())


def _measured_on(served: Served) -> tuple[int, str]:
    """Cores and instruction sets of the machine that bore the load."""
    facts = served.run.machine if served.run else machine()
    return int(facts.get("cores", "1")), facts.get("instructions", "")


def _build_time(records: Iterable[Record]) -> Quantity:
    total = Quantity(0.0, "s")
    for record in records:
        if record.run is not None and record.stage not in ("business", "report"):  # an earlier run may have left these
            total = total + record.run.seconds
    return total


def _rates(business: Business, chosen: rates.Machine, grid: rates.Grid, server: rates.Server) -> tuple[Rate, ...]:
    """The rows that were used; a price declared in the blueprint takes the table's place."""
    watts = Quantity(server.busy_watts, "J/s")
    price = Rate(origin=chosen.origin, value=chosen.price, source=chosen.source, date=chosen.date)
    return (
        *(() if business.machine_price else (price,)),
        Rate(origin=grid.origin, value=grid.intensity, source=grid.source, date=grid.date),
        Rate(origin="rates/energy.toml: server.busy_watts", value=watts, source=server.source, date=server.date),
    )


def _derived(chosen: rates.Machine, cores: int, instructions: str) -> Derived:
    wanted = (
        f"{cores} cores and {instructions or 'any instructions'}, as the load was measured on, and room for the service"
    )
    best = (
        "cheapest" if rates.covers(chosen, cores=cores, instructions=instructions) else "largest, as none is as large"
    )
    return Derived(path="business.machine", value=chosen.name, reason=f"{best} of {rates.TABLE}: {wanted}")


def _rate_gate(served: Served) -> Gate:
    return Gate(
        name="business.rate",
        demanded="a rate sustained inside serve.p95",
        measured=f"{served.measured_rate.value:g} request/s",
        passed=served.measured_rate.value > 0,
        cure="Without a sustained rate no request has a price. Raise serve.p95, choose a smaller model (size), or serve on a faster machine.",
    )


def _memory_gate(needed: Quantity, chosen: rates.Machine) -> Gate:
    return Gate(
        name="business.memory",
        demanded=f"<= {chosen.memory_gib:g} GiB ({chosen.name})",
        measured=f"{needed.to('GiB'):.2f} GiB",
        passed=needed <= chosen.memory,
        cure="Name a machine with more memory in business.machine, or serve a smaller model.",
    )


def _margin_gate(business: Business, record: Valued) -> list[Gate]:
    economics = record.measured_unit_economics
    if business.minimum_margin is None or economics is None:
        return []
    low, likely, high = (getattr(economics.gross_margin, scenario) for scenario in SCENARIOS)
    shown = ["none" if one is None else f"{one.value:.3f}" for one in (likely, low, high)]
    return [
        Gate(
            name="business.margin",
            demanded=f"gross margin >= {business.minimum_margin:g}",
            measured=f"{shown[0]} (low scenario {shown[1]}, high {shown[2]})",
            passed=likely is not None and likely.value >= business.minimum_margin,
            cure="Raise prices above their floors, include less volume, or lower the cost of support or machines.",
        )
    ]
