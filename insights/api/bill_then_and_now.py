"""An invoice as known at a moment against the invoice as it would be now, and the records in between."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import READ_USAGE
from accounts.models import Account
from accounts.reading_rights import is_live_key
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bills import BillsEndpoint
from insights.api.downloads import refuse_for_slots
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.moved_cursor import read_moved_place, write_moved_place
from insights.api.negotiation import CSV
from insights.api.parameters import choice, limit_of, query_pairs, single_values
from insights.billing.bill import Bill
from insights.billing.bill_document import instant_text
from insights.billing.bill_queries import get_bill
from insights.explain.then_and_now import ThenAndNow
from insights.explain.then_and_now_document import then_and_now_document
from insights.explain.then_and_now_queries import compare_then_and_now
from insights.exports.between_queries import MovedRecord, bill_lines_of, list_records_between, moved_copy
from insights.exports.operations import DownloadRequest, TooManyDownloads, open_download
from insights.exports.queries import CHANGES
from insights.exports.stream import bound_each_send, download_headers, wants_gzip
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.known_moment import KNOWN_PARAMETERS, read_known
from insights.metering.meter_queries import list_dimension_keys
from insights.values.quantity import exact_text


class ThenAndNowEndpoint(BillsEndpoint):
    """What reads a bill at two moments."""

    def read(self, invoice_id: uuid.UUID, values: dict[str, str]) -> tuple[Account, Bill, ThenAndNow]:
        """The comparison that the parameters ask for, or 404; inside the scope of the key's account."""
        account = Account.objects.get(pk=self.account_id)
        bill = get_bill(account, public_id=invoice_id, now=timezone.now())
        if bill is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        faults: list[Fault] = []
        given = {name: values[name] for name in KNOWN_PARAMETERS if name in values}
        known = read_known(given, zone=ZoneInfo(bill.head.zone), now=timezone.now(), faults=faults)
        if faults:
            raise UsageFilterRefused(faults)
        return account, bill, compare_then_and_now(account, bill, known=known)

    def refuse_without_usage(self) -> None:
        """Refuse a key that may read bills and no records."""
        if READ_USAGE not in self.key_facts.scopes:
            raise Problem("permission_denied", "These are usage records: the key needs usage:read too.")


class InvoiceThenAndNow(ThenAndNowEndpoint):
    """Both sides of an invoice, line by line."""

    @extend_schema(**bill_schema.READ_THEN_AND_NOW)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read what the invoice came to at a moment and would come to now; residuals are zero."""
        values = single_values(query_pairs(request), allowed=KNOWN_PARAMETERS)
        with account_scope(self.account_id, read_only=True):
            _, _, found = self.read(invoice_id, values)
        return Response(then_and_now_document(found))


class InvoiceMovedRecords(ThenAndNowEndpoint):
    """The records between both sides, page by page."""

    @extend_schema(**bill_schema.LIST_MOVED_RECORDS)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """List every record that came or went between the moments, by series and time."""
        values = single_values(query_pairs(request), allowed=(*KNOWN_PARAMETERS, "limit", "cursor"))
        self.refuse_without_usage()
        limit = limit_of(values)
        question = f"{invoice_id} {values.get('known_at')} {values.get('position')}"
        after = None
        if "cursor" in values:
            after = read_moved_place(values["cursor"], account_id=self.account_id, question=question)
        with account_scope(self.account_id, read_only=True):
            _, _, found = self.read(invoice_id, values)
            rows = list_records_between(found, after=after, limit=limit + 1)
        shown = rows[:limit]
        cursor = None
        if len(rows) > limit:
            cursor = write_moved_place(shown[-1].at, account_id=self.account_id, question=question)
        lines = bill_lines_of(found)
        return Response(
            {
                "position_then": found.then.position,
                "position_now": found.now.position,
                "records": [_record(row, lines[row.place]) for row in shown],
                "next_cursor": cursor,
            }
        )


class InvoiceMovedRecordsCsv(ThenAndNowEndpoint):
    """The records between both sides as CSV."""

    produces = CSV

    @extend_schema(**bill_schema.DOWNLOAD_MOVED_RECORDS)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Stream every record that came or went between the moments."""
        values = single_values(query_pairs(request), allowed=(*KNOWN_PARAMETERS, "raw"))
        self.refuse_without_usage()
        raw = choice(values, "raw", choices=("0", "1"), default="0") == "1"
        with account_scope(self.account_id, read_only=True):
            account, bill, found = self.read(invoice_id, values)
            source = moved_copy(
                found.between,
                period=bill.head.period,
                bill_lines=bill_lines_of(found),
                dimension_keys=list_dimension_keys(account),
                raw=raw,
            )
        if request.method == "HEAD":
            return HttpResponse(content_type="text/csv; charset=utf-8")
        coded = wants_gzip(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        then, now = found.then.position, found.now.position
        asked = DownloadRequest(
            account_id=self.account_id,
            kind=CHANGES,
            query=f"bill={invoice_id}&position={then}&until={now}",
            asked_by=f"API key {self.key_facts.name}",
        )
        may_read = partial(is_live_key, key_id=self.key_facts.key_id, account_id=self.account_id)
        try:
            download = open_download(request=asked, source=source, compress=coded, still_allowed=may_read)
        except TooManyDownloads:
            raise refuse_for_slots() from None
        bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
        name = f"invoice-{invoice_id}-records-from-{then}-to-{now}.csv"
        headers = download_headers(download_id=download.public_id, file_name=name, as_file=False, coded=coded)
        return StreamingHttpResponse(download.stream, headers=headers)

    def head(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Check the query and answer with headers only; nothing is opened or noted."""
        return self.get(request, invoice_id)


def _record(row: MovedRecord, bill_line: int | None) -> dict[str, Any]:
    return {
        "change": "came" if row.at.came else "went",
        "bill_line": bill_line,
        "meter": row.meter,
        "meter_name": row.meter_name,
        "window_start": instant_text(row.at.window_start),
        "window": row.window,
        "dimensions": row.dimensions,
        "quantity": exact_text(row.quantity),
        "unit": row.unit,
        "row_id": row.at.row_id or None,
        "revision": row.revision,
        "source": row.source,
        "batch": None if row.batch is None else str(row.batch),
        "line": row.line,
    }
