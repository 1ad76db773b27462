"""The records beside the edges of an invoice's period and where each went, for keys that read bills and usage."""

from __future__ import annotations

import uuid
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import READ_USAGE
from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bills import BillsEndpoint
from insights.api.edge_cursor import read_edge_place, write_edge_place
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.parameters import choice, limit_of, query_pairs, single_values
from insights.billing.bill_queries import get_bill
from insights.explain.edge_document import edge_document, edge_record_document
from insights.explain.edge_queries import Beside, count_beside, list_beside
from insights.explain.edges import MINUTES, MINUTES_DEFAULT

MINUTE_TEXTS = tuple(map(str, MINUTES))


class InvoiceEdges(BillsEndpoint):
    """The edges of an invoice's period, with the records beside them."""

    @extend_schema(**bill_schema.READ_EDGES)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read every edge, and a page of the records that touch the minutes beside them."""
        values = single_values(query_pairs(request), allowed=("within", "limit", "cursor"))
        if READ_USAGE not in self.key_facts.scopes:
            raise Problem("permission_denied", "These are usage records: the key needs usage:read too.")
        within = choice(values, "within", choices=MINUTE_TEXTS, default=str(MINUTES_DEFAULT))
        limit = limit_of(values)
        question = f"{invoice_id} {within}"
        after = None
        if "cursor" in values:
            after = read_edge_place(values["cursor"], account_id=self.account_id, question=question)
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            bill = get_bill(account, public_id=invoice_id, now=timezone.now())
            if bill is None:
                raise Problem("not_found", NOT_FOUND_DETAIL)
            beside = Beside.of(account, bill, minutes=int(within))
            counts = count_beside(beside)
            rows = list_beside(beside, after=after, limit=limit + 1)
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
                "records": [edge_record_document(record, went, zone) for record, went in shown],
                "next_cursor": cursor,
            }
        )
