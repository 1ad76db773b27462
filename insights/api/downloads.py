"""Usage as CSV, streamed, and the proof by which a client checks that its file is whole."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Account
from accounts.reading_rights import is_live_key
from accounts.tenancy import account_scope
from insights.api import documents
from insights.api.cost import refuse_without_bills
from insights.api.endpoint import ReadEndpoint
from insights.api.errors import NOT_FOUND_DETAIL, Problem
from insights.api.negotiation import CSV
from insights.api.parameters import choice, query_pairs, single_values
from insights.api.serializers import DownloadSerializer
from insights.api.usage import read_question, split_pairs
from insights.exports.answer_queries import csv_source
from insights.exports.cost_rows import name_of
from insights.exports.formatting import file_name
from insights.exports.operations import DownloadRequest, TooManyDownloads, open_download
from insights.exports.proof_queries import find_download
from insights.exports.queries import CHANGES, CSV_KINDS
from insights.exports.stream import bound_each_send, download_headers, wants_gzip

OWN_PARAMETERS = ("kind", "raw", "compress")


class UsageCsv(ReadEndpoint):
    """Usage as CSV."""

    produces = CSV

    @extend_schema(**documents.READ_USAGE_CSV)
    def get(self, request: Request) -> HttpResponseBase:
        """Stream what the usage page shows, or the records behind it.

        The answer has no length. A cut one ends without the last chunk, which every HTTP/1.1 client reports;
        the address in `Download-Id` tells rows, bytes and SHA-256 of a whole one.
        """
        own, question_pairs = split_pairs(query_pairs(request), own=OWN_PARAMETERS)
        kind = choice(own, "kind", choices=CSV_KINDS)
        raw = choice(own, "raw", choices=("0", "1"), default="0") == "1"
        as_file = choice(own, "compress", choices=("gzip", "none"), default="none") == "gzip"
        now = timezone.now()
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            question = read_question(question_pairs, account=account, now=now)
            refuse_without_bills(question, self.key_facts.scopes)
            if kind == CHANGES and question.known is None:
                detail = "Changes are since a moment: give known_at or position."
                raise Problem("missing_parameter", detail, field="known_at", status=400)
            if request.method == "HEAD":
                return HttpResponse(content_type="text/csv; charset=utf-8")
            source = csv_source(account, question, kind=kind, raw=raw, now=now)
        coded = not as_file and wants_gzip(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        asked = DownloadRequest(
            account_id=self.account_id,
            kind=kind,
            query=question.permanent().query_string(),
            asked_by=f"API key {self.key_facts.name}",
        )
        try:
            download = open_download(
                request=asked,
                source=source,
                compress=as_file or coded,
                still_allowed=partial(is_live_key, key_id=self.key_facts.key_id, account_id=self.account_id),
            )
        except TooManyDownloads:
            raise refuse_for_slots() from None
        bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
        name = file_name(
            kind=name_of(question, kind),
            meter_key=question.meter.key,
            first_day=question.first_day,
            last_day=question.last_day,
            position=question.known.position if question.known else None,
        )
        headers = download_headers(
            download_id=download.public_id, file_name=name, as_file=as_file, coded=coded
        )
        return StreamingHttpResponse(download.stream, headers=headers)

    def head(self, request: Request) -> HttpResponseBase:
        """Check the query and answer with headers only; nothing is opened or noted."""
        return self.get(request)


def refuse_for_slots() -> Problem:
    """What to say where every slot is taken."""
    detail = (
        f"At most {settings.DOWNLOADS_PER_ACCOUNT} downloads of an account and "
        f"{settings.DOWNLOADS_IN_ALL} in all run at once. Try again when one has ended."
    )
    return Problem("too_many_downloads", detail)


class DownloadDetail(ReadEndpoint):
    """The proof of one download."""

    @extend_schema(**documents.READ_DOWNLOAD)
    def get(self, request: Request, download_id: uuid.UUID) -> Response:
        """Read state, rows, bytes and SHA-256 of a download of this account."""
        single_values(query_pairs(request), allowed=())
        with account_scope(self.account_id, read_only=True):
            account = Account.objects.get(pk=self.account_id)
            download = find_download(account=account, public_id=download_id)
        if download is None:
            raise Problem("not_found", NOT_FOUND_DETAIL)
        document: dict[str, Any] = {
            "id": download.public_id,
            "kind": download.kind,
            "query": download.query.get("question", ""),
            "state": download.state,
            "started_at": download.started_at,
            "finished_at": download.finished_at,
            "rows": download.rows,
            "bytes": download.size_bytes,
            "sha256": download.sha256 or None,
        }
        return Response(DownloadSerializer(document).data)
