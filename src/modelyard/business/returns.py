"""Lines of the outcome: how long cash lasts, what the venture is worth now, and how efficiently it grows."""

from __future__ import annotations

from modelyard.business.months import Money
from modelyard.business.page import Page
from modelyard.business.selling import Serving
from modelyard.business.sheet import MONTH, Term, choose, greatest, last, least, lowest, total, where

YEAR = 12


def outcome(page: Page, using: Serving, money: Money, discount: Term) -> None:
    """Cash, break-even, present value, return, burn multiple, rule of 40."""
    sheet, currency = page.sheet, page.money
    with page.group("Outcome"):
        sheet.line("lowest cash", currency, least(lowest(money.cash), money.opening))
        sheet.line("cash at the end", currency, last(money.cash))
        alive = sheet.rolling("not yet out of cash", "", 1.0, lambda before: choose(money.cash < 0.0, 0.0, before))
        sheet.line("months until cash is gone", "", total(alive))
        losing = sheet.line("minus the month, where it loses", "month", choose(money.net < 0.0, -sheet.month, 0.0))
        sheet.line("last month of a loss", "month", -lowest(losing))
        flow = sheet.line(
            "net after tax, discounted",
            currency,
            money.after_tax * MONTH / (1 + discount) ** (sheet.month / MONTH / YEAR),
        )
        sheet.line("net present value", currency, total(flow) - using.build)
        put_in = sheet.rolling(
            "put in and earned so far", currency, -using.build, lambda before: before + money.after_tax * MONTH
        )
        needed = sheet.line("money needed", currency, greatest(-lowest(put_in), using.build))
        sheet.line("return on investment", "", where(needed > 0, last(put_in) / needed))
        if sheet.months >= YEAR:
            _first_year(page, money)
        if sheet.months >= 2 * YEAR:
            _rule_of_40(page, money)


def _first_year(page: Page, money: Money) -> None:
    """Cash burnt for each unit of yearly revenue that the first year added (Sacks 2020)."""
    sheet, currency = page.sheet, page.money
    within = sheet.line(
        "burnt in the first year, by month",
        currency,
        choose(sheet.month <= YEAR * MONTH, -money.after_tax * MONTH, 0.0),
    )
    at_end = sheet.line(
        "revenue in the twelfth month", currency, choose(sheet.month.equals(YEAR * MONTH), money.revenue * MONTH, 0.0)
    )
    yearly = sheet.line("yearly revenue after a year", currency, YEAR * total(at_end))
    sheet.line("burn multiple", "", where(yearly > 0, greatest(total(within), 0.0) / yearly))


def _rule_of_40(page: Page, money: Money) -> None:
    """Growth of the last whole year's revenue plus its margin (Feld 2015)."""
    sheet, currency, months = page.sheet, page.money, page.sheet.months // YEAR * YEAR

    def of_year(name: str, term: Term, first: int) -> Term:
        inside = choose(
            sheet.month > first * MONTH, choose(sheet.month <= (first + YEAR) * MONTH, term * MONTH, 0.0), 0.0
        )
        return sheet.line(name, currency, inside)

    now, before = (
        of_year("revenue of the last year", money.revenue, months - YEAR),
        of_year("revenue of the year before", money.revenue, months - 2 * YEAR),
    )
    earned = of_year("net of the last year", money.net, months - YEAR)
    growth = where(total(before) > 0, total(now) / total(before) - 1)
    sheet.line("growth in a year", "", growth)
    sheet.line("rule of 40", "", where(total(before) > 0, total(now) / total(before) - 1 + total(earned) / total(now)))
