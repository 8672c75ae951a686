"""Make `card-fraud.parquet`: SIMULATED card transactions with rare, late-labelled fraud.

    python recipes/card-fraud/make_data.py            # writes the table again (seconds)
    python recipes/card-fraud/make_data.py --check    # writes nothing; says whether the kept table is what this file makes

Made with Python 3.11, numpy 2.4.6, polars 2.1.0, seed 20250101; the same versions give the same table. Needs no network.

**Source.** Written after the published description of the simulator in Le Borgne, Siblini, Lebichot, Bontempi, *Reproducible
Machine Learning for Credit Card Fraud Detection: Practical Handbook* (2022), chapter 3 "Getting started", sections "Transaction data
simulator" and "Baseline feature transformation", https://fraud-detection-handbook.github.io/fraud-detection-handbook/. None of its
code (GPL-3.0) is used. Card present / not present, and the stolen card, come from the description of `synccfd` 0.1.0 (MIT; dos Santos
et al., SBSeg 2024).

**Why not `synccfd` itself.** We ran it (100 customers, 400 terminals, 120 days, seed 42: 22,954 rows in 10 s): it draws a fixed number of
victims a day whatever the number of customers, which here makes 36 % of the rows fraud (under 1 % needs some 5,000 customers, i.e. over a
million rows); stolen-card rows are moved in time after the transactions were numbered, and amounts are multiplied by exactly 5 after
rounding to cents, so the row number and the last digit of the amount give the answer away; there are no merchants.

**The world.** `CUSTOMERS` customers and `TERMINALS` terminals on a 100 × 100 km square. From the Handbook: a customer's mean amount is
U(5, 100) and its deviation half of that; purchases a day are Poisson; a shop purchase is at a terminal within 5 km, at a time N(noon, 20,000 s)
with what falls outside the day discarded; a negative amount is drawn again from U(0, 2 × mean). Changed or added, so that no one column
gives the answer away and there is text to read:
- purchases a day are U(0, 2), not U(0, 4), and there are 1.6 terminals a customer, not 2: a table of some 130,000 rows keeps more customers;
- a fifth of the terminals sell online and are used from anywhere, mostly in the evening; 4 % of shop purchases are made on a journey;
- a terminal belongs to a kind of merchant (`KINDS`), which scales the amount, and carries a name as a statement prints it;
- 1.5 % of genuine purchases are large ones, 3 to 6 times the usual amount.

**The frauds**, rare by construction (about 1 % of rows):
1. *Stolen card* (from synccfd; instead of the Handbook's "every amount above 220", which it calls not realistic): within hours somebody
   makes 2 or more purchases, about 40 minutes apart, near the owner's home or online, 1.5 to 4 times the owner's usual amount, of things easily sold.
2. *Compromised terminal* (Handbook): for 28 days nine of ten transactions at a terminal are fraudulent (Handbook: all). Amounts are as ever: only the
   terminal's history tells, and only from 7 days on, when the first labels are known. Fuel pumps and ticket machines are chosen more often.
3. *Leaked card number* (Handbook): for 14 days somebody else shops online with the number, a third as often as the owner, at 2 to 6 times the amount
   (Handbook: exactly 5). The owner goes on as usual.

**The features.** Everything below is what a bank knows at the moment of the transaction. A window of d days at time t is [t - d, t): the
transaction itself, others in the same second, and all later ones are outside. A *label* is known 7 days after its transaction, so windows that use labels are
[t - 7 - d, t - 7). 37 days (30 + 7) are simulated before the first kept row, so that every window is full.

    transaction_id                       number in order of time; no information
    time                                 when it happened, local time, to the second
    customer_id, terminal_id             who, where; to group or to look up, not to learn (a model would memorise the victims)
    amount                               in USD
    merchant                             the merchant's name as the statement prints it
    category                             the coarse category the card network knows (`merchant` says more)
    online                               yes: the card was not present
    distance_from_home                   km from the customer's home to the terminal; missing online
    hour, night, weekend                 hour 0–23; night is before 6 (as in the Handbook: hour ≤ 6 there); Saturday or Sunday
    customer_count_{1_day,7_days,30_days}        transactions of this customer in the window
    customer_mean_amount_{1_day,7_days,30_days}  their mean amount; missing when there were none
    amount_to_customer_mean              amount / customer_mean_amount_30_days
    seconds_since_last                   since this customer's last transaction; missing if there was none
    visits_30_days                       transactions of this customer at this terminal in the last 30 days
    terminal_count_{1_day,7_days,30_days}        transactions at this terminal in the delayed window [t - 7 - d, t - 7)
    terminal_fraud_rate_{1_day,7_days,30_days}   share of them known to be fraud; missing when there were none
    fraud                                the target: yes or no

**What it leaves out.** A bank that learns of a fraud blocks the card or the terminal; here everybody carries on for the full 14 or 28 days. Every fraud is
reported after exactly 7 days; in life some never are. Fraudsters do not adapt. So the figures say how the software works, not what a bank would save.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np
import polars as pl

SEED = 20250101
START = datetime.datetime(2025, 1, 1)  # the first kept day; a Wednesday
DAYS_KEPT = 151  # January to May
CUSTOMERS, TERMINALS = 900, 1440
SQUARE, RADIUS = 100.0, 5.0  # km, Handbook
DELAY_DAYS = 7  # Handbook
WINDOWS = (1, 7, 30)  # days, Handbook
DAYS_BEFORE = max(WINDOWS) + DELAY_DAYS
DAY = 86_400
NEVER = -(1 << 40)  # a second before every simulated day; `table` drops it
STOLEN_A_DAY, COMPROMISED_A_DAY, LEAKED_A_DAY = (
    0.55,
    0.22,
    0.60,
)  # chosen to give about 1 % fraud, a third from each scenario
TABLE = Path(__file__).with_name("card-fraud.parquet")

# name on the statement, category, online, share of terminals, amount factor, risk: how much fraudsters like it (stolen and leaked cards; terminals)
KINDS = (
    ("GROCERY", "food", False, 14, 0.7, 0.5, 0.5),
    ("BAKERY", "food", False, 7, 0.2, 0.2, 0.5),
    ("COFFEE", "food", False, 8, 0.2, 0.2, 0.5),
    ("RESTAURANT", "food", False, 9, 1.0, 0.4, 1.0),
    ("FUEL PUMP 24H", "transport", False, 5, 0.9, 1.5, 4.0),
    ("GARAGE", "transport", False, 3, 2.0, 0.3, 0.3),
    ("TICKET MACHINE", "transport", False, 4, 0.4, 0.5, 4.0),
    ("PHARMACY", "health", False, 6, 0.5, 0.5, 0.5),
    ("OPTICIAN", "health", False, 2, 2.0, 0.3, 0.3),
    ("BOOKS", "shopping", False, 4, 0.5, 0.3, 0.5),
    ("SHOES", "shopping", False, 4, 1.3, 1.5, 0.7),
    ("FURNITURE", "shopping", False, 3, 2.5, 0.5, 0.5),
    ("PHONES", "shopping", False, 4, 2.0, 5.0, 1.0),
    ("JEWELLER", "shopping", False, 3, 2.5, 5.0, 0.5),
    ("CINEMA", "leisure", False, 4, 0.4, 0.2, 1.0),
    ("STREAMING", "digital", True, 3, 0.3, 0.5, 1.0),
    ("GIFT CARDS", "digital", True, 2, 1.0, 8.0, 1.0),
    ("GAME CREDIT", "digital", True, 3, 0.5, 4.0, 1.0),
    ("SOFTWARE", "digital", True, 2, 1.0, 1.0, 1.0),
    ("WEB FASHION", "shopping", True, 5, 1.2, 1.5, 1.0),
    ("WEB ELECTRONICS", "shopping", True, 4, 2.0, 5.0, 1.0),
    ("WEB GROCERY", "food", True, 2, 1.2, 0.3, 0.5),
    ("FLIGHTS", "leisure", True, 2, 3.0, 3.0, 0.5),
    ("HOTEL BOOKING", "leisure", True, 3, 2.5, 1.0, 1.0),
)  # the weights are invented; the idea (resaleable goods, unattended terminals) is common knowledge in the trade
NAMES = (
    "ALDER ANCHOR ARROW ASH BEACON BIRCH BLUEBELL BRIDGE BROOK CEDAR CHERRY CLOVER COPPER CORNER CROWN DOVE EAGLE ELM FALCON FERN "
    "FOX GOLDEN HARBOUR HAZEL HERON HILL IRON IVY JUNIPER KITE LANTERN LARK LAUREL LINDEN LION MAPLE MARKET MEADOW MILL MOON NORTH OAK "
    "OLIVE ORCHARD OTTER PEARL PINE POPLAR QUAY RAVEN RIVER ROBIN ROSE SILVER SPRING STAR SUMMIT SWAN THISTLE TOWER VALLEY WILLOW WREN"
).split()
TOWNS = "EASTVALE MILLBROOK NORTHGATE OAKFORD PORTELLIN REDHILL SOUTHMOOR STONEBRIDGE WESTERLY WHITCOMBE".split()


def make_merchants(rng: np.random.Generator) -> pl.DataFrame:
    """One row a terminal: place, kind, name, and how often it is chosen. An online shop has no place."""
    share = np.array([kind[3] for kind in KINDS], float)
    kind = rng.choice(len(KINDS), TERMINALS, p=share / share.sum())
    online = np.array([KINDS[k][2] for k in kind])
    first, number = rng.integers(len(NAMES), size=TERMINALS), rng.integers(1, 400, TERMINALS)
    town = rng.integers(len(TOWNS), size=TERMINALS)
    merchant = [
        f"{NAMES[f]} {KINDS[k][0]} WWW" if KINDS[k][2] else f"{NAMES[f]} {KINDS[k][0]} #{n:03d} {TOWNS[t]}"
        for f, k, n, t in zip(first, kind, number, town, strict=True)
    ]
    return pl.DataFrame(
        {
            "x": rng.uniform(0, SQUARE, TERMINALS),
            "y": rng.uniform(0, SQUARE, TERMINALS),
            "online": online,
            "category": [KINDS[k][1] for k in kind],
            "merchant": merchant,
            "factor": [KINDS[k][4] for k in kind],
            "liked": [KINDS[k][5] for k in kind],
            "exposed": [KINDS[k][6] for k in kind],
            "popularity": rng.lognormal(0, 0.7, TERMINALS),
        }
    )


class World:
    """Customers, terminals and who can reach what; draws terminals, amounts and hours for many purchases at once."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.merchants = make_merchants(rng)
        self.home = rng.uniform(0, SQUARE, (CUSTOMERS, 2))
        self.mean_amount = rng.uniform(5, 100, CUSTOMERS)  # Handbook
        self.purchases_a_day = rng.uniform(0, 2, CUSTOMERS)
        self.online_share = rng.beta(2, 4, CUSTOMERS)
        self.is_online = self.merchants["online"].to_numpy()
        self.shops, self.sites = np.flatnonzero(~self.is_online), np.flatnonzero(self.is_online)
        place = self.merchants.select("x", "y").to_numpy()[self.shops]
        distance = np.hypot(*(self.home[:, None, :] - place[None, :, :]).transpose(2, 0, 1))  # (customer, shop) km
        self.nearest = np.argsort(distance, axis=1)
        self.reachable = np.maximum(
            (distance <= RADIUS).sum(axis=1), 5
        )  # a lonely customer goes to the five nearest shops
        self.distance = np.full((CUSTOMERS, TERMINALS), np.nan)
        self.distance[:, self.shops] = distance

    def terminal(self, customer: np.ndarray, online: np.ndarray, *, liked: bool, travel: float) -> np.ndarray:
        """A terminal for each purchase; `liked`: weighted by what fraudsters like, else by how popular a site is."""
        weight = self.merchants["liked" if liked else "popularity"].to_numpy()
        chosen = self.rng.choice(self.sites, customer.size, p=weight[self.sites] / weight[self.sites].sum())
        for _ in range(
            20 if liked else 1
        ):  # rejection: a shop within reach, kept with a chance in proportion to its weight
            near = self.nearest[customer, (self.rng.random(customer.size) * self.reachable[customer]).astype(int)]
            anywhere = self.rng.integers(self.shops.size, size=customer.size)
            shop = self.shops[np.where(self.rng.random(customer.size) < travel, anywhere, near)]
            if not liked:
                return np.where(online, chosen, shop)
            keep = ~online & (self.rng.random(customer.size) < weight[shop] / weight.max())
            chosen, online = np.where(keep, shop, chosen), online | keep
        return chosen  # whoever found nothing to their taste in 20 shops buys online

    def amount(self, customer: np.ndarray, terminal: np.ndarray, times: np.ndarray) -> np.ndarray:
        """USD cents, whole: N(mean, mean / 2), negatives redrawn (Handbook), scaled by the kind of merchant and by `times`."""
        mean = self.mean_amount[customer]
        drawn = self.rng.normal(mean, mean / 2)
        drawn = np.where(drawn < 0, self.rng.uniform(0, 2 * mean), drawn)
        cents: np.ndarray = np.maximum(
            np.round(100 * drawn * self.merchants["factor"].to_numpy()[terminal] * times), 50
        )
        return cents.astype(np.int64)

    def hour_of_day(self, online: np.ndarray) -> np.ndarray:
        """Seconds since midnight; shop: N(noon, 20,000 s), what is outside the day is discarded (Handbook); online: around 20:00, into the night."""
        shop = self.rng.normal(DAY / 2, 20_000, online.size)
        shop = np.where((shop < 0) | (shop >= DAY), NEVER, shop)
        return np.where(online, self.rng.normal(20 * 3600, 3.5 * 3600, online.size) % DAY, shop).astype(np.int64)


