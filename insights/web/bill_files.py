"""One bill as files: the PDF stored at issue or made of a draft, its lines as CSV, and all of it as JSON."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill_document import bill_document
from insights.billing.bill_pdf import render_invoice_pdf
from insights.billing.bill_queries import find_invoice_file
from insights.exports.bill_rows import line_rows
from insights.web.bills import bill_or_404, file_stem
from insights.web.csv_files import csv_file

PDF_TYPE = "application/pdf"


@account_page
@require_safe
def bill_pdf(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the PDF as it was made at issue; of a bill that is not issued, one made now and marked so."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    if bill.head.is_issued:
        content = find_invoice_file(request.account, public_id=bill_uuid)
        if content is None:
            return render(request, "bills/pdf_not_yet.html", {"nav": "bills", "head": bill.head}, status=404)
    else:
        content = render_invoice_pdf(bill)
    return _file(content, PDF_TYPE, f"{file_stem(bill.head)}.pdf")


@account_page
@require_safe
def bill_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the lines."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    return csv_file(line_rows(bill), f"{file_stem(bill.head)}-lines.csv")


@account_page
@require_safe
def bill_json(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the bill with steps and terms, as the API answers."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    response = JsonResponse(bill_document(bill), json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{file_stem(bill.head)}.json"'
    return response


def _file(content: bytes, media_type: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
