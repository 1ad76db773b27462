"""Drafting for thousands of accounts against its floor: the same sums by one statement, the same rows by COPY."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO

import psycopg
from django.db import transaction

from accounts.tenancy import as_owner, as_worker, connection
from insights.billing.pass_operations import run_pass
from insights.models import LineItem, Source
from insights.rating.charges import Graduated, PerUnit, Tier
from insights.rating.rate import Usage, rate_line
from insights.rating.terms_json import parse_terms
from tests.bench.figures import Report
from tests.bench.part_workers import SECONDS_MAX, shared_pass, workers
from tests.bench.site import Spent, postgres_cpu_seconds, settle
from tests.billing.scene import fee, make_plan, usage_price
from tests.conftest import KEPT_TABLES
from tests.factories import ingest_now
from usage_portal.celery import BILLING_PARTS, prepare_worker

METERS = tuple(f"drafted_{number}" for number in range(6))
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOON = timedelta(minutes=10)
# Drafts of more than a day ago are all made anew.
A_DAY_LATER = timedelta(days=1, hours=1)
EVERY = 10
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
SELECT s.account_id, s.meter_id, d::date, s.id, round((s.id * 7919 % 100003) / 9.0, 3), 24, 24
FROM insights_series s JOIN insights_source f ON f.id = s.source_id AND f.slug = 'drafted',
    generate_series(date '2026-11-01', date '2026-11-25', interval '1 day') d ORDER BY 1, 2, 3;
INSERT INTO insights_billingprofile (account_id, legal_entity_id, company_name, address, tax_id, purchase_order,
    recipients, tax_name, tax_percent, tax_exempt_reason, due_days, grace_days, updated_at)
SELECT a.id, e.id, '', '', '', '', '{{}}', 'VAT', 19, '', 14, 3, '2026-11-01Z' FROM accounts_account a,
    (INSERT_ENTITY) e WHERE a.reference LIKE 'drafted-%';
"""
_SUBSCRIPTIONS = """
INSERT INTO insights_subscription (public_id, account_id, name, currency, billing_zone, anchor_day, interval_months,
    starts_at, created_at, changed_at)
SELECT gen_random_uuid(), a.id, 'Drafted', 'USD', 'UTC', '2026-11-01', 1, '2026-11-01Z', '2026-11-01Z', '2026-11-01Z'
FROM accounts_account a WHERE a.reference LIKE 'drafted-%' ORDER BY a.id;
INSERT INTO insights_subscriptionphase (account_id, subscription_id, plan_id, starts_at, policy, counts, reason,
    created_at)
SELECT s.account_id, s.id, {plan}, s.starts_at, 'restart', '{{}}', '', s.starts_at FROM insights_subscription s
JOIN accounts_account a ON a.id = s.account_id WHERE a.reference LIKE 'drafted-%';
ANALYZE;
"""
_SUMS = """
SELECT r.account_id, r.meter_id, sum(r.quantity), sum(r.records) FROM insights_usagerollup r
WHERE r.day >= '2026-11-01' AND r.day < '2026-12-01' GROUP BY 1, 2
"""
_COPIED = ("insights_invoice", "insights_lineitem")


