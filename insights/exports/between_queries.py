"""Reads the records that came or went between two ledger positions, for pages, the API and downloads.

Both ways of reading them are one statement with two endings, so that they cannot name different records.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import sql

from accounts.tenancy import connection
from insights.explain.then_and_now import ThenAndNow
from insights.exports.cell_queries import dimension_cells, dimension_columns, named_cells, safe_cell
from insights.exports.formatting import column_names
from insights.exports.queries import WINDOW_NAME, CopyStatement
from insights.metering.archived_queries import guard_of
from insights.metering.between import Between
from insights.metering.between_sql import MOVED
from insights.values.period import Period

COLUMNS_BEFORE = ("change", "bill_line", "meter", "meter_name", "window_start", "window")
COLUMNS_AFTER = (
    "quantity", "unit", "row_id", "revision", "source", "batch", "line", "position_then", "position_now",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MovedPlace:
    """Where a page of records ended; `came` is 1 for a record that came, 0 for one that went."""

    series_id: int
    window_start: datetime
    row_id: str
    came: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedRecord:
    """One record that came or went; `place` is the number of its place, `line` its line in its batch."""

    at: MovedPlace
    place: int
    meter: str
    meter_name: str
    window: str
    dimensions: dict[str, str]
    quantity: Decimal
    unit: str
    revision: int
    source: str
    batch: uuid.UUID | None
    line: int


def bill_lines_of(found: ThenAndNow) -> tuple[int | None, ...]:
    """The line of the bill that the records of each place are of, by the number of the place."""
    return tuple(None if number is None else found.lines[number].position for number in found.places)


# Names of the series are looked up once and not for each record.
_NAMED = sql.SQL("""
WITH {moved}, named AS MATERIALIZED (
    SELECT s.id, m.key AS meter, m.unit, (
            SELECT n.name FROM insights_meter n WHERE n.key = m.key ORDER BY n.version DESC LIMIT 1
        ) AS meter_name, coalesce(w.source_slug, '') AS source, s.dimensions,
        {window} AS window_name{extra}
    FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
    LEFT JOIN insights_watermark w ON w.account_id = s.account_id AND w.source_id = s.source_id
    WHERE s.account_id = %(account)s AND s.id = ANY(%(series)s::bigint[])
)""")
_FROM = sql.SQL("""
FROM moved r JOIN named s ON s.id = r.series_id
LEFT JOIN insights_batchpart p ON p.account_id = %(account)s AND p.batch_id = r.batch_id
WHERE true""")
_ORDER = sql.SQL(" ORDER BY r.series_id, r.window_start, r.row_id, r.came")


def list_records_between(
    found: ThenAndNow, *, after: MovedPlace | None, limit: int
) -> tuple[MovedRecord, ...]:
    """List the records between the two moments of a bill behind a place; nothing is read where there are none."""
    if not found.moved.came and not found.moved.went:
        return ()
    return list_moved(found.between, after=after, limit=limit)


def list_moved(between: Between, *, after: MovedPlace | None, limit: int) -> tuple[MovedRecord, ...]:
    """List the records behind a place, by series and time; what went stands before what came instead."""
    parameters = between.parameters() | {"limit": limit}
    behind = sql.SQL("")
    if after is not None:
        behind = sql.SQL(
            " AND (r.series_id, r.window_start, r.row_id, r.came)"
            " > (%(after_series)s, %(after_start)s, %(after_row)s, %(after_came)s)"
        )
        parameters |= {
            "after_series": after.series_id,
            "after_start": after.window_start,
            "after_row": after.row_id,
            "after_came": after.came,
        }
    statement = sql.SQL(
        "{} SELECT r.series_id, r.window_start, r.row_id, r.came, r.place, s.meter, s.meter_name, s.window_name,"
        " s.dimensions, r.quantity, s.unit, r.revision, s.source, p.batch_public_id, r.line_no{}{}{} LIMIT %(limit)s"
    ).format(_named([]), _FROM, behind, _ORDER)
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        return tuple(map(_record, cursor.fetchall()))


def _named(extra: Sequence[sql.Composable]) -> sql.Composed:
    return _NAMED.format(moved=sql.SQL(MOVED), window=WINDOW_NAME, extra=sql.Composed(extra))


def _record(row: Sequence[Any]) -> MovedRecord:
    series_id, window_start, row_id, came, place, meter, meter_name, window, *rest = row
    dimensions, quantity, unit, revision, source, batch, line = rest
    return MovedRecord(
        at=MovedPlace(series_id, window_start, row_id, came),
        place=place,
        meter=meter,
        meter_name=meter_name,
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


def moved_copy(
    between: Between,
    *,
    period: Period,
    bill_lines: Sequence[int | None],
    dimension_keys: tuple[str, ...],
    raw: bool,
) -> CopyStatement:
    """The statement that writes all of them as CSV; `bill_lines` is the line of the bill by the number of the place."""
    names = column_names(fixed_before=COLUMNS_BEFORE, dimensions=dimension_keys, fixed_after=COLUMNS_AFTER)
    cells: list[sql.Composable] = [
        sql.SQL("CASE r.came WHEN 1 THEN 'came' ELSE 'went' END"),
        sql.SQL("(%(bill_lines)s::int[])[r.place + 1]"),
        sql.SQL("s.meter"),
        safe_cell(sql.SQL("s.meter_name"), raw=raw),
        sql.SQL("""to_char(r.window_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""),
        sql.SQL("s.window_name"),
        *dimension_cells(dimension_keys),
        sql.SQL("trim_scale(r.quantity)"),
        sql.SQL("s.unit"),
        sql.SQL("nullif({}, '')").format(safe_cell(sql.SQL("r.row_id"), raw=raw)),
        sql.SQL("r.revision"),
        sql.SQL("s.source"),
        sql.SQL("p.batch_public_id"),
        sql.SQL("r.line_no"),
        sql.SQL("%(position)s::bigint"),
        sql.SQL("%(until)s::bigint"),
    ]
    statement = sql.SQL("COPY ({} SELECT {}{}{}) TO STDOUT (FORMAT csv, HEADER true)").format(
        _named(dimension_columns(dimension_keys, raw=raw)), named_cells(cells, names), _FROM, _ORDER
    )
    return CopyStatement(
        statement,
        between.parameters() | {"bill_lines": list(bill_lines)},
        guard=guard_of(between.account_id, period),
    )
