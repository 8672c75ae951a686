"""Invoices: a pure function of the ledger's entries of a month, the subscription and its plan. The same entries, the same bytes.

An invoice is `final` when its month is over and none of its requests still runs; before, it is a preview. Taxes are not in it.
To JSON, CSV, a page to print, and PDF with the extra `invoices`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any

from modelyard.accounts import customers, ledger
from modelyard.accounts.chain import Entry, select
from modelyard.accounts.charging import Line, charge
from modelyard.accounts.database import Transaction
from modelyard.accounts.plans import Subscription, subscription
from modelyard.accounts.times import check_month, days_in, month_of, next_month, spelt, starts
from modelyard.errors import AccountError, MissingExtra
from modelyard.store import to_json


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a customer owes for a month."""

    number: str
    customer: str
    name: str
    month: str
    currency: str
    plan: str
    plan_hash: str
    days: int
    days_charged: int
    included: int | None
    usage: Mapping[str, Mapping[str, int]]
    corrections: tuple[Mapping[str, Any], ...]
    lines: tuple[Line, ...]
    entries: int
    final: bool

    @property
    def total(self) -> Decimal:
        """The sum of the lines."""
        return sum((line.amount for line in self.lines), Decimal(0))

    def describe(self) -> dict[str, Any]:
        """As plain values; amounts are text."""
        return {
            "number": self.number,
            "customer": self.customer,
            "name": self.name,
            "month": self.month,
            "final": self.final,
            "currency": self.currency,
            "plan": self.plan,
            "plan_hash": self.plan_hash,
            "days": self.days,
            "days_charged": self.days_charged,
            "included": self.included,
            "usage": {tariff: dict(units) for tariff, units in self.usage.items()},
            "corrections": [dict(each) for each in self.corrections],
            "lines": [_describe(line) for line in self.lines],
            "entries": self.entries,
            "total": format(self.total, "f"),
            "taxes": "not included",
        }


def make(entries: list[Entry], sold: Subscription, *, customer: str, name: str, month: str, final: bool) -> Invoice:
    """The invoice of a customer's entries of one month. Nothing else goes in: no clock, no balance."""
    usage: dict[str, dict[str, int]] = {}
    corrections = []
    for entry in entries:
        assert entry.customer == customer and entry.month == month
        for unit, count in entry.units.items():
            units = usage.setdefault(str(entry.tariff), {})
            units[unit] = units.get(unit, 0) + count
        if entry.kind == "correction":
            corrections.append({"time": spelt(entry.time), "units": entry.units, "reason": entry.note})
    days, charged, included = sold.days(month), sold.days_charged(month), sold.included(month)
    lines = charge(sold.plan, usage, days=days, days_charged=charged, of=days_in(month), included=included)
    return Invoice(
        number=f"{customer}-{month}", customer=customer, name=name, month=month, currency=sold.plan.currency,
        plan=sold.plan.name, plan_hash=sold.hash, days=days, days_charged=charged, included=included,
        usage={tariff: dict(sorted(units.items())) for tariff, units in sorted(usage.items())},
        corrections=tuple(corrections), lines=lines, entries=len(entries), final=final,
    )  # fmt: skip


def invoice(held: Transaction, customer_id: str, month: str) -> Invoice:
    """The invoice of a month, from the ledger; AccountError where the customer had no plan in it."""
    who = customers.customer(held, customer_id)
    sold = subscription(held, customer_id, check_month(month))
    if sold is None or (who.closed is not None and month_of(who.closed) < month):
        raise AccountError(f"{customer_id} had no plan in {month}: there is nothing to invoice")
    rows = held.all(select("WHERE customer = ? AND month = ? ORDER BY writer, number"), (customer_id, month))
    over = held.now >= starts(next_month(month)) and ledger.open_reservations(held, customer_id, month) == 0
    return make([Entry.of(row) for row in rows], sold, customer=customer_id, name=who.name, month=month, final=over)


def to_text(given: Invoice) -> str:
    """JSON."""
    return to_json(given.describe()) + "\n"


def to_csv(given: Invoice) -> str:
    """A row for each line, and the total."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["invoice", "customer", "month", "line", "tariff", "unit", "quantity", "lot", "price", "amount", "currency"])  # fmt: skip
    for line in given.lines:
        told = _describe(line)
        table.writerow([given.number, given.customer, given.month, line.kind, line.tariff, line.unit, line.quantity, line.lot, told["price"], told["amount"], given.currency])  # fmt: skip
    table.writerow([given.number, given.customer, given.month, "total", "", "", "", "", "", format(given.total, "f"), given.currency])  # fmt: skip
    return out.getvalue()


def to_html(given: Invoice, *, seller: str = "", language: str = "en") -> str:
    """A page to print, without scripts; every text is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = WORDS[language]
    template = environment.from_string((files("modelyard.accounts") / "invoice.html").read_text(encoding="utf-8"))
    return template.render(
        invoice=given.describe(), seller=seller, words=words, lines=_told(given, words), language=language
    )


