"""The proof of a bill as a zip, and by itself the program that checks it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill_queries import has_bill
from insights.exports.bundle import PROOF, VERIFIER
from insights.exports.bundle_queries import load_bundle
from insights.exports.stream import ZIP_TYPE, zip_headers
from insights.web.downloads import open_or_refuse


@account_page
@require_safe
def bill_proof(request: Any, bill_uuid: UUID) -> HttpResponseBase:
    """Download an issued bill with everything that it can be calculated again from.

    One that is not issued may still change and has no proof; its page says where it stands.
    """
    bundle = load_bundle(request.account, public_id=bill_uuid)
    if bundle is None:
        if not has_bill(request.account, public_id=bill_uuid):
            raise Http404
        return redirect("bill-detail", request.account.public_id, bill_uuid)
    if request.method == "HEAD":
        return HttpResponse(content_type=ZIP_TYPE)
    download = open_or_refuse(request, source=bundle, kind=PROOF, query=bundle.bill.number)
    if isinstance(download, HttpResponse):
        return download
    headers = zip_headers(download_id=download.public_id, file_name=bundle.file_name)
    return StreamingHttpResponse(download.stream, headers=headers)


@account_page
@require_safe
def bill_verifier(request: Any) -> HttpResponse:
    """Download the program that checks the proof of a bill."""
    response = HttpResponse(VERIFIER.read_bytes(), content_type="text/x-python; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{VERIFIER.name}"'
    return response