def table(
    second: np.ndarray, customer: np.ndarray, terminal: np.ndarray, cents: np.ndarray, scenario: int
) -> pl.DataFrame:
    """Purchases as rows; what falls outside the simulated days is dropped. `scenario` 0 is genuine."""
    rows = pl.DataFrame({"second": second, "customer": customer, "terminal": terminal, "cents": cents})
    last = (DAYS_BEFORE + DAYS_KEPT) * DAY
    return rows.filter(pl.col("second").is_between(0, last, closed="left")).with_columns(
        scenario=pl.lit(scenario, pl.Int8)
    )


def genuine(world: World) -> pl.DataFrame:
    """What the customers buy themselves, every day."""
    rng, days = world.rng, DAYS_BEFORE + DAYS_KEPT
    count = rng.poisson(world.purchases_a_day[:, None], (CUSTOMERS, days))
    customer = np.repeat(np.repeat(np.arange(CUSTOMERS), days), count.ravel())
    day = np.repeat(np.tile(np.arange(days), CUSTOMERS), count.ravel())
    online = rng.random(customer.size) < world.online_share[customer]
    terminal = world.terminal(customer, online, liked=False, travel=0.04)
    large = rng.random(customer.size) < 0.015
    cents = world.amount(customer, terminal, np.where(large, rng.uniform(3, 6, customer.size), 1.0))
    return table(day * DAY + world.hour_of_day(online), customer, terminal, cents, 0)


