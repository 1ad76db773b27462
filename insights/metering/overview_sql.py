"""The SQL of an account's overview: days, totals of whole periods and shares of several meters at once.

Text only, put together from the constants of these files; every value is a parameter.
"""

from __future__ import annotations

from insights.metering.aggregations import AGGREGATES, needs_seconds

SHARES_SHOWN = 5

# The first day is looked up by key for each meter, which is one step down the index and not a scan.
FEEDING = """
SELECT s.meter_id, array_agg(DISTINCT s.source_id),
    m.aggregation <> 'unique_count'
        OR count(*) = count(DISTINCT ARRAY(SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k)),
    (SELECT min(r.day) FROM insights_usagerollup r
        WHERE r.account_id = %(account)s AND r.meter_id = s.meter_id)
FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
WHERE s.account_id = %(account)s
GROUP BY s.meter_id, m.aggregation
"""
_OF_METERS = """r.account_id = %(account)s AND r.meter_id = ANY(%(meters)s::bigint[])
    AND r.day >= %(first_day)s AND r.day < %(end_day)s"""
_WITH_SECONDS = "JOIN insights_series c ON c.account_id = r.account_id AND c.id = r.series_id"


def days_of(aggregation: str) -> str:
    """Rows (meter, day, value, records)."""
    aggregate = AGGREGATES[aggregation]
    join = _WITH_SECONDS if needs_seconds(aggregation) else ""
    # On one day a series has one row, so that its peak or latest value is in that row.
    one_day = {"max": "sum(r.maximum)", "latest": "sum(r.latest_quantity)"}
    value = one_day.get(aggregation, aggregate.over_rollups)
    return f"""SELECT r.meter_id, r.day, {value}, sum(r.records)::bigint
FROM insights_usagerollup r {join}
WHERE {_OF_METERS}
GROUP BY 1, 2"""


def period_totals(aggregation: str) -> str:
    """Rows (number of the period from 1, total) of one meter with one value for each series."""
    return f"""SELECT no, sum(value) FROM (
    SELECT p.no, {AGGREGATES[aggregation].over_rollups} AS value
    FROM unnest(%(first_days)s::date[], %(end_days)s::date[])
        WITH ORDINALITY AS p (first_day, end_day, no)
    JOIN insights_usagerollup r ON r.account_id = %(account)s AND r.meter_id = %(meter)s
        AND r.day >= p.first_day AND r.day < p.end_day
    GROUP BY p.no, r.series_id
) picked GROUP BY no"""


def shares_of(aggregation: str) -> str:
    """Rows (meter, value, is the rest, total, how many values), the largest first, by each first dimension."""
    join = _WITH_SECONDS if needs_seconds(aggregation) else ""
    return f"""WITH per_series AS (
    SELECT r.meter_id, r.series_id, {AGGREGATES[aggregation].over_rollups} AS quantity
    FROM insights_usagerollup r {join}
    WHERE {_OF_METERS}
    GROUP BY 1, 2
), per_value AS (
    SELECT p.meter_id, d.value, sum(p.quantity) AS quantity
    FROM per_series p JOIN insights_meter m ON m.id = p.meter_id
    LEFT JOIN insights_seriesdimension d
        ON d.account_id = %(account)s AND d.series_id = p.series_id AND d.key = m.dimensions[1]
    GROUP BY 1, 2
), ranked AS (
    SELECT v.*, row_number() OVER (PARTITION BY meter_id ORDER BY quantity DESC, value) AS place,
        count(*) OVER (PARTITION BY meter_id) AS places
    FROM per_value v
), shown AS (
    SELECT *, place > {SHARES_SHOWN} AND places > {SHARES_SHOWN + 1} AS is_rest FROM ranked
)
SELECT meter_id, CASE WHEN NOT is_rest THEN value END, is_rest, sum(quantity), count(*)
FROM shown GROUP BY meter_id, is_rest, CASE WHEN NOT is_rest THEN value END ORDER BY meter_id, min(place)"""
