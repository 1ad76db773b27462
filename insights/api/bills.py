"""The reading side of bills: invoices with lines, steps and terms, credits and prices, by keys with bills:read."""

from __future__ import annotations

import re
import uuid
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import READ_BILLS
from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bill_cursor import read_place, write_place
from insights.api.endpoint import ReadEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.negotiation import CSV
from insights.api.parameters import choice, limit_of, query_pairs, single_values
from insights.billing.bill import Bill, BillStatus
from insights.billing.bill_document import bill_document, head_document, instant_text, segment_document
from insights.billing.bill_pdf import render_invoice_pdf
from insights.billing.bill_queries import (
    PDF_TYPE,
    BillFilter,
    find_invoice_file,
    get_bill,
    list_bills,
    list_prices_in_force,
)
from insights.billing.credit_balance import CreditBalance
from insights.billing.credit_queries import get_credit_balance
from insights.billing.price_words import money_number, price_words, sheet_price_rows
from insights.explain.conservation_document import conservation_document
from insights.explain.conservation_queries import account_for
from insights.explain.line_document import proof_document
from insights.explain.line_queries import prove_line
from insights.exports.bill_rows import as_csv, line_rows
from insights.values.period import start_of_day

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
STATUSES = tuple(str(status) for status in BillStatus)


class BillsEndpoint(ReadEndpoint):
    """An address that only keys with bills:read open."""

    required_scope = READ_BILLS

    def find_bill(self, invoice_id: uuid.UUID) -> Bill:
        """The bill of the key's account with this id, or 404."""
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            bill = get_bill(account, public_id=invoice_id, now=timezone.now())
        if bill is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return bill


class InvoiceList(BillsEndpoint):
    """The account's invoices."""

    @extend_schema(**bill_schema.LIST_INVOICES)
    def get(self, request: Request) -> Response:
        """List invoices, newest period first, drafts among them."""
        values = single_values(query_pairs(request), allowed=("status", "from", "to", "limit", "cursor"))
        limit = limit_of(values)
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            chosen = _chosen(values, account)
            after = None
            question = f"{chosen.status} {chosen.from_at} {chosen.to_at}"
            if "cursor" in values:
                after = read_place(values["cursor"], account_id=account.pk, question=question)
            page = list_bills(account, now=timezone.now(), limit=limit, after=after, chosen=chosen)
        place = page.next_place
        cursor = place and write_place(place, account_id=account.pk, question=question)
        return Response({"invoices": [head_document(head) for head in page.heads], "next_cursor": cursor})


class InvoiceDetail(BillsEndpoint):
    """One invoice with its lines."""

    @extend_schema(**bill_schema.READ_INVOICE)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Read an invoice with the steps and terms of every line.

        Of an issued one, `ETag` stays until its status, or what later invoices correct of it, changes.
        """
        single_values(query_pairs(request), allowed=())
        bill = self.find_bill(invoice_id)
        tag = _tag(bill)
        if tag and tag in _tags(request):
            return HttpResponseNotModified(headers={"ETag": tag})
        return Response(bill_document(bill), headers={"ETag": tag} if tag else {})


class InvoiceLine(BillsEndpoint):
    """One line of an invoice, proved."""

    @extend_schema(**bill_schema.READ_LINE)
    def get(self, request: Request, invoice_id: uuid.UUID, position: int) -> Response:
        """Read what stands behind a line, and whether it comes out the same again."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            bill = get_bill(account, public_id=invoice_id, now=timezone.now())
            proof = prove_line(account, bill, position=position, now=timezone.now()) if bill else None
        if bill is None or proof is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return Response(proof_document(bill, proof))


class InvoiceConservation(BillsEndpoint):
    """Where all usage of an invoice's period went."""

    @extend_schema(**bill_schema.READ_CONSERVATION)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read what was billed, what was not and why; the residual of each meter is zero."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            bill = get_bill(account, public_id=invoice_id, now=timezone.now())
            found = account_for(account, bill) if bill else None
        if found is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return Response(conservation_document(found))


class InvoiceCsv(BillsEndpoint):
    """The lines of an invoice as CSV."""

    produces = CSV

    @extend_schema(**bill_schema.READ_INVOICE_CSV)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Download the lines of an invoice in its order."""
        single_values(query_pairs(request), allowed=())
        bill = self.find_bill(invoice_id)
        return HttpResponse(as_csv(line_rows(bill)), content_type="text/csv; charset=utf-8")


class InvoicePdf(BillsEndpoint):
    """The file of an invoice."""

    produces = PDF_TYPE

    @extend_schema(**bill_schema.READ_INVOICE_PDF)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Download the PDF as it was made at issue; of a draft, one made now and marked so."""
        single_values(query_pairs(request), allowed=())
        bill = self.find_bill(invoice_id)
        if not bill.head.is_issued:
            return HttpResponse(render_invoice_pdf(bill), content_type=PDF_TYPE)
        with account_scope(self.account_id, read_only=True):
            content = find_invoice_file(Account.objects.get(pk=self.account_id), public_id=invoice_id)
        if content is None:
            raise Problem(
                "not_filed", "The PDF of this invoice is being made; ask again in a minute.", retry_after=60
            )
        return HttpResponse(content, content_type=PDF_TYPE)


