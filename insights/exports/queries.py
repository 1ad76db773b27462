"""Reads usage records for downloads and for the API's pages.

Both ways of reading records are one statement with two endings, so that they cannot name different rows.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import sql

from accounts.models import Account
from accounts.tenancy import connection
from insights.exports.aggregates import KNOWN_COLUMN
from insights.exports.cell_queries import dimension_cells, dimension_columns, named_cells, safe_cell
from insights.exports.formatting import column_names
from insights.metering.archived_queries import Guard, guard_of
from insights.metering.known_moment import KnownAt
from insights.metering.known_sql import KNOWN_PARTS, RECORDS_CHANGED, SINCE
from insights.metering.usage_filter import UsageFilter
from insights.values.period import Period

AGGREGATES = "aggregates"
RECORDS = "records"
# Records that came or went since the moment that a question names.
CHANGES = "changes"
KINDS = (AGGREGATES, RECORDS)
CSV_KINDS = (*KINDS, CHANGES)
COLUMNS_BEFORE = ("meter", "window_start", "window")
COLUMNS_AFTER = ("quantity", "unit", "row_id", "revision", "source", "batch", "line")
WINDOW_NAMES = {300: "5min", 900: "15min", 1800: "30min", 3600: "hour", 86400: "day"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFilter:
    """Which records of one account, current now or as known at a moment: a meter, a period, and for each named
    dimension the values wanted, or the series themselves.
    """

    account_id: int
    meter_id: int
    dimension_keys: tuple[str, ...]
    period: Period
    dimension_values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    known: KnownAt | None = None
    changes_since: bool = False
    series_ids: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class CopyStatement:
    """A COPY statement for psycopg, with its parameters."""

    statement: sql.Composed
    parameters: dict[str, Any]
    # What would make the answer less than whole, asked for on the stream's own connection.
    guard: Guard | None = None


CsvSource = CopyStatement | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """Where a page of records ended."""

    series_id: int
    window_start: datetime
    row_id: str


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One current usage record as the API shows it."""

    position: RecordPosition
    meter: str
    window: str
    dimensions: dict[str, str]
    quantity: Decimal
    unit: str
    revision: int
    source: str
    batch: uuid.UUID | None
    line: int


def records_filter(account: Account, question: UsageFilter) -> RecordsFilter:
    """Return which records are behind what a question shows."""
    return RecordsFilter(
        account_id=account.pk,
        meter_id=question.meter.id,
        dimension_keys=question.meter.dimensions,
        period=question.period(ZoneInfo(account.billing_zone)),
        dimension_values=question.values,
        known=question.known,
    )


# A partition's key index gives this order, so neither a download nor a page has to sort or to hold what it
# sends.
_ORDER = sql.SQL(" ORDER BY r.account_id, r.series_id, r.window_start, r.row_id")


def _order(wanted: RecordsFilter) -> sql.Composable:
    """What went stands before what came in its place."""
    return sql.SQL("{}, r.change DESC").format(_ORDER) if wanted.changes_since else _ORDER


