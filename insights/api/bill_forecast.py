"""What a running invoice comes to at the end of its period, for keys with bills:read."""

from __future__ import annotations

import uuid

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import forecast_schema
from insights.api.bills import BillsEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.parameters import query_pairs, single_values
from insights.billing.bill_queries import has_bill
from insights.billing.forecast_document import forecast_document
from insights.billing.forecast_queries import get_bill_forecast


class InvoiceForecast(BillsEndpoint):
    """The forecast of an invoice whose period runs."""

    @extend_schema(**forecast_schema.READ_FORECAST)
    def get(self, request: Request, invoice_id: uuid.UUID) -> Response:
        """Read quantities and total at the period's end with their band, and how often such bands held."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            forecast = get_bill_forecast(account, public_id=invoice_id, now=timezone.now())
            is_known = forecast is not None or has_bill(account, public_id=invoice_id)
        if not is_known:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        if forecast is None:
            raise Problem("not_running", "The period of this invoice does not run, so nothing is forecast.")
        return Response(forecast_document(forecast))
