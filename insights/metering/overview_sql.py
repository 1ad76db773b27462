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
        OR count(*) = count(DISTINCT ARRAY(SELECT s.dimensions ->> k FROM unnest(m.unique_dimensions) k))
            FILTER (WHERE m.aggregation = 'unique_count'),
    (SELECT min(r.day) FROM insights_usagerollup r
        WHERE r.account_id = %(account)s AND r.meter_id = s.meter_id)
FROM insights_series s JOIN insights_meter m ON m.id = s.meter_id
WHERE s.account_id = %(account)s
GROUP BY s.meter_id, m.aggregation
"""
_OF_METERS = """{0}.account_id = %(account)s AND {0}.meter_id = ANY(%(meters)s::bigint[])
    AND {0}.day >= %(first_day)s AND {0}.day < %(end_day)s"""
# Sums answer for every day but those that are named; of these every series is read.
_SUMMED = f"""FROM insights_usagesum s {{join}} WHERE {_OF_METERS.format("s")} AND s.key = {{key}}
    AND (s.meter_id, s.day) NOT IN (
        SELECT o.meter_id, o.day FROM insights_unsummedday o WHERE {_OF_METERS.format("o")})"""
_UNSUMMED = f"""FROM (SELECT DISTINCT o.account_id, o.meter_id, o.day FROM insights_unsummedday o
        WHERE {_OF_METERS.format("o")}) o
    JOIN insights_usagerollup r ON r.account_id = o.account_id AND r.meter_id = o.meter_id AND r.day = o.day
    {{join}}"""
_WITH_SECONDS = "JOIN insights_series c ON c.account_id = r.account_id AND c.id = r.series_id"


def days_of(aggregation: str) -> str:
    """Rows (meter, day, value, records)."""
    aggregate = AGGREGATES[aggregation]
    join = _WITH_SECONDS if needs_seconds(aggregation) else ""
    # On one day a series has one row, so that its peak or latest value is in that row.
    one_day = {"max": "sum(r.maximum)", "latest": "sum(r.latest_quantity)"}
    value = one_day.get(aggregation, aggregate.over_rollups)
    return f"""SELECT s.meter_id, s.day, s.quantity, s.records::bigint {_SUMMED.format(join="", key="''")}
UNION ALL
SELECT r.meter_id, r.day, {value}, sum(r.records)::bigint {_UNSUMMED.format(join=join)} GROUP BY 1, 2"""


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
    by_meter = "JOIN insights_meter m ON m.id = s.meter_id"
    return f"""WITH per_series AS (
    SELECT r.meter_id, r.series_id, {AGGREGATES[aggregation].over_rollups} AS quantity
    {_UNSUMMED.format(join=join)}
    GROUP BY 1, 2
), parts AS (
    SELECT s.meter_id, nullif(s.value, '') AS value, s.quantity
    {_SUMMED.format(join=by_meter, key="m.dimensions[1] AND s.key = ANY(%(keys)s::text[])")}
    UNION ALL
    SELECT p.meter_id, d.value, p.quantity
    FROM per_series p JOIN insights_meter m ON m.id = p.meter_id
    LEFT JOIN insights_seriesdimension d
        ON d.account_id = %(account)s AND d.series_id = p.series_id AND d.key = m.dimensions[1]
), per_value AS (
    SELECT meter_id, value, sum(quantity) AS quantity FROM parts GROUP BY 1, 2
), ranked AS (
    SELECT v.*, row_number() OVER (PARTITION BY meter_id ORDER BY quantity DESC, value) AS place,
        count(*) OVER (PARTITION BY meter_id) AS places
    FROM per_value v
), shown AS (
    SELECT *, place > {SHARES_SHOWN} AND places > {SHARES_SHOWN + 1} AS is_rest FROM ranked
)
SELECT meter_id, CASE WHEN NOT is_rest THEN value END, is_rest, sum(quantity), count(*)
FROM shown GROUP BY meter_id, is_rest, CASE WHEN NOT is_rest THEN value END ORDER BY meter_id, min(place)"""
