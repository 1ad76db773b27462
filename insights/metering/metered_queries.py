"""How much was metered, for many accounts at once: what a bill is made of, read at one ledger position.

Whole days of an account come from rollups, what is left at either end of a period from records, by the aggregates that
answer a page. Runs as the worker inside the caller's transaction, which must be one snapshot: then all of it is as
known at the position returned. Usage of sources that are not billable is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from accounts.tenancy import connection
from insights.metering.aggregations import AGGREGATES, settled
from insights.metering.windows import ONE_DAY
from insights.models import LedgerHead, Meter, Source
from insights.values.period import Period, local_day, start_of_day

ZERO = Decimal(0)


class Ask(NamedTuple):
    """One quantity wanted: of an account and a meter, in a period; by the values of dimensions, if any are named."""

    account_id: int
    zone: str
    meter_id: int
    service: Period
    dimensions: tuple[str, ...] = ()


# The number of an ask, its first whole local day, and the day after the last.
DaysOfAsk = tuple[int, date, date]
# The number of an ask, and a piece of its period.
PieceOfAsk = tuple[int, Period]
# The number of an ask, dimension values, the quantity of them, and how many records it is made of.
RowOfAsk = tuple[int, tuple[str, ...], Decimal, int]


@dataclass(frozen=True, slots=True)
class Metered:
    """The answer, in the meter's unit: by dimension values in the order asked for, `()` for all together."""

    by_values: Mapping[tuple[str, ...], Decimal] = field(default_factory=dict)
    records: int = 0

    @property
    def total(self) -> Decimal:
        """All values together; of a meter that adds up."""
        return sum(self.by_values.values(), ZERO)


@dataclass(frozen=True, slots=True)
class BilledMeter:
    """What billing needs to know of one version of a meter."""

    id: int
    key: str
    version: int
    name: str
    unit: str
    aggregation: str
    dimensions: tuple[str, ...]
    retired_at: datetime | None = None


def list_billed_meters() -> tuple[BilledMeter, ...]:
    """Every version of every meter, in the order of pages."""
    return tuple(
        BilledMeter(
            meter.pk,
            meter.key,
            meter.version,
            meter.name,
            meter.unit,
            meter.aggregation,
            tuple(meter.dimensions),
            meter.retired_at,
        )
        for meter in Meter.objects.order_by("position", "key", "version")
    )


def read_position() -> int:
    """The ledger position of the transaction's snapshot: everything up to it is visible, nothing above it."""
    return LedgerHead.objects.values_list("position", flat=True).get()


def read_metered(asks: Iterable[Ask], meters: Sequence[BilledMeter]) -> dict[Ask, Metered]:
    """Answer all asks in a few statements for each aggregation that occurs."""
    aggregation_of = {meter.id: meter.aggregation for meter in meters}
    not_billed = list(Source.objects.filter(billable=False).values_list("pk", flat=True))
    groups: dict[tuple[str, bool], list[Ask]] = defaultdict(list)
    for ask in dict.fromkeys(asks):
        groups[aggregation_of[ask.meter_id], bool(ask.dimensions)].append(ask)
    answers: dict[Ask, Metered] = {}
    for (aggregation, _), members in groups.items():
        answers |= _read_group(aggregation, members, not_billed)
    return answers


def _read_group(aggregation: str, asks: Sequence[Ask], not_billed: list[int]) -> dict[Ask, Metered]:
    """Asks go by their number here: there are many, and each is long to look up."""
    shared = _asks_with_shared_windows(asks) if aggregation == "unique_count" else frozenset()
    found: list[dict[tuple[str, ...], Decimal]] = [{} for _ in asks]
    records = [0] * len(asks)
    days, pieces = _cut(asks, whole=shared, is_latest=aggregation == "latest")
    for rows in (
        _rows_of_rollups(aggregation, asks, days, not_billed),
        _rows_of_records(aggregation, asks, pieces, not_billed),
    ):
        for number, values, quantity, count in rows:
            place = found[number]
            place[values] = _put_together(aggregation, place.get(values), quantity)
            records[number] += count
    settle = _sum_of_series if AGGREGATES[aggregation].is_per_series else _settled
    return {
        ask: Metered(settle(aggregation, by_values), count)
        for ask, by_values, count in zip(asks, found, records, strict=True)
    }


