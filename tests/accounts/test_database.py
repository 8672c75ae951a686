"""What survives what: pragmas in force, a WAL cut anywhere, full disks, locks, versions; nothing is ever half-written."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from modelyard.accounts import database as module
from modelyard.accounts.database import open_database
from modelyard.accounts.ledger import Reserved, Settled
from modelyard.accounts.writers import writing
from modelyard.errors import DatabaseFault, UserError
from tests.accounts.accounts_helpers import buyer, faults, reserve, settle, used, writer_of


@pytest.mark.parametrize(("durability", "sqlite", "postgres_says"), [("process", 1, "off"), ("power", 2, "on")])
def test_the_durability_that_is_asked_for_is_in_force(address, durability, sqlite, postgres_says):
    with open_database(address, durability=durability) as database, database.read() as held:
        if database.kind == "sqlite":
            assert held.one("PRAGMA synchronous")[0] == sqlite and held.one("PRAGMA journal_mode")[0] == "wal"
        else:
            assert held.one("SHOW synchronous_commit")[0] == postgres_says


def test_a_wal_cut_anywhere_opens_to_a_prefix_that_verifies(tmp_path):
    """What power loss leaves: the file and a beginning of the WAL. (That the disk keeps the order of writes is SQLite's to see to.)"""
    there, chance = tmp_path / "a.db", random.Random(0)
    with open_database(f"sqlite:///{there}") as database:
        database.off_the_path()
        who, writer = buyer(database), writer_of(database)
        database.checkpoint()
        for number in range(30):
            settle(database, writer, reserve(database, writer, who, f"k{number}"))
        wal = tmp_path / "a.db-wal"
        whole = wal.stat().st_size
        seen = set()
        for cut in sorted({0, whole, *(chance.randrange(whole) for _ in range(40))}):
            copy = tmp_path / "copy" / "a.db"
            shutil.rmtree(copy.parent, ignore_errors=True)
            copy.parent.mkdir()
            shutil.copy(there, copy)
            (copy.parent / "a.db-wal").write_bytes(wal.read_bytes()[:cut])
            with open_database(f"sqlite:///{copy}") as after:
                assert faults(after) == [], cut
                count = used(after).get("standard", {}).get("request", 0)
                seen.add(count)
        assert {0, 30} <= seen and len(seen) > 10, "prefixes of every length"


@pytest.mark.parametrize("passive_only", [False, True])
def test_the_wal_begins_anew_while_writers_never_pause(tmp_path, monkeypatch, passive_only):
    """Copying beside the writers alone never reaches the end, so the file would grow for ever (the planted fault)."""
    if passive_only:
        monkeypatch.setattr(module, "TAIL", -(10**9))
    stop, bound = threading.Event(), 256 * 1024
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        who = buyer(database)

        def pay(name: str) -> None:
            database.off_the_path()
            writer = writer_of(database)
            number = 0
            while not stop.is_set():
                settle(database, writer, reserve(database, writer, who, f"{name}{number}"))
                number += 1

        database.off_the_path()
        threads = [threading.Thread(target=pay, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        anew, waited, until = 0, 0, time.monotonic() + 3.0
        while time.monotonic() < until:
            time.sleep(0.02)
            if database.wal_bytes() > bound:
                waited += 1
                anew += database.checkpoint()
        stop.set()
        for thread in threads:
            thread.join()
        paid, size = used(database)["standard"]["request"], (tmp_path / "a.db-wal").stat().st_size
        assert faults(database) == [] and waited > 5 and paid > 300
        if passive_only:
            assert anew == 0 and size > paid * 15_000
        else:
            assert anew > 2 and size < paid * 15_000


def test_many_open_a_new_file_at_once(tmp_path):
    """Workers that start together: the first one turns the file into a WAL's, which SQLite lets nobody wait for."""
    for round_ in range(20):
        faults_, begin = [], threading.Barrier(6)

        def write(where: str, faults_: list[str], begin: threading.Barrier) -> None:
            with module.Database(where) as database:
                begin.wait()
                try:
                    with database.write() as held:
                        held.run("CREATE TABLE IF NOT EXISTS a (x INTEGER)")
                        held.run("INSERT INTO a VALUES (1)")
                except DatabaseFault as fault:
                    faults_.append(str(fault))

        where = f"sqlite:///{tmp_path / f'{round_}.db'}"
        threads = [threading.Thread(target=write, args=(where, faults_, begin)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with module.Database(where) as database, database.read() as held:
            assert faults_ == [] and held.one("SELECT count(*) FROM a") == (6,)


SERVICE = """
import sys
from modelyard.accounts.database import open_database
with open_database(sys.argv[1]) as database:
    with database.write() as held:
        held.run("INSERT INTO meta (name, value) VALUES ('first', '')")
    database.wal_bytes()
    open_database(sys.argv[1]).close()
    with database.write() as held:
        held.run("INSERT INTO meta (name, value) VALUES ('second', '')")
        if sys.argv[2:]:
            open(sys.argv[2], "rb").close()
        print("in", flush=True)
        sys.stdin.readline()
    print("done", flush=True)
    sys.stdin.readline()
"""
"""Holds a transaction until a line comes, and its database open until the next; it looked at the WAL and opened the database a second time before."""
STRANGER = """
import sys
from modelyard.accounts.database import Database
from modelyard.errors import DatabaseFault
with Database(sys.argv[1], wait=0.0) as database:
    try:
        with database.write() as held:
            held.run("INSERT INTO meta (name, value) VALUES ('third', '')")
    except DatabaseFault as fault:
        print(fault.kind)
"""


@pytest.mark.parametrize("opened", ["", "a.db", "a.db-shm"])
def test_locks_hold_while_another_process_comes_and_goes(tmp_path, opened):
    """A process that opens and closes one of SQLite's files itself (planted) loses its locks: the next process writes between its lines,
    or removes the WAL, or cuts the index under its feet."""
    where = f"sqlite:///{tmp_path / 'a.db'}"
    planted = [str(tmp_path / opened)] if opened else []
    stranger = [sys.executable, "-c", STRANGER, where]
    with subprocess.Popen([sys.executable, "-c", SERVICE, where, *planted], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:  # fmt: skip
        assert service.stdin and service.stdout and service.stdout.readline() == b"in\n"
        during = subprocess.check_output(stranger)
        service.stdin.write(b"\n")
        service.stdin.flush()
        done = service.stdout.readline()
        after = subprocess.check_output(stranger)
        kept = (tmp_path / "a.db-wal").exists()
        service.stdin.close()
        ended = service.wait()
    with module.Database(where) as database, database.read() as held:
        names = {name for (name,) in held.all("SELECT name FROM meta")}
    right = (during, done, after, kept, ended) == (b"locked\n", b"done\n", b"", True, 0) and {"first", "second", "third"} <= names  # fmt: skip
    assert right is not bool(opened), (during, done, after, kept, ended, names)


def test_what_waits_in_the_wal_is_told(tmp_path):
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        database.off_the_path()
        assert database.checkpoint() and database.wal_bytes() == 0
        who, writer = buyer(database), writer_of(database)
        assert 0 < (told := database.wal_bytes()) <= (tmp_path / "a.db-wal").stat().st_size
        settle(database, writer, reserve(database, writer, who, "k"))
        assert database.wal_bytes() > told
        assert database.checkpoint() and database.wal_bytes() == 0


def test_a_reader_that_stays_keeps_the_wal_and_harms_nobody(tmp_path):
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database, open_database(database.url) as other:
        who, writer = buyer(database), writer_of(database)
        with other.read() as held:
            before = held.one("SELECT count(*) FROM entries")
            settle(database, writer, reserve(database, writer, who, "k"))
            began = time.monotonic()
            assert not database.checkpoint() and time.monotonic() - began < 1.0
            settle(database, writer, reserve(database, writer, who, "l"))
            assert held.one("SELECT count(*) FROM entries") == before and database.wal_bytes() > 0
        assert database.checkpoint() and database.wal_bytes() == 0
        assert used(database)["standard"]["request"] == 2 and faults(database) == []


def test_a_full_disk_is_told_writes_nothing_and_ends(tmp_path):
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        who, writer = buyer(database), writer_of(database)
        with database.read() as held:
            pages = held.one("PRAGMA page_count")[0]
        connection = database._connection()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        big, paid = b"x" * 20_000, 0
        with pytest.raises(DatabaseFault, match="is full: nothing") as caught:
            for number in range(100):
                settle(database, writer, reserve(database, writer, who, f"k{number}"), answer=big)
                paid += 1
        assert (
            caught.value.kind == "full"
            and faults(database) == []
            and used(database).get("standard", {}).get("request", 0) == paid
        )
        connection.execute("PRAGMA max_page_count = 100000")
        settle(database, writer, reserve(database, writer, who, "after"), answer=big)
        assert used(database)["standard"]["request"] == paid + 1 and faults(database) == []


def test_a_locked_database_says_so_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.1)
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        who, writer = buyer(database), writer_of(database)
        other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseFault, match="held by another process") as caught:
            reserve(database, writer, who)
        other.execute("ROLLBACK")
        other.close()
        assert caught.value.kind == "locked" and isinstance(reserve(database, writer, who), Reserved)


def test_postgres_that_crashes_and_comes_back_has_all_or_nothing(postgres):
    with open_database(postgres.new(), durability="power") as database:
        who, writer = buyer(database), writer_of(database)
        running = reserve(database, writer, who, "one")
        postgres.stop()
        try:
            with pytest.raises(DatabaseFault) as caught:
                settle(database, writer, running)
            assert caught.value.kind == "gone"
            with pytest.raises(DatabaseFault, match="does not answer"):
                used(database)
        finally:
            postgres.start()
        assert isinstance(settle(database, writer, running), Settled), "the reservation was on the disk"
        assert used(database) == {"standard": {"request": 1}} and faults(database) == []


def test_an_exception_undoes_the_whole_transaction(database):
    who, writer = buyer(database), writer_of(database)
    with pytest.raises(ZeroDivisionError), writing(database, writer) as held:
        held.run("DELETE FROM flow")
        raise ZeroDivisionError
    with database.read() as held:
        assert held.one("SELECT count(*) FROM flow")[0] == 1
    assert isinstance(settle(database, writer, reserve(database, writer, who)), Settled) and faults(database) == []


def test_other_versions_and_addresses_are_refused_with_a_cure(address, tmp_path):
    with open_database(address) as database, database.write() as held:
        held.run("UPDATE meta SET value = '99'")
    with pytest.raises(DatabaseFault, match="has version 99, this Modelyard reads 1"):
        open_database(address)
    with pytest.raises(UserError, match="Allowed: sqlite:///FILE"):
        open_database("mysql://secret@there/name")
    with pytest.raises(UserError, match="yard customers add"):
        open_database(f"sqlite:///{tmp_path / 'nothing.db'}", create=False)
    assert not (tmp_path / "nothing.db").exists()
