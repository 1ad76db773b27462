"""The SQL that reads sums over many series: for summed days, the same rows as those of rollups and records.

Text only; every value is a parameter. Days that are not summed are left out by naming the stretch that holds them.
"""

from __future__ import annotations

UNSUMMED_DAYS = """
SELECT day FROM insights_unsummedday
WHERE account_id = %(account)s AND meter_id = %(meter)s AND day >= %(first_day)s AND day < %(end_day)s ORDER BY day
"""
_SUMMED = """s.account_id = %(account)s AND s.meter_id = %(meter)s
        AND s.day >= %(first_day)s AND s.day < %(end_day)s AND NOT (s.day >= %(open_first)s AND s.day < %(open_end)s)"""
_OF_KEY = f"s.key = %(key)s AND {_SUMMED}"
_OF_VALUES = f"{_OF_KEY} AND s.value = ANY(%(only)s::text[])"
_WHOLE = f"s.key = '' AND {_SUMMED}"


def day_rows(*, is_grouped: bool, is_filtered: bool, by_slot: bool) -> str:
    """Rows (day or slot number, group number, value, records); what is in no group is in the last, `rest`."""
    group = "coalesce(g.group_no, %(rest)s)" if is_grouped else "0"
    join = (
        "LEFT JOIN unnest(%(values)s::text[], %(numbers)s::int[]) AS g (value, group_no) ON g.value = s.value"
        if is_grouped
        else ""
    )
    rows = f"""SELECT s.day, {group} AS group_no, sum(s.quantity) AS value, sum(s.records)::bigint AS records
    FROM insights_usagesum s {join}
    WHERE {_OF_VALUES if is_filtered else _OF_KEY}
    GROUP BY 1, 2"""
    if not by_slot:
        return rows
    return f"""SELECT width_bucket(day, %(slot_days)s::date[]) - 1, group_no, sum(value), sum(records)::bigint
FROM ({rows}) parts GROUP BY 1, 2"""


def hour_rows(*, has_whole: bool) -> str:
    """Rows (is the whole, day, value, hours, quantities, records), the last three in step with each other."""
    columns = "s.day, s.value, s.hours, s.hour_quantities, s.hour_records FROM insights_usagesum s"
    rows = f"SELECT false, {columns} WHERE {_OF_VALUES}"
    return f"{rows} UNION ALL SELECT true, {columns} WHERE {_WHOLE}" if has_whole else rows


def value_totals(*, is_filtered: bool) -> str:
    """Rows (dimension value, total)."""
    return f"""SELECT s.value, sum(s.quantity) FROM insights_usagesum s
WHERE {_OF_VALUES if is_filtered else _OF_KEY} GROUP BY 1"""


def bar_rows(aggregate: str) -> str:
    """Rows (day, bar of the day, group number, value, records) of the shown values, several hours together."""
    return f"""SELECT s.day, least(h.hour / %(hours)s, %(last_bar)s), g.group_no, {aggregate}(h.quantity),
    sum(h.records)::bigint
FROM insights_usagesum s
JOIN unnest(%(values)s::text[], %(numbers)s::int[]) AS g (value, group_no) ON g.value = s.value
CROSS JOIN LATERAL unnest(s.hours, s.hour_quantities, s.hour_records) AS h (hour, quantity, records)
WHERE {_OF_VALUES} GROUP BY 1, 2, 3"""
