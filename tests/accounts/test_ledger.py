"""The rules of the ledger, one by one, on both databases."""

from __future__ import annotations

from decimal import Decimal

import pytest

from modelyard.accounts import customers, keys, ledger, plans, writers
from modelyard.accounts.answers import KEEP, Box, forget
from modelyard.accounts.database import open_database
from modelyard.accounts.ledger import InProgress, Lost, Refusal, Replay, Reserved, Settled
from modelyard.accounts.plans import Plan
from modelyard.accounts.times import DAY, SECOND, micros, month_of
from modelyard.accounts.writers import Ended, open_writer, writing
from modelyard.errors import AccountError
from tests.accounts.accounts_helpers import (
    BOX,
    PLAN,
    Buyer,
    buyer,
    faults,
    reserve,
    reserve_in,
    settle,
    used,
    writer_of,
)

HARD = Plan(name="hard", currency="USD", price=Decimal(1), included=3100)
NOW = micros(2026, 10, 1)


def _code(found: object) -> str:
    assert isinstance(found, Refusal), found
    return found.code


def test_a_request_is_billed_once_and_replayed_for_its_key(database):
    who, writer = buyer(database), writer_of(database)
    first = reserve(database, writer, who, "one", bound={"request": 1, "output token": 50})
    assert isinstance(reserve(database, writer, who, "one"), InProgress), "while it runs"
    paid = settle(database, writer, first, {"request": 1, "output token": 7}, b"the answer")
    assert isinstance(paid, Settled) and paid.units == {"request": 1, "output token": 7}
    again = reserve(database, writer, who, "one")
    assert isinstance(again, Replay) and again.answer == b"the answer" and again.request == paid.request
    assert _code(reserve(database, writer, who, "one", body="another")) == "idempotency_conflict"
    assert isinstance(settle(database, writer, first), Settled), "the same call twice is told the same"
    assert used(database) == {"standard": {"output token": 7, "request": 1}} and faults(database) == []


def test_a_used_key_is_never_billed_again_even_when_its_answer_is_forgotten(database):
    who, writer = buyer(database), writer_of(database)
    settle(database, writer, reserve(database, writer, who, "one"))
    with database.write() as held:
        held.run("UPDATE answers SET expires = ?", (held.now - 1,))
        assert forget(held) == 1
    assert _code(reserve(database, writer, who, "one")) == "answer_expired" and used(database) == {
        "standard": {"request": 1}
    }


def test_kept_answers_are_sealed_for_their_customer_and_key(address):
    with open_database(address) as database:
        who, writer = buyer(database), writer_of(database)
        settle(database, writer, reserve(database, writer, who, "one"), answer=b"very secret words")
        with database.write() as held:
            nonce, sealed, expires = held.one("SELECT nonce, sealed, expires FROM answers")
            assert b"secret" not in bytes(sealed) and KEEP - SECOND < expires - held.now <= KEEP
            assert BOX.open(nonce, sealed, "acme another-key") is None
            assert Box(b"x" * 32).open(nonce, sealed, "acme one") is None


def test_failures_and_requests_without_a_key_keep_nothing(database):
    who, writer = buyer(database), writer_of(database)
    failed = reserve(database, writer, who, "one")
    with writing(database, writer) as held:
        assert ledger.release(held, failed) and not ledger.release(held, failed), "once"
    settle(database, writer, reserve(database, writer, who))
    with database.read() as held:
        assert held.one("SELECT count(*) FROM answers")[0] == 0
    assert used(database) == {"standard": {"request": 1}} and faults(database) == []


def test_nobody_bills_more_than_was_held_back(database):
    who, writer = buyer(database), writer_of(database)
    paid = settle(database, writer, reserve(database, writer, who, bound={"output token": 10}), {"output token": 99})
    assert paid.units == {"output token": 10}
    with pytest.raises(AssertionError, match="not all reserved"):
        settle(database, writer, reserve(database, writer, who), {"image": 1})


def test_keys_that_may_not(database):
    who, writer = buyer(database), writer_of(database)
    with database.write() as held:
        batch, text = keys.issue(held, "acme", scopes=["batch"])
        late, _ = keys.issue(held, "acme", expires=held.now + 60 * SECOND)
        held.run("UPDATE keys SET expires = ? WHERE id = ?", (held.now - 1, late.id))
    secret = {"key_id": batch.id, "secret_hash": keys.split(text)[1]}
    with writing(database, writer) as held:

        def ask(**parts: str) -> str:
            return _code(ledger.authenticate(held, writer, **parts, scope="predict"))

        assert ask(**secret) == "scope"
        assert ask(key_id=batch.id, secret_hash=keys.digest("wrong")) == "unknown_key"
        assert ask(key_id="nobody", secret_hash=keys.digest("")) == "unknown_key", "the hash of nothing opens nothing"
        row = held.one("SELECT secret FROM keys WHERE id = ?", (late.id,))
        assert ask(key_id=late.id, secret_hash=row[0]) == "expired"
        customers.close(held, "acme")
        assert ask(**who.parts) == "revoked"