class CreditList(BillsEndpoint):
    """The account's credits."""

    @extend_schema(**bill_schema.LIST_CREDITS)
    def get(self, request: Request) -> Response:
        """List every credit with what is left of it and every use, newest first."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            balance = get_credit_balance(Account.objects.get(pk=self.account_id))
        return Response(_credits(balance, timezone.now()))


class PriceList(BillsEndpoint):
    """The account's prices."""

    @extend_schema(**bill_schema.LIST_PRICES)
    def get(self, request: Request) -> Response:
        """List the plans in force with every price, as terms and in words."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            in_force = list_prices_in_force(Account.objects.get(pk=self.account_id), now=timezone.now())
        subscriptions = [
            {
                "name": one.head.subscription_name,
                "invoice": str(one.head.public_id),
                "plans": [
                    {
                        **segment_document(segment),
                        "words": [
                            {
                                "price": price.key,
                                "part": what,
                                "words": price_words(terms),
                                "is_own": (segment.sheet.plan_key, price.key) in one.own,
                            }
                            for price in segment.sheet.prices
                            for what, terms in sheet_price_rows(price)
                        ],
                    }
                    for segment in one.segments
                ],
            }
            for one in in_force
        ]
        return Response({"subscriptions": subscriptions})


def _chosen(values: dict[str, str], account: Account) -> BillFilter:
    """Which invoices: a status, and periods that begin on days of the billing zone."""
    status = BillStatus(choice(values, "status", choices=STATUSES)) if "status" in values else None
    zone = ZoneInfo(account.billing_zone)
    from_day, to_day = _day(values, "from"), _day(values, "to")
    if from_day and to_day and to_day < from_day:
        raise Problem("range", "from must not be after to.", field="to")
    return BillFilter(
        status=status,
        from_at=start_of_day(from_day, zone) if from_day else None,
        to_at=start_of_day(date.fromordinal(to_day.toordinal() + 1), zone) if to_day else None,
    )


def _day(values: dict[str, str], name: str) -> date | None:
    text = values.get(name)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2100:
        raise Problem("date_format", f"{name} must be a day from 2000 to 2100, YYYY-MM-DD.", field=name)
    return day


def _tag(bill: Bill) -> str:
    """What an issued invoice and everything beside it that may change come to; empty for one that may change itself."""
    if not bill.head.is_issued:
        return ""
    later = "-".join(number for _, number in bill.corrected_by)
    return f'"{bill.sha256}-{bill.head.status}-{later}"'


def _tags(request: Request) -> set[str]:
    sent = request.headers.get("If-None-Match", "")
    return {tag.strip().removeprefix("W/") for tag in sent.split(",")}


def _credits(balance: CreditBalance, now: datetime) -> dict[str, Any]:
    return {
        "balances": [
            {"currency": money.currency, "amount": money_number(money)} for money in balance.usable(now)
        ],
        "credits": [
            {
                "id": str(grant.public_id),
                "name": grant.name,
                "kind": grant.kind,
                "reason": grant.reason,
                "currency": grant.amount.currency,
                "amount": money_number(grant.amount),
                "used": money_number(grant.used),
                "usable": money_number(grant.usable(now)),
                "granted_at": instant_text(grant.granted_at),
                "expires_at": instant_text(grant.expires_at),
                "covers": None if grant.covers is None else list(grant.covers),
                "priority": grant.priority,
                "is_before_tax": grant.is_before_tax,
                "uses": [
                    {
                        "invoice": str(use.bill_id),
                        "number": use.number or None,
                        "amount": money_number(use.amount),
                        "used_at": instant_text(use.used_at),
                        "is_return": use.is_return,
                    }
                    for use in grant.uses
                ],
                "payouts": [
                    {
                        "amount": money_number(paid.amount),
                        "paid_on": paid.paid_on.isoformat(),
                        "reference": paid.reference,
                        "recorded_at": instant_text(paid.recorded_at),
                    }
                    for paid in grant.payouts
                ],
            }
            for grant in balance.grants
        ],
    }