def _put_together(aggregation: str, known: Decimal | None, found: Decimal) -> Decimal:
    if known is None:
        return found
    return max(known, found) if aggregation == "max" else known + found


def _settled(aggregation: str, found: Mapping[tuple[str, ...], Decimal]) -> dict[tuple[str, ...], Decimal]:
    return {values: settled(aggregation, raw) for values, raw in found.items()}


def _sum_of_series(
    _aggregation: str, found: Mapping[tuple[str, ...], Decimal]
) -> dict[tuple[str, ...], Decimal]:
    """A peak or a latest value is one for each series first; here the last of the values is the series' id."""
    totals: dict[tuple[str, ...], Decimal] = {}
    for values, quantity in found.items():
        totals[values[:-1]] = totals.get(values[:-1], ZERO) + quantity
    return totals


def _cut(
    asks: Sequence[Ask], *, whole: frozenset[int], is_latest: bool
) -> tuple[list[DaysOfAsk], list[PieceOfAsk]]:
    """The whole local days of each ask, and what is left of it before the first and after the last.

    Those numbered in `whole` are one piece.
    """
    days: list[DaysOfAsk] = []
    pieces: list[PieceOfAsk] = []
    edges: dict[tuple[str, Period], tuple[date, date, tuple[Period, ...]]] = {}
    for number, ask in enumerate(asks):
        place = (ask.zone, ask.service)
        if place not in edges:
            edges[place] = _whole_days(ask.service, ZoneInfo(ask.zone))
        first, end, rest = edges[place]
        # A latest value is in whole days or it is looked for in all records: pieces have no order here.
        if number in whole or first >= end or (rest and is_latest):
            pieces.append((number, ask.service))
            continue
        days.append((number, first, end))
        pieces += [(number, piece) for piece in rest]
    return days, pieces


def _whole_days(service: Period, zone: ZoneInfo) -> tuple[date, date, tuple[Period, ...]]:
    """The first whole local day, the day after the last, and the pieces of the period that they leave."""
    first, end = local_day(service.start, zone), local_day(service.end, zone)
    if start_of_day(first, zone) < service.start:
        first += ONE_DAY
    edges = ((service.start, start_of_day(first, zone)), (start_of_day(end, zone), service.end))
    return first, end, tuple(Period(start, stop) for start, stop in edges if start < stop)


def _values_sql(aggregation: str, *, has_dimensions: bool) -> str:
    """The values to group by; where there is one quantity for each series first, the series is the last of them."""
    parts = []
    if has_dimensions:
        parts.append(
            "ARRAY(SELECT coalesce(c.dimensions ->> k, '') FROM jsonb_array_elements_text(a.dimensions) k)"
        )
    if AGGREGATES[aggregation].is_per_series:
        parts.append("ARRAY[c.id::text]")
    return " || ".join(parts) or "'{}'::text[]"


_BILLABLE = "AND c.source_id <> ALL(%(not_billed)s::bigint[])"