@pytest.mark.parametrize("change", ["revoke", "close", "expire"])
def test_what_another_process_changes_holds_at_the_next_request(change, address):
    with open_database(address) as mine, open_database(address) as other:
        who, writer = buyer(mine), writer_of(mine)
        assert isinstance(reserve(mine, writer, who), Reserved) and writer.known, "remembered"
        with other.write() as held:
            if change == "revoke":
                keys.revoke(held, who.parts["key_id"])
            elif change == "close":
                customers.close(held, who.id)
            else:
                held.run("UPDATE keys SET expires = ?", (held.now - 1,))
        assert _code(reserve(mine, writer, who)) == ("expired" if change == "expire" else "revoked")


def test_a_plan_that_another_process_sells_holds_at_the_next_request(address):
    with open_database(address) as mine, open_database(address) as other:
        with mine.write() as held:
            customers.add_customer(held, "Acme", id="acme")
            who, writer = Buyer("acme", keys.issue(held, "acme")[1]), open_writer(held)
        assert _code(reserve(mine, writer, who)) == "no_plan"
        with other.write() as held:
            plans.subscribe(held, "acme", plans.add_plan(held, PLAN))
        assert isinstance(reserve(mine, writer, who), Reserved)


def test_what_was_read_in_a_transaction_that_failed_is_forgotten(database):
    who, writer = buyer(database), writer_of(database)
    with pytest.raises(RuntimeError), writing(database, writer) as held:
        keys.revoke(held, who.parts["key_id"])
        assert _code(reserve_in(held, writer, who)) == "revoked"
        raise RuntimeError
    assert isinstance(reserve(database, writer, who), Reserved)


def test_a_customer_without_a_plan_is_refused(database):
    with database.write() as held:
        customers.add_customer(held, "Early", id="early")
        _, text = keys.issue(held, "early")
    assert _code(reserve(database, writer_of(database), Buyer("early", text))) == "no_plan"


def test_the_rate_limit_is_exact_and_survives_a_clock_that_goes_back(address):
    time = [NOW]
    with open_database(address, clock=lambda: time[0]) as database:
        plan = Plan(name="slow", currency="USD", price=Decimal(1), rate_limit=Decimal(2), burst=3)
        who, writer = buyer(database, plan), writer_of(database)
        got = [reserve(database, writer, who) for _ in range(4)]
        assert [type(each).__name__ for each in got] == ["Reserved"] * 3 + ["Refusal"]
        assert got[3].code == "rate_limited" and got[3].retry_after == pytest.approx(0.5)
        time[0] += SECOND // 2
        assert isinstance(reserve(database, writer, who), Reserved) and _code(reserve(database, writer, who))
        accepted = 0
        for _ in range(400):  # ten seconds at 40 a second
            time[0] += SECOND // 40
            accepted += isinstance(reserve(database, writer, who), Reserved)
        assert accepted == 20
        time[0] -= 3600 * SECOND
        assert reserve(database, writer, who).retry_after <= 1.5 and isinstance(writers.host(), str)


def test_a_hard_quota_counts_what_is_held_back_and_in_proportion_to_the_days(address):
    with open_database(address, clock=lambda: micros(2026, 10, 31)) as database:
        who, writer = buyer(database, HARD), writer_of(database)  # 3,100 a month, one day of 31: 100
        first = reserve(database, writer, who, bound={"request": 60})
        assert isinstance(first, Reserved)
        refused = reserve(database, writer, who, bound={"request": 41})
        assert _code(refused) == "quota_exceeded" and refused.retry_after == pytest.approx(86_400)
        settle(database, writer, first, {"request": 10})
        assert isinstance(reserve(database, writer, who, bound={"request": 90}), Reserved)
        assert _code(reserve(database, writer, who)) == "quota_exceeded"


def test_limits_by_unit_refuse_and_a_soft_quota_does_not(database):
    plan = PLAN.model_copy(update={"limits": {"output token": 100}, "included": 0})
    who, writer = buyer(database, plan), writer_of(database)
    assert isinstance(reserve(database, writer, who, bound={"request": 10_000, "output token": 100}), Reserved)
    assert _code(reserve(database, writer, who, bound={"output token": 1})) == "quota_exceeded"
    assert isinstance(reserve(database, writer, who), Reserved)


