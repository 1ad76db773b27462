"""Every worked bill, step by step, against what its author calculated by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from insights.billing.periods import period_containing
from insights.rating.credits import Credit
from insights.rating.invoice import InvoiceLine, InvoiceTerms, LineKind, total_invoice
from insights.rating.plan_change import rate_segments
from insights.rating.proration import share_of
from insights.rating.rate import RatedLine, Usage, rate_line
from insights.rating.terms import Bound, Discount
from insights.rating.terms_json import parse_terms, terms_document
from insights.values.exact import exact_number_text
from insights.values.money import Money, minor_of
from insights.values.step import parse_step, step_document
from tests.bills import reading
from tests.bills.reading import Bill
from tests.rating.proof import proved_amount

BILLS = reading.read_bills()
LINE_BILLS = [bill for bill in BILLS if "lines" in bill.document]
SEGMENT_BILLS = [bill for bill in BILLS if "segments" in bill.document]
INVOICE_BILLS = [bill for bill in BILLS if "invoice" in bill.document]


def named(bills: list[Bill]) -> Any:
    return pytest.mark.parametrize("bill", bills, ids=[bill.name for bill in bills])


def rated_lines(bill: Bill) -> list[RatedLine]:
    period = reading.period_of(bill)
    lines = []
    for line in bill.document["lines"]:
        share = share_of(reading.service_of(line), period) if period and "service" in line else None
        already = line.get("already_rated")
        lines.append(
            rate_line(
                reading.terms_of(bill, line),
                reading.usage_of(line),
                already_rated=None if already is None else Usage(Decimal(already)),
                segment=reading.segment_of(line, share),
            )
        )
    return lines


def check_line(rated: RatedLine, expected: Mapping[str, Any]) -> None:
    assert str(rated.amount.amount) == expected["amount"]
    assert exact_number_text(rated.billed_quantity) == expected["billed_quantity"]
    documents = [step_document(step) for step in rated.steps]
    assert len(documents) == len(expected["steps"])
    for document, step in zip(documents, expected["steps"], strict=True):
        assert {name: document[name] for name in step} == step


def check_sums(rated: RatedLine, *, is_piece: bool) -> None:
    currency = rated.amount.currency
    assert sum(step.amount_minor for step in rated.steps) == rated.amount.minor
    if not is_piece:
        assert Money.rounded(rated.exact_amount, currency) == rated.amount
    assert all(abs(step.amount_minor - minor_of(step.amount, currency)) < 1 for step in rated.steps)
    assert [proved_amount(step) for step in rated.steps] == [step.amount for step in rated.steps]
    assert (
        tuple(parse_step(json.loads(json.dumps(step_document(step)))) for step in rated.steps) == rated.steps
    )


def test_there_are_enough_and_each_shows_its_arithmetic() -> None:
    assert len(BILLS) >= 40
    assert [bill.name for bill in BILLS if not bill.text.startswith("# ")] == []
    assert [bill.name for bill in BILLS if not bill.document.get("title")] == []


def test_every_charge_model_and_policy_has_a_bill() -> None:
    texts = "".join(bill.text for bill in BILLS)

    for model in ("flat", "per_unit", "graduated", "volume", "package", "percentage", "graduated_percentage"):
        assert f'model = "{model}"' in texts
    assert 'model = "stairstep"' in texts
    for policy in ("restart", "continue", "shared_by_time"):
        assert f'opened_by = "{policy}"' in texts


@named(LINE_BILLS)
def test_lines_come_to_what_was_calculated_by_hand(bill: Bill) -> None:
    for rated, expected in zip(rated_lines(bill), bill.document["lines"], strict=True):
        check_line(rated, expected)
        check_sums(rated, is_piece="already_rated" in expected)


@named(SEGMENT_BILLS)
def test_segments_come_to_what_was_calculated_by_hand(bill: Bill) -> None:
    period = reading.period_of(bill)
    assert period is not None
    expected = bill.document["segments"]

    rated = rate_segments(period, [reading.plan_segment_of(bill, line) for line in expected])

    for line, wanted in zip(rated, expected, strict=True):
        check_line(line, wanted)
        check_sums(line, is_piece=False)


@named([bill for bill in BILLS if "anchor" in bill.document])
def test_the_period_of_a_bill_comes_from_its_anchor(bill: Bill) -> None:
    anchor, period = reading.anchor_of(bill), reading.period_of(bill)
    assert anchor is not None
    assert period is not None

    assert period_containing(anchor, period.start) == period


@named(LINE_BILLS + [bill for bill in SEGMENT_BILLS if "terms" in bill.document])
def test_terms_of_a_bill_are_read_back_as_they_were(bill: Bill) -> None:
    for line in bill.document.get("lines", bill.document.get("segments")):
        terms = reading.terms_of(bill, line)
        assert parse_terms(json.loads(json.dumps(terms_document(terms)))) == terms


def invoice_terms(table: Mapping[str, Any]) -> InvoiceTerms:
    def bound(name: str) -> Bound | None:
        return Bound(amount=Decimal(table[name]["amount"])) if name in table else None

    return InvoiceTerms(
        currency=table["currency"],
        discounts=tuple(
            Discount(**{name: Decimal(value) for name, value in discount.items()})
            for discount in table.get("discounts", [])
        ),
        minimum=bound("minimum"),
        maximum=bound("maximum"),
        minimum_taxes=tuple(table.get("minimum_taxes", [])),
        taxes={key: Decimal(percent) for key, percent in table.get("taxes", {}).items()},
    )


def minor_from(text: str, currency: str) -> int:
    minor = minor_of(Decimal(text), currency)
    assert minor.denominator == 1
    return minor.numerator


def given_lines(bill: Bill, currency: str) -> list[InvoiceLine]:
    rated = zip(rated_lines(bill), bill.document["lines"], strict=True) if "lines" in bill.document else []
    from_lines = [
        InvoiceLine(
            key=line["key"],
            kind=LineKind.CHARGE,
            minor=each.amount.minor,
            takes_credit=line.get("takes_credit", False),
        )
        for each, line in rated
    ]
    given = [
        InvoiceLine(
            key=line["key"],
            kind=LineKind(line.get("kind", "charge")),
            minor=minor_from(line["amount"], currency),
            price=line.get("price", ""),
            taxes=tuple(line.get("taxes", [])),
            takes_credit=line.get("takes_credit", False),
        )
        for line in bill.document["invoice"].get("given", [])
    ]
    return from_lines + given


def credit_of(table: Mapping[str, Any], currency: str) -> Credit:
    return Credit(
        key=table["key"],
        remaining_minor=minor_from(table["remaining"], currency),
        granted_at=reading.instant(table["granted_at"]),
        expires_at=reading.instant(table["expires_at"]) if "expires_at" in table else None,
        priority=table.get("priority", 100),
        covers=frozenset(table["covers"]) if "covers" in table else None,
        is_before_tax=table.get("is_before_tax", True),
    )


@named(INVOICE_BILLS)
def test_invoices_come_to_what_was_calculated_by_hand(bill: Bill) -> None:
    table = bill.document["invoice"]
    currency = table["currency"]
    given = given_lines(bill, currency)

    rated = total_invoice(
        given,
        invoice_terms(table),
        granted=[credit_of(each, currency) for each in table.get("credits", [])],
        at=reading.instant(table["at"]),
    )

    made = rated.lines[len(given) :]
    assert list(rated.lines[: len(given)]) == given
    assert [(line.key, line.kind.value, line.minor, dict(line.allotted)) for line in made] == [
        (line["key"], line["kind"], minor_from(line["amount"], currency), line.get("allotted", {}))
        for line in table["made"]
    ]
    assert str(rated.total.amount) == table["total"]
    assert sum(line.minor for line in rated.lines) == rated.total.minor
    assert sum(Fraction(use.minor) for use in rated.credits) == -sum(
        line.minor for line in made if line.kind is LineKind.CREDIT
    )
