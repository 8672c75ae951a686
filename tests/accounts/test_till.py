"""The till: many at once in one commit, faults of one told to one, trouble of the database overcome, nothing left behind."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest

from modelyard.accounts import till as module
from modelyard.accounts import writers
from modelyard.accounts.database import Database, open_database
from modelyard.accounts.ledger import InProgress, Lost, Refusal, Replay, Reserved, Settled
from modelyard.accounts.plans import Plan
from modelyard.accounts.till import Till
from modelyard.errors import AccountError, DatabaseFault
from tests.accounts.accounts_helpers import BOX, buyer, faults, used

EDGE = Plan(name="edge", currency="USD", price=Decimal(0), limits={"request": 300})
FREE = Plan(name="free", currency="USD", price=Decimal(0))


class Desk:
    """A till and one buyer."""

    def __init__(self, database, plan=FREE, who=None):
        self.who = who or buyer(database, plan)
        self.till = Till(database, BOX)

    async def __aenter__(self):
        await asyncio.to_thread(self.till.start)
        return self

    async def __aexit__(self, *error):
        await self.till.stop()

    async def reserve(self, name=None, most=1):
        return await self.till.reserve(*self.who.parts.values(), name, "b", {"request": most})

    async def pay(self, got, units=1):
        return await self.till.settle(got, {"request": units}, b"yes", model="m", version="1")


def test_many_at_once_share_a_commit(database):
    async def work():
        async with Desk(database) as desk:
            got = await asyncio.gather(*(desk.reserve(f"k{number}") for number in range(200)))
            paid = await asyncio.gather(*(desk.pay(each) for each in got))
            again = await asyncio.gather(*(desk.reserve(f"k{number}") for number in range(200)))
            assert all(isinstance(each, Settled) for each in paid) and all(isinstance(each, Replay) for each in again)
            with database.read() as held:
                times = held.one("SELECT count(DISTINCT time) FROM entries WHERE kind = 'use'")[0]
            assert times < 100, "entries of one transaction have one time"

    asyncio.run(work())
    assert used(database) == {"standard": {"request": 200}} and faults(database) == []


def test_the_edge_of_a_quota_under_100_at_once(address):
    """Four tills (as four processes would), 100 callers: with a hard quota not one unit beyond, and all of it can be had."""

    async def work(databases):
        first = Desk(databases[0], EDGE)
        desks = [first] + [Desk(each, who=first.who) for each in databases[1:]]
        for desk in desks:
            await desk.__aenter__()
        try:

            async def call(number):
                sold = 0
                for _ in range(8):
                    got = await desks[number % 4].reserve(most=3)
                    if isinstance(got, Reserved):
                        await asyncio.sleep(0.001)
                        paid = await desks[number % 4].pay(got, 1)
                        sold += isinstance(paid, Settled)
                    else:
                        assert isinstance(got, Refusal) and got.code == "quota_exceeded"
                return sold

            sold = sum(await asyncio.gather(*(call(number) for number in range(100))))
            while isinstance(got := await desks[0].reserve(), Reserved):
                sold += isinstance(await desks[1 - 1].pay(got), Settled)
            return sold
        finally:
            for desk in desks:
                await desk.__aexit__()

    databases = [open_database(address) for _ in range(4)]
    try:
        assert asyncio.run(work(databases)) == 300
        assert used(databases[0]) == {"standard": {"request": 300}} and faults(databases[0]) == []
    finally:
        for each in databases:
            each.close()


def test_one_faulty_piece_of_work_hurts_nobody_else(database):
    async def work():
        async with Desk(database) as desk:

            def wrong(held):
                held.run("SELECT nothing FROM nowhere")

            def refused(held):
                raise AccountError("no")

            jobs = [
                desk.reserve("a"),
                desk.till.run(wrong),
                desk.reserve("b"),
                desk.till.run(refused),
                desk.reserve("c"),
            ]
            found = await asyncio.gather(*jobs, return_exceptions=True)
            assert [type(each) for each in found] == [Reserved, DatabaseFault, Reserved, AccountError, Reserved]
            assert all([isinstance(await desk.pay(each), Settled) for each in found[::2]])

    asyncio.run(work())
    assert used(database) == {"standard": {"request": 3}} and faults(database) == []


def test_a_caller_that_leaves_leaves_no_reservation(database):
    async def work():
        async with Desk(database) as desk:
            for number in range(20):
                task = asyncio.create_task(desk.reserve(f"k{number}"))
                await asyncio.sleep(0.0005 * (number % 5))
                task.cancel()
                got = await asyncio.gather(task, return_exceptions=True)
                if isinstance(got[0], Reserved):
                    await desk.till.release(got[0])
            for _ in range(100):
                with database.read() as held:
                    left = held.one("SELECT count(*) FROM reservations")[0]
                if not left:
                    break
                await asyncio.sleep(0.05)
            assert left == 0

    asyncio.run(work())
    assert faults(database) == []


def test_a_writer_that_was_reaped_starts_again_and_what_it_ran_is_lost(database):
    async def work():
        async with Desk(database) as desk:
            got, before = await desk.reserve("one"), desk.till.writer
            with database.write() as held:  # as another replica does after a stall of five seconds
                from modelyard.accounts import ledger

                held.run("UPDATE writers SET lease = 0 WHERE id = ?", (before,))
                assert ledger.reap(held) == 1
            assert isinstance(await desk.pay(got), Lost)
            assert desk.till.writer != before
            assert isinstance(await desk.pay(await desk.reserve("one")), Settled)

    asyncio.run(work())
    assert used(database) == {"standard": {"request": 1}} and faults(database) == []


def test_an_idle_till_keeps_its_lease_and_reaps_the_dead(database):
    async def work():
        async with Desk(database) as desk:
            gone = Till(database, BOX)
            with database.write() as held:
                other = writers.open_writer(held, process=2**22 + 1)
            await asyncio.sleep(2.5 * writers.BEAT / 1e6)
            with database.read() as held:
                lease = held.one("SELECT lease FROM writers WHERE id = ?", (desk.till.writer,))[0]
                assert lease > held.now + writers.LEASE - 2 * writers.BEAT
                assert held.one("SELECT state FROM writers WHERE id = ?", (other.id,))[0] == "ended"
            assert gone.writer == ""

    asyncio.run(work())


def test_a_full_disk_fails_requests_and_the_till_goes_on_when_there_is_room(tmp_path):
    async def work(database):
        async with Desk(database) as desk:
            running = await desk.reserve("runs")

            async def limit(pages):  # SQLite counts for each connection: the loop's and the thread's
                def set_limit(held, writer=None):
                    held.one(f"PRAGMA max_page_count = {pages}")

                await desk.till.run(set_limit)
                desk.till.submit(set_limit).result()

            await limit(1)  # SQLite takes what the file has
            big = b"x" * 200_000
            with pytest.raises(DatabaseFault, match="full"):
                await desk.till.settle(running, {"request": 1}, big, model="m", version="1")
            assert not desk.till.healthy
            await limit(100_000)
            for _ in range(60):
                got = await desk.reserve("runs")  # what was held is given back, then the retry runs
                if isinstance(got, Reserved):
                    break
                assert isinstance(got, InProgress)
                await asyncio.sleep(0.05)
            assert isinstance(await desk.pay(got), Settled) and desk.till.healthy

    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        asyncio.run(work(database))
        assert used(database) == {"standard": {"request": 1}} and faults(database) == []


def test_while_another_process_holds_the_database_the_loop_goes_on(tmp_path):
    """The loop makes its commits itself; what it would have to wait for is the thread's."""

    async def work(database):
        async with Desk(database) as desk:
            await desk.pay(await desk.reserve("first"))
            other = Database(database.url)
            with other.write():
                waiting = asyncio.ensure_future(desk.reserve("second"))
                longest, until = 0.0, time.monotonic() + 0.5
                while time.monotonic() < until:
                    began = time.monotonic()
                    await asyncio.sleep(0.001)
                    longest = max(longest, time.monotonic() - began)
                assert not waiting.done() and longest < 0.3
            assert isinstance(await waiting, Reserved)
            other.close()

    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        asyncio.run(work(database))