def test_a_dead_writers_reservation_is_taken_over_and_its_settlement_is_lost(address):
    time = [NOW]
    with open_database(address, clock=lambda: time[0]) as database:
        who, slow, other = buyer(database), writer_of(database), writer_of(database)
        first = reserve(database, slow, who, "one")
        assert isinstance(reserve(database, other, who, "one"), InProgress), "its writer lives"
        time[0] += writers.LEASE + 1
        taken = reserve(database, other, who, "one")
        assert isinstance(taken, Reserved) and taken.writer == other.id
        assert isinstance(settle(database, slow, first), Lost), "slow came too late"
        assert isinstance(settle(database, other, taken), Settled)
        assert used(database, month="2026-10") == {"standard": {"request": 1}}


def test_reaping_gives_back_what_a_dead_process_held(database):
    who, gone, alive = buyer(database), writer_of(database, process=2**22 + 1), writer_of(database)
    with database.write() as held:  # nobody has that process number: dead at once, lease or not
        held.run(
            "INSERT INTO reservations (customer, idempotency, writer, request, key, body, month, tariff, units, made) "
            "VALUES ('acme', 'k', ?, 'r', 'k', 'b', ?, 'standard', '{\"request\":5}', 0)", (gone.id, month_of(held.now)),
        )  # fmt: skip
        held.run("INSERT INTO balances VALUES ('acme', ?, 'request', 'standard', 0, 5)", (month_of(held.now),))
    kept = reserve(database, alive, who)
    with database.write() as held:
        assert writers.dead_writers(held) == [gone.id] and ledger.reap(held) == 1 and ledger.reap(held) == 0
        assert held.one("SELECT sum(reserved) FROM balances")[0] == 1
    with pytest.raises(Ended), writing(database, gone):
        pass
    assert isinstance(settle(database, alive, kept), Settled) and faults(database) == []


def test_clocks_that_jump_neither_bill_twice_nor_turn_time_back(address):
    time = [NOW]
    with open_database(address, clock=lambda: time[0]) as database:
        who, writer = buyer(database), writer_of(database)
        for jump in (0, -3600 * SECOND, 40 * DAY, -40 * DAY, 1):
            time[0] += jump
            settle(database, writer, reserve(database, writer, who, f"key {jump}"))
            assert isinstance(reserve(database, writer, who, f"key {jump}"), Replay | Refusal)
        with database.read() as held:
            times = [row[0] for row in held.all("SELECT time FROM entries ORDER BY number")]
        assert times == sorted(times) and faults(database) == [] and len(times) == 5


def test_a_request_is_billed_in_the_month_it_was_accepted(address):
    time = [micros(2026, 11, 1) - 1]
    with open_database(address, clock=lambda: time[0]) as database:
        who, writer = buyer(database), writer_of(database)
        running = reserve(database, writer, who)
        time[0] += SECOND
        with database.read() as held:
            assert ledger.open_reservations(held, "acme", "2026-10") == 1, "the invoice is not final"
        settle(database, writer, running)
        assert used(database, month="2026-10") == {"standard": {"request": 1}} and used(database, month="2026-11") == {}


def test_corrections_are_entries_with_a_reason(database):
    who, writer = buyer(database), writer_of(database)
    settle(database, writer, reserve(database, writer, who, bound={"request": 9}), {"request": 9})
    with writing(database, writer) as held:
        ledger.correct(held, writer, "acme", unit="request", amount=-4, reason="our outage of Monday")
        with pytest.raises(AccountError, match="used 5"):
            ledger.correct(held, writer, "acme", unit="request", amount=-6, reason="too much")
    assert used(database) == {"standard": {"request": 5}} and faults(database) == []


def test_what_was_billed_though_its_answer_never_left_is_taken_back(database):
    who, writer = buyer(database), writer_of(database)
    own, named = reserve(database, writer, who), reserve(database, writer, who, "one")
    for each in (own, named):
        settle(database, writer, each)
    for _ in range(2):
        with writing(database, writer) as held:
            ledger.abandon(held, writer, own)
            ledger.abandon(held, writer, named)
    assert used(database) == {"standard": {"request": 1}}, "the named one can be asked for again; the other cannot"
    assert isinstance(reserve(database, writer, who, "one"), Replay) and faults(database) == []


def test_plans_change_at_the_next_month(address):
    time = [micros(2026, 10, 15)]
    with open_database(address, clock=lambda: time[0]) as database:
        buyer(database)
        with database.write() as held:
            assert plans.subscribe(held, "acme", plans.add_plan(held, HARD)) == "2026-11"
            names = {
                month: plans.subscription(held, "acme", month).plan.name for month in ("2026-10", "2026-11", "2027-01")
            }
            assert plans.subscription(held, "acme", "2026-09") is None
            with pytest.raises(AccountError, match="pays in USD"):
                plans.subscribe(held, "acme", plans.add_plan(held, PLAN.model_copy(update={"currency": "JPY"})))
        assert names == {"2026-10": "starter", "2026-11": "hard", "2027-01": "hard"}
