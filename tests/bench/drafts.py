"""Drafting for ten thousand accounts against its floor: the same sums by one statement, the same lines by one COPY."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO

import psycopg
from django.db import transaction

from accounts.tenancy import as_owner, as_worker, connection
from insights.billing.run_operations import run_pass
from insights.models import Invoice, LineItem, Subscription
from insights.rating.charges import Graduated, PerUnit, Tier
from tests.bench.figures import Report
from tests.bench.site import Spent, postgres_cpu_seconds, settle
from tests.billing.scene import fee, make_plan, usage_price
from tests.conftest import KEPT_TABLES

ACCOUNTS = 10_000
METERS = tuple(f"drafted_{number}" for number in range(6))
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TIMES_MAX = 4.0

_ROWS = """
INSERT INTO accounts_account (public_id, reference, name, state, billing_zone, currency, opened_at)
SELECT gen_random_uuid(), 'drafted-' || n, 'Drafted', 'active', 'UTC', 'USD', now()
FROM generate_series(1, {accounts}) n;
INSERT INTO insights_meter (key, version, name, description, unit, grain_seconds, aggregation, dimensions,
    unique_dimensions, allows_negative, position)
SELECT 'drafted_' || n, 1, 'Drafted', '', 'unit', 3600, 'sum', '{{}}', '{{}}', false, n FROM generate_series(0, 5) n;
INSERT INTO insights_source (slug, name, billable, enabled, format, key_kind, "window", clock_zone, columns, ignored,
    constants, conversions, default_revision, max_ahead_seconds, lateness_seconds, cadence_seconds)
VALUES ('drafted', 'Drafted', true, true, 'any', 'window', 'hour', 'UTC', '{{}}', '[]', '{{}}', '{{}}', 1, 300, 0,
    3600);
INSERT INTO insights_series (account_id, source_id, meter_id, dimensions_sha256, dimensions, window_seconds)
SELECT a.id, s.id, m.id, sha256('x'), '{{}}', 3600 FROM accounts_account a, insights_source s, insights_meter m
WHERE a.reference LIKE 'drafted-%' AND s.slug = 'drafted' AND m.key LIKE 'drafted\\_%';
INSERT INTO insights_usagerollup (account_id, meter_id, day, series_id, quantity, records, windows_used)
SELECT s.account_id, s.meter_id, d::date, s.id, (s.id % 1000) * 1.5, 24, 24
FROM insights_series s JOIN insights_source f ON f.id = s.source_id AND f.slug = 'drafted',
    generate_series(date '2026-11-01', date '2026-11-25', interval '1 day') d ORDER BY 1, 2, 3;
INSERT INTO insights_billingprofile (account_id, legal_entity_id, company_name, address, tax_id, purchase_order,
    recipients, tax_name, tax_percent, tax_exempt_reason, due_days, grace_days)
SELECT a.id, e.id, '', '', '', '', '{{}}', 'VAT', 19, '', 14, 3 FROM accounts_account a,
    (INSERT_ENTITY) e WHERE a.reference LIKE 'drafted-%';
"""
_SUBSCRIPTIONS = """
INSERT INTO insights_subscription (public_id, account_id, name, currency, billing_zone, anchor_day, interval_months,
    starts_at)
