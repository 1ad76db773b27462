"""What one batch changed for an account: per meter and day, what the records it touched said before and after.

Told from the rows themselves: what the batch brought, and what its chunks put an end to. So it stays the same whatever
comes later, and the changes of all batches add up to the usage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from accounts.models import Account
from accounts.tenancy import connection
from insights.metering.aggregations import adds_over_time, needs_seconds, settled
from insights.models import Aggregation, Meter


@dataclass(frozen=True, slots=True)
class Change:
    """One meter on one day. Quantities only where they add up; the records are counted always."""

    meter: str
    unit: str
    day: date
    records_before: int
    records_after: int
    before: Decimal | None
    after: Decimal | None

    @property
    def delta(self) -> Decimal | None:
        """How much the day's quantity moved."""
        return None if self.before is None or self.after is None else self.after - self.before


# A revision's first row in history keeps the entry that brought it, also when a revert made it current again.
_CHANGES = """
    WITH past AS MATERIALIZED (
        SELECT h.series_id, h.window_start, h.row_id, h.quantity, h.entry_id, h.ended_by_entry_id, h.line_no
        FROM insights_usagerevision h
        WHERE h.account_id = %(account)s AND h.batch_id = %(batch)s AND NOT h.is_further
    ), came AS MATERIALIZED (
        SELECT series_id, window_start, row_id, quantity, entry_id, entry_id <> ended_by_entry_id AS was_current
        FROM past
        UNION ALL
        SELECT u.series_id, u.window_start, u.row_id, u.quantity, u.entry_id, true FROM insights_usagerecord u
        WHERE u.account_id = %(account)s AND u.batch_id = %(batch)s
          AND u.window_start >= %(first_window)s AND u.window_start < %(last_window_end)s
          AND u.line_no NOT IN (SELECT line_no FROM past)
    ), went AS (
        SELECT h.series_id, h.window_start, h.quantity FROM insights_usagerevision h
        WHERE h.account_id = %(account)s AND h.ended_by_entry_id = ANY (ARRAY(SELECT DISTINCT entry_id FROM came))
          AND h.entry_id <> h.ended_by_entry_id
          -- Batches of one backfill have one entry: what ended belongs to the batch that took its place.
          AND EXISTS (
            SELECT 1 FROM came c WHERE c.was_current AND c.entry_id = h.ended_by_entry_id AND c.row_id = h.row_id
              AND CASE WHEN c.row_id = '' THEN c.series_id ELSE 0 END
                = CASE WHEN h.row_id = '' THEN h.series_id ELSE 0 END
              AND CASE WHEN c.row_id = '' THEN c.window_start ELSE 'epoch' END
                = CASE WHEN h.row_id = '' THEN h.window_start ELSE 'epoch' END
          )
    ), moved AS (
        SELECT series_id, window_start, 0 AS records_before, 1 AS records_after, 0 AS before, quantity AS after
        FROM came WHERE was_current
        UNION ALL
        SELECT series_id, window_start, 1, 0, quantity, 0 FROM went
    )
    SELECT s.meter_id, s.window_seconds, (v.window_start AT TIME ZONE %(zone)s)::date, sum(v.records_before),
        sum(v.records_after), sum(v.before), sum(v.after)
    FROM moved v JOIN insights_series s ON s.account_id = %(account)s AND s.id = v.series_id
    GROUP BY 1, 2, 3 ORDER BY 3
"""


def list_changes(
    account: Account, *, batch_id: int, first_window: datetime | None, last_window_end: datetime | None
) -> tuple[Change, ...]:
    """List what the batch changed, in the order of meters and then of days; nothing for one that changed nothing."""
    with connection().cursor() as cursor:
        cursor.execute(
            _CHANGES,
            {
                "account": account.pk,
                "batch": batch_id,
                "first_window": first_window,
                "last_window_end": last_window_end,
                "zone": account.billing_zone,
            },
        )
        rows = cursor.fetchall()
    meters = Meter.objects.in_bulk({row[0] for row in rows})
    ordered = sorted(meters.values(), key=lambda meter: (meter.position, meter.key, meter.version))
    return tuple(change for meter in ordered for change in _changes_of(meter, rows))


def _changes_of(meter: Meter, rows: list[Any]) -> list[Change]:
    """A source's windows have one length, and a batch has one source: a meter has one row a day."""
    return [
        Change(
            meter=meter.name,
            unit=_unit(meter),
            day=day,
            records_before=int(records_before),
            records_after=int(records_after),
            before=_quantity(meter, int(records_before), before * _weight(meter, window_seconds)),
            after=_quantity(meter, int(records_after), after * _weight(meter, window_seconds)),
        )
        for meter_id, window_seconds, day, records_before, records_after, before, after in rows
        if meter_id == meter.pk
    ]


def _weight(meter: Meter, window_seconds: int) -> int:
    return window_seconds if needs_seconds(meter.aggregation) else 1


def _quantity(meter: Meter, records: int, summed: Decimal) -> Decimal | None:
    # Distinct windows of one batch may be those of another, and peaks do not add up.
    if meter.aggregation == Aggregation.UNIQUE_COUNT or not adds_over_time(meter.aggregation):
        return None
    return Decimal(records) if meter.aggregation == Aggregation.COUNT else settled(meter.aggregation, summed)


def _unit(meter: Meter) -> str:
    return f"{meter.unit} hours" if needs_seconds(meter.aggregation) else meter.unit
