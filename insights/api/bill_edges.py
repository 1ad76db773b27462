"""The records beside the edges of an invoice's period and where each went, for keys that read bills and usage."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
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
from insights.api.edge_cursor import read_edge_place, write_edge_place
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.negotiation import CSV
from insights.api.parameters import choice, limit_of, query_pairs, single_values
from insights.billing.bill import Bill
from insights.billing.bill_queries import get_bill
from insights.explain.edge_document import edge_document, edge_record_document
from insights.explain.edge_queries import Beside, count_beside, each_beside, list_beside
from insights.explain.edges import MINUTES, MINUTES_DEFAULT
from insights.explain.priced_scale_queries import read_meter_naming
from insights.exports.edge_rows import edge_rows
from insights.exports.formatting import csv_lines
from insights.exports.stream import bound_each_send, gather_lines
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.meter_queries import list_dimension_keys

MINUTE_TEXTS = tuple(map(str, MINUTES))
CSV_TYPE = "text/csv; charset=utf-8"


class KeyEnded(Exception):
    """The key was revoked or ran out while its answer was on its way, which ends there."""


class EdgesEndpoint(BillsEndpoint):
    """What reads the records beside the edges of an invoice's period."""

    def refuse_without_usage(self) -> None:
        """Refuse a key that may read bills and no records."""
        if READ_USAGE not in self.key_facts.scopes:
            raise Problem("permission_denied", "These are usage records: the key needs usage:read too.")

    def _bill(self, invoice_id: uuid.UUID) -> tuple[Account, Bill]:
        """The account and its invoice, in the account's scope; a Problem if there is none."""
        account = Account.objects.get(pk=self.account_id)
        bill = get_bill(account, public_id=invoice_id, now=timezone.now())
        if bill is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        return account, bill


class InvoiceEdges(EdgesEndpoint):
    """The edges of an invoice's period, with the records beside them."""

    @extend_schema(**bill_schema.READ_EDGES)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read every edge, and a page of the records that touch the minutes beside them."""
        values = single_values(query_pairs(request), allowed=("within", "limit", "cursor"))
        self.refuse_without_usage()
        within = _within(values)
        limit = limit_of(values)
        question = f"{invoice_id} {within}"
        after = None
        if "cursor" in values:
            after = read_edge_place(values["cursor"], account_id=self.account_id, question=question)
        with account_scope(self.account_id, read_only=True):
            account, bill = self._bill(invoice_id)
            beside = Beside.of(account, bill, minutes=int(within))
            counts = count_beside(beside)
            rows = list_beside(beside, after=after, limit=limit + 1)
            naming = read_meter_naming(account, bill)
        zone = ZoneInfo(bill.head.zone)
        shown = rows[:limit]
        cursor = None
        if len(rows) > limit:
            cursor = write_edge_place(shown[-1][0].at, account_id=self.account_id, question=question)
        return Response(
            {
                "zone": bill.head.zone,
                "within_minutes": int(within),
                "edges": [edge_document(count, zone) for count in counts],
                "records": [edge_record_document(record, went, zone, naming) for record, went in shown],
                "next_cursor": cursor,
            }
        )


class InvoiceEdgesCsv(EdgesEndpoint):
    """The records beside the edges of an invoice's period as CSV."""

    produces = CSV

    @extend_schema(**bill_schema.DOWNLOAD_EDGES)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Stream every record that touches the minutes beside an edge, by edge and time."""
        values = single_values(query_pairs(request), allowed=("within",))
        self.refuse_without_usage()
        within = _within(values)
        with account_scope(self.account_id, read_only=True):
            account, bill = self._bill(invoice_id)
            beside = Beside.of(account, bill, minutes=int(within))
            refuse_archived_records(account, beside.reach)
            dimension_keys = list_dimension_keys(account)
            naming = read_meter_naming(account, bill)
        if request.method == "HEAD":
            return HttpResponse(content_type=CSV_TYPE)
        rows = edge_rows(
            each_beside(beside, self._opened),
            edges=beside.edges,
            dimension_keys=dimension_keys,
            zone=ZoneInfo(bill.head.zone),
            naming=naming,
        )
        bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
        pieces = (piece.text for piece in gather_lines(csv_lines(rows)))
        return StreamingHttpResponse(pieces, content_type=CSV_TYPE)

    def head(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Check the query and answer with headers only."""
        return self.get(request, invoice_id)

    def _opened(self) -> AbstractContextManager[None]:
        """A transaction for one more page; a key that may not read any more gets a cut answer and no whole one."""
        if not is_live_key(key_id=self.key_facts.key_id, account_id=self.account_id):
            raise KeyEnded
        alias = "export" if "export" in settings.DATABASES else DEFAULT_DB_ALIAS
        return account_scope(self.account_id, read_only=True, alias=alias)


def _within(values: dict[str, str]) -> str:
    return choice(values, "within", choices=MINUTE_TEXTS, default=str(MINUTES_DEFAULT))
