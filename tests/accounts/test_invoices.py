"""Charging and invoices: a worked example, the same sums as the business stage, the same bytes from the same entries."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.accounts import invoices, ledger, plans
from modelyard.accounts.charging import charge
from modelyard.accounts.database import open_database
from modelyard.accounts.plans import Plan, from_blueprint
from modelyard.accounts.times import micros
from modelyard.accounts.writers import writing
from modelyard.blueprint import business as sold
from modelyard.business.costs import lot, noun
from modelyard.errors import AccountError
from modelyard.units import quantity
from tests.accounts.accounts_helpers import buyer, reserve, settle, used, writer_of
from tests.business import plans_oracle as forecast

TOKENS = Plan(
    name="talk <b>&", currency="USD", price=Decimal(31), included=310, overage=Decimal("0.05"), trial_days=3,
    prices={"input token": Decimal("0.5"), "output token": Decimal(2)}, batch_discount=Decimal("0.5"),
)  # fmt: skip


def _whole(plan: Plan, usage: dict[str, dict[str, int]], **more: int | None) -> list[str]:
    given = {"days": 30, "days_charged": 30, "of": 30, "included": plan.included, **more}
    return [f"{line.kind} {line.amount}" for line in charge(plan, usage, **given)]


def test_a_worked_example():
    """Joined on the 21st of October (11 days of 31), three of them free; 110 requests included (310 x 11/31).

    price      31 x 8/31                    =  8.00
    requests   150 - 110 = 40 at 0.05       =  2.00
    input      3,000,000 at 0.5 a million   =  1.50
    output     123,456 at 2 a million       =  0.246912  -> 0.25
    batch      1,000 requests, all beyond   = 50.00, output 1,000,000 = 2.00, half of 52.00 off
    """
    sub = plans.Subscription(TOKENS, TOKENS.hash(), micros(2026, 10, 21, 15), 3)
    assert (sub.days("2026-10"), sub.days_charged("2026-10"), sub.included("2026-10")) == (11, 8, 110)
    use = {
        "standard": {"request": 150, "input token": 3_000_000, "output token": 123_456},
        "batch": {"request": 1_000, "output token": 1_000_000},
    }
    lines = charge(TOKENS, use, days=11, days_charged=8, of=31, included=110)
    assert [f"{line.amount}" for line in lines] == ["8.00", "2.00", "1.50", "0.25", "50.00", "2.00", "-26.00"]


def test_edges():
    assert _whole(TOKENS, {}) == ["price 31.00"], "zero usage"
    yen = Plan(name="y", currency="JPY", price=Decimal(980), included=0, overage=Decimal("0.5"))
    assert _whole(yen, {"standard": {"request": 3}}) == ["price 980", "overage 2"], "no minor unit; 1.5 is 2"
    assert _whole(yen, {"standard": {"request": 5}}, days_charged=1) == ["price 33", "overage 3"]
    free = plans.Subscription(TOKENS.model_copy(update={"trial_days": 40}), "", micros(2026, 10, 15), 40)
    assert [free.days_charged(month) for month in ("2026-10", "2026-11", "2026-12")] == [0, 7, 31]
    assert free.included("2026-11") == 310, "a trial does not shorten what is included"


@settings(deadline=None, max_examples=60)
@given(
    price=st.integers(0, 99_900), included=st.none() | st.integers(1, 9_000), overage=st.none() | st.integers(0, 900),
    rates=st.dictionaries(st.sampled_from(["image", "output token"]), st.integers(0, 900)),
    requests=st.integers(0, 20_000), each=st.integers(0, 50),
)  # fmt: skip
def test_an_invoice_is_what_the_business_stage_forecast(price, included, overage, rates, requests, each):
    """The sum before rounding is `business.plans.revenue`; the total differs by the rounding of its lines at most."""
    overage = None if included is None else overage
    plan = sold.Plan.model_validate({
        "name": "p", "price": price / 100, "included": included, "overage": None if overage is None else overage / 1e5,
        "prices": {unit: rate / 100 for unit, rate in rates.items()}, "share": 1, "usage": requests,
    })  # fmt: skip
    month = "USD/customer/month"
    metered = tuple(
        forecast.Metered(unit, quantity(rate / 100, f"USD/{lot(unit)[1]}"), quantity(each / lot(unit)[0], f"{lot(unit)[1]}/request"))
        for unit, rate in rates.items()
    )  # fmt: skip
    offer = forecast.Offer(
        "p", quantity(plan.price, month), None if included is None else quantity(included, "request/customer/month"),
        None if overage is None else quantity(overage / 1e5, "USD/request"), 1.0,
        quantity(requests, "request/customer/month"), metered,
    )  # fmt: skip
    answered = round(forecast.answered(offer).to("request/customer/month"))
    use = {"standard": {"request": answered, **dict.fromkeys(rates, answered * each)}}
    lines = charge(from_blueprint(plan, "USD"), use, days=31, days_charged=31, of=31, included=included)
    expected = forecast.revenue(offer).to(month)
    assert float(sum(line.exact for line in lines)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert abs(float(sum(line.amount for line in lines)) - expected) <= 0.005 * len(lines) + 1e-9
    assert noun("a b") == "a_b"


def test_the_same_entries_the_same_bytes(address):
    time = [micros(2026, 10, 21, 15)]
    with open_database(address, clock=lambda: time[0]) as database:
        who, writer = buyer(database, TOKENS), writer_of(database)
        for number in range(5):
            got = reserve(database, writer, who, f"k{number}", bound={"request": 50, "output token": 99_999})
            settle(database, writer, got, {"request": 40, "output token": 50_001})
        with writing(database, writer) as held:
            ledger.correct(held, writer, "acme", unit="request", amount=-50, reason="<script>sorry</script>")
        with database.read() as held:
            preview = invoices.invoice(held, "acme", "2026-10")
        assert not preview.final and preview.entries == 6
        time[0] = micros(2026, 11, 2)
        with database.read() as held:
            made, again = (invoices.invoice(held, "acme", "2026-10") for _ in range(2))
            with pytest.raises(AccountError, match="no plan in 2026-09"):
                invoices.invoice(held, "acme", "2026-09")
        assert made.final and made.usage == used(database, month="2026-10") == {
            "standard": {"output token": 250_005, "request": 150}
        }
        # 31 x 8/31 + 40 x 0.05 + 0.250005 x 2
        assert [str(line.amount) for line in made.lines] == ["8.00", "2.00", "0.50"] and made.total == Decimal("10.50")
        for write in (invoices.to_text, invoices.to_csv, invoices.to_html, invoices.to_pdf):
            assert write(made) == write(again)
        assert json.loads(invoices.to_text(made))["total"] == "10.50"
        rows = list(csv.reader(io.StringIO(invoices.to_csv(made))))
        assert rows[-1][-2:] == ["10.50", "USD"] and sum(Decimal(row[9]) for row in rows[1:-1]) == Decimal("10.50")
        page = invoices.to_html(made, seller="Us & Co")
        assert (
            "<script>" not in page and "&lt;script&gt;sorry" in page and "Us &amp; Co" in page and "10.50 USD" in page
        )
        assert "账单" in invoices.to_html(made, language="zh") and invoices.to_pdf(made).startswith(b"%PDF")


def test_both_languages_say_everything():
    assert invoices.WORDS["en"].keys() == invoices.WORDS["zh"].keys()
