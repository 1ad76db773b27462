"""Why an invoice is not what another one was, for keys with bills:read."""

from __future__ import annotations

import re
import uuid

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bills import BillsEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.parameters import query_pairs, single_values
from insights.billing.bill import Bill
from insights.billing.bill_facts import bill_facts
from insights.billing.difference_document import difference_document
from insights.billing.difference_queries import find_two_bills
from insights.scenarios.difference import compare_bills
from insights.scenarios.facts import DifferentCurrencies

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


class InvoiceDifference(BillsEndpoint):
    """What changed from one invoice to another."""

    @extend_schema(**bill_schema.READ_DIFFERENCE)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read the difference to another invoice, the one before unless another is named."""
        values = single_values(query_pairs(request), allowed=("with",))
        before, after = self._find(invoice_id, _other(values))
        if before.head.public_id == after.head.public_id:
            raise Problem(
                "same_invoice", "An invoice does not differ from itself; name another.", field="with"
            )
        try:
            difference = compare_bills(bill_facts(before), bill_facts(after))
        except DifferentCurrencies as error:
            raise Problem(
                "different_currencies", f"Invoices in {error} cannot be compared.", field="with"
            ) from None
        return Response(difference_document(difference, before, after))

    def _find(self, invoice_id: uuid.UUID, other_id: uuid.UUID | None) -> tuple[Bill, Bill]:
        with account_scope(self.account_id, read_only=True):
            found = find_two_bills(
                Account.objects.get(pk=self.account_id),
                public_id=invoice_id,
                other_id=other_id,
                now=timezone.now(),
            )
        if found is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        if found.other is None:
            raise Problem("nothing_to_compare", "This subscription has no invoice before this one.")
        return found.other, found.bill


def _other(values: dict[str, str]) -> uuid.UUID | None:
    text = values.get("with")
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise Problem("with", "with must be the id of an invoice.", field="with")
    return uuid.UUID(text)
