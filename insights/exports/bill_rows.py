"""Bills, their lines, credits and prices as rows of a CSV: the same figures as on pages, without grouping. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from insights.billing.bill import Bill, BillHead, PlanSegment
from insights.billing.bill_document import instant_text
from insights.billing.credit_balance import CreditBalance
from insights.billing.price_words import money_number, price_words, sheet_price_rows
from insights.billing.words import line_sentence, values_words
from insights.exports.formatting import csv_lines, safe_text
from insights.values.exact import exact_number_text
from insights.values.quantity import exact_text

BILL_COLUMNS = (
    "number", "id", "kind", "status", "subscription", "period_start", "period_end", "zone", "currency", "total",
    "amount_due", "issued_at", "due_at",
)  # fmt: skip
LINE_COLUMNS = (
    "bill", "position", "group", "kind", "name", "meter", "values", "plan", "plan_version", "service_start",
    "service_end", "metered_quantity", "quantity", "unit", "price", "amount", "currency", "in_words", "corrects_bill",
)  # fmt: skip
CREDIT_COLUMNS = (
    "credit", "kind", "currency", "granted_at", "expires_at", "event", "at", "bill", "amount", "remaining", "priority",
    "used",
)  # fmt: skip
PRICE_COLUMNS = (
    "subscription", "plan", "version", "in_force_since", "price", "meter", "for", "unit", "in_words", "own_price",
)  # fmt: skip


def as_csv(rows: Iterable[Iterable[str]]) -> bytes:
    """The rows as a file whose texts no spreadsheet takes for formulas; amounts below zero stay numbers."""
    return b"".join(csv_lines(rows))


def bill_rows(heads: Iterable[BillHead]) -> Iterator[list[str]]:
    """Bills without their lines, under a heading."""
    yield list(BILL_COLUMNS)
    for head in heads:
        yield [
            safe_text(head.number),
            str(head.public_id),
            head.kind,
            str(head.status),
            safe_text(head.subscription_name),
            instant_text(head.period.start) or "",
            instant_text(head.period.end) or "",
            head.zone,
            head.currency,
            money_number(head.total),
            money_number(head.due),
            instant_text(head.issued_at) or "",
            instant_text(head.due_at) or "",
        ]


def line_rows(bill: Bill) -> Iterator[list[str]]:
    """The lines of a bill in its order, under a heading."""
    yield list(LINE_COLUMNS)
    for section in bill.sections:
        for line in section.lines:
            corrected = line.corrects
            yield [
                safe_text(bill.head.number or str(bill.head.public_id)),
                str(line.position),
                str(line.group),
                str(line.kind),
                safe_text(line.name),
                line.meter_key,
                safe_text(values_words(line)),
                line.plan_key,
                "" if line.plan_version is None else str(line.plan_version),
                instant_text(line.service_start) or "",
                instant_text(line.service_end) or "",
                "" if line.metered_quantity is None else exact_text(line.metered_quantity),
                "" if line.billed_quantity is None else exact_number_text(line.billed_quantity),
                safe_text(line.unit),
                safe_text(price_words(line.terms)) if line.terms else "",
                money_number(line.amount),
                line.amount.currency,
                safe_text(line_sentence(line)),
                safe_text(corrected.number or str(corrected.bill_id)) if corrected else "",
            ]


def credit_rows(balance: CreditBalance) -> Iterator[list[str]]:
    """Every grant, every use of it and what was paid out of it, under a heading."""
    yield list(CREDIT_COLUMNS)
    for grant in balance.grants:
        head = [
            safe_text(grant.name),
            grant.kind,
            grant.amount.currency,
            instant_text(grant.granted_at) or "",
            instant_text(grant.expires_at) or "",
        ]
        tail = [
            money_number(grant.remaining),
            str(grant.priority),
            "before tax" if grant.is_before_tax else "after tax",
        ]
        yield [*head, "granted", head[3], "", money_number(grant.amount), *tail]
        for use in grant.uses:
            yield [
                *head,
                "given back" if use.is_return else "used",
                instant_text(use.used_at) or "",
                safe_text(use.number or str(use.bill_id)),
                money_number(-use.amount),
                *tail,
            ]
        for paid in grant.payouts:
            yield [*head, "paid out", paid.paid_on.isoformat(), "", money_number(-paid.amount), *tail]


def price_rows(
    subscription: str, segments: Iterable[PlanSegment], own: frozenset[tuple[str, str]]
) -> Iterator[list[str]]:
    """Every price of the plans in force, one row for each part of it, without a heading."""
    for segment in segments:
        sheet = segment.sheet
        for price in sheet.prices:
            for what, terms in sheet_price_rows(price):
                yield [
                    safe_text(subscription),
                    safe_text(sheet.plan_name),
                    str(sheet.version),
                    instant_text(sheet.effective_from) or "",
                    safe_text(price.name),
                    price.meter_key,
                    safe_text(what),
                    safe_text(terms.priced_unit),
                    safe_text(price_words(terms)),
                    "yes" if (sheet.plan_key, price.key) in own else "no",
                ]
