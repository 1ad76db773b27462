"""Finds usage that no subscription of its account covers, and reads what is on the list of it.

Finding runs as the worker in one snapshot; the list is read as the worker, as staff, or in the account's own scope.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Q, QuerySet

from accounts.models import Account
from accounts.tenancy import connection
from insights.billing.basis import Problem
from insights.billing.row_queries import any_of
from insights.billing.uncovered import (
    FindingOfAccount,
    UncoveredAmount,
    UncoveredFinding,
    UncoveredPlace,
    UncoveredUsage,
)
from insights.metering.aggregations import needs_seconds
from insights.metering.metered_queries import Ask, list_billed_meters, read_metered
from insights.metering.windows import ONE_DAY
from insights.models import Subscription
from insights.models import UncoveredUsage as UncoveredRow
from insights.values.period import Period, start_of_day

# What would begin after its account was closed never does, so it covers nothing. What a percentage counts has its price
# there. Days with usage are looked for in
# rollups, in each gap by its first and its last day; a gap that ends with a day has none of the next.
_CANDIDATES = """
WITH held AS (
    SELECT s.account_id, range_agg(tstzrange(s.starts_at, s.ends_at)) AS times
    FROM insights_subscription s JOIN accounts_account a ON a.id = s.account_id
    WHERE (a.closed_at IS NULL OR a.closed_at > s.starts_at)
      AND s.account_id = ANY(%(accounts)s::bigint[])
    GROUP BY 1
), gaps AS MATERIALIZED (
    SELECT account_id, unnest('{(,)}'::tstzmultirange - times) AS gap FROM held
), priced AS MATERIALIZED (
    SELECT DISTINCT p.account_id, m.id AS meter_id
    FROM insights_subscriptionphase p
    JOIN insights_planversion v ON v.plan_id = p.plan_id AND v.published_at IS NOT NULL
    JOIN insights_price r ON r.plan_version_id = v.id
    CROSS JOIN LATERAL (
        SELECT r.meter_key UNION ALL SELECT c #>> '{}' FROM jsonb_path_query(
            jsonb_build_array(r.terms, r.cells), 'strict $.**.count_meter ? (@ != "")') c
    ) charged (meter_key)
    JOIN insights_meter m ON m.key = charged.meter_key
    WHERE p.cancelled_at IS NULL AND p.account_id = ANY(%(accounts)s::bigint[])
)
SELECT g.account_id, a.billing_zone, p.meter_id, lower(g.gap), upper(g.gap), days.first, days.last
FROM gaps g JOIN priced p ON p.account_id = g.account_id JOIN accounts_account a ON a.id = g.account_id
CROSS JOIN LATERAL (
    SELECT min(r.day) AS first, max(r.day) AS last FROM insights_usagerollup r
    WHERE r.account_id = g.account_id AND r.meter_id = p.meter_id
      AND r.day >= coalesce((lower(g.gap) AT TIME ZONE a.billing_zone)::date, '-infinity')
      AND r.day <= coalesce(((upper(g.gap) - interval '1 microsecond') AT TIME ZONE a.billing_zone)::date, 'infinity')
) days
WHERE days.first IS NOT NULL ORDER BY 1, 3, 4
"""


def list_account_ids() -> list[int]:
    """The accounts that have or had a subscription: the others have no plan that prices anything."""
    return list(Subscription.objects.values_list("account", flat=True).distinct())


def list_uncovered(accounts: Collection[int]) -> list[UncoveredUsage]:
    """All usage of priced meters in time that no subscription covers, of these accounts."""
    with connection().cursor() as cursor:
        cursor.execute(_CANDIDATES, {"accounts": sorted(accounts)})
        candidates = [_candidate(*row) for row in cursor.fetchall()]
    if not candidates:
        return []
    metered = read_metered([ask for _, ask, _, _ in candidates], list_billed_meters())
    return [
        UncoveredUsage(
            place=place,
            first_used_on=first,
            last_used_on=last,
            quantity=metered[ask].total,
            records=metered[ask].records,
        )
        for place, ask, first, last in candidates
        if metered[ask].records
    ]


def _candidate(
    account_id: int,
    zone: str,
    meter_id: int,
    begins_at: datetime | None,
    ends_at: datetime | None,
    first: date,
    last: date,
) -> tuple[UncoveredPlace, Ask, date, date]:
    """A gap with days of usage, and what is to be asked of it: from its first day on, or from where it begins."""
    days = Period(start_of_day(first, ZoneInfo(zone)), start_of_day(last + ONE_DAY, ZoneInfo(zone)))
    service = Period(max(days.start, begins_at or days.start), min(days.end, ends_at or days.end))
    place = UncoveredPlace(account_id=account_id, meter_id=meter_id, begins_at=begins_at, ends_at=ends_at)
    return place, Ask(account_id, zone, meter_id, service), first, last


def list_waiting(accounts: Collection[int]) -> Mapping[int, tuple[Problem, ...]]:
    """Why bills of these accounts wait for a person: what is on the list and was not let pass, by account.

    What was used before the first subscription is on the list and holds up no bill: nobody had agreed to pay for it.
    """
    found: dict[int, list[Problem]] = defaultdict(list)
    for row in rows_of(accounts).filter(released_at__isnull=True, begins_at__isnull=False):
        found[row.account_id].append(finding_of(row).problem)
    return {account_id: tuple(problems) for account_id, problems in found.items()}


def list_findings(account: Account) -> tuple[UncoveredFinding, ...]:
    """All of an account that is on the list, what waits for a person first; how much it is is not asked for."""
    return tuple(map(finding_of, _waiting_first(account)))


def list_findings_of_all(*, limit: int, after: int | None = None) -> tuple[FindingOfAccount, ...]:
    """What is on the list of every account, in the order in which it was put there, behind the place `after`.

    What stood at that place may be off the list by then.
    """
    rows = UncoveredRow.objects.select_related("meter", "account").defer("quantity").order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    return tuple(_of_account(row.account, row) for row in rows[:limit])


def list_findings_of(account: Account) -> tuple[FindingOfAccount, ...]:
    """The same of one account, what waits for a person first."""
    return tuple(_of_account(account, row) for row in _waiting_first(account))


def _waiting_first(account: Account) -> QuerySet[UncoveredRow]:
    rows = rows_of([account.pk]).defer("quantity")
    return rows.order_by(F("released_at").asc(nulls_first=True), "first_used_on", "meter__position", "pk")


def _of_account(account: Account, row: UncoveredRow) -> FindingOfAccount:
    return FindingOfAccount(
        place=row.pk, account_reference=account.reference, account_name=account.name, found=finding_of(row)
    )


def list_beside(account: Account, period: Period) -> tuple[UncoveredAmount, ...]:
    """What is on the list of the time that ends where a bill's period begins, or begins where it ends."""
    rows = UncoveredRow.objects.for_account(account).select_related("meter")
    rows = rows.filter(Q(ends_at=period.start) | Q(begins_at=period.end))
    return tuple(
        UncoveredAmount(found=finding_of(row), unit=_unit(row.meter), quantity=row.quantity)
        for row in rows.order_by("first_used_on", "meter__position", "pk")
    )