def _rows_of_rollups(
    aggregation: str, asks: Sequence[Ask], days: Sequence[DaysOfAsk], not_billed: list[int]
) -> list[RowOfAsk]:
    if not days:
        return []
    has_dimensions = bool(asks[0].dimensions)
    is_joined = has_dimensions or bool(not_billed) or aggregation not in ("sum", "count", "unique_count")
    join = "JOIN insights_series c ON c.account_id = a.account_id AND c.id = r.series_id" if is_joined else ""
    statement = f"""
    SELECT a.n, {_values_sql(aggregation, has_dimensions=has_dimensions)} AS values,
        {AGGREGATES[aggregation].over_rollups}, sum(r.records)::bigint
    FROM unnest(%(ns)s::int[], %(accounts)s::bigint[], %(meters)s::bigint[], %(firsts)s::date[], %(ends)s::date[],
        %(dimensions)s::jsonb[]) AS a (n, account_id, meter_id, first_day, end_day, dimensions)
    JOIN insights_usagerollup r ON r.account_id = a.account_id AND r.meter_id = a.meter_id
        AND r.day >= a.first_day AND r.day < a.end_day
    {join} {_BILLABLE if is_joined else ""}
    GROUP BY 1, 2"""
    parameters = _parameters(asks, [number for number, _, _ in days], not_billed) | {
        "firsts": [first for _, first, _ in days],
        "ends": [end for _, _, end in days],
    }
    return _answers(statement, parameters)


def _rows_of_records(
    aggregation: str, asks: Sequence[Ask], pieces: Sequence[PieceOfAsk], not_billed: list[int]
) -> list[RowOfAsk]:
    if not pieces:
        return []
    has_dimensions = bool(asks[0].dimensions)
    statement = f"""
    SELECT a.n, {_values_sql(aggregation, has_dimensions=has_dimensions)} AS values,
        {AGGREGATES[aggregation].over_records}, count(*)
    FROM unnest(%(ns)s::int[], %(accounts)s::bigint[], %(meters)s::bigint[], %(starts)s::timestamptz[],
        %(stops)s::timestamptz[], %(dimensions)s::jsonb[])
        AS a (n, account_id, meter_id, start, stop, dimensions)
    CROSS JOIN LATERAL (
        SELECT s.id, s.source_id, s.dimensions, s.window_seconds, dense_rank() OVER (ORDER BY ARRAY(
            SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k)) AS tuple_no
        FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
        WHERE s.account_id = a.account_id AND s.meter_id = a.meter_id
    ) c
    JOIN insights_usagerecord u ON u.account_id = a.account_id AND u.series_id = c.id
        AND u.window_start >= a.start AND u.window_start < a.stop {_BILLABLE}
    GROUP BY 1, 2"""
    parameters = _parameters(asks, [number for number, _ in pieces], not_billed) | {
        "starts": [piece.start for _, piece in pieces],
        "stops": [piece.end for _, piece in pieces],
    }
    return _answers(statement, parameters)


def _parameters(asks: Sequence[Ask], numbers: Sequence[int], not_billed: list[int]) -> dict[str, Any]:
    return {
        "ns": list(numbers),
        "accounts": [asks[number].account_id for number in numbers],
        "meters": [asks[number].meter_id for number in numbers],
        "dimensions": [_json_list(asks[number].dimensions) for number in numbers],
        "not_billed": not_billed,
    }


def _json_list(names: Sequence[str]) -> str:
    return "[" + ",".join(f'"{name}"' for name in names) + "]"


def _answers(statement: str, parameters: Mapping[str, Any]) -> list[RowOfAsk]:
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return [
            (number, tuple(values), quantity, records)
            for number, values, quantity, records in sorted(cursor.fetchall(), key=itemgetter(0))
            if quantity is not None
        ]


_SHARED = """
SELECT DISTINCT account_id, meter_id FROM (
    SELECT s.account_id, s.meter_id
    FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
    WHERE s.account_id = ANY(%(accounts)s) AND s.meter_id = ANY(%(meters)s)
    GROUP BY s.account_id, s.meter_id, ARRAY(SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k)
    HAVING count(*) > 1
) shared
"""


def _asks_with_shared_windows(asks: Sequence[Ask]) -> frozenset[int]:
    """The numbers of those whose windows only records can tell apart, because two series share what makes one."""
    parameters = {
        "accounts": sorted({ask.account_id for ask in asks}),
        "meters": sorted({ask.meter_id for ask in asks}),
    }
    with connection().cursor() as cursor:
        cursor.execute(_SHARED, parameters)
        shared = set(cursor.fetchall())
    return frozenset(number for number, ask in enumerate(asks) if (ask.account_id, ask.meter_id) in shared)
