"""When the invoices of a month were issued, which is what a month is kept for."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from accounts.tenancy import connection

# An invoice that is not issued yet is still to be made of the month's records, so it counts as issued now.
_LAST_ISSUED = """
    SELECT m.month, max(CASE i.state WHEN 'issued' THEN i.issued_at ELSE %(now)s END)
    FROM unnest(%(months)s::date[]) AS m (month)
    JOIN insights_invoice i ON i.period_start < (m.month + interval '1 month') AT TIME ZONE 'UTC'
        AND i.period_end > m.month::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
"""


def last_issued_by_month(months: Collection[date], *, now: datetime) -> dict[date, datetime]:
    """When the last invoice for any part of each month was issued; months without an invoice are left out."""
    with connection().cursor() as cursor:
        cursor.execute(_LAST_ISSUED, {"months": list(months), "now": now})
        return dict(cursor.fetchall())
