"""The records that one line of a bill is made of, as known when the bill was made: a page at a time, and as CSV."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill import Bill
from insights.billing.price_words import scale_of_record
from insights.explain.line_reading_queries import LineRead, find_line
from insights.exports.queries import RecordPosition, RecordsFilter, list_records, records_copy
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.faults import UsageFilterRefused
from insights.metering.known_moment import KnownAt
from insights.web.bills import bill_or_404, file_stem
from insights.web.downloads import stream_csv
from insights.web.record_places import read_record_place, write_record_place

RECORDS_PER_PAGE = 100


@account_page
@require_safe
def bill_line_records_csv(request: Any, bill_uuid: UUID, position: int) -> HttpResponseBase:
    """Download the records that the line is made of, as known when the bill was made; they add to its quantity."""
    bill, read, wanted = _records_or_404(request, bill_uuid, position)
    try:
        refuse_archived_records(request.account, wanted.period)
    except UsageFilterRefused as refused:
        return render(request, "usage/records_archived.html", {"message": str(refused)}, status=400)
    return stream_csv(
        request,
        source=records_copy(wanted, raw=request.GET.get("raw", "") == "1"),
        kind="records",
        query=f"bill={bill.head.public_id}&line={position}&position={read.position}",
        name=f"{file_stem(bill.head)}-line-{position}-records.csv",
    )


@account_page
@require_safe
def bill_line_records(request: Any, bill_uuid: UUID, position: int) -> HttpResponse:
    """List the records that the line is made of, a page at a time."""
    bill, read, wanted = _records_or_404(request, bill_uuid, position)
    try:
        refuse_archived_records(request.account, wanted.period)
    except UsageFilterRefused as refused:
        return render(request, "usage/records_archived.html", {"message": str(refused)}, status=400)
    place = request.GET.get("after", "")
    after = RecordPosition(*read_record_place(place)) if place else None
    rows = list_records(wanted, after=after, limit=RECORDS_PER_PAGE + 1)
    shown = rows[:RECORDS_PER_PAGE]
    last = shown[-1].position if len(rows) > RECORDS_PER_PAGE else None
    metered_unit = shown[0].unit if shown else ""
    scale = scale_of_record(read.line.terms, metered_unit)
    context = {
        "nav": "bills",
        "head": bill.head,
        "line": read.line,
        "records": [
            (record, [record.dimensions.get(name, "") for name in wanted.dimension_keys]) for record in shown
        ],
        "dimensions": wanted.dimension_keys,
        "metered_unit": metered_unit,
        "scale": scale,
        "unit": scale.unit if scale else metered_unit,
        "position": read.position,
        "zone": bill.head.zone,
        "page": {
            "summary": "In the order of the download",
            "previous_url": "?" if after else None,
            "next_url": f"?after={write_record_place(last.series_id, last.window_start, last.row_id)}"
            if last
            else None,
        },
    }
    return render(request, "bills/line_records.html", context)


def _records_or_404(request: Any, bill_uuid: UUID, position: int) -> tuple[Bill, LineRead, RecordsFilter]:
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    read = find_line(request.account, bill, position=position)
    if read is None or read.scope is None:
        raise Http404
    return bill, read, records_of(read)


def records_of(read: LineRead) -> RecordsFilter:
    """Which records a line for usage is made of."""
    scope = read.scope
    if scope is None:
        raise ValueError("a line without usage has no records")
    return RecordsFilter(
        account_id=scope.account_id,
        meter_id=scope.meter.id,
        dimension_keys=scope.meter.dimensions,
        period=scope.service,
        known=KnownAt(asked_position=read.position, position=read.position),
        series_ids=tuple(one.facts.id for one in scope.series),
    )