def list_accounts_waiting() -> tuple[tuple[Account, int], ...]:
    """The accounts with usage that no subscription covers and nobody let pass, and in how many places; by name."""
    rows = UncoveredRow.objects.filter(released_at__isnull=True)
    places = dict(rows.values("account").annotate(places=Count("pk")).values_list("account", "places"))
    accounts = Account.objects.filter(pk__in=places).order_by("name", "pk")
    return tuple((account, places[account.pk]) for account in accounts)


def rows_of(accounts: Collection[int]) -> QuerySet[UncoveredRow]:
    """What is on the list now, of these accounts, with their meters."""
    return UncoveredRow.objects.select_related("meter").filter(account__in=any_of(accounts))


def finding_of(row: UncoveredRow) -> UncoveredFinding:
    """What a row of the list says, but for how much it is."""
    meter: Any = row.meter
    return UncoveredFinding(
        public_id=row.public_id,
        digest=row.digest,
        meter_key=meter.key,
        meter_name=meter.name,
        begins_at=row.begins_at,
        ends_at=row.ends_at,
        first_used_on=row.first_used_on,
        last_used_on=row.last_used_on,
        records=row.records,
        released_at=row.released_at,
        released_by=row.released_by_name,
        reason=row.reason,
    )


def _unit(meter: Any) -> str:
    return f"{meter.unit} hours" if needs_seconds(meter.aggregation) else str(meter.unit)
