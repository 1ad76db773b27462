"""Reads what there is to ask about: meters, values of their dimensions, and the watermarks of their sources."""

from __future__ import annotations

from typing import Any

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering.aggregations import MeterFacts
from insights.metering.completeness import SourceMark
from insights.models import Meter, Series, Watermark

VALUES_OFFERED = 200


def list_meters(account: Account) -> tuple[MeterFacts, ...]:
    """Every version of every meter in page order, saying which the account has usage of."""
    used = set(Series.objects.for_account(account).values_list("meter_id", flat=True).distinct())
    rows = list(Meter.objects.order_by("position", "key", "version"))
    newest = {meter.key: meter.version for meter in rows}
    return tuple(
        MeterFacts(
            id=meter.pk,
            key=meter.key,
            version=meter.version,
            name=meter.name,
            description=meter.description,
            unit=meter.unit,
            aggregation=meter.aggregation,
            dimensions=tuple(meter.dimensions),
            unique_dimensions=tuple(meter.unique_dimensions),
            is_newest=newest[meter.key] == meter.version,
            has_usage=meter.pk in used,
        )
        for meter in rows
        if meter.retired_at is None or meter.pk in used
    )


def list_dimension_keys(account: Account) -> tuple[str, ...]:
    """The dimensions of every meter, in page order: the columns of a table of records of several meters."""
    return tuple(dict.fromkeys(name for meter in list_meters(account) for name in meter.dimensions))


# The index holds the values of a dimension in order, so that only as many are read as are offered.
_FIRST_VALUES = """
    SELECT wanted.key, offered.value FROM unnest(%(keys)s::text[]) AS wanted (key)
    CROSS JOIN LATERAL (
        SELECT DISTINCT d.value FROM insights_seriesdimension d
        WHERE d.account_id = %(account)s AND d.meter_id = %(meter)s AND d.key = wanted.key
        ORDER BY d.value LIMIT %(offered)s
    ) AS offered ORDER BY wanted.key, offered.value
"""


def list_dimension_values(account: Account, meter: MeterFacts) -> dict[str, tuple[str, ...]]:
    """The first values of each dimension in alphabetical order, for a person to choose from."""
    parameters: dict[str, Any] = {
        "keys": list(meter.dimensions),
        "account": account.pk,
        "meter": meter.id,
        "offered": VALUES_OFFERED,
    }
    values: dict[str, list[str]] = {key: [] for key in meter.dimensions}
    with connection().cursor() as cursor:
        cursor.execute(_FIRST_VALUES, parameters)
        for key, value in cursor.fetchall():
            values[key].append(value)
    return {key: tuple(offered) for key, offered in values.items()}


def list_marks(account: Account) -> tuple[SourceMark, ...]:
    """The account's watermarks, one for each source that ever sent or is expected to."""
    rows = Watermark.objects.for_account(account).order_by("source_slug")
    return tuple(
        SourceMark(
            source_id=row.source_id,
            slug=row.source_slug,
            name=row.source_name,
            cadence_seconds=row.cadence_seconds,
            counts_from=row.counts_from,
            complete_to=row.complete_to,
            last_window_end=row.last_window_end,
            last_received_at=row.last_received_at,
            ended_at=row.ended_at,
        )
        for row in rows
    )