def test_postgres_gone_and_back(postgres, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.3)

    async def work(database):
        async with Desk(database) as desk:
            running, own = await desk.reserve("runs"), await desk.reserve()
            await asyncio.to_thread(postgres.stop)
            try:
                with pytest.raises(DatabaseFault, match="does not answer"):
                    await desk.pay(running)
                await desk.till.release(own)  # never fails
            finally:
                await asyncio.to_thread(postgres.start)
            until = time.monotonic() + 15
            while True:
                assert time.monotonic() < until
                try:
                    got = await desk.reserve("runs")
                except DatabaseFault:
                    continue
                if isinstance(got, Reserved):
                    break
                await asyncio.sleep(0.1)
            assert isinstance(await desk.pay(got), Settled)

    with open_database(postgres.new(), durability="power") as database:
        asyncio.run(work(database))
        assert used(database) == {"standard": {"request": 1}} and faults(database) == []


def test_a_restart_of_postgres_shorter_than_our_patience_is_not_noticed(postgres, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 20.0)

    async def work(database):
        async with Desk(database) as desk:
            running = await desk.reserve("runs")
            postgres.stop()
            paying = asyncio.create_task(desk.pay(running))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(postgres.start)
            assert isinstance(await paying, Settled)

    with open_database(postgres.new(), durability="power") as database:
        asyncio.run(work(database))
        assert faults(database) == []


