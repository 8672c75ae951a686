"""Plans as the service sells them, and who is subscribed to which. It knows nothing about requests.

A plan comes from the blueprint's `business.plans`; it is stored under the SHA-256 of its canonical JSON and never changed: what a
customer agreed to stays what it was. **The rule of changes**: a customer's first plan holds at once, its price and its included
volume in proportion to the days left in that month, the first day counted whole; any later plan holds from the next month's
first day (UTC). A trial is the first plan's: its days are not charged; its use is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from modelyard.accounts.chain import canonical
from modelyard.accounts.customers import customer
from modelyard.accounts.database import Transaction
from modelyard.accounts.times import DAY, day_of_month, days_in, month_of, next_month, spelt, starts
from modelyard.errors import AccountError, nearest
from modelyard.frozen import Frozen

Amount = Annotated[Decimal, Field(ge=0), PlainSerializer(lambda given: format(given, "f"), return_type=str)]
"""Money: exact, and as text in JSON."""
TARIFFS = ("standard", "batch")
BURST_SECONDS = 10
"""A burst that is not given is what the rate allows in so many seconds."""


class Plan(Frozen):
    """What is sold, with amounts in `currency`."""

    name: str
    """For customers."""
    currency: str
    """Three letters."""
    price: Amount
    """A month."""
    included: int | None = None
    """Requests that the price includes; None: all."""
    overage: Amount | None = None
    """Price of one more request; None: more are refused."""
    prices: dict[str, Amount] = {}
    """What use costs besides, by unit of sale: for a million tokens, a thousand of any other."""
    limits: dict[str, int] = {}
    """Units a month at most."""
    rate_limit: Amount | None = None
    """Requests a second."""
    burst: int | None = None
    """Requests at once."""
    trial_days: int = 0
    """First days that are free of the monthly price."""
    batch_discount: Amount = Decimal(0)
    """Share taken off what use costs in batch jobs."""

    @property
    def quota(self) -> Literal["hard", "soft"]:
        """What happens beyond the included volume."""
        return "hard" if self.overage is None and self.included is not None else "soft"

    @property
    def interval(self) -> int | None:
        """Microseconds between requests at the rate; None without a limit."""
        return None if self.rate_limit is None else math.ceil(1_000_000 / self.rate_limit)

    @property
    def at_once(self) -> int:
        """The burst, or ten seconds' worth."""
        if self.burst is not None or self.rate_limit is None:
            return self.burst or 1
        return max(1, math.floor(self.rate_limit * BURST_SECONDS))

    def hash(self) -> str:
        """Its name for ever."""
        return sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json"))


def from_blueprint(sold: Any, currency: str) -> Plan:
    """A plan of `blueprint.business.plans`; its floats are taken as they are written (0.0008 is 0.0008)."""

    def exact(given: float | None) -> Decimal | None:
        return None if given is None else Decimal(repr(given)).normalize()

    return Plan(
        name=sold.name,
        currency=currency,
        price=exact(sold.price),
        included=None if sold.included is None else math.floor(sold.included),
        overage=exact(sold.overage),
        prices={unit: exact(price) for unit, price in sold.prices.items()},
        limits=dict(sold.limits),
        rate_limit=exact(sold.rate_limit),
        burst=sold.burst,
        trial_days=sold.trial_days,
        batch_discount=exact(sold.batch_discount),
    )


