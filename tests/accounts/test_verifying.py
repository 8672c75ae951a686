"""Tampering with the tables by hand, triggers dropped: verify names the place. A clean ledger has no fault."""

from __future__ import annotations

import pytest

from modelyard.accounts.chain import ANCHOR_EACH, anchor
from modelyard.accounts.verifying import verify
from modelyard.accounts.writers import writing
from modelyard.errors import DatabaseFault
from tests.accounts.accounts_helpers import buyer, faults, reserve, settle, writer_of


@pytest.fixture
def filled(database):
    """Two chains of ten entries; the second has anchored all of the first, the first what the second had before its own anchor."""
    who, writers = buyer(database), [writer_of(database), writer_of(database)]
    for number in range(20):
        writer = writers[number % 2]
        settle(database, writer, reserve(database, writer, who, f"k{number}", bound={"request": 5}), {"request": 3})
    for writer in writers:
        with writing(database, writer) as held:
            anchor(held, writer)
    return database, [writer.id for writer in writers]


def _unguard(database):
    with database.write() as held:
        if database.kind == "sqlite":
            held.run("DROP TRIGGER entries_no_update")
            held.run("DROP TRIGGER entries_no_delete")
            held.run("DROP INDEX entries_once")
        else:
            held.run("DROP TRIGGER entries_guard ON entries")
            held.run("DROP INDEX entries_once")


def test_a_clean_ledger_has_no_fault_and_shows_its_heads(filled):
    database, (first, second) = filled
    result = verify(database)
    assert result.faults == () and result.entries == 22 and set(result.heads) == {first, second}
    assert verify(database, heads_before=result.heads).faults == ()


@pytest.mark.parametrize("verb", ["UPDATE entries SET month = '2000-01'", "DELETE FROM entries", "UPDATE plans SET name = 'x'", "DELETE FROM plans"])  # fmt: skip
def test_the_database_itself_refuses_to_change_what_only_grows(filled, verb):
    database, _ = filled
    with pytest.raises(DatabaseFault, match="only grows"), database.write() as held:
        held.run(verb)
    assert faults(database) == []


CHANGES = {
    "units": ("UPDATE entries SET units = '{\"request\":1}' WHERE writer = ? AND number = 3", "/3: its hash"),
    "customer": ("UPDATE entries SET customer = 'other' WHERE writer = ? AND number = 3", "/3: its hash"),
    "time": ("UPDATE entries SET time = time - 999999999 WHERE writer = ? AND number = 3", "/3: its hash"),
    "reason": ("UPDATE entries SET note = 'x' WHERE writer = ? AND number = 3", "/3: its hash"),
    "gone": ("DELETE FROM entries WHERE writer = ? AND number = 3", "/4: follows entry 2: 1 are missing"),
    "cut": ("DELETE FROM entries WHERE writer = ? AND number >= 9", "/11: is gone; entry"),
    "whole chain": ("DELETE FROM entries WHERE writer = ?", "is gone; entry"),
    "unreadable": ("UPDATE entries SET units = 'nothing' WHERE writer = ? AND number = 3", "/3: cannot be read"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(filled, change):
    database, (first, _) = filled
    _unguard(database)
    sql, says = CHANGES[change]
    with database.write() as held:
        assert held.run(sql, (first,)) >= 1
    found = [fault for fault in faults(database) if f"{first}/" in fault]
    assert any(says in fault for fault in found), found


def test_entries_that_change_places_are_named(filled):
    database, (first, second) = filled
    _unguard(database)
    with database.write() as held:
        for old, new in ((3, -1), (4, 3), (-1, 4)):
            held.run("UPDATE entries SET number = ? WHERE writer = ? AND number = ?", (new, first, old))
    assert any(f"{first}/3: its hash" in fault for fault in faults(database))
    with database.write() as held:
        held.run("UPDATE entries SET number = 99 WHERE writer = ? AND number = 5", (second,))
    assert any(f"{second}/99: follows entry 11" in fault for fault in faults(database))


def test_an_inserted_copy_is_named_and_so_is_a_key_billed_twice(filled):
    database, (first, second) = filled
    _unguard(database)
    with database.write() as held:
        row = held.one("SELECT * FROM entries WHERE writer = ? AND number = 2", (first,))
        held.run(f"INSERT INTO entries VALUES ({', '.join('?' * len(row))})", (second, 12, *row[2:]))
    found = faults(database)
    assert any(f"{second}/12: its hash" in fault for fault in found)
    assert any("is billed 2 times" in fault for fault in found)
    assert any("says 60, the entries sum to 63" in fault for fault in found)


def test_a_chain_made_again_from_the_change_on_is_found_by_the_other_chains_anchor(filled):
    """An intruder who knows our hash can mend one chain; the anchors in the other tell."""
    from modelyard.accounts.chain import FIELDS, hash_of

    database, (first, _) = filled
    _unguard(database)
    with database.write() as held:
        previous = None
        for row in held.all(f"SELECT {', '.join(FIELDS)} FROM entries WHERE writer = ? ORDER BY number", (first,)):
            fields = list(row)
            fields[7] = fields[7].replace("3", "2") if fields[1] == 3 else fields[7]
            fields[15] = fields[15] if previous is None else previous
            previous = hash_of(tuple(fields))
            held.run("UPDATE entries SET units = ?, previous = ?, hash = ? WHERE writer = ? AND number = ?", (fields[7], fields[15], previous, first, fields[1]))  # fmt: skip
        held.run("UPDATE balances SET used = used - 1")
    found = faults(database)
    assert found and all(f"entry {first}/" in fault and "is not the one that" in fault for fault in found)


def test_what_was_cut_off_after_the_last_anchor_is_found_by_saved_heads_only(filled):
    """Said in `chain`: an entry at the very end that nobody anchored and no balance holds leaves no trace in the database."""
    database, (_, second) = filled
    saved = verify(database).heads
    _unguard(database)
    last = saved[second][0]
    with database.write() as held:
        assert held.run("DELETE FROM entries WHERE writer = ? AND number = ?", (second, last)) == 1
    assert faults(database) == []
    found = [str(fault) for fault in verify(database, heads_before=saved).faults]
    assert found == [f"entry {second}/{last}: is gone; the saved heads knows it"]


def test_balances_and_reservations_that_do_not_fit_are_named(filled):
    database, (first, _) = filled
    with database.write() as held:
        month = held.one("SELECT month FROM balances")[0]
        held.run("UPDATE balances SET used = used + 1, reserved = 4")
        held.run(
            "INSERT INTO reservations (customer, idempotency, writer, request, key, body, month, tariff, units, made) "
            "VALUES ('acme', 'z', 'nobody', 'r1', 'k', 'b', ?, 'standard', '{\"image\":2}', 0)", (month,),
        )  # fmt: skip
        held.run("UPDATE writers SET state = 'ended' WHERE id = ?", (first,))
    found = "\n".join(faults(database))
    assert "says 61, the entries sum to 60" in found and "says 4 reserved, the reservations sum to 0" in found
    assert "image/standard: is missing" in found and "belongs to the writer nobody, which is unknown" in found


def test_anchors_come_by_themselves(database):
    who, writer, other = buyer(database), writer_of(database), writer_of(database)
    settle(database, other, reserve(database, other, who))
    for _ in range(ANCHOR_EACH + 3):
        settle(database, writer, reserve(database, writer, who))
    with database.read() as held:
        notes = held.all("SELECT number, note FROM entries WHERE kind = 'anchor' AND writer = ?", (writer.id,))
    assert [number for number, _ in notes] == [ANCHOR_EACH + 1] and other.id in notes[0][1]
