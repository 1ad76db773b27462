"""Reading the catalogue: plans, their versions as sheets, and which version is in force at an instant.

Runs as staff or the worker; as the web role it finds what is offered to the account in force, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from insights.billing.meter_checks import PricedMeter
from insights.billing.plan_toml import PlanDocument
from insights.billing.sheet_mapping import document_of, sheet_of
from insights.metering.aggregations import aggregated_unit
from insights.models.catalog import Meter
from insights.models.prices import Plan, PlanVersion
from insights.rating.sheet import PriceSheet


class UnknownPlan(LookupError):
    """There is no plan of this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """One version of a plan; a draft has no `published_at`."""

    id: int
    number: int
    effective_from: datetime
    published_at: datetime | None
    note: str
    sheet: PriceSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """One plan with all its versions, the oldest first."""

    id: int
    key: str
    name: str
    description: str
    kind: str
    currency: str
    interval_months: int
    account_id: int | None
    retired_at: datetime | None
    versions: tuple[VersionFacts, ...]

    def in_force(self, instant: datetime) -> VersionFacts | None:
        """The newest version published with `effective_from` not after the instant."""
        begun = [each for each in self.versions if each.published_at and each.effective_from <= instant]
        return max(begun, key=lambda each: each.effective_from, default=None)

    @property
    def draft(self) -> VersionFacts | None:
        """The newest version that is not published."""
        return next((each for each in reversed(self.versions) if each.published_at is None), None)


def sheets_of(plan_ids: Iterable[int]) -> dict[int, tuple[PriceSheet, ...]]:
    """The published versions of each plan in order of `effective_from`; a plan without any has none.

    Two queries, whatever the number of plans.
    """
    found: dict[int, tuple[PriceSheet, ...]] = dict.fromkeys(plan_ids, ())
    versions = (
        PlanVersion.objects.filter(plan__in=found, published_at__isnull=False)
        .select_related("plan")
        .prefetch_related("prices")
        .order_by("plan", "effective_from")
    )
    for version in versions:
        found[version.plan_id] = (*found[version.plan_id], sheet_of(version, version.prices.all()))
    return found


def sheet_in_force(sheets: Sequence[PriceSheet], instant: datetime) -> PriceSheet | None:
    """The newest of a plan's published sheets with `effective_from` not after the instant, if there is one."""
    begun = [sheet for sheet in sheets if sheet.effective_from <= instant]
    return max(begun, key=lambda sheet: sheet.effective_from, default=None)


def list_plans() -> tuple[PlanFacts, ...]:
    """Every plan in the order of pages."""
    plans = Plan.objects.prefetch_related("versions__prices").order_by("position", "key")
    return tuple(_plan_facts(plan) for plan in plans)


def get_plan(key: str) -> PlanFacts:
    """The plan of this key, or UnknownPlan."""
    plan = Plan.objects.prefetch_related("versions__prices").filter(key=key).first()
    if plan is None:
        raise UnknownPlan(key)
    return _plan_facts(plan)


def priced_meters() -> dict[str, PricedMeter]:
    """What prices must know of each meter, in its newest version."""
    return {
        meter.key: PricedMeter(
            unit=aggregated_unit(meter.unit, meter.aggregation),
            aggregation=meter.aggregation,
            dimensions=tuple(meter.dimensions),
        )
        for meter in Meter.objects.order_by("key", "version")
    }


def plan_document(key: str, *, number: int | None = None) -> PlanDocument:
    """A version of the plan as a file says it: the one of this number, or the newest; or UnknownPlan."""
    versions = PlanVersion.objects.filter(plan__key=key).select_related("plan__account")
    version = (versions if number is None else versions.filter(number=number)).order_by("number").last()
    if version is None:
        raise UnknownPlan(key)
    return document_of(version, version.prices.all())


def next_document(key: str, *, now: datetime) -> PlanDocument:
    """What a plan's next version is made from: its draft, or its newest version as it would begin with a month to come.

    A plan without any version has no prices yet. Raises UnknownPlan.
    """
    try:
        document = plan_document(key)
    except UnknownPlan:
        return _without_prices(key, now)
    if get_plan(key).draft is not None:
        return document
    begins = _next_month(max(now, document.effective_from))
    return replace(document, effective_from=begins, note="")


def _without_prices(key: str, now: datetime) -> PlanDocument:
    plan = Plan.objects.select_related("account").filter(key=key).first()
    if plan is None:
        raise UnknownPlan(key)
    return PlanDocument(
        key=plan.key,
        name=plan.name,
        description=plan.description,
        kind=plan.kind,
        currency=plan.currency,
        interval_months=plan.interval_months,
        account_reference=plan.account.reference if plan.account else "",
        position=plan.position,
        effective_from=_next_month(now),
        prices=(),
    )


def _next_month(instant: datetime) -> datetime:
    """The first of the month after the instant, in UTC."""
    utc = instant.astimezone(UTC)
    years, month = divmod(utc.month, 12)
    return datetime(utc.year + years, month + 1, 1, tzinfo=UTC)


def _plan_facts(plan: Plan) -> PlanFacts:
    return PlanFacts(
        id=plan.pk,
        key=plan.key,
        name=plan.name,
        description=plan.description,
        kind=plan.kind,
        currency=plan.currency,
        interval_months=plan.interval_months,
        account_id=plan.account_id,
        retired_at=plan.retired_at,
        versions=tuple(_version_facts(plan, version) for version in plan.versions.all()),
    )


def _version_facts(plan: Plan, version: PlanVersion) -> VersionFacts:
    version.plan = plan
    return VersionFacts(
        id=version.pk,
        number=version.number,
        effective_from=version.effective_from,
        published_at=version.published_at,
        note=version.note,
        sheet=sheet_of(version, version.prices.all()),
    )
