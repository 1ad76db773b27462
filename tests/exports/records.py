"""Many records at once, for tests of streams; put in by the database itself, past the ingest."""

from __future__ import annotations

from accounts.models import Account
from accounts.tenancy import as_worker, connection
from insights.models import Meter, Source

_SERIES = """
INSERT INTO insights_series (account_id, source_id, meter_id, dimensions_sha256, dimensions, window_seconds)
SELECT %(account)s, %(source)s, %(meter)s, sha256(n::text::bytea),
    jsonb_build_object('endpoint', 'api-' || n || '.example.com', 'region', 'eu-west', 'protocol', 'https'), 3600
FROM generate_series(1, %(series)s) n
"""
_RECORDS = """
INSERT INTO insights_usagerecord
    (account_id, series_id, window_start, entry_id, batch_id, line_no, revision, quantity)
SELECT s.account_id, s.id, timestamptz '2026-10-01 00:00Z' + hour * interval '1 hour', 1, 1, 1, 1, hour + 0.5
FROM insights_series s, generate_series(0, %(hours)s - 1) hour
WHERE s.account_id = %(account)s
"""


def make_records(account: Account, meter: Meter, source: Source, *, series: int, hours: int) -> int:
    """Put series x hours records of October 2026 into the ledger and return their number."""
    parameters = {
        "account": account.pk, "source": source.pk, "meter": meter.pk, "series": series, "hours": hours,
    }  # fmt: skip
    with as_worker(), connection().cursor() as cursor:
        cursor.execute("SELECT portal_ensure_month('2026-10-01')")
        cursor.execute(_SERIES, parameters)
        cursor.execute(_RECORDS, parameters)
    return series * hours
