"""Page, API, CSV and PDF of the same bill say the same amounts, for generated bills of every kind of currency."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from random import Random
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from pypdf import PdfReader

from accounts.tenancy import account_scope
from insights.billing.bill import Bill
from insights.billing.bill_pdf import REPLACEMENT, printable, render_invoice_pdf
from insights.billing.bill_queries import get_bill
from insights.billing.price_words import money_words
from insights.models import Invoice
from insights.rating.charges import Package, Packages, Percentage, PerUnit
from insights.rating.invoice import InvoiceTerms
from insights.rating.terms import Bound, Discount, PriceTerms
from insights.values.money import Money
from insights.values.quantity import MINUS
from tests import factories
from tests.billing.bills import (
    NOVEMBER,
    TAX,
    LineSpec,
    flat,
    gigabytes,
    line_named,
    make_grant,
    make_invoice,
    requests_in_tiers,
)
from tests.conftest import Cast

pytestmark = pytest.mark.database
NOW = datetime(2026, 12, 10, 12, tzinfo=UTC)
NAMES = (
    "Data out",
    "Ρυθμός",
    "Запросы",
    "日本 traffic",
    "<b>&amp;</b>",
    "=cmd|'x'",
    "a" * 150,
    'quo"te, comma',
)


def generated_lines(random: Random, currency: str, count: int) -> list[LineSpec]:
    """Lines of every charge model in turn, with quantities of all sizes, nothing and fractions among them."""
    fees = PriceTerms(
        currency=currency,
        unit=currency,
        charge=Percentage(percent=Decimal("2.9"), fixed_amount=Decimal("0.3"), count_meter="payments"),
        minimum=Bound(amount=Decimal(1)),
    )
    packs = PriceTerms(
        currency=currency,
        unit="events",
        charge=Package(amount=Decimal("0.25"), size=Decimal(3000), counting=Packages.PRO_RATA),
        discounts=(Discount(percent=Decimal("12.5")),),
    )
    free = PriceTerms(
        currency=currency,
        unit="hour",
        charge=PerUnit(unit_amount=Decimal(1)),
        exempt_reason="part of the beta",
    )
    kinds = [gigabytes(currency), requests_in_tiers(currency), fees, packs, free, flat(currency, "19.995")]
    return [
        LineSpec(
            name=f"{random.choice(NAMES)} {number}",
            terms=kinds[number % len(kinds)],
            quantity=Decimal(random.choice([0, 1, 62_500_000_000, random.randrange(10**13)])),
            meter_key="" if number % len(kinds) == 5 else f"meter_{number}",
            values={"region": random.choice(["eu-west", "", "Ελλάδα"])} if number % 2 else {},
        )
        for number in range(count)
    ]


@pytest.fixture(autouse=True)
def at_noon() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def amounts_of_page(html: str) -> Counter[str]:
    """The amounts of the rows of lines, as they are printed."""
    cells = re.findall(r'<tr class="bill-line[^>]*>.*?<td class="num">([^<]+)</td>\s*</tr>', html, re.DOTALL)
    return Counter(unescape(cell) for cell in cells)


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_the_same_amounts_four_ways(cast: Cast, signed_in: Any, currency: str, count: int) -> None:
    random = Random(f"{currency} {count}")
    data = LineSpec(
        name="Data out", terms=gigabytes(currency), quantity=Decimal(62_500_000_000), meter_key="bytes_out"
    )
    earlier = make_invoice(cast.ours, currency=currency, lines=[data])
    corrected = replace(data, quantity=Decimal(0), corrects=line_named(earlier, "Data out"))
    terms = InvoiceTerms(
        currency=currency,
        taxes=TAX,
        discounts=(Discount(percent=Decimal(10)),),
        minimum=Bound(amount=Decimal(5)),
    )
    grant = make_grant(cast.ours, minor=1234, currency=currency)
    lines = [*generated_lines(random, currency, count), corrected]
    invoice = make_invoice(
        cast.ours, currency=currency, lines=lines, terms=terms, granted=[grant], period=NOVEMBER
    )
    bill = read(cast, invoice)
    _, key = factories.make_api_key(cast.ours, created_by=cast.owner, scopes=["bills:read"])

    page = signed_in(cast.viewer).get(reverse("bill-detail", args=[cast.ours.public_id, invoice.public_id]))
    client = signed_in(None, headers={"Authorization": f"Bearer {key}"})
    document = client.get(f"/api/v1/invoices/{invoice.public_id}").json()
    rows = csv.DictReader(
        io.StringIO(client.get(f"/api/v1/invoices/{invoice.public_id}.csv").content.decode())
    )
    printed = text_of(render_invoice_pdf(bill))

    stored = [line.amount for line in bill.lines]
    assert sum(money.minor for money in stored) == int(invoice.total_minor)
    assert any(money.minor < 0 for money in stored)
    texts = Counter(money_words(money) for money in stored)
    numbers = Counter(f"{money.amount:f}" for money in stored)
    assert amounts_of_page(page.content.decode()) == texts
    assert Counter(line["amount"] for line in document["lines"]) == numbers
    assert Counter(row["amount"] for row in rows) == numbers
    found = Counter(re.findall(rf"{MINUS}?[0-9][0-9,.]* {currency}(?= ?$)", printed, re.MULTILINE))
    assert {text: min(found[text], number) for text, number in texts.items()} == dict(texts)
    total = money_words(Money(int(invoice.total_minor), currency))
    assert document["total"] == f"{bill.total.amount:f}"
    assert f"You pay <strong>{total}</strong>" in page.content.decode() or not bill.total.minor
    assert total in printed


def read(cast: Cast, invoice: Invoice) -> Bill:
    with account_scope(cast.ours.pk, read_only=True):
        bill = get_bill(cast.ours, public_id=invoice.public_id, now=NOW)
    assert bill is not None
    return bill


class TestPdf:
    def test_has_its_head_on_every_page_and_counts_them(self, cast: Cast) -> None:
        lines = generated_lines(Random(7), "EUR", 60)
        bill = read(cast, make_invoice(cast.ours, lines=lines))

        pages = [page.extract_text() for page in PdfReader(io.BytesIO(render_invoice_pdf(bill))).pages]

        assert len(pages) > 2
        for number, text in enumerate(pages, 1):
            assert f"Page {number} of {len(pages)}" in text
            assert f"Invoice {bill.head.number}" in text
            if number < len(pages):
                assert "Description" in text

    def test_the_same_bill_gives_the_same_bytes_whatever_became_of_it(self, cast: Cast) -> None:
        invoice = make_invoice(cast.ours)
        bill = read(cast, invoice)
        with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False):
            later = read(cast, invoice)
            again = render_invoice_pdf(later)

        assert render_invoice_pdf(bill) == again

    def test_every_script_is_printed_and_what_is_not_is_seen(self, cast: Cast) -> None:
        lines = [LineSpec(name="Ωμέγα Жук ß 日本\x07", terms=flat("EUR", "1"))]
        bill = read(cast, make_invoice(cast.ours, lines=lines))

        text = text_of(render_invoice_pdf(bill))

        assert f"Ωμέγα Жук ß {REPLACEMENT * 3}" in text
        assert printable("a\u202fb") == "a\u202fb"

    def test_a_draft_says_so_on_every_page(self, cast: Cast) -> None:
        lines = generated_lines(Random(8), "EUR", 40)
        bill = read(cast, make_invoice(cast.ours, lines=lines, state="draft"))

        for page in PdfReader(io.BytesIO(render_invoice_pdf(bill))).pages:
            assert "Draft, not an invoice" in page.extract_text()

    def test_a_line_longer_than_a_page_is_printed(self, cast: Cast) -> None:
        lines = [
            LineSpec(
                name="Data out",
                terms=gigabytes(),
                quantity=Decimal(10**10),
                meter_key="bytes_out",
                values={"endpoint": "x" * 20_000},
            )
        ]
        bill = read(cast, make_invoice(cast.ours, lines=lines))

        assert text_of(render_invoice_pdf(bill)).count("x") > 19_000
