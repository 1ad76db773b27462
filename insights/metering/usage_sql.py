"""The SQL that reads usage: rows per stretch of time and group, and totals per series.

Text only, put together from the constants of these files; every value is a parameter. Keys begin with the
account, so that each statement reads one account's neighbouring rows and nothing else.
"""

from __future__ import annotations

from typing import Any

from insights.metering.aggregations import AGGREGATES, needs_seconds

_CHOSEN = """WITH chosen AS MATERIALIZED (
    SELECT c.series_id, c.group_no, c.window_seconds, c.tuple_no
    FROM unnest(%(series)s::bigint[], %(groups)s::int[], %(seconds)s::bigint[], %(tuples)s::int[])
        AS c (series_id, group_no, window_seconds, tuple_no)
)"""
_ROLLUP_ROWS = """r.account_id = %(account)s AND r.meter_id = %(meter)s
        AND r.day >= %(first_day)s AND r.day < %(end_day)s"""
_SLOT_OF_INSTANT = "width_bucket(u.window_start, %(slot_starts)s::timestamptz[])"

_SERIES = """
SELECT s.id, s.source_id, s.window_seconds, d.value,
    ARRAY(SELECT s.dimensions ->> k FROM unnest(%(unique)s::text[]) k)
FROM insights_series s
LEFT JOIN insights_seriesdimension d
    ON d.account_id = s.account_id AND d.series_id = s.id AND d.key = %(group_by)s
WHERE s.account_id = %(account)s AND s.meter_id = %(meter)s
"""
# Each filtered dimension asks for one of its values; plain equality on rows, so that an index answers.
_WITH_VALUE = """AND s.id IN (
    SELECT f.series_id FROM insights_seriesdimension f
    WHERE f.account_id = %(account)s AND f.meter_id = %(meter)s
        AND f.key = %({key})s AND f.value = ANY(%({values})s)
)
"""
FIRST_DAY = """
SELECT min(day),
    (SELECT array_agg(DISTINCT s.month) FROM insights_rollupseal s WHERE s.account_id = %(account)s)
FROM insights_usagerollup WHERE account_id = %(account)s AND meter_id = %(meter)s
"""
FIRST_DAY_OF_SERIES = FIRST_DAY + "AND series_id = ANY(%(series)s::bigint[])"


def series_of(
    *,
    account_id: int,
    meter_id: int,
    group_by: str,
    unique_dimensions: tuple[str, ...],
    values: tuple[tuple[str, tuple[str, ...]], ...],
) -> tuple[str, dict[str, Any]]:
    """The series a question concerns, each with its value of the dimension grouped by."""
    statement = _SERIES
    parameters: dict[str, Any] = {
        "account": account_id,
        "meter": meter_id,
        "group_by": group_by,
        "unique": list(unique_dimensions),
    }
    for number, (key, wanted) in enumerate(values):
        statement += _WITH_VALUE.format(key=f"key_{number}", values=f"values_{number}")
        parameters |= {f"key_{number}": key, f"values_{number}": list(wanted)}
    return statement, parameters


def slot_rows_of_rollups(aggregation: str, *, is_joined: bool) -> str:
    """Rows (slot number, group number, value, records, holds daily totals) out of day rollups.

    Sums are made per day and group first: placing each row in its slot would cost more than adding it.
    """
    join = "JOIN chosen c ON c.series_id = r.series_id" if is_joined else ""
    group = "c.group_no" if is_joined else "0"
    head = f"{_CHOSEN}, parts" if is_joined else "WITH parts"
    value = AGGREGATES[aggregation].over_rollups
    return f"""{head} AS (
    SELECT r.day, {group} AS group_no, {value} AS value, sum(r.records) AS records
    FROM insights_usagerollup r {join}
    WHERE {_ROLLUP_ROWS}
    GROUP BY 1, 2
)
SELECT width_bucket(day, %(slot_days)s::date[]) - 1, group_no, sum(value), sum(records)::bigint, false
FROM parts GROUP BY 1, 2"""


def slot_rows_of_series(aggregation: str, *, is_filtered: bool) -> str:
    """The same rows by way of one value for each slot and series.

    The only way for a peak or a latest value; and where a slot has many days of many series it leaves few rows
    to be joined with their groups.
    """
    value = "v.value * c.window_seconds" if needs_seconds(aggregation) else "v.value"
    narrowed = "AND r.series_id = ANY(%(series)s::bigint[])" if is_filtered else ""
    return f"""{_CHOSEN}
SELECT s.slot_no - 1, c.group_no, sum({value}), sum(v.records)::bigint, false
FROM unnest(%(slot_days)s::date[], %(slot_end_days)s::date[])
    WITH ORDINALITY AS s (first_day, end_day, slot_no)
CROSS JOIN LATERAL (
    SELECT r.series_id, {_value_of_series(aggregation)} AS value, sum(r.records) AS records
    FROM insights_usagerollup r
    WHERE r.account_id = %(account)s AND r.meter_id = %(meter)s
        AND r.day >= s.first_day AND r.day < s.end_day {narrowed}
    GROUP BY 1
) v
JOIN chosen c ON c.series_id = v.series_id
GROUP BY 1, 2"""


def _value_of_series(aggregation: str) -> str:
    """One series' value; what is held for a time is multiplied by the seconds of its window afterwards."""
    return AGGREGATES["sum" if needs_seconds(aggregation) else aggregation].over_rollups


def slot_rows_of_records(aggregation: str) -> str:
    """The same rows out of the records themselves: for hours, and where rollups cannot tell windows apart."""
    aggregate = AGGREGATES[aggregation]
    series = ", u.series_id" if aggregate.is_per_series else ""
    at, slot = (
        (_SLOT_OF_INSTANT, "at")
        if aggregate.is_per_series
        else ("u.window_start", "width_bucket(at, %(slot_starts)s::timestamptz[])")
    )
    return f"""{_CHOSEN}, parts AS (
    SELECT {at} AS at, c.group_no, {aggregate.over_records} AS value, count(*) AS records,
        bool_or(c.window_seconds > 3600) AS is_daily
    FROM chosen c JOIN insights_usagerecord u ON u.series_id = c.series_id
    WHERE u.account_id = %(account)s AND u.window_start >= %(start)s AND u.window_start < %(end)s
    GROUP BY 1, 2{series}
)
SELECT {slot} - 1, group_no, sum(value), sum(records)::bigint, bool_or(is_daily) FROM parts GROUP BY 1, 2"""


def series_totals(aggregation: str, *, is_filtered: bool) -> str:
    """Rows (series, value) of a period; quantities held for a time are not yet multiplied by seconds."""
    narrowed = "AND r.series_id = ANY(%(series)s::bigint[])" if is_filtered else ""
    return f"""SELECT r.series_id, {_value_of_series(aggregation)}
FROM insights_usagerollup r
WHERE {_ROLLUP_ROWS} {narrowed}
GROUP BY 1"""
