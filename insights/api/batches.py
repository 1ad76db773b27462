"""The sending side: POST a batch, read its receipt, read its refused lines. Only for keys of the batch's
source.
"""

from __future__ import annotations

import threading
import uuid
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from insights import tasks
from insights.api import documents
from insights.api.body import read_body
from insights.api.endpoint import WriteEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, PROBLEM_TYPE, Problem, problem_body
from insights.api.parameters import limit_of, query_pairs, single_values, whole_number
from insights.api.serializers import ReceiptSerializer, RejectsSerializer
from insights.api.upload_headers import read_upload_headers
from insights.ingest.operations import receive_batch
from insights.ingest.queries import Receipt, RefusedLine, get_receipt, list_receipt_rejects, wait_for_batch
from insights.ingest.refusals import CODES
from insights.models import BatchState

REJECTS_SHOWN = 100
LINE_MAX = 2**31 - 1
# A request that waits occupies a thread of this process, and pages need threads too.
WAITERS_MAX = 4
_waiters = threading.BoundedSemaphore(WAITERS_MAX)


class BatchCollection(WriteEndpoint):
    """Where usage is sent to."""

    @extend_schema(**documents.SEND_BATCH)
    def post(self, request: Request) -> Response:
        """Take one batch of usage.

        200 with the receipt when it was finished at once, 202 with the receipt while it is being worked on,
        while too many requests wait already, or when a backfill holds it.
        Sent again with the same Idempotency-Key it answers with the first receipt and `Idempotency-Replayed:
        true`.
        """
        single_values(query_pairs(request), allowed=())
        said = read_upload_headers(request.headers, now=timezone.now())
        received = receive_batch(
            source_id=self.source_id,
            pieces=read_body(request._request, limit_bytes=settings.UPLOAD_MAX_SENT_BYTES),
            media_type=said.form,
            gzip_declared=said.is_gzip,
            via="api",
            revision=said.revision,
            complete_to=said.complete_to,
            idempotency_key=said.idempotency_key,
            declared_sha256=said.sha256,
            declared_rows=said.rows,
            backfill=said.backfill,
        )
        if not received.is_repeat and said.backfill is None:
            tasks.ring(received.batch_id)
        receipt = _wait(received.public_id)
        return _answer(receipt, is_repeat=received.is_repeat)


class BatchDetail(WriteEndpoint):
    """The receipt of one batch."""

    @extend_schema(**documents.READ_RECEIPT)
    def get(self, request: Request, batch_id: uuid.UUID) -> Response:
        """Read the receipt: state, counts by verdict, and the first refused lines."""
        single_values(query_pairs(request), allowed=())
        return Response(_receipt_document(_find(batch_id, self.source_id)))


class BatchRejects(WriteEndpoint):
    """The refused lines of one batch."""

    @extend_schema(**documents.READ_REJECTS)
    def get(self, request: Request, batch_id: uuid.UUID) -> Response:
        """Read refused lines in line order, behind a line number."""
        values = single_values(query_pairs(request), allowed=("after_line", "limit"))
        after_line = whole_number(values, "after_line", default=0, least=0, most=LINE_MAX)
        limit = limit_of(values)
        receipt = _find(batch_id, self.source_id)
        lines = list_receipt_rejects(batch_id=receipt.batch_id, after_line=after_line, limit=limit)
        document: dict[str, Any] = {
            "rejected_lines": [_line_document(line) for line in lines],
            "next_after_line": lines[-1].line_no if len(lines) == limit else None,
        }
        return Response(RejectsSerializer(document).data)


def _wait(batch_id: uuid.UUID) -> Receipt:
    """Wait for the worker a moment, or not at all where enough requests of this process wait already."""
    may_wait = _waiters.acquire(blocking=False)
    try:
        return wait_for_batch(public_id=batch_id, seconds=settings.UPLOAD_WAIT_SECONDS if may_wait else 0)
    finally:
        if may_wait:
            _waiters.release()


def _find(batch_id: uuid.UUID, source_id: int) -> Receipt:
    receipt = get_receipt(public_id=batch_id, source_id=source_id)
    if receipt is None:
        raise Problem("not_found", NOT_FOUND_DETAIL)
    return receipt


def _answer(receipt: Receipt, *, is_repeat: bool) -> Response:
    headers = {"Location": _url_of(receipt)}
    if is_repeat:
        headers["Idempotency-Replayed"] = "true"
    if receipt.state == BatchState.REFUSED and receipt.fault is not None:
        return _refused(receipt, headers)
    # A batch set aside is finished too: whoever polls until 200 reads its state and its code there.
    status = HTTPStatus.OK if receipt.is_finished else HTTPStatus.ACCEPTED
    return Response(_receipt_document(receipt), status=status, headers=headers)


def _refused(receipt: Receipt, headers: dict[str, str]) -> Response:
    """Answer as if the fault had been seen before the batch was kept; the receipt stays readable at
    `instance`.
    """
    fault = receipt.fault
    if fault is None:
        raise ValueError("only a batch with a fault is refused")
    known = CODES.get(fault.code)
    status = (known and known.status) or HTTPStatus.BAD_REQUEST
    body = problem_body(
        status=status, code=fault.code, detail=fault.detail, line=fault.line, field=fault.field
    )
    body["instance"] = _url_of(receipt)
    return Response(body, status=status, headers=headers, content_type=PROBLEM_TYPE)


def _url_of(receipt: Receipt) -> str:
    return reverse("api-batch", kwargs={"batch_id": receipt.public_id})


def _receipt_document(receipt: Receipt) -> dict[str, Any]:
    refused = receipt.counts.rejected > 0
    lines = list_receipt_rejects(batch_id=receipt.batch_id, limit=REJECTS_SHOWN) if refused else ()
    counts = {name: getattr(receipt.counts, name) for name in receipt.counts.__slots__}
    fault = receipt.fault
    document = {
        "id": receipt.public_id,
        "url": _url_of(receipt),
        "source": receipt.source_slug,
        "state": receipt.state,
        "received_at": receipt.received_at,
        "finished_at": receipt.finished_at,
        "complete_to": receipt.complete_to,
        "counts": {**counts, "blank": receipt.blank_lines},
        "lines_done": receipt.lines_done,
        "lines_total": receipt.lines_total,
        "duplicate_of": receipt.duplicate_of,
        "backfill": receipt.backfill,
        "error": fault
        and {"code": fault.code, "detail": fault.detail, "line": fault.line, "field": fault.field or None},
        "rejected_lines": [_line_document(line) for line in lines],
        "rejected_lines_url": reverse("api-batch-rejects", kwargs={"batch_id": receipt.public_id}),
    }
    return dict(ReceiptSerializer(document).data)


def _line_document(line: RefusedLine) -> dict[str, Any]:
    return {
        "line": line.line_no,
        "code": line.code,
        "field": line.field,
        "value": line.value,
        "message": line.message,
        "replayed_at": line.replayed_at,
    }
