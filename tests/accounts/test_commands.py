"""`yard customers | keys | usage | invoice | ledger`, as typed."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from modelyard.accounts.database import open_database
from modelyard.accounts.state import State
from modelyard.accounts.times import month_of
from modelyard.cli import app
from modelyard.errors import UserError
from tests.accounts.accounts_helpers import Buyer, reserve, settle, writer_of


@pytest.fixture
def yard(tmp_path, monkeypatch):
    """Run a command in a state folder of its own; its output."""
    monkeypatch.chdir(tmp_path)
    for name in ("STATE", "DATABASE", "ANSWERS_KEY", "ADMIN_TOKEN", "DURABILITY"):
        monkeypatch.delenv(f"MODELYARD_{name}", raising=False)
    (tmp_path / "blueprint.yaml").write_text("name: demo\ndata: {source: rows.csv, target: label}\n")

    def run(*words: str, code: int = 0) -> str:
        ended = CliRunner().invoke(app, list(words))
        assert ended.exit_code == code, (ended.output, ended.exception)
        return str(ended.exception) if isinstance(ended.exception, UserError) else ended.output

    return run


def test_from_the_blueprint_to_the_invoice(yard, tmp_path):
    assert "starter          29 USD/month, 50000 requests, soft" in yard(
        "customers", "plans", "--add", "blueprint.yaml"
    )
    assert "next: yard keys issue acme" in yard("customers", "add", "Acme Ltd", "--id", "acme", "--plan", "starter")
    text = yard("keys", "issue", "acme", "--label", "shop", "--days", "30").strip()
    assert re.fullmatch(r"yard_[0-9a-f]{10}_[a-z2-7]{52}", text)
    shown = yard("keys", "list", "acme")
    assert text not in shown and text[-4:] in shown and "works" in shown and "shop" in shown
    with open_database(State(tmp_path / "state").database) as database:
        writer = writer_of(database)
        for number in range(5):
            settle(database, writer, reserve(database, writer, Buyer("acme", text), f"k{number}"))
        with database.read() as held:
            month = month_of(held.now)
    assert (
        yard("ledger", "credit", "acme", "request", "2", "--reason", "an outage") == "acme: 2 of 'request' taken off\n"
    )
    assert yard("usage", "acme").split() == [month, "standard", "request", "3"]
    bill = json.loads(yard("invoice", "acme", month))
    assert bill["usage"] == {"standard": {"request": 3}} and bill["corrections"][0]["reason"] == "an outage"
    for kind in ("csv", "html", "pdf"):
        yard("invoice", "acme", month, "--format", kind, "-o", str(tmp_path / f"bill.{kind}"))
        assert (tmp_path / f"bill.{kind}").stat().st_size > 100
    events = [json.loads(line) for line in yard("ledger", "events", "--customer", "acme").splitlines()]
    assert sum(event["data"]["units"]["request"] for event in events) == 3
    assert len({event["id"] for event in events}) == 6 and all(event["specversion"] == "1.0" for event in events)
    rotated = yard("keys", "rotate", text.rsplit("_", 1)[0] + "_").strip()
    assert rotated.startswith("yard_") and rotated != text
    assert "is revoked" in yard("keys", "revoke", rotated.split("_")[1])
    yard("customers", "plan", "acme", "growth")
    yard("customers", "close", "acme")
    assert "closed" in yard("customers", "list") and yard("keys", "list", "acme").count("revoked") == 2


def test_verify_exits_1_on_a_fault_and_compares_saved_heads(yard, tmp_path):
    yard("customers", "plans", "--add", "blueprint.yaml")
    yard("customers", "add", "Acme", "--id", "acme", "--plan", "starter")
    with open_database(State(tmp_path / "state").database) as database:
        who, writer = Buyer("acme", yard("keys", "issue", "acme").strip()), writer_of(database)
        settle(database, writer, reserve(database, writer, who))
    said = yard("ledger", "verify", "--save", "heads.json")
    assert f"head {writer.id} 1 " in said and "1 entry, 1 chain, 0 faults" in said
    yard("ledger", "verify", "--heads", "heads.json")
    connection = sqlite3.connect(tmp_path / "state" / "accounts.db")
    connection.executescript("DROP TRIGGER entries_no_delete; DELETE FROM entries;")
    connection.close()
    said = yard("ledger", "verify", "--heads", "heads.json", code=1)
    assert f"fault: entry {writer.id}/1: is gone; the saved heads knows it" in said and "the entries sum to 0" in said
    assert {stat.S_IMODE(file.stat().st_mode) for file in Path("state").iterdir()} == {0o600}
    assert "holds no heads" in yard("ledger", "verify", "--heads", "blueprint.yaml", code=1)


def test_what_is_wrong_is_told_with_a_cure(yard):
    assert "yard customers add" in yard("usage", "acme", code=1)
    assert not Path("state").exists(), "asking makes nothing"
    yard("customers", "add", "Acme", "--id", "acme")
    assert "Did you mean 'acme'" in yard("usage", "acne", code=1)
    assert "no month '2026-13'" in yard("usage", "acme", "--month", "2026-13", code=1)
    assert "had no plan in 2026-01" in yard("invoice", "acme", "2026-01", code=1)
    assert "no plan 'starter'" in yard("customers", "plan", "acme", "starter", code=1)
    assert "already" in yard("customers", "add", "Acme", "--id", "acme", code=1)
    assert "a-z, 0-9" in yard("customers", "add", "Acme", "--id", "../x", code=1)


def test_the_state_folders_secrets_are_the_owners_alone(tmp_path, monkeypatch):
    for name in ("DATABASE", "ANSWERS_KEY", "ADMIN_TOKEN"):
        monkeypatch.delenv(f"MODELYARD_{name}", raising=False)
    state = State(tmp_path / "state")
    token, sealed = state.admin_token(), state.box().seal(b"x", "y")
    again = State(tmp_path / "state")
    assert again.admin_token() == token and len(token) >= 43 and again.box().open(*sealed, "y") == b"x"
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in state.folder.iterdir()} == {0o600}
    assert {file.name for file in state.folder.iterdir()} == {"answers.key", "admin.token"}
    monkeypatch.setenv("MODELYARD_ANSWERS_KEY", "no key")
    with pytest.raises(UserError, match="base64 of 32 bytes"):
        again.box()