SELECT gen_random_uuid(), a.id, 'Drafted', 'USD', 'UTC', '2026-11-01', 1, '2026-11-01Z'
FROM accounts_account a WHERE a.reference LIKE 'drafted-%' ORDER BY a.id;
INSERT INTO insights_subscriptionphase (account_id, subscription_id, plan_id, starts_at, policy, counts, reason)
SELECT s.account_id, s.id, {plan}, s.starts_at, 'restart', '{{}}', '' FROM insights_subscription s
JOIN accounts_account a ON a.id = s.account_id WHERE a.reference LIKE 'drafted-%';
ANALYZE;
"""
_SUMS = """
SELECT r.account_id, r.meter_id, sum(r.quantity) FROM insights_usagerollup r
WHERE r.day >= '2026-11-01' AND r.day < '2026-12-01' GROUP BY 1, 2
"""


def measure(report: Report) -> None:
    """Draft all accounts twice, new and again, and say how many times the floor each took."""
    report.heading(f"{ACCOUNTS:,} accounts with {len(METERS)} meters, a draft each")
    _fill()
    new = _draft()
    floor = _floor()
    again = _draft()
    with as_worker():
        lines = LineItem.objects.count()
    report.say("drafts, lines", f"{lines:,}")
    report.say("drafts, floor", f"{floor.clock:.1f} s, processor {floor.cpu:.1f} s")
    for name, spent in (("new", new), ("again", again)):
        report.say(f"drafts, {name}", f"{spent.clock:.1f} s, processor {spent.cpu:.1f} s")
        report.at_most(f"drafts, {name}, against the floor", spent.clock / floor.clock, TIMES_MAX, " times")


def _fill() -> None:
    entity = "SELECT id FROM insights_legalentity WHERE key = 'drafted'"
    with as_owner(), transaction.atomic(using="owner"), connection().cursor() as cursor:
        kept = ", ".join(f"'{table}'" for table in KEPT_TABLES)
        cursor.execute(
            f"SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace "
            f"AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT IN ({kept})"
        )
        cursor.execute(f"TRUNCATE {', '.join(name for (name,) in cursor.fetchall())} CASCADE")
        cursor.execute("INSERT INTO insights_ledgerhead (id, position) VALUES (1, 0) ON CONFLICT DO NOTHING")
        cursor.execute(
            "INSERT INTO insights_legalentity (key, name, address, tax_id, email, number_prefix) "
            "VALUES ('drafted', 'Drafted', '', '', '', 'D-')"
        )
        cursor.execute(
            _ROWS.replace("INSERT_ENTITY", entity).format(accounts=ACCOUNTS).replace("%", "%%") % ()
        )
    tiers = (
        Tier(above=Decimal(0), up_to=Decimal(5_000), unit_amount=Decimal("0.01")),
        Tier(above=Decimal(5_000), up_to=None, unit_amount=Decimal("0.005")),
    )
    charges = [PerUnit(unit_amount=Decimal("0.002")), Graduated(tiers=tiers)] * 3
    prices = [usage_price(key, charge) for key, charge in zip(METERS, charges, strict=True)]
    plan = make_plan("drafted", [*prices, fee("base", "20")])
    with as_owner(), connection().cursor() as cursor:
        cursor.execute(_SUBSCRIPTIONS.format(plan=plan.pk).replace("%", "%%") % ())


def _draft() -> Spent:
    with as_worker():
        # A pass finds drafts of a day ago behind.
        Invoice.objects.update(drafted_at=datetime(2026, 11, 20, tzinfo=UTC))
        kind = "draft" if Invoice.objects.exists() else "issue"
        settle()
        cpu = postgres_cpu_seconds() + time.process_time()
        began = time.perf_counter()
        run = run_pass(kind, NOW, until=time.monotonic() + 3600)
        seconds = time.perf_counter() - began
        assert run is not None
        assert (run.done, run.failed) == (Subscription.objects.count(), 0), run.problem
    return Spent(seconds, postgres_cpu_seconds() + time.process_time() - cpu)


def _floor() -> Spent:
    """One statement for the sums, and one COPY of the very lines into a table of the same shape."""
    kept = BytesIO()
    with psycopg.connect(os.environ["MIGRATE_DATABASE_URL"], autocommit=True) as owner:
        owner.execute("CREATE TABLE bench_lines (LIKE insights_lineitem INCLUDING ALL)")
        with owner.cursor().copy("COPY insights_lineitem TO STDOUT") as copy:
            for piece in copy:
                kept.write(piece)
        settle()
        cpu = postgres_cpu_seconds() + time.process_time()
        began = time.perf_counter()
        owner.execute(_SUMS).fetchall()
        with owner.cursor().copy("COPY bench_lines FROM STDIN") as copy:
            copy.write(kept.getvalue())
        spent = Spent(time.perf_counter() - began, postgres_cpu_seconds() + time.process_time() - cpu)
        owner.execute("DROP TABLE bench_lines")
    return spent