def stolen_cards(world: World) -> pl.DataFrame:
    """Scenario 1: a burst of purchases from a random second on."""
    rng, days = world.rng, DAYS_BEFORE + DAYS_KEPT
    victims = rng.poisson(STOLEN_A_DAY * days)
    purchases = 2 + rng.poisson(3, victims)
    customer = np.repeat(rng.integers(CUSTOMERS, size=victims), purchases)
    start = np.repeat(rng.integers(0, days * DAY, victims), purchases)
    gap = rng.exponential(2400, customer.size)  # about 40 minutes
    since = np.cumsum(gap)
    since -= np.repeat(since[np.cumsum(purchases) - purchases], purchases)
    terminal = world.terminal(customer, rng.random(customer.size) < 0.2, liked=True, travel=0.1)
    cents = world.amount(customer, terminal, rng.uniform(1.5, 4, customer.size))
    return table((start + since).astype(np.int64), customer, terminal, cents, 1)


def leaked_numbers(world: World) -> pl.DataFrame:
    """Scenario 3: for 14 days a stranger shops online, a third as often as the owner."""
    rng, days = world.rng, DAYS_BEFORE + DAYS_KEPT
    victim = rng.integers(CUSTOMERS, size=rng.poisson(LEAKED_A_DAY * days))
    purchases = rng.poisson(14 * np.maximum(world.purchases_a_day[victim], 0.3) / 3)
    customer = np.repeat(victim, purchases)
    start = np.repeat(rng.integers(0, days, victim.size), purchases)
    terminal = world.terminal(customer, np.ones(customer.size, bool), liked=True, travel=0)
    cents = world.amount(customer, terminal, rng.uniform(2, 6, customer.size))
    day = start + rng.integers(0, 14, customer.size)
    return table(day * DAY + world.hour_of_day(np.ones(customer.size, bool)), customer, terminal, cents, 3)


