"""Reads what of the lines of bills is in some days and values; inside the account's scope.

A line is parted as its own page does it (`line_queries.py`), as known at its bill's position; lines of one bill that
are for the same time are read together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import Account
from insights.billing.bill import BillHead
from insights.billing.bill_mapping import line_of_draft
from insights.billing.invoice_mapping import line_of
from insights.explain.cost import AskedLine, Left, LineCost, Share, Stretches, part_of_line
from insights.explain.line_proof import DayPart
from insights.explain.line_queries import read_changed_days, read_days_together
from insights.explain.line_reading_queries import LineRead, Measured, read_line
from insights.metering.aggregations import adds_over_time, adds_up, settled
from insights.metering.archived_queries import list_archived_months, refused_for
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.line_usage_queries import LineSeries, last_instant, read_line_by_series
from insights.metering.usage_filter import UsageFilter
from insights.metering.windows import Slot
from insights.models import LineItem
from insights.rating.invoice import LineKind
from insights.values.exact import EXACT
from insights.values.period import Period

ZERO = Decimal(0)
# So many times the usage of lines is read for one answer, each for the lines of one bill that are for the same time.
TIMES_PARTED_MAX = 60
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Asking:
    """One question, and what all lines of its answer share."""

    account: Account
    question: UsageFilter
    period: Period
    slots: tuple[Slot, ...]
    stretches: Stretches
    now: datetime
    measured: Measured
    details: Mapping[int, Mapping[str, object]]
    positions: Mapping[int, int]
    # By series, of which each month has the same.
    _shares: dict[int, Share] = field(default_factory=dict)

    def share_of(self, one: LineSeries) -> Share:
        """Where the usage of a series belongs."""
        known = self._shares.get(one.facts.id)
        if known is None:
            known = self._shares[one.facts.id] = _share_of(self.question, one.dimensions)
        return known


@dataclass(frozen=True, slots=True)
class Part:
    """What was found of one line, and the bill that it is on."""

    invoice_id: int
    currency: str
    found: LineCost | Left


def read_parts(
    asking: Asking, own: Sequence[LineItem], rows: Sequence[LineItem], bills: Mapping[int, BillHead]
) -> Iterator[Part]:
    parted = [row for row in own if not _in_one_slot(asking, row) or _names_values(asking.question)]
    if (count := len(_together(parted))) > TIMES_PARTED_MAX:
        message = (
            f"The lines of {count:,} bills and corrections would have to be parted; {TIMES_PARTED_MAX} can be."
            " Choose fewer days, or month without values."
        )
        raise UsageFilterRefused([Fault("range_too_large", "granularity", message)])
    reads = {row.pk: _read(asking, row, bills[row.invoice_id], rows) for row in own}
    days = _days(asking, own, reads)
    used = _used(asking, own, reads)
    for row in own:
        asked = _asked(asking, row, bills[row.invoice_id], reads[row.pk], days.get(row.pk), used)
        found = part_of_line(asked, asking.stretches)
        if found is not None:
            yield Part(row.invoice_id, bills[row.invoice_id].currency, found)
    if parted:
        _refuse_archived(asking, parted)


def _read(asking: Asking, row: LineItem, head: BillHead, rows: Iterable[LineItem]) -> LineRead:
    draft = line_of(row)
    # Versions are counted from one.
    has_older = (row.meter_version or 0) > 1
    return read_line(
        asking.account,
        line_of_draft(draft, row, head.currency),
        draft,
        row,
        zone=head.zone,
        position=asking.positions[row.invoice_id],
        told=asking.details[row.corrects_invoice_id or row.invoice_id],
        older=[other for other in rows if other.invoice_id == row.invoice_id] if has_older else (),
        measured=asking.measured,
    )


def _together(rows: Iterable[LineItem]) -> list[list[LineItem]]:
    """The lines of one bill that are for the same time, and of corrections each alone."""
    found: dict[tuple[int, datetime, datetime, int], list[LineItem]] = defaultdict(list)
    for row in rows:
        alone = row.pk if row.kind == LineKind.CORRECTION else 0
        found[row.invoice_id, row.service_start, row.service_end, alone].append(row)
    return list(found.values())


def _days(
    asking: Asking, own: Iterable[LineItem], reads: Mapping[int, LineRead]
) -> dict[int, tuple[DayPart, ...]]:
    """The days of the lines that are in several stretches of time, or of which only some was asked for."""
    found: dict[int, tuple[DayPart, ...]] = {}
    for rows in _together(row for row in own if not _in_one_slot(asking, row)):
        service = Period(rows[0].service_start, rows[0].service_end)
        until = min(last_instant(service, asking.now), asking.period.end)
        if rows[0].kind == LineKind.CORRECTION:
            found[rows[0].pk] = read_changed_days(asking.account, reads[rows[0].pk], until=until)
            continue
        days = read_days_together([reads[row.pk] for row in rows], until=until)
        found |= {row.pk: each for row, each in zip(rows, days, strict=True)}
    return found


# What was used in the days asked for, in the sum's own unit, by line and series.
_Used = dict[int, dict[int, Decimal]]


def _used(asking: Asking, own: Iterable[LineItem], reads: Mapping[int, LineRead]) -> _Used:
    """The quantities by series of the lines of which values are asked for; corrections have none of their own."""
    found: _Used = {}
    if not _names_values(asking.question):
        return found
    for rows in _together(row for row in own if row.kind != LineKind.CORRECTION):
        scopes = {row.pk: scope for row in rows if (scope := reads[row.pk].scope) is not None}
        inside = Period(rows[0].service_start, rows[0].service_end).intersection(asking.period)
        if not scopes or inside is None:
            continue
        series = tuple(one for scope in scopes.values() for one in scope.series)
        whole = replace(next(iter(scopes.values())), service=inside, series=series)
        totals = read_line_by_series(whole, position=asking.positions[rows[0].invoice_id])
        for number, scope in scopes.items():
            ids = [one.facts.id for one in scope.series if one.facts.id in totals]
            found[number] = {series_id: totals[series_id][0] for series_id in ids}
    return found


def _refuse_archived(asking: Asking, rows: Iterable[LineItem]) -> None:
    """Told after records were read: a month that is detached in between is then known to be missing."""
    services = [(row.service_start, row.service_end) for row in rows]
    whole = Period(min(start for start, _ in services), max(end for _, end in services))
    if months := list_archived_months(asking.account, whole):
        way_out = "Parts of lines are told from them; ask by month without values, or choose later days."
        raise refused_for(months, field="granularity", way_out=way_out)


def _names_values(question: UsageFilter) -> bool:
    return bool(question.group_by or question.values)


def _in_one_slot(asking: Asking, row: LineItem) -> bool:
    """Whether the whole time of the line was asked for, and lies in one stretch of it."""
    number = asking.stretches.number_of(row.service_start)
    return number >= 0 and number == asking.stretches.number_of(row.service_end - _INSTANT)


def _asked(
    asking: Asking,
    row: LineItem,
    head: BillHead,
    read: LineRead,
    days: tuple[DayPart, ...] | None,
    used: _Used,
) -> AskedLine:
    service = Period(row.service_start, row.service_end)
    question = asking.question
    names = [name for name in (question.group_by, *(key for key, _ in question.values)) if name]
    return AskedLine(
        bill_id=head.public_id,
        line=read.line,
        service=service,
        is_whole=asking.period.start <= service.start and service.end <= asking.period.end,
        days=days,
        shares=_shares(asking, read, used.get(row.pk, {})) if names else None,
        is_filtered=bool(question.values),
        adds_over_time=adds_over_time(question.meter.aggregation),
        adds_up=all(adds_up(question.meter, name) for name in names),
        is_correction=read.line.kind is LineKind.CORRECTION,
    )


def _shares(asking: Asking, read: LineRead, used: Mapping[int, Decimal]) -> dict[Share, Decimal]:
    """What was used by the values that are asked for or grouped by; without usage the values that there could be."""
    scope = read.scope
    if scope is None or not scope.series:
        # Then the values that the price is for are all there is to go by.
        return {_share_of(asking.question, read.line.values): ZERO} if read.line.values else {}
    if not used:
        return {asking.share_of(one): ZERO for one in scope.series}
    shares: dict[Share, Decimal] = {}
    for one in scope.series:
        if one.facts.id in used:
            share = asking.share_of(one)
            shares[share] = EXACT.add(shares.get(share, ZERO), used[one.facts.id])
    return {share: settled(asking.question.meter.aggregation, raw) for share, raw in shares.items()}


def _share_of(question: UsageFilter, dimensions: Mapping[str, str]) -> Share:
    """Where usage with these dimension values belongs; an absent one is the empty value."""
    return Share(
        narrowed=tuple(dimensions.get(key, "") for key, _ in question.values),
        is_wanted=all(dimensions.get(key, "") in values for key, values in question.values),
        value=dimensions.get(question.group_by, "") if question.group_by else "",
    )
