"""Reads what there is to ask about: meters, values of their dimensions, and the watermarks of their sources."""

from __future__ import annotations

from typing import Any

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering.aggregations import MeterFacts
from insights.metering.completeness import SourceMark
from insights.models import Watermark

VALUES_OFFERED = 200


# Asked on most pages, so in plain SQL. In the order of the index, which is looked into once for each meter.
_METERS = """
    SELECT * FROM (
        SELECT m.id, m.key, m.version, m.name, m.description, m.unit, m.aggregation, m.dimensions,
            m.unique_dimensions, m.version = max(m.version) OVER (PARTITION BY m.key),
            (
                SELECT s.source_id FROM insights_series s WHERE s.account_id = %s AND s.meter_id = m.id
                ORDER BY s.source_id LIMIT 1
            ) IS NOT NULL AS has_usage,
            m.retired_at, m.position
        FROM insights_meter m
    ) m WHERE has_usage OR retired_at IS NULL ORDER BY position, key, version
"""


def list_meters(account: Account) -> tuple[MeterFacts, ...]:
    """Every version of every meter in page order, saying which the account has usage of."""
    with connection().cursor() as cursor:
        cursor.execute(_METERS, [account.pk])
        rows = cursor.fetchall()
    return tuple(
        MeterFacts(
            id=meter_id,
            key=key,
            version=version,
            name=name,
            description=description,
            unit=unit,
            aggregation=aggregation,
            dimensions=tuple(dimensions),
            unique_dimensions=tuple(unique),
            is_newest=is_newest,
            has_usage=has_usage,
        )
        for meter_id, key, version, name, description, unit, aggregation, dimensions, unique, *rest in rows
        for is_newest, has_usage in (rest[:2],)
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