def measure(report: Report, accounts: int) -> None:
    """Draft all accounts, then after nothing, after usage for a tenth, and after a day; say how many times the floor.

    Passes are timed as they are set up by default, in parts at once, and by one process besides. The floor writes the
    very rows of the first pass. Rating alone is given besides: the arithmetic of the lines, which no statement does.
    """
    report.heading(f"{accounts:,} accounts with {len(METERS)} meters, a draft each")
    prepare_worker()
    _fill(accounts)
    new, _ = _spent(lambda: _pass("issue", NOW, accounts))
    floor, kept = _spent(_copied_floor())
    rating, lines = _spent(_rated_lines())
    unchanged, _ = _spent(lambda: _pass("draft", NOW + SOON, 0))
    _deliver(accounts)
    tenth, _ = _spent(lambda: _pass("draft", NOW + SOON, -(-accounts // EVERY)))
    again, _ = _spent(lambda: _pass("draft", NOW + A_DAY_LATER, accounts))
    shared, shared_again = _shared(accounts)
    report.say("drafts, rows", f"{kept:,} invoices and lines, {lines:,} lines rated")
    report.say("drafts, floor: sums and COPY", _words(floor))
    report.say("drafts, rating the lines alone", _words(rating))
    for name, spent, alone in (
        (f"new, by {BILLING_PARTS} worker processes", shared, new),
        (f"again after a day, by {BILLING_PARTS} worker processes", shared_again, again),
    ):
        report.say(f"drafts, {name}", _words(spent))
        report.at_most(f"drafts, {name}, against the floor", spent.clock / floor.clock, TIMES_MAX, " times")
        both = floor.clock + rating.clock
        report.say(f"drafts, {name}, against floor and rating", f"{spent.clock / both:.3g} times")
        report.say(
            f"drafts, {name.partition(',')[0]}, by one process",
            f"{_words(alone)}, {alone.clock / floor.clock:.3g} times the floor",
        )
    report.say("drafts, nothing changed", _words(unchanged))
    report.say("drafts, usage for a tenth", _words(tenth))


def _shared(accounts: int) -> tuple[Spent, Spent]:
    """The same passes from the beginning, each by several worker processes at once."""
    with as_owner(), connection().cursor() as cursor:
        cursor.execute("TRUNCATE insights_invoice, insights_billingrun CASCADE")
    with workers(BILLING_PARTS) as pool:
        new, done = _spent(lambda: shared_pass(pool, BILLING_PARTS, "issue", NOW))
        with as_owner(), connection().cursor() as cursor:
            # A day later the database's own maintenance has long counted the new rows.
            cursor.execute("ANALYZE insights_invoice, insights_lineitem")
        again, done_again = _spent(lambda: shared_pass(pool, BILLING_PARTS, "draft", NOW + A_DAY_LATER))
    assert (done, done_again) == (accounts, accounts)
    return new, again


def _words(spent: Spent) -> str:
    return f"{spent.clock:.2f} s, processor {spent.cpu:.2f} s"


def _spent(act: Callable[[], int]) -> tuple[Spent, int]:
    settle()
    cpu = postgres_cpu_seconds() + time.process_time()
    began = time.perf_counter()
    said = act()
    clock = time.perf_counter() - began
    return Spent(clock, postgres_cpu_seconds() + time.process_time() - cpu), said


def _fill(accounts: int) -> None:
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
            _ROWS.replace("INSERT_ENTITY", entity).format(accounts=accounts).replace("%", "%%") % ()
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


def _pass(kind: str, now: datetime, wanted: int) -> int:
    """One pass, of which so many subscriptions are expected."""
    with as_worker():
        run = run_pass(kind, now, until=time.monotonic() + SECONDS_MAX)
    done, failed = (0, 0) if run is None else (run.done, run.failed)
    assert (done, failed) == (wanted, 0), run and run.problem
    return done


def _deliver(accounts: int) -> None:
    """An hour of one meter for every tenth account, by the usual way in."""
    with as_worker():
        source = Source.objects.get(slug="drafted")
        Source.objects.update(max_age_days=None)
    hour = f"{NOW - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
    lines = [f"drafted-{number},{METERS[0]},{hour},{number}.25" for number in range(1, accounts + 1, EVERY)]
    batch = ingest_now(source, "\n".join(["account,meter,window_start,quantity", *lines]) + "\n")
    assert (batch.state, batch.rejected) == ("done", 0), batch.refusal_detail


def _rated_lines() -> Callable[[], int]:
    """Rate every metered line once, with everything read beforehand."""
    with as_worker():
        lines = [
            (parse_terms(terms), Usage(quantity))
            for terms, quantity in LineItem.objects.exclude(meter_key="").values_list(
                "terms", "metered_quantity"
            )
        ]

    def rate() -> int:
        for terms, usage in lines:
            rate_line(terms, usage)
        return len(lines)

    return rate


def _copied_floor() -> Callable[[], int]:
    """One statement for the sums, and COPY of the very rows into tables of the same shape, with their indexes."""
    kept = {table: BytesIO() for table in _COPIED}
    with psycopg.connect(os.environ["MIGRATE_DATABASE_URL"], autocommit=True) as owner:
        for table, content in kept.items():
            owner.execute(f"DROP TABLE IF EXISTS bench_{table}")
            owner.execute(f"CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")
            with owner.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                for piece in copy:
                    content.write(piece)

    def act() -> int:
        rows = 0
        with psycopg.connect(os.environ["MIGRATE_DATABASE_URL"]) as owner:
            owner.execute(_SUMS).fetchall()
            for table, content in kept.items():
                with owner.cursor() as cursor:
                    with cursor.copy(f"COPY bench_{table} FROM STDIN") as copy:
                        copy.write(content.getvalue())
                    rows += cursor.rowcount
        return rows

    return act
