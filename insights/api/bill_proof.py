"""The proof of an invoice as a zip, streamed, for keys that may read bills and usage."""

from __future__ import annotations

import uuid
from functools import partial

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import READ_USAGE
from accounts.models import Account
from accounts.reading_rights import is_live_key
from accounts.tenancy import account_scope
from insights.api import bill_schema
from insights.api.bills import BillsEndpoint
from insights.api.downloads import refuse_for_slots
from insights.api.errors import Problem
from insights.api.parameters import query_pairs, single_values
from insights.exports.bundle import PROOF
from insights.exports.bundle_queries import load_bundle
from insights.exports.operations import DownloadRequest, TooManyDownloads, open_download
from insights.exports.stream import ZIP_TYPE, bound_each_send, zip_headers


class InvoiceProof(BillsEndpoint):
    """An issued invoice with everything that it can be calculated again from."""

    produces = ZIP_TYPE

    @extend_schema(**bill_schema.READ_INVOICE_PROOF)
    def get(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Stream a zip of the invoice, its terms, steps and usage records, with the program that checks it."""
        single_values(query_pairs(request), allowed=())
        if READ_USAGE not in self.key_facts.scopes:
            raise Problem("permission_denied", "The proof holds usage records: the key needs usage:read too.")
        bill = self.find_bill(invoice_id)
        with account_scope(self.account_id, read_only=True):
            bundle = load_bundle(Account.objects.get(pk=self.account_id), public_id=invoice_id)
        if bundle is None:
            raise Problem(
                "not_issued", f"This invoice is not issued, but {bill.head.status}: it may still change."
            )
        if request.method == "HEAD":
            return HttpResponse(content_type=ZIP_TYPE)
        asked = DownloadRequest(
            account_id=self.account_id,
            kind=PROOF,
            query=bundle.bill.number,
            asked_by=f"API key {self.key_facts.name}",
        )
        may_read = partial(is_live_key, key_id=self.key_facts.key_id, account_id=self.account_id)
        try:
            download = open_download(request=asked, source=bundle, compress=False, still_allowed=may_read)
        except TooManyDownloads:
            raise refuse_for_slots() from None
        bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
        headers = zip_headers(download_id=download.public_id, file_name=bundle.file_name)
        return StreamingHttpResponse(download.stream, headers=headers)

    def head(self, request: Request, invoice_id: uuid.UUID) -> HttpResponseBase:
        """Answer with headers only; nothing is opened or noted."""
        return self.get(request, invoice_id)
