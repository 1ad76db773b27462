"""The records beside the edges of a bill's period, on both clocks, with the bill that each went to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.exceptions import BadRequest
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from insights.billing.bill_document import instant_text
from insights.explain.edge_document import local_text
from insights.explain.edge_queries import Beside, count_beside, each_beside, list_beside
from insights.explain.edges import (
    MINUTES,
    MINUTES_DEFAULT,
    OUTCOME_WORDS,
    Edge,
    EdgeKind,
    EdgePlace,
    EdgeRecord,
    Went,
    minutes_of,
)
from insights.explain.meter_naming import MeterNaming
from insights.explain.priced_scale_queries import read_meter_naming
from insights.exports.edge_rows import edge_rows
from insights.metering.archived_queries import refuse_archived_records
from insights.metering.faults import UsageFilterRefused
from insights.metering.meter_queries import list_dimension_keys
from insights.web.bills import bill_or_404, file_stem, period_of
from insights.web.csv_files import csv_stream
from insights.web.record_places import read_record_place, write_record_place

RECORDS_PER_PAGE = 50
_KIND_WORDS = {
    EdgeKind.START: "The period begins",
    EdgeKind.PLAN: "The plan changes",
    EdgeKind.CLOCK: "The clock changes",
    EdgeKind.END: "The period ends",
}


@account_page
@require_safe
def bill_edges(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show every edge of the period, and a page at a time the records beside them."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    minutes = _minutes(request)
    after = _place(request.GET.get("after", ""))
    zone = ZoneInfo(bill.head.zone)
    beside = Beside.of(request.account, bill, minutes=minutes)
    try:
        counts = count_beside(beside)
        rows = list_beside(beside, after=after, limit=RECORDS_PER_PAGE + 1)
    except UsageFilterRefused as refused:
        return _archived(request, refused)
    shown = rows[:RECORDS_PER_PAGE]
    last = shown[-1][0].at if len(rows) > RECORDS_PER_PAGE else None
    query = urlencode({"within": minutes})
    naming = read_meter_naming(request.account, bill)
    context = {
        "nav": "bills",
        "head": bill.head,
        "period": period_of(bill.head.period, zone),
        "zone": bill.head.zone,
        "minutes": minutes,
        "choices": [(one, f"?{urlencode({'within': one})}") for one in MINUTES],
        "query": query,
        "edges": [(count, _edge(count.edge, zone)) for count in counts],
        "records": [_row(record, went, beside.edges, zone, naming) for record, went in shown],
        "page": {
            "summary": "By edge and time, as in the download",
            "previous_url": f"?{query}" if after else None,
            "next_url": f"?{query}&after={_written(last)}" if last else None,
        },
    }
    return render(request, "bills/edges.html", context)


@account_page
@require_safe
def bill_edges_csv(request: Any, bill_uuid: UUID) -> HttpResponseBase:
    """Download all of them."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    minutes = _minutes(request)
    beside = Beside.of(request.account, bill, minutes=minutes)
    try:
        refuse_archived_records(request.account, beside.reach)
    except UsageFilterRefused as refused:
        return _archived(request, refused)
    rows = edge_rows(
        each_beside(beside, request.stream_scope.open),
        edges=beside.edges,
        dimension_keys=list_dimension_keys(request.account),
        zone=ZoneInfo(bill.head.zone),
        naming=read_meter_naming(request.account, bill),
    )
    return csv_stream(request, rows, f"{file_stem(bill.head)}-edges-{minutes}-minutes.csv")


def _minutes(request: Any) -> int:
    """How far from an edge; one of those offered."""
    text = request.GET.get("within", str(MINUTES_DEFAULT))
    minutes = minutes_of(text)
    if minutes is None:
        raise BadRequest(f"within: choose {', '.join(map(str, MINUTES))} minutes.")
    return minutes


def _archived(request: Any, refused: UsageFilterRefused) -> HttpResponse:
    return render(request, "usage/records_archived.html", {"message": str(refused)}, status=400)


def _edge(edge: Edge, zone: ZoneInfo) -> dict[str, str]:
    return {
        "words": f"{_KIND_WORDS[edge.kind]}{': ' + edge.plan if edge.plan else ''}",
        "utc": instant_text(edge.at) or "",
        "local": local_text(edge.at, zone),
    }


def _row(
    record: EdgeRecord, went: Went, edges: tuple[Edge, ...], zone: ZoneInfo, naming: MeterNaming
) -> dict[str, Any]:
    edge = edges[record.at.edge]
    return {
        "record": record,
        "meter": naming.name_of(record.meter),
        "scale": naming.scale_of(record.meter, record.unit),
        "edge": _KIND_WORDS[edge.kind],
        "side": "after" if record.is_after(edge) else "before",
        "utc_start": instant_text(record.at.window_start),
        "utc_end": instant_text(record.window_end),
        "local_start": local_text(record.at.window_start, zone),
        "local_end": local_text(record.window_end, zone),
        "values": " ".join(filter(None, record.dimensions.values())),
        "went": went,
        "outcome": OUTCOME_WORDS[went.outcome],
    }


def _place(text: str) -> EdgePlace | None:
    """Where a page ended: a record, and before it the number of its edge."""
    if not text:
        return None
    series_id, window_start, rest = read_record_place(text)
    edge, _, row_id = rest.partition("~")
    if not (edge.isascii() and edge.isdigit() and len(edge) <= len("999")):
        raise BadRequest("after: not a place in these records.")
    return EdgePlace(int(edge), window_start, series_id, row_id)


def _written(place: EdgePlace) -> str:
    return write_record_place(place.series_id, place.window_start, f"{place.edge}~{place.row_id}")