def compromise_terminals(world: World, rows: pl.DataFrame) -> pl.DataFrame:
    """Scenario 2: marks nine of ten genuine transactions at a compromised terminal within 28 days; changes nothing else."""
    rng, days = world.rng, DAYS_BEFORE + DAYS_KEPT
    exposed = world.merchants["exposed"].to_numpy()
    count = rng.poisson(COMPROMISED_A_DAY * days)
    chosen = rng.choice(TERMINALS, count, p=exposed / exposed.sum())
    first_day = rng.integers(-28, days, count)  # some are under way when the simulation starts
    bad = np.zeros((TERMINALS, days), bool)
    for terminal, first in zip(chosen, first_day, strict=True):
        bad[terminal, max(first, 0) : max(first + 28, 0)] = True
    hit = bad[rows["terminal"].to_numpy(), rows["second"].to_numpy() // DAY] & (rng.random(rows.height) < 0.9)
    return rows.with_columns(
        scenario=pl.when(pl.Series(hit) & (pl.col("scenario") == 0)).then(pl.lit(2, pl.Int8)).otherwise("scenario")
    )


def window(
    key: np.ndarray, second: np.ndarray, value: np.ndarray, *, days: int, delay: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Count and sum of `value` over the rows of the same key in [t - delay - days, t - delay), for each row.

    Rows are put on one axis, a stretch for each key, so that two binary searches a row replace a loop:
    >>> count, total = window(np.array([7, 7, 8]), np.array([10, 20, 20]), np.array([1, 1, 1]), days=1)
    >>> count.tolist(), total.tolist()
    ([0, 1, 0], [0, 1, 0])
    """
    stretch = 1 << 40  # longer than any time here, so that no window reaches into another key's stretch
    axis = key.astype(np.int64) * stretch + second
    order = np.argsort(axis, kind="stable")
    total = np.concatenate([[0], np.cumsum(value[order])])
    begin = key * stretch + np.maximum(second - (delay + days) * DAY, 0)
    end = key * stretch + np.maximum(second - delay * DAY, 0)
    first, last = np.searchsorted(axis[order], begin, "left"), np.searchsorted(axis[order], end, "left")
    return last - first, total[last] - total[first]


def ratio(above: np.ndarray, below: np.ndarray, digits: int) -> pl.Series:
    """`above / below` rounded, missing where `below` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pl.Series(np.round(above / below, digits)).fill_nan(None).cast(pl.Float32)


def span(days: int) -> str:
    """The end of a window's column name: `1_day`, `7_days`."""
    return f"{days}_day" if days == 1 else f"{days}_days"


def history(rows: pl.DataFrame) -> dict[str, pl.Series]:
    """The features of the past, for rows in order of time; the windows are those of the module's docstring."""
    second, customer, terminal, cents = (rows[name].to_numpy() for name in ("second", "customer", "terminal", "cents"))
    fraud = (rows["scenario"] > 0).cast(pl.Int64).to_numpy()
    found: dict[str, pl.Series] = {}
    for days in WINDOWS:
        count, total = window(customer, second, cents, days=days)
        found[f"customer_count_{span(days)}"] = pl.Series(count).cast(pl.Int16)
        found[f"customer_mean_amount_{span(days)}"] = ratio(total / 100, np.where(count > 0, count, np.nan), 2)
    found["amount_to_customer_mean"] = ratio(
        cents / 100, found["customer_mean_amount_30_days"].cast(pl.Float64).to_numpy(), 3
    )
    before = rows.select(pl.col("second").diff().over("customer", order_by="second")).to_series()
    found["seconds_since_last"] = before.cast(pl.Int32)
    found["visits_30_days"] = pl.Series(window(customer * TERMINALS + terminal, second, cents, days=30)[0]).cast(
        pl.Int16
    )
    for days in WINDOWS:
        count, total = window(terminal, second, fraud, days=days, delay=DELAY_DAYS)
        found[f"terminal_count_{span(days)}"] = pl.Series(count).cast(pl.Int16)
        found[f"terminal_fraud_rate_{span(days)}"] = ratio(total, np.where(count > 0, count, np.nan), 4)
    return found


def yes(condition: pl.Expr | pl.Series) -> pl.Expr:
    """`yes` or `no`."""
    return pl.when(condition).then(pl.lit("yes")).otherwise(pl.lit("no"))


def make(seed: int = SEED) -> pl.DataFrame:
    """The whole table, in order of time, with `scenario` (0 genuine, 1 to 3) as the last column; `main` leaves that one out."""
    world = World(np.random.default_rng(seed))
    rows = pl.concat([genuine(world), stolen_cards(world), leaked_numbers(world)])
    rows = compromise_terminals(world, rows).sort("second", "customer", "terminal", "cents")
    terminal, customer = rows["terminal"].to_numpy(), rows["customer"].to_numpy()
    time = pl.lit(START - datetime.timedelta(days=DAYS_BEFORE)).cast(pl.Datetime("ms")) + pl.duration(seconds="second")
    return (
        rows.with_columns(time=time.cast(pl.Datetime("ms")), **history(rows))
        .with_columns(
            customer_id=pl.format("C{}", pl.col("customer").cast(pl.String).str.zfill(4)),
            terminal_id=pl.format("M{}", pl.col("terminal").cast(pl.String).str.zfill(4)),
            amount=pl.col("cents") / 100,
            merchant=world.merchants["merchant"].gather(terminal),
            category=world.merchants["category"].gather(terminal),
            online=yes(pl.Series(world.is_online[terminal])),
            distance_from_home=pl.Series(np.round(world.distance[customer, terminal], 1))
            .fill_nan(None)
            .cast(pl.Float32),
            hour=pl.col("time").dt.hour().cast(pl.Int8),
            night=yes(pl.col("time").dt.hour() < 6),
            weekend=yes(pl.col("time").dt.weekday() >= 6),
            fraud=yes(pl.col("scenario") > 0),
        )
        .filter(pl.col("time") >= START)
        .with_row_index("row")
        .with_columns(transaction_id=pl.format("T{}", (pl.col("row") + 1).cast(pl.String).str.zfill(6)))
        .select(
            *("transaction_id", "time", "customer_id", "terminal_id", "amount", "merchant", "category", "online"),
            *("distance_from_home", "hour", "night", "weekend"),
            pl.col("^customer_(count|mean).*$"),
            *("amount_to_customer_mean", "seconds_since_last", "visits_30_days"),
            pl.col("^terminal_(count|fraud).*$"),
            *("fraud", "scenario"),
        )
    )


def main() -> None:
    """Write the table, or compare it with the kept one."""
    parser = argparse.ArgumentParser(description="Simulated card transactions for the recipe card-fraud.")
    parser.add_argument("--check", action="store_true", help="compare with the kept table instead of writing it")
    if parser.parse_args().check:
        same = pl.read_parquet(TABLE).equals(make().drop("scenario"))
        raise SystemExit(0 if same else "card-fraud.parquet is not what make_data.py makes with these library versions")
    made = make()
    made.drop("scenario").write_parquet(TABLE, compression="zstd", compression_level=19)
    frauds = made.filter(pl.col("scenario") > 0)
    counts = dict(sorted(frauds["scenario"].value_counts().iter_rows()))
    print(
        f"{made.height:,} rows, {frauds.height / made.height:.2%} fraud, by scenario {counts}, {TABLE.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
