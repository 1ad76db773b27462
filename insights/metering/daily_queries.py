"""What an account's meters measured on each local day, of several meters at once, in one statement.

From the sums of days where every source counts, else from the rollups of those that do. In an account's scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering import overview_sql
from insights.metering.aggregations import AGGREGATES, settled
from insights.metering.metered_queries import BilledMeter

_ONE_DAY = {"max": "sum(r.maximum)", "latest": "sum(r.latest_quantity)"}


def read_daily_quantities(
    account: Account,
    meters: Iterable[BilledMeter],
    *,
    first: date,
    end: date,
    left_out: Collection[int] = (),
) -> dict[int, dict[date, Decimal]]:
    """The quantity of each day from `first` and before `end` that has records, by the id of the meter's version.

    `left_out` are sources that do not count. Windows that several series report count for each of them.
    """
    ids: dict[str, list[int]] = defaultdict(list)
    aggregations = {}
    for meter in meters:
        ids[meter.aggregation].append(meter.id)
        aggregations[meter.id] = meter.aggregation
    if not ids:
        return {}
    parameters: dict[str, Any] = {
        "account": account.pk,
        "first_day": first,
        "end_day": end,
        "left_out": list(left_out),
        **{f"meters_{aggregation}": together for aggregation, together in ids.items()},
    }
    statement = "\nUNION ALL\n".join(
        _days_of(aggregation, has_left_out=bool(left_out)) for aggregation in sorted(ids)
    )
    found: dict[int, dict[date, Decimal]] = defaultdict(dict)
    with connection().cursor() as cursor:
        cursor.execute(statement, parameters)
        for meter_id, day, quantity, records in cursor.fetchall():
            if records and quantity is not None:
                found[meter_id][day] = settled(aggregations[meter_id], quantity)
    return dict(found)


def _days_of(aggregation: str, *, has_left_out: bool) -> str:
    """Rows (meter, day, value, records) of the meters of one aggregation, whose ids have a parameter of their own."""
    statement = (
        _OF_SOURCES.format(value=_value(aggregation)) if has_left_out else overview_sql.days_of(aggregation)
    )
    return statement.replace("%(meters)s", f"%(meters_{aggregation})s")


def _value(aggregation: str) -> str:
    """On one day a series has one row, so that its peak or latest value is in that row."""
    return _ONE_DAY.get(aggregation, AGGREGATES[aggregation].over_rollups)


_OF_SOURCES = """SELECT r.meter_id, r.day, {value}, sum(r.records)::bigint
FROM insights_usagerollup r JOIN insights_series c ON c.account_id = r.account_id AND c.id = r.series_id
WHERE r.account_id = %(account)s AND r.meter_id = ANY(%(meters)s::bigint[])
    AND r.day >= %(first_day)s AND r.day < %(end_day)s AND c.source_id <> ALL(%(left_out)s::bigint[])
GROUP BY 1, 2"""
