"""Totals of everything a source has delivered, summed from the records themselves and not from rollups."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from accounts.tenancy import connection

_GROUPS = {
    "account": "a.reference",
    "month": "to_char(u.window_start AT TIME ZONE coalesce(nullif(src.clock_zone, ''), 'UTC'), 'YYYY-MM')",
}


class UnknownSource(LookupError):
    """There is no source with that slug."""


@dataclass(frozen=True, slots=True)
class ControlTotal:
    """One group's current records: how many, and their sum in the meter's unit."""

    group: tuple[str, ...]
    records: int
    quantity: Decimal


def sum_control_totals(*, source_slug: str, by: tuple[str, ...]) -> tuple[ControlTotal, ...]:
    """Sum a source's current records by account reference, by month in the source's clock, or both.

    A month's name has the form 2013-07. Runs across accounts, so only as the worker.
    """
    with connection().cursor() as cursor:
        cursor.execute("SELECT 1 FROM insights_source WHERE slug = %s", [source_slug])
        if cursor.fetchone() is None:
            raise UnknownSource(f"There is no source {source_slug!r}.")
        columns = ", ".join(_GROUPS[name] for name in by)
        places = ", ".join(str(place) for place in range(1, len(by) + 1))
        cursor.execute(
            f"""
            SELECT {columns}, count(*), sum(u.quantity)
            FROM insights_source src
            JOIN insights_series s ON s.source_id = src.id
            JOIN insights_usagerecord u ON u.account_id = s.account_id AND u.series_id = s.id
            JOIN accounts_account a ON a.id = s.account_id
            WHERE src.slug = %s GROUP BY {places} ORDER BY {places}
            """,
            [source_slug],
        )
        return tuple(ControlTotal(tuple(row[:-2]), row[-2], row[-1]) for row in cursor.fetchall())
