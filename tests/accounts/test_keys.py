"""Keys: shown once, only a hash in the database, compared in constant time, rotated, revoked, scoped, expiring."""

from __future__ import annotations

import hmac

import pytest

from modelyard.accounts import customers, keys
from modelyard.accounts.database import open_database
from modelyard.accounts.times import DAY, SECOND, micros
from modelyard.errors import AccountError


@pytest.fixture
def at(address):
    """A database with a clock that the test turns, and a customer."""
    time = [micros(2026, 10, 1)]
    with open_database(address, clock=lambda: time[0]) as database:
        with database.write() as held:
            customers.add_customer(held, "Acme", id="acme")
        yield database, time


def test_only_a_hash_is_kept(tmp_path):
    with open_database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        with database.write() as held:
            customers.add_customer(held, "Acme", id="acme")
            key, text = keys.issue(held, "acme")
        bytes_ = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        secret = text.rpartition("_")[2]
        assert len(secret) == 52 and secret.encode() not in bytes_, "256 bits in base32"
        assert keys.digest(secret).encode() in bytes_ and secret not in repr(key)
        assert key.shown == f"yard_{key.id}_…{secret[-4:]}"
    seen = {keys.split(text)[1] for text in [text]}
    assert seen == {keys.digest(secret)}


def test_secrets_are_compared_in_constant_time_also_for_ids_that_are_not_there(at, monkeypatch):
    database, _ = at
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda left, right: compared.append(left) or real(left, right))
    with database.write() as held:
        key, text = keys.issue(held, "acme")
        assert keys.check(held, key.id, keys.split(text)[1]) == key
        assert keys.check(held, key.id, keys.digest("wrong")) is None
        assert keys.check(held, "nobody", keys.digest("wrong")) is None
    assert len(compared) == 3


@pytest.mark.parametrize("wrong", ["", "yard", "yard_a", "yard__b", "yard_a_", "Yard_a_b", "yard_a_b_c", "yard_" + "a" * 300 + "_b"])  # fmt: skip
def test_what_is_no_key_is_none(wrong):
    assert keys.split(wrong) is None


def test_rotation_leaves_a_day_and_never_lengthens(at):
    database, time = at
    with database.write() as held:
        old, _ = keys.issue(held, "acme", label="shop", scopes=["predict"])
        short, _ = keys.issue(held, "acme", expires=held.now + SECOND)
        new, text = keys.rotate(held, old.id)
        keys.rotate(held, short.id)
        assert (new.label, new.scopes) == ("shop", ("predict",)) and keys.split(text)[0] == new.id != old.id
        assert keys.find_key(held, old.id).refusal(held.now) is None
        assert keys.find_key(held, short.id).expires == held.now + SECOND
    time[0] += DAY
    with database.write() as held:
        assert keys.find_key(held, old.id).refusal(held.now) == "expired" and new.refusal(held.now) is None
        with pytest.raises(AccountError, match="is expired: issue a new one"):
            keys.rotate(held, old.id)


def test_revoked_is_revoked_at_once_and_for_ever(at):
    database, time = at
    with database.write() as held:
        key, _ = keys.issue(held, "acme")
        first = keys.revoke(held, key.id)
    time[0] += DAY
    with database.write() as held:
        assert keys.revoke(held, key.id).revoked == first.revoked
        assert [each.refusal(held.now) for each in keys.keys_of(held, "acme")] == ["revoked"]


def test_what_may_not_be_issued(at):
    database, _ = at
    with database.write() as held:
        with pytest.raises(AccountError, match="Did you mean 'predict'"):
            keys.issue(held, "acme", scopes=["predct"])
        with pytest.raises(AccountError, match="may do nothing"):
            keys.issue(held, "acme", scopes=[])
        with pytest.raises(AccountError, match="expired already"):
            keys.issue(held, "acme", expires=held.now)
        with pytest.raises(AccountError, match="Did you mean 'acme'"):
            keys.issue(held, "acmee")
        customers.close(held, "acme")
        with pytest.raises(AccountError, match="closed"):
            keys.issue(held, "acme")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201, "\x00"])
def test_names_of_customers_are_one_line(at, name):
    database, _ = at
    with pytest.raises(AccountError, match="1 to 200 characters"), database.write() as held:
        customers.add_customer(held, name)


def test_sql_in_a_name_is_a_name(at):
    database, _ = at
    nasty = "x'); DROP TABLE entries; -- ? %s"
    with database.write() as held:
        made = customers.add_customer(held, nasty)
        assert customers.customer(held, made.id).name == nasty
        assert held.one("SELECT count(*) FROM entries")[0] == 0
