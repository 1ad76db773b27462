"""The SQL that reads sums over many series: for summed days, the same rows as those of rollups and records.

Text only; every value is a parameter. Days that are not summed are left out by naming the stretch that holds them.
"""

from __future__ import annotations

UNSUMMED_DAYS = """
SELECT DISTINCT day FROM insights_unsummedday
WHERE account_id = %(account)s AND meter_id = %(meter)s AND day >= %(first_day)s AND day < %(end_day)s ORDER BY day
"""
_SUMMED = """s.account_id = %(account)s AND s.meter_id = %(meter)s
        AND s.day >= %(first_day)s AND s.day < %(end_day)s AND NOT (s.day >= %(open_first)s AND s.day < %(open_end)s)"""
_OF_KEY = f"s.key = %(key)s AND {_SUMMED}"
_OF_VALUES = f"{_OF_KEY} AND s.value = ANY(%(only)s::text[])"
_WHOLE = f"s.key = '' AND {_SUMMED}"


def month_rows(*, is_grouped: bool, is_filtered: bool) -> str:
    """Rows (slot number, group number, value, records); what is in no group is in the last, `rest`."""
    group = "coalesce(g.group_no, %(rest)s)" if is_grouped else "0"
    join = (
        "LEFT JOIN unnest(%(values)s::text[], %(numbers)s::int[]) AS g (value, group_no) ON g.value = s.value"
        if is_grouped
        else ""
    )
    return f"""SELECT width_bucket(s.day, %(slot_days)s::date[]) - 1, {group}, sum(s.quantity), sum(s.records)::bigint
FROM insights_usagesum s {join}
WHERE {_OF_VALUES if is_filtered else _OF_KEY}
GROUP BY 1, 2"""


def day_rows(*, has_whole: bool) -> str:
    """Rows (is the whole, day, value, quantity, records) of the values named, and of all series together."""
    return _of_values("s.quantity, s.records", has_whole=has_whole)


def hour_rows(*, has_whole: bool) -> str:
    """Rows (is the whole, day, value, hours, quantities, records), the last three in step with each other."""
    return _of_values("s.hours, s.hour_quantities, s.hour_records", has_whole=has_whole)


def _of_values(columns: str, *, has_whole: bool) -> str:
    rows = f"SELECT false, s.day, s.value, {columns} FROM insights_usagesum s WHERE {_OF_VALUES}"
    if not has_whole:
        return rows
    return f"{rows} UNION ALL SELECT true, s.day, s.value, {columns} FROM insights_usagesum s WHERE {_WHOLE}"


def value_totals(*, is_filtered: bool) -> str:
    """Rows (dimension value, total)."""
    return f"""SELECT s.value, sum(s.quantity) FROM insights_usagesum s
WHERE {_OF_VALUES if is_filtered else _OF_KEY} GROUP BY 1"""


def bar_rows(aggregate: str) -> str:
    """Rows (day, bar of the day, value of the dimension, quantity) of the values named, several hours together.

    Each row is grouped on its own, by a small number: by day and value too, all hours took twice as long.
    """
    return f"""SELECT s.day, b.bar, s.value, b.quantity FROM insights_usagesum s
CROSS JOIN LATERAL (
    SELECT least(h.hour / %(hours)s, %(last_bar)s) AS bar, {aggregate}(h.quantity) AS quantity
    FROM (SELECT unnest(s.hours) AS hour, unnest(s.hour_quantities) AS quantity) h GROUP BY 1
) b WHERE {_OF_VALUES}"""