def test_the_door_believes_a_right_key_for_a_second_and_a_wrong_one_never(database):
    async def work():
        async with Desk(database) as desk:
            id, secret = desk.who.parts.values()
            assert (await desk.till.caller(id, secret, "predict")).customer == "acme"
            with database.write() as held:
                held.run("UPDATE keys SET revoked = 1")
            assert not isinstance(await desk.till.caller(id, secret, "predict"), Refusal), "remembered"
            assert (await desk.reserve()).code == "revoked", "the ledger asks each time"
            desk.till.forget_callers()
            assert (await desk.till.caller(id, secret, "predict")).code == "revoked"
            assert (await desk.till.caller(id, "0" * 64, "predict")).code == "unknown_key"

    asyncio.run(work())


def test_corrections_and_other_work_go_through_the_till(database):
    async def work():
        async with Desk(database) as desk:
            assert isinstance(await desk.pay(await desk.reserve(most=5), 5), Settled)
            await desk.till.correct("acme", unit="request", amount=-2, reason="an outage")
            assert (await desk.till.run(lambda held: held.one("SELECT sum(used) FROM balances")))[0] == 3

    asyncio.run(work())
    assert used(database) == {"standard": {"request": 3}} and faults(database) == []


def test_stopping_finishes_what_waits_and_ends_the_writer(database):
    async def work():
        desk = Desk(database)
        await asyncio.to_thread(desk.till.start)
        waiting = [asyncio.ensure_future(desk.reserve(f"k{number}")) for number in range(50)]
        await asyncio.sleep(0)
        await desk.till.stop()
        got = await asyncio.gather(*waiting)
        assert all(isinstance(each, Reserved) for each in got)
        with pytest.raises(DatabaseFault, match="closed"):
            await desk.reserve()

    asyncio.run(work())
    assert faults(database) == []
    with database.read() as held:
        assert held.all("SELECT state FROM writers") == [("ended",)]
        assert held.one("SELECT count(*) FROM reservations")[0] == 0, "nobody will settle them"
