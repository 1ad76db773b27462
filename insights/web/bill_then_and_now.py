"""A bill as it was known at a moment against the bill as it would be now, and every record that came in between."""

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
from insights.billing.basis import DraftLine
from insights.billing.bill import Bill
from insights.billing.price_words import cell_words, scale_of_price, scale_of_record, unit_size_words
from insights.explain.then_and_now import LineChange, ThenAndNow
from insights.explain.then_and_now_queries import compare_then_and_now
from insights.exports.between_queries import (
    MovedPlace,
    MovedRecord,
    bill_lines_of,
    list_records_between,
    moved_copy,
)
from insights.exports.queries import CHANGES
from insights.exports.then_and_now_rows import then_and_now_rows
from insights.metering.archived_queries import CODE as ARCHIVED
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.known_moment import KNOWN_PARAMETERS, KnownAt, read_known
from insights.metering.meter_queries import list_dimension_keys
from insights.rating.invoice import LineKind
from insights.web.bills import bill_or_404, file_stem, period_of
from insights.web.csv_files import csv_file
from insights.web.downloads import stream_csv
from insights.web.record_places import read_record_place, write_record_place

RECORDS_PER_PAGE = 50


@account_page
@require_safe
def bill_then_and_now(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show both sides line by line and, a page at a time, the records that make the difference."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    after = _place(request.GET.get("after", ""))
    faults: list[Fault] = []
    known = _known(request, bill, faults)
    if not faults:
        try:
            found = compare_then_and_now(request.account, bill, known=known)
        except UsageFilterRefused as refused:
            if any(fault.code == ARCHIVED for fault in refused.faults):
                return _archived(request, refused)
            faults += refused.faults
    context = _frame(bill, request.GET, known, faults)
    if faults:
        return render(request, "bills/then_and_now.html", context, status=400)
    rows = list_records_between(found, after=after, limit=RECORDS_PER_PAGE + 1)
    context |= _shown(bill, found, rows, query=_query(known), is_later=after is not None)
    return render(request, "bills/then_and_now.html", context)


@account_page
@require_safe
def bill_then_and_now_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download the lines of both sides."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    found = _found(request, bill)
    if isinstance(found, HttpResponse):
        return found
    name = f"{file_stem(bill.head)}-then-{found.then.position}-and-now-{found.now.position}.csv"
    return csv_file(then_and_now_rows(found), name)


@account_page
@require_safe
def bill_moved_records_csv(request: Any, bill_uuid: UUID) -> HttpResponseBase:
    """Download every record that came or went between both moments."""
    bill = bill_or_404(request, bill_uuid, now=timezone.now())
    found = _found(request, bill)
    if isinstance(found, HttpResponse):
        return found
    source = moved_copy(
        found.between,
        period=bill.head.period,
        bill_lines=bill_lines_of(found),
        dimension_keys=list_dimension_keys(request.account),
        raw=request.GET.get("raw", "") == "1",
    )
    return stream_csv(
        request,
        source=source,
        kind=CHANGES,
        query=f"bill={bill.head.public_id}&position={found.then.position}&until={found.now.position}",
        name=f"{file_stem(bill.head)}-records-from-{found.then.position}-to-{found.now.position}.csv",
    )


def _found(request: Any, bill: Bill) -> ThenAndNow | HttpResponse:
    """What a file is of; a moment that is not one is refused with 400, and so are archived records."""
    faults: list[Fault] = []
    known = _known(request, bill, faults)
    try:
        if faults:
            raise UsageFilterRefused(faults)
        return compare_then_and_now(request.account, bill, known=known)
    except UsageFilterRefused as refused:
        if any(fault.code == ARCHIVED for fault in refused.faults):
            return _archived(request, refused)
        raise BadRequest(str(refused)) from None


def _archived(request: Any, refused: UsageFilterRefused) -> HttpResponse:
    return render(request, "usage/records_archived.html", {"message": str(refused)}, status=400)


def _known(request: Any, bill: Bill, faults: list[Fault]) -> KnownAt | None:
    """The moment asked for; a form sends its empty field too, which asks for none."""
    given = {name: request.GET[name] for name in KNOWN_PARAMETERS if request.GET.get(name)}
    return read_known(given, zone=ZoneInfo(bill.head.zone), now=timezone.now(), faults=faults)


def _query(known: KnownAt | None) -> str:
    return urlencode(known.pairs()) if known else ""


def _frame(bill: Bill, given: Any, known: KnownAt | None, faults: list[Fault]) -> dict[str, Any]:
    """What stands around the answer: the bill, and the field for the moment with what is wrong with it."""
    zone = ZoneInfo(bill.head.zone)
    at = known.instant if known else None
    return {
        "nav": "bills",
        "bill": bill,
        "head": bill.head,
        "period": period_of(bill.head.period, zone),
        "zone": bill.head.zone,
        "errors": [fault.message for fault in faults],
        "typed": given.get("known_at", "")
        if faults
        else at.astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")
        if at
        else "",
        "page": {},
    }


def _shown(
    bill: Bill, found: ThenAndNow, rows: tuple[MovedRecord, ...], *, query: str, is_later: bool
) -> dict[str, Any]:
    shown = rows[:RECORDS_PER_PAGE]
    last = shown[-1].at if len(rows) > RECORDS_PER_PAGE else None
    sign = "&" if query else ""
    return {
        "found": found,
        "query": query,
        "lines": [_line(change, bill) for change in found.lines],
        "unit_sizes": list(
            dict.fromkeys(filter(None, (unit_size_words(change.line.terms) for change in found.lines)))
        ),
        "unchanged": sum(change.is_same for change in found.lines),
        "records": [_record(found, record) for record in shown],
        "page": {
            "summary": "By series and time, as in the download",
            "previous_url": f"?{query}" if is_later else None,
            "next_url": f"?{query}{sign}after={_written(last)}" if last else None,
        },
    }


def _line(change: LineChange, bill: Bill) -> dict[str, Any]:
    line = change.line
    return {
        "change": change,
        "name": line.name,
        "values": _words_beside(line, bill),
        "metered_unit": line.terms.unit if line.terms else "",
        "scale": (scale := scale_of_price(line.terms)),
        "unit": scale.unit if scale else line.terms.unit if line.terms else "",
        "is_new": change.then is None,
        "is_gone": change.now is None,
    }


def _words_beside(line: DraftLine, bill: Bill) -> str:
    """What tells a line from others of its name: values, whether it corrects, and days that are not the bill's."""
    is_whole = line.service == bill.head.period or line.service.start >= line.service.end
    days = "" if is_whole else period_of(line.service, ZoneInfo(bill.head.zone))
    correction = "a correction" if line.kind is LineKind.CORRECTION else ""
    return ", ".join(filter(None, (cell_words(line.values), correction, days)))


def _record(found: ThenAndNow, record: MovedRecord) -> dict[str, Any]:
    """A record with the line that it is on, in the unit of that line's price."""
    number = found.places[record.place]
    change = None if number is None else found.lines[number]
    return {
        "record": record,
        "change": change,
        "values": " ".join(filter(None, record.dimensions.values())),
        "scale": scale_of_record(change.line.terms, record.unit) if change else None,
    }


def _place(text: str) -> MovedPlace | None:
    """Where a page ended: a record, and before it whether it came or went."""
    if not text:
        return None
    series_id, window_start, rest = read_record_place(text)
    came, _, row_id = rest.partition("~")
    if came not in ("0", "1"):
        raise BadRequest("after: not a place in these records.")
    return MovedPlace(series_id, window_start, row_id, int(came))


def _written(place: MovedPlace) -> str:
    return write_record_place(place.series_id, place.window_start, f"{place.came}~{place.row_id}")
