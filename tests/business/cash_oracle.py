"""Cash month by month, counted quantity by quantity: what the graph of lines must agree with where all customers are alike and nothing is taxed."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.blueprint.business import Business
from modelyard.business.costs import MONTH, check_unit, replicas
from modelyard.business.facts import marks, pick
from modelyard.units import Quantity, quantity
from tests.business.case_oracle import Case
from tests.business.plans_oracle import Result

UNITS = {
    "customers": "customer",
    "new_customers": "customer/month",
    "lost_customers": "customer/month",
    "revenue": "{currency}/month",
    "machines": "",
    "machine_cost": "{currency}/month",
    "payment_cost": "{currency}/month",
    "support_cost": "{currency}/month",
    "acquisition_cost": "{currency}/month",
    "fixed_cost": "{currency}/month",
    "net": "{currency}/month",
    "cash": "{currency}",
}
"""Columns of the table and their units."""
ONE_MONTH = Quantity(1.0, "month")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the months follow from."""

    currency: str
    months: int
    customer: Result
    """The average customer's revenue, fees and support; its machine cost is not used, machines are whole here."""
    churn: Quantity
    cac: Quantity
    starting_customers: Quantity
    new_customers: Quantity
    growth: float
    fixed: Quantity
    capacity: Quantity
    """Requests a second that one machine is planned for."""
    machine: Quantity
    """A machine with its hosting, in currency/month."""
    minimum: int
    starting_cash: Quantity
    build: Quantity


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of plain numbers in the units of `UNITS`, and what they say."""

    columns: dict[str, tuple[float, ...]]
    opening: Quantity
    break_even: int | None
    repaid: int | None
    lowest: Quantity
    lowest_month: int
    runway: int | None


def simulate(plan: Plan) -> Table:
    """The cash table. Each month: the new join and pay at once, a share `churn` of last month's customers has left;
    cash = last month's cash + revenue - machines - fees - support - acquisition - fixed costs.
    """
    _check(plan)
    rows: dict[str, list[float]] = {name: [] for name in UNITS}
    opening = plan.starting_cash - plan.build
    customers, cash, joining = plan.starting_customers, opening, plan.new_customers
    for _ in range(plan.months):
        lost = customers * plan.churn
        customers = customers + (joining - lost) * ONE_MONTH
        each = plan.customer
        machines = replicas(customers * each.usage / MONTH, plan.capacity, minimum=plan.minimum)
        revenue, fees, support = customers * each.revenue, customers * each.payment, customers * each.support
        machine_cost, acquisition = plan.machine * machines, joining * plan.cac
        net = revenue - machine_cost - fees - support - acquisition - plan.fixed
        cash = cash + net * ONE_MONTH
        found = (
            customers,
            joining,
            lost,
            revenue,
            Quantity(float(machines)),
            machine_cost,
            fees,
            support,
            acquisition,
            plan.fixed,
            net,
            cash,
        )
        for name, cell in zip(UNITS, found, strict=True):
            rows[name].append(cell.to(UNITS[name].format(currency=plan.currency)))
        joining = joining * (1 + plan.growth)
    return _read(plan, {name: tuple(values) for name, values in rows.items()}, opening)


def planned(business: Business, case: Case) -> Plan:
    """What the months of a scenario follow from."""
    money, known = business.currency, marks()

    def amount(name: str) -> Quantity:
        value = pick(getattr(business, name), case.scenario, known[name].unfavourable)
        return quantity(value, known[name].unit.format(currency=money))

    overhead = pick(business.hosting_overhead, case.scenario, "high")
    return Plan(
        currency=money,
        months=business.months,
        customer=case.average,
        churn=amount("churn"),
        cac=amount("cac"),
        starting_customers=Quantity(business.starting_customers, "customer"),
        new_customers=amount("new_customers"),
        growth=amount("growth").value,
        fixed=amount("people") + amount("tools"),
        capacity=case.capacity,
        machine=case.machine_price * MONTH * (1 + overhead),
        minimum=business.minimum_machines,
        starting_cash=amount("starting_cash"),
        build=case.build_other + case.build_machine,
    )


def _check(plan: Plan) -> None:
    money = plan.currency
    check_unit(plan.churn, "1/month", "churn")
    check_unit(plan.cac, f"{money}/customer", "the cost of winning a customer")
    check_unit(plan.customer.revenue, f"{money}/customer/month", "the revenue of a customer")
    check_unit(plan.customer.usage, "request/customer/month", "the usage of a customer")
    for what, amount in (("fixed costs", plan.fixed), ("a machine", plan.machine)):
        check_unit(amount, f"{money}/month", what)


def _read(plan: Plan, columns: dict[str, tuple[float, ...]], opening: Quantity) -> Table:
    nets, balances = columns["net"], columns["cash"]
    last_loss = max((month for month, net in enumerate(nets, 1) if net < 0), default=0)
    lowest = min(range(len(balances) + 1), key=lambda month: (opening.value, *balances)[month])
    return Table(
        columns=columns,
        opening=opening,
        break_even=last_loss + 1 if last_loss < len(nets) else None,
        repaid=next((month for month, cash in enumerate(balances, 1) if cash >= plan.starting_cash.value), None),
        lowest=Quantity((opening.value, *balances)[lowest], plan.currency),
        lowest_month=lowest,
        # the months that end with money left: the month after is the one that cannot be paid
        runway=0
        if opening.value < 0
        else next((month - 1 for month, cash in enumerate(balances, 1) if cash < 0), None),
    )