def records_copy(wanted: RecordsFilter, *, raw: bool) -> CopyStatement:
    """Return the statement that writes the records as CSV with a header; `raw` leaves texts as they are."""
    names = column_names(
        fixed_before=(("change",) if wanted.changes_since else ()) + COLUMNS_BEFORE,
        dimensions=wanted.dimension_keys,
        fixed_after=COLUMNS_AFTER + ((KNOWN_COLUMN,) if wanted.known else ()),
    )
    cells: list[sql.Composable] = [
        *((sql.SQL("r.change"),) if wanted.changes_since else ()),
        sql.SQL("s.meter"),
        sql.SQL("""to_char(r.window_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""),
        sql.SQL("s.window_name"),
        *dimension_cells(wanted.dimension_keys),
        sql.SQL("trim_scale(r.quantity)"),
        sql.SQL("s.unit"),
        # Most records have no row id; the pattern is only tried on those that have.
        sql.SQL("CASE WHEN r.row_id = '' THEN NULL ELSE {} END").format(
            safe_cell(sql.SQL("r.row_id"), raw=raw)
        ),
        sql.SQL("r.revision"),
        sql.SQL("s.source"),
        sql.SQL("p.batch_public_id"),
        sql.SQL("r.line_no"),
        *((sql.SQL("%(position)s::bigint"),) if wanted.known else ()),
    ]
    query = sql.SQL("COPY ({}SELECT {}{}{}) TO STDOUT (FORMAT csv, HEADER true)").format(
        _series(wanted, sql.Composed(dimension_columns(wanted.dimension_keys, raw=raw))),
        named_cells(cells, names),
        _from(_rows(wanted)),
        _order(wanted),
    )
    return CopyStatement(query, _parameters(wanted), guard=guard_of(wanted.account_id, wanted.period))


WINDOW_NAME = sql.SQL("CASE s.window_seconds {} END").format(
    sql.SQL(" ").join(
        sql.SQL("WHEN {} THEN {}").format(sql.Literal(seconds), sql.Literal(name))
        for seconds, name in WINDOW_NAMES.items()
    )
)


def _series(wanted: RecordsFilter, extra: sql.Composed) -> sql.Composed:
    """Return the series in question as a WITH clause: few rows, so that texts are looked at once and not per
    record.
    """
    conditions = [
        sql.SQL(
            " AND EXISTS (SELECT FROM insights_seriesdimension d WHERE d.account_id = s.account_id"
            " AND d.meter_id = s.meter_id AND d.series_id = s.id AND d.key = {} AND d.value = ANY({}))"
        ).format(sql.Placeholder(f"key_{number}"), sql.Placeholder(f"values_{number}"))
        for number in range(len(wanted.dimension_values))
    ]
    if wanted.series_ids is not None:
        conditions.append(sql.Composed([sql.SQL(" AND s.id = ANY(%(series_ids)s::bigint[])")]))
    return sql.SQL(
        "WITH {}series AS MATERIALIZED (SELECT s.id, m.key AS meter, m.unit, w.source_slug AS source,"
        " s.dimensions, {} AS window_name{} FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id"
        " LEFT JOIN insights_watermark w ON w.account_id = s.account_id AND w.source_id = s.source_id"
        " WHERE s.account_id = %(account_id)s AND s.meter_id = %(meter_id)s{}) "
    ).format(sql.SQL(f"{SINCE}, " if wanted.known else ""), WINDOW_NAME, extra, sql.Composed(conditions))


CURRENT = "insights_usagerecord"


def _from(rows: str) -> sql.Composed:
    return sql.SQL(
        " FROM {} r JOIN series s ON s.id = r.series_id"
        " LEFT JOIN insights_batchpart p ON p.account_id = r.account_id AND p.batch_id = r.batch_id"
        " WHERE r.account_id = %(account_id)s AND r.window_start >= %(start)s AND r.window_start < %(end)s"
    ).format(sql.SQL(rows))


def _rows(wanted: RecordsFilter) -> str:
    if wanted.known is None:
        return CURRENT
    return RECORDS_CHANGED if wanted.changes_since else f"({' UNION ALL '.join(KNOWN_PARTS)})"


def _parameters(wanted: RecordsFilter) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "account_id": wanted.account_id,
        "meter_id": wanted.meter_id,
        "start": wanted.period.start,
        "end": wanted.period.end,
    }
    if wanted.known:
        parameters["position"] = wanted.known.position
    if wanted.series_ids is not None:
        parameters["series_ids"] = list(wanted.series_ids)
    for number, (key, values) in enumerate(wanted.dimension_values):
        parameters |= {f"key_{number}": key, f"values_{number}": list(values)}
    return parameters


def list_records(wanted: RecordsFilter, *, after: RecordPosition | None, limit: int) -> tuple[RecordRow, ...]:
    """Return the records behind a position, in the order of the download."""
    behind = sql.SQL("")
    parameters = _parameters(wanted) | {"limit": limit}
    if after is not None:
        # Without the account, which is equal: of the newest account the planner would expect no row behind.
        behind = sql.SQL(
            " AND (r.series_id, r.window_start, r.row_id) > (%(series_id)s, %(window_start)s, %(row_id)s)"
        )
        parameters |= {
            "series_id": after.series_id,
            "window_start": after.window_start,
            "row_id": after.row_id,
        }
    # Each part is read in the order of its key and no further than the page: together they would be sorted whole.
    parts = [
        sql.SQL(
            "(SELECT r.series_id, r.window_start, r.row_id, s.meter, s.window_name, s.dimensions, r.quantity,"
            " s.unit, r.revision, coalesce(s.source, ''), p.batch_public_id, r.line_no{}{}{} LIMIT %(limit)s)"
        ).format(_from(rows), behind, _ORDER)
        for rows in (KNOWN_PARTS if wanted.known else (CURRENT,))
    ]
    query = sql.SQL("{}SELECT * FROM ({}) t ORDER BY 1, 2, 3 LIMIT %(limit)s").format(
        _series(wanted, sql.Composed([])), sql.SQL(" UNION ALL ").join(parts)
    )
    with connection().cursor() as cursor:
        cursor.execute(query, parameters)
        return tuple(_record_row(row) for row in cursor.fetchall())


def _record_row(row: tuple[Any, ...]) -> RecordRow:
    (
        series_id,
        window_start,
        row_id,
        meter,
        window,
        dimensions,
        quantity,
        unit,
        revision,
        source,
        batch,
        line,
    ) = row
    return RecordRow(
        position=RecordPosition(series_id, window_start, row_id),
        meter=meter,
        window=window,
        # Django reads jsonb as text.
        dimensions=json.loads(dimensions),
        quantity=quantity,
        unit=unit,
        revision=revision,
        source=source,
        batch=batch,
        line=line,
    )
