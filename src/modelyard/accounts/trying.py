"""A customer for trying a service out: the load test's, and a founder's own. It may ask as much as the machine bears and owes nothing."""

from __future__ import annotations

from decimal import Decimal

from modelyard.accounts import customers, keys, plans
from modelyard.accounts.database import open_database
from modelyard.accounts.plans import Plan
from modelyard.accounts.state import State

NAME = "trying out"


def key_without_limits(state: State) -> str:
    """A key of a new customer whose plan costs nothing and has no limits."""
    with open_database(state.database, durability=state.durability) as database, database.write() as held:
        digest = plans.add_plan(held, Plan(name=NAME, currency="USD", price=Decimal(0)))
        customer = customers.add_customer(held, NAME)
        plans.subscribe(held, customer.id, digest)
        return keys.issue(held, customer.id, label=NAME)[1]