def to_pdf(given: Invoice, *, seller: str = "") -> bytes:
    """The same as PDF, in English. Needs the extra `invoices`."""
    try:
        from reportlab.lib import colors
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont
        from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
    except ImportError:
        raise MissingExtra("an invoice as PDF", "invoices") from None
    from html import escape

    words, styles = WORDS["en"], getSampleStyleSheet()
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))  # names may be Chinese; the reader's program has the font
    for style in ("Title", "Normal"):
        styles[style].fontName = "Helvetica" if (given.name + seller).isascii() else "STSong-Light"
    rows = [[words["what"], words["quantity"], words["price"], words["amount"]]]
    rows += [[each["what"], each["quantity"], each["price"], each["amount"]] for each in _told(given, words)]
    rows.append([words["total"], "", "", f"{given.total:,f} {given.currency}"])
    lines = TableStyle(
        [("ALIGN", (1, 0), (-1, -1), "RIGHT"), ("LINEBELOW", (0, 0), (-1, 0), 1, colors.black),
         ("LINEABOVE", (0, -1), (-1, -1), 1, colors.black), ("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold")]
    )  # fmt: skip
    title = words["invoice"] if given.final else words["preview"]
    head = [f"{words['number']} {given.number}", f"{words['month']} {given.month}", f"{words['to']} {given.name}", f"{words['plan']} {given.plan}"]  # fmt: skip
    story = [Paragraph(escape(seller), styles["Normal"]), Paragraph(title, styles["Title"])]
    story += [Paragraph(escape(text), styles["Normal"]) for text in head]
    story += [Spacer(1, 16), Table(rows, colWidths=[230, 90, 90, 90], style=lines), Spacer(1, 12)]
    story.append(Paragraph(words["taxes"], styles["Normal"]))
    out = io.BytesIO()
    SimpleDocTemplate(out, pagesize=A4, title=given.number, invariant=1).build(story)
    return out.getvalue()


def _describe(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind, "tariff": line.tariff, "unit": line.unit, "quantity": line.quantity, "lot": line.lot,
        "price": format(line.price, "f"), "amount": format(line.amount, "f"),
    }  # fmt: skip


def _told(given: Invoice, words: Mapping[str, str]) -> list[dict[str, str]]:
    """Lines for people."""
    found = []
    for line in given.lines:
        what = words[f"line_{line.kind}"].format(
            plan=given.plan,
            unit=line.unit,
            days=line.quantity,
            of=line.lot,
            share=f"{line.price * 100:f}".rstrip("0").rstrip("."),
        )
        batch = words["batch"] if line.tariff == "batch" and line.kind != "discount" else ""
        per = "" if line.lot == 1 or line.kind == "price" else f" / {line.lot:,}"
        found.append({
            "what": what + batch,
            "quantity": "" if line.kind in ("price", "discount") else f"{line.quantity:,}",
            "price": "" if line.kind == "discount" else f"{line.price:,f}{per}",
            "amount": f"{line.amount:,f}",
        })  # fmt: skip
    return found


WORDS = {
    "en": {
        "invoice": "Invoice", "preview": "Preview of an invoice: the month is not over", "number": "Number", "month": "Month",
        "to": "For", "plan": "Plan", "what": "What", "quantity": "Quantity", "price": "Price", "amount": "Amount",
        "total": "Total", "taxes": "Taxes are not included.", "batch": " (batch)", "corrections": "Corrections",
        "reason": "Reason", "units": "Units", "usage": "Use in the month", "line_price": "Plan {plan}, {days} of {of} days",
        "line_overage": "Requests beyond the included volume", "line_units": "{unit}", "line_discount": "Batch discount, {share} %",
        "counted": "entries of the ledger are in this sum.",
    },
    "zh": {
        "invoice": "账单", "preview": "账单预览：本月尚未结束", "number": "编号", "month": "月份", "to": "客户", "plan": "套餐",
        "what": "项目", "quantity": "数量", "price": "单价", "amount": "金额", "total": "合计", "taxes": "不含税。", "batch": "（批处理）",
        "corrections": "更正", "reason": "原因", "units": "单位", "usage": "本月用量", "line_price": "套餐 {plan}，{of} 天中的 {days} 天",
        "line_overage": "超出包含量的请求", "line_units": "{unit}", "line_discount": "批处理折扣 {share} %",
        "counted": "条账本记录计入此金额。",
    },
}  # fmt: skip
"""What stands on an invoice, in each language."""
