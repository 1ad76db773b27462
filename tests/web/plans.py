"""Rows enough for PostgreSQL to plan as it does for a large account, put in by the database itself, and its plans."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db import connections, transaction

from accounts.models import Account
from accounts.tenancy import account_scope, as_owner, as_worker, connection, current_alias
from insights.metering.sum_operations import list_days_to_sum, sum_days
from insights.models import Batch, Meter, Source
from tests.web import bill_rows

# Tables that grow with usage or bills; of every other one a page reads a handful of rows.
LARGE = bill_rows.TABLES | frozenset(
    {
        "insights_series", "insights_seriesdimension", "insights_usagerollup", "insights_usagesum",
        "insights_unsummedday", "insights_batchpart",
    }
)  # fmt: skip
RECORDS = "insights_usagerecord"

# A large account of 60 series, and 300 small ones of four.
_ROWS = """
INSERT INTO accounts_account (public_id, reference, name, state, billing_zone, currency, opened_at)
SELECT gen_random_uuid(), 'small-' || n, 'Small', 'active', 'UTC', 'EUR', now() FROM generate_series(1, 300) n;
INSERT INTO insights_series (account_id, source_id, meter_id, dimensions_sha256, dimensions, window_seconds)
SELECT a.id, {source}, {meter}, sha256(n::text::bytea),
    jsonb_build_object('endpoint', 'e' || n % 20, 'region', 'r' || n / 20), 3600
FROM accounts_account a CROSS JOIN generate_series(0, 59) n WHERE a.id = {account} OR (n < 4 AND a.id <> {account});
INSERT INTO insights_seriesdimension (account_id, series_id, meter_id, key, value)
SELECT s.account_id, s.id, s.meter_id, d.key, d.value FROM insights_series s, jsonb_each_text(s.dimensions) d;
INSERT INTO insights_usagerecord (account_id, series_id, window_start, entry_id, batch_id, line_no, revision, quantity)
SELECT s.account_id, s.id, timestamptz '2026-09-01 00:00Z' + hour * interval '1 hour', 1, 1, 1, 1, hour + 0.5
FROM insights_series s CROSS JOIN generate_series(0, 65 * 24) hour WHERE s.account_id = {account} OR hour < 60;
INSERT INTO insights_usagerollup (account_id, meter_id, day, series_id, quantity, records, windows_used, maximum)
SELECT u.account_id, {meter}, (u.window_start AT TIME ZONE 'UTC')::date, u.series_id, sum(u.quantity), count(*),
    count(*), max(u.quantity) FROM insights_usagerecord u GROUP BY 1, 2, 3, 4;
INSERT INTO insights_unsummedday (account_id, meter_id, day)
SELECT DISTINCT account_id, meter_id, day FROM insights_usagerollup;
INSERT INTO insights_watermark (account_id, source_id, source_slug, source_name, cadence_seconds, counts_from,
    complete_to, last_received_at)
SELECT id, {source}, 'edge', 'Edge', 3600, '2026-09-01Z', '2026-11-05Z', '2026-11-05Z' FROM accounts_account;
INSERT INTO insights_batchpart (account_id, batch_id, batch_public_id, source_slug, source_name, batch_name, via,
    received_at, finished_at, received, new, replaced, duplicate, stale, rejected)
SELECT a.id, b.id, b.public_id, 'edge', 'Edge', '', 'api', b.received_at, now(), 10, 10, 0, 0, 0, 0
FROM insights_batch b JOIN accounts_account a ON a.id = {account} OR a.id % 300 = b.id % 300;
"""
# Small accounts have months of days, so that the large one is a small part of every table, as it is in life: of a
# table that is half its own, reading the whole is a sound plan.
_LAST_DAY_AND_OTHERS = """
INSERT INTO insights_usagerollup (account_id, meter_id, day, series_id, quantity, records, windows_used, maximum)
SELECT r.account_id, r.meter_id, r.day - back, r.series_id, r.quantity, r.records, r.windows_used, r.maximum
FROM insights_usagerollup r CROSS JOIN generate_series(1, 40) back
WHERE r.account_id <> {account} AND r.day = '2026-09-01';
INSERT INTO insights_unsummedday (account_id, meter_id, day)
SELECT account_id, meter_id, max(day) FROM insights_usagerollup WHERE account_id = {account} GROUP BY 1, 2;
INSERT INTO insights_usagesum (account_id, meter_id, key, day, value, quantity, records, hours, hour_quantities,
    hour_records)
SELECT a.id, s.meter_id, s.key, s.day, s.value, s.quantity, s.records, s.hours, s.hour_quantities, s.hour_records
FROM insights_usagesum s JOIN accounts_account a ON a.id <> s.account_id AND a.id % 30 = 0
"""


def fill(account: Account, *, meter: Meter, source: Source) -> None:
    """Put the rows in, sum all days of the large account but the last, and tell the planner."""
    numbers = {"account": account.pk, "meter": meter.pk, "source": source.pk}
    with as_worker(), connection().cursor() as cursor:
        Batch.objects.bulk_create(
            Batch(source=source, via="api", media_type="csv", sha256=b"." * 32, size_bytes=1, state="done")
            for _ in range(2_000)
        )
        for month in ("2026-09-01", "2026-10-01", "2026-11-01"):
            cursor.execute("SELECT portal_ensure_month(%s)", [month])
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        cursor.execute(_ROWS.format(**numbers))
    with as_worker():
        while waiting := list_days_to_sum():
            for wanted in waiting:
                with transaction.atomic(using=current_alias()):
                    sum_days(wanted)
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(_LAST_DAY_AND_OTHERS.format(**numbers))
        cursor.execute("ANALYZE")


def breaches(account: Account, statements: list[str]) -> Iterator[str]:
    """Say where a statement, as the web role plans it, reads a large table otherwise than by an account's key.

    A month without a row has hardly a page to read, so that reading it whole is the cheapest plan and none to mend.
    """
    empty = _empty_months()
    with account_scope(account.pk), connections["default"].cursor() as cursor:
        for statement in statements:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}")
            [[found]] = cursor.fetchall()
            for node in _nodes((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]):
                table = node.get("Relation Name", "")
                if table in LARGE or (table.startswith(RECORDS) and table not in empty):
                    condition = node.get("Index Cond", node.get("Recheck Cond", ""))
                    # One by one, a series or an invoice is found by its id too.
                    keys = ("account_id", "(id = ", "(series_id = ", "(invoice_id = ")
                    is_by_key = any(key in condition for key in keys)
                    if node["Node Type"] == "Seq Scan" or not is_by_key:
                        yield f"{node['Node Type']} on {table} by {condition or 'nothing'}: {statement[:300]}"


def _empty_months() -> set[str]:
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = %s::regclass",
            [RECORDS],
        )
        months = [month for (month,) in cursor.fetchall()]
        empty = set()
        for month in months:
            cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {month})")
            if cursor.fetchone() == (True,):
                empty.add(month)
    return empty


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