@dataclass(frozen=True, slots=True)
class Subscription:
    """The plan of a customer in a month."""

    plan: Plan
    hash: str
    since: int
    """When the customer's first plan began."""
    trial_days: int
    """Of the first plan."""

    def days(self, month: str) -> int:
        """Days of the month that the plan holds: all but those before the first."""
        whole = days_in(month)
        return whole - day_of_month(self.since) + 1 if month_of(self.since) == month else whole

    def days_charged(self, month: str) -> int:
        """The same without the days of the trial."""
        last_free = self.since // DAY + self.trial_days  # the first day that is charged, since 1970
        first = max(starts(month), self.since) // DAY
        end = starts(month) // DAY + days_in(month)
        return max(0, end - max(first, last_free))

    def included(self, month: str) -> int | None:
        """Requests included in this month, in proportion to its days, rounded up."""
        if self.plan.included is None:
            return None
        return -(-self.plan.included * self.days(month) // days_in(month))

    def limits(self, month: str) -> dict[str, int]:
        """Units that this month may not exceed."""
        found, included = dict(self.plan.limits), self.included(month)
        if self.plan.quota == "hard" and included is not None:
            found["request"] = min(included, found.get("request", included))
        return found


def add_plan(held: Transaction, plan: Plan) -> str:
    """Keep a plan; its hash. The same plan again is the same one."""
    digest = plan.hash()
    if held.one("SELECT 1 FROM plans WHERE hash = ?", (digest,)) is None:
        held.run(
            "INSERT INTO plans (hash, name, body, added) VALUES (?, ?, ?, ?)",
            (digest, plan.name, plan.text(), held.now),
        )
    return digest


def all_plans(held: Transaction) -> dict[str, Plan]:
    """Every plan ever sold, by hash, the latest last."""
    return {digest: _read(body) for digest, body in held.all("SELECT hash, body FROM plans ORDER BY added, hash")}


def find_plan(held: Transaction, given: str) -> str:
    """The hash of a plan by its hash, the hash's beginning, or its name (then the latest of that name)."""
    known = all_plans(held)
    fits = [
        digest for digest, plan in known.items() if plan.name == given or (len(given) >= 8 and digest.startswith(given))
    ]
    if not fits:
        names = sorted({plan.name for plan in known.values()})
        raise AccountError(
            f"no plan {given!r}.{nearest(given, names)} Allowed: {', '.join(names) or 'none is kept yet'}"
        )
    return fits[-1]


def subscribe(held: Transaction, customer_id: str, digest: str) -> str:
    """Give a customer a plan; the month from which it holds (see the rule above)."""
    found = customer(held, customer_id)
    row = held.one("SELECT body FROM plans WHERE hash = ?", (digest,))
    if row is None:
        raise AccountError(
            f"no plan with the hash {digest[:12]}. Add it first: yard customers plans --add blueprint.yaml"
        )
    plan = _read(row[0])
    if plan.currency != found.currency:
        raise AccountError(f"{found.id} pays in {found.currency}, the plan {plan.name!r} is in {plan.currency}")
    first = held.one("SELECT since FROM subscriptions WHERE customer = ? LIMIT 1", (customer_id,))
    month = month_of(held.now) if first is None else next_month(month_of(held.now))
    held.run(
        "INSERT INTO subscriptions (customer, month, plan, since) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (customer, month) DO UPDATE SET plan = excluded.plan",
        (customer_id, month, digest, held.now if first is None else first[0]),
    )
    return month


def subscription(held: Transaction, customer_id: str, month: str) -> Subscription | None:
    """The plan that holds in a month; None before the first."""
    rows = held.all(
        "SELECT s.plan, s.since, p.body FROM subscriptions s JOIN plans p ON p.hash = s.plan "
        "WHERE s.customer = ? AND s.month <= ? ORDER BY s.month",
        (customer_id, month),
    )
    if not rows:
        return None
    digest, since, body = rows[-1]
    return Subscription(_read(body), digest, since, _read(rows[0][2]).trial_days)


def names_by_customer(held: Transaction, month: str) -> dict[str, str]:
    """The name of each customer's plan in a month; whoever has none is left out."""
    rows = held.all(
        "SELECT s.customer, p.name FROM subscriptions s JOIN plans p ON p.hash = s.plan WHERE s.month <= ? ORDER BY s.month",
        (month,),
    )
    return dict(rows)  # the latest is the last


def first_month(held: Transaction, customer_id: str) -> str | None:
    """The month of the first plan."""
    row = held.one("SELECT min(month) FROM subscriptions WHERE customer = ?", (customer_id,))
    return None if row is None else row[0]


@lru_cache(256)
def _read(body: str) -> Plan:
    return Plan.model_validate_json(body)


def describe(plan: Plan) -> Mapping[str, Any]:
    """A plan for people and the admin API."""
    return {"hash": plan.hash(), **plan.model_dump(mode="json"), "quota": plan.quota}


def describe_subscription(found: Subscription, month: str) -> Mapping[str, Any]:
    """The same with what holds for this customer and month."""
    return {
        "plan": describe(found.plan),
        "since": spelt(found.since),
        "days": found.days(month),
        "days_charged": found.days_charged(month),
        "included": found.included(month),
        "limits": found.limits(month),
    }
