"""What something would cost on a plan, for keys with bills:read. Nothing is stored."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.tenancy import account_scope
from insights.api import estimate_schema
from insights.api.bills import BillsEndpoint
from insights.api.body import read_body
from insights.api.errors import Problem
from insights.api.negotiation import CSV
from insights.api.parameters import query_pairs, single_values
from insights.billing.estimate import Estimate
from insights.billing.estimate_document import estimate_document
from insights.billing.estimate_queries import make_estimate
from insights.billing.estimate_question import EstimateRefused, question_of_document
from insights.exports.bill_rows import as_csv
from insights.exports.estimate_rows import estimate_rows
from insights.ingest.cells import read_object
from insights.ingest.refusals import RequestRefused

# A hundred quantities with their dimension values are far below it.
BODY_BYTES_MAX = 64 * 1024
_JSON = "application/json"


class EstimateEndpoint(BillsEndpoint):
    """Where estimates are asked for."""

    http_method_names = ["post"]

    def estimate(self, request: Request) -> Estimate:
        """The answer to the question in the body, or a problem that names the field."""
        single_values(query_pairs(request), allowed=())
        document = _document(request)
        try:
            question = question_of_document(document)
            with account_scope(self.account_id, read_only=True):
                account = Account.objects.get(pk=self.account_id)
                return make_estimate(account, question, now=timezone.now())
        except EstimateRefused as error:
            raise Problem(error.code, error.message, field=error.field, status=400) from None


class EstimateCollection(EstimateEndpoint):
    """Estimates with the steps of every line."""

    @extend_schema(**estimate_schema.MAKE_ESTIMATE)
    def post(self, request: Request) -> Response:
        """Rate the last closed periods, or quantities of the request, on a plan that the account may have."""
        return Response(estimate_document(self.estimate(request)))


class EstimateCsv(EstimateEndpoint):
    """Estimates as CSV."""

    produces = CSV

    @extend_schema(**estimate_schema.MAKE_ESTIMATE_CSV)
    def post(self, request: Request) -> HttpResponse:
        """The same as CSV: every line of both sides, then the sums."""
        rows = estimate_rows(self.estimate(request))
        return HttpResponse(as_csv(rows), content_type="text/csv; charset=utf-8")


def _document(request: Request) -> dict[str, Any]:
    """The JSON object of the body; refused as a whole where it is none."""
    media_type, _, parameters = request.META.get("CONTENT_TYPE", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != _JSON or charset not in ("", "charset=utf-8"):
        detail = f"This address takes {_JSON} in UTF-8."
        raise RequestRefused("unsupported_media_type", detail, field="Content-Type")
    body = b"".join(read_body(request._request, limit_bytes=BODY_BYTES_MAX))
    try:
        return read_object(body.decode())
    except UnicodeDecodeError:
        raise RequestRefused("encoding", "The body is not UTF-8.") from None
