"""Any order of reserve, settle, release, kill, reap, retry and clock jumps by several writers leaves the ledger right."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from modelyard.accounts import ledger, writers
from modelyard.accounts.database import Database, open_database
from modelyard.accounts.ledger import Lost, Replay, Reserved, Settled
from modelyard.accounts.plans import Plan
from modelyard.accounts.times import SECOND, micros
from modelyard.accounts.writers import Ended, Writer, writing
from modelyard.errors import DatabaseFault
from tests.accounts.accounts_helpers import buyer, faults, reserve, settle, writer_of

PLAN = Plan(name="any", currency="USD", price=Decimal(0), included=40)
NAMES = [f"key {number}" for number in range(6)]


class Service(RuleBasedStateMachine):
    """Three writers, six idempotency keys, one hard quota. What a client received stands in `received`."""

    address = ""

    def __init__(self) -> None:
        super().__init__()
        self.now = micros(2026, 10, 1, 12)
        self.database = self.open()
        self.who = buyer(self.database, PLAN)
        self.writers = [writer_of(self.database) for _ in range(3)]
        self.running: list[tuple[Writer, str | None, Reserved]] = []
        self.received: dict[str, int] = {}
        self.unnamed = 0

    def open(self) -> Database:
        raise NotImplementedError

    def _fresh(self, at: int) -> Writer:
        """The writer at a place; one that learns that it was reaped starts again."""
        try:
            with writing(self.database, self.writers[at]):
                pass
        except Ended:
            self.writers[at] = writer_of(self.database)
        return self.writers[at]

    @rule(at=st.integers(0, 2), name=st.sampled_from([*NAMES, None]), most=st.integers(1, 20))
    def ask(self, at: int, name: str | None, most: int) -> None:
        writer = self._fresh(at)
        got = reserve(self.database, writer, self.who, name, bound={"request": most})
        if isinstance(got, Reserved):
            assert name is None or name not in self.received, "billed again"
            self.running.append((writer, name, got))
        elif isinstance(got, Replay):
            assert name is not None
            units = got.units["request"]
            assert got.answer == str(units).encode() and self.received.setdefault(name, units) == units

    @precondition(lambda self: self.running)
    @rule(data=st.data(), heard=st.booleans())
    def finish(self, data: Any, heard: bool) -> None:
        """The answer is ready; `heard`: the client got it (else it may ask again)."""
        writer, name, held = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        units = data.draw(st.integers(1, held.units["request"]))
        try:
            paid = settle(self.database, writer, held, {"request": units}, str(units).encode())
        except Ended:
            return
        if isinstance(paid, Lost):
            return
        assert isinstance(paid, Settled)
        if name is None:
            self.unnamed += units
        else:
            assert name not in self.received
            self.received[name] = units  # heard now, or at a retry: it will be the same
        if heard:
            assert isinstance(settle(self.database, writer, held, {"request": units}), Settled), "the same call again"

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        writer, _, held = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        try:
            with writing(self.database, writer) as open_:
                ledger.release(open_, held)
        except Ended:
            pass

    @rule(at=st.integers(0, 2))
    def kill(self, at: int) -> None:
        """The process dies; what it ran is never finished."""
        dead = self.writers[at]
        self.running = [each for each in self.running if each[0] is not dead]
        with self.database.write() as held:
            held.run("UPDATE writers SET process = ? WHERE id = ?", (2**22 + 1, dead.id))
        self.writers[at] = writer_of(self.database)

    @rule()
    def reap(self) -> None:
        with self.database.write() as held:
            ledger.reap(held)

    @rule(seconds=st.sampled_from([-3600, -6, 1, 4, 6, 3600]))
    def jump(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @invariant()
    def right(self) -> None:
        with self.database.read() as held:
            sums: Counter[str] = Counter()
            for _, units in held.all("SELECT customer, units FROM entries WHERE kind = 'use'"):
                sums.update(json.loads(units))
            row = held.one("SELECT coalesce(sum(used), 0), coalesce(sum(used + reserved), 0) FROM balances")
            billed = ledger.usage(held, "acme", "2026-10").get("standard", {}).get("request", 0)
        assert sums["request"] == row[0] == billed == sum(self.received.values()) + self.unnamed
        assert row[1] <= 40, "the quota is hard"

    def teardown(self) -> None:
        try:
            assert faults(self.database) == []
            with self.database.write() as held:
                writers.shorten(held)  # as the till does from time to time: the clock may have gone back for hours
            self.now += 3 * writers.LEASE
            with self.database.write() as held:
                ledger.reap(held)
                assert held.one("SELECT count(*) FROM reservations")[0] == 0
            assert faults(self.database) == []
        finally:
            self.database.close()


def _try(make: Any, examples: int, steps: int, **more: Any) -> None:
    class Machine(Service):
        def open(self) -> Database:
            return open_database(make(), clock=lambda: self.now)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck), **more,
        ),
    )  # fmt: skip


def _new_file() -> str:
    return f"sqlite:///{Path(tempfile.mkdtemp()) / 'a.db'}"


def test_any_order_on_sqlite():
    _try(_new_file, 25, 40)


def test_any_order_on_postgres(postgres):
    _try(postgres.new, 4, 30)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_any_order_long(kind, request):
    make = _new_file if kind == "sqlite" else request.getfixturevalue("postgres").new
    _try(make, 400 if kind == "sqlite" else 60, 60)


@pytest.mark.parametrize(
    ("fault", "found"), [("ownership", DatabaseFault), ("balance", AssertionError), ("quota", AssertionError)]
)
def test_a_planted_fault_is_found(fault, found, monkeypatch):
    """The same machine on a ledger that is wrong in one place must fail; a second bill is refused by the database itself."""
    if fault == "ownership":  # settle without asking whose the reservation is

        def take(held: Any, reserved: Reserved) -> bool:
            held.run(
                "DELETE FROM reservations WHERE customer = ? AND idempotency = ?",
                (reserved.customer, reserved.idempotency),
            )
            return True

        monkeypatch.setattr(ledger, "_take", take)
    elif fault == "balance":  # a reservation is not given back
        monkeypatch.setattr(ledger, "drop", ledger._take)
    else:  # what is held back does not count
        monkeypatch.setattr(ledger, "_taken", lambda *given: 0)
    with pytest.raises(found):
        # Stops at the first that is found: mostly within 20 examples, of which what is drawn differs from one machine to the next.
        _try(_new_file, 1000, 40, phases=[Phase.generate], report_multiple_bugs=False)
