"""CSV for the browser: the same streams as the API's, for members and for support, which is logged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.reading_rights import is_still_member, is_still_support
from insights.exports.answer_queries import csv_source
from insights.exports.bundle import Bundle
from insights.exports.cost_rows import name_of
from insights.exports.formatting import file_name
from insights.exports.operations import DownloadRequest, OpenDownload, TooManyDownloads, open_download
from insights.exports.queries import AGGREGATES, CHANGES, RECORDS, CsvSource
from insights.exports.stream import bound_each_send, download_headers, wants_gzip
from insights.metering.archived_queries import CODE as PERIOD_ARCHIVED
from insights.metering.faults import UsageFilterRefused
from insights.metering.known_moment_queries import settle_known
from insights.metering.queries import list_meters
from insights.metering.usage_filter import UsageFilter, parse_usage_filter

RETRY_AFTER_SECONDS = 10


@account_page
@require_safe
def usage_aggregates_csv(request: HttpRequest) -> HttpResponseBase:
    """Download exactly what the usage page shows."""
    return _usage_csv(request, AGGREGATES)


@account_page
@require_safe
def usage_records_csv(request: HttpRequest) -> HttpResponseBase:
    """Download the usage records behind what the usage page shows."""
    return _usage_csv(request, RECORDS)


@account_page
@require_safe
def usage_changes_csv(request: HttpRequest) -> HttpResponseBase:
    """Download the usage records that came or went since the moment that the question names."""
    return _usage_csv(request, CHANGES)


def _usage_csv(request: Any, kind: str) -> HttpResponseBase:
    now = timezone.now()
    raw = request.GET.get("raw", "") == "1"
    question = _question(request, now)
    if kind == CHANGES and question.known is None:
        raise BadRequest("Changes are since a moment: give known_at or position.")
    name = file_name(
        kind=name_of(question, kind),
        meter_key=question.meter.key,
        first_day=question.first_day,
        last_day=question.last_day,
        position=question.known.position if question.known else None,
    )
    try:
        source = csv_source(request.account, question, kind=kind, raw=raw, now=now)
    except UsageFilterRefused as refused:
        if any(fault.code != PERIOD_ARCHIVED for fault in refused.faults):
            raise BadRequest(str(refused)) from None
        return _archived(request, refused)
    return stream_csv(request, source=source, kind=kind, query=question.permanent().query_string(), name=name)


def _question(request: Any, now: Any) -> UsageFilter:
    pairs = [(name, value) for name, values in request.GET.lists() for value in values]
    try:
        question = parse_usage_filter(
            pairs,
            meters=list_meters(request.account),
            zone=ZoneInfo(request.account.billing_zone),
            now=now,
            also=frozenset({"raw"}),
        )
        return settle_known(request.account, question)
    except UsageFilterRefused as refused:
        raise BadRequest(str(refused)) from None


def stream_csv(request: Any, *, source: CsvSource, kind: str, query: str, name: str) -> HttpResponseBase:
    """Answer with a CSV that is streamed after the page's transaction has ended, or say that all slots are taken."""
    if request.method == "HEAD":
        return HttpResponse(content_type="text/csv; charset=utf-8")
    coded = wants_gzip(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    download = open_or_refuse(request, source=source, kind=kind, query=query, compress=coded)
    if isinstance(download, HttpResponse):
        return download
    headers = download_headers(download_id=download.public_id, file_name=name, as_file=False, coded=coded)
    return StreamingHttpResponse(download.stream, headers=headers)


def open_or_refuse(
    request: Any, *, source: CsvSource | Bundle, kind: str, query: str, compress: bool = False
) -> OpenDownload | HttpResponse:
    """Open a download, or say why not: all slots are taken, or its records are archived.

    The stream opens a connection and a read-only context of its own, so support access writes nothing here.
    """
    asked = DownloadRequest(
        account_id=request.account.pk, kind=kind, query=query, asked_by=_asked_by(request)
    )
    try:
        download = open_download(
            request=asked, source=source, compress=compress, still_allowed=_right_of(request)
        )
    except TooManyDownloads:
        response = render(request, "batches/too_many_downloads.html", status=429)
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
    except UsageFilterRefused as refused:
        return _archived(request, refused)
    bound_each_send(request.META, seconds=settings.DOWNLOAD_STALL_SECONDS)
    return download


def _archived(request: Any, refused: UsageFilterRefused) -> HttpResponse:
    """Say that the records are not there, which an empty file would leave open."""
    return render(request, "usage/records_archived.html", {"message": str(refused)}, status=400)


def _right_of(request: Any) -> Callable[[], bool]:
    """How to ask, while the download runs, what the page asked before it began."""
    user_id, account = request.user.pk, request.account
    if request.support_access is not None:
        return partial(is_still_support, user_id=user_id, account_public_id=account.public_id)
    return partial(is_still_member, user_id=user_id, account_id=account.pk)


def _asked_by(request: Any) -> str:
    email: str = request.user.email
    return f"support: {email}" if request.support_access is not None else email
