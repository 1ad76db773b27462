"""Writes on the catalogue of prices, each with its audit entry in the same transaction.

Refuses prices that do not fit their meters, versions that would reach back into periods already sold, and any change
of what is published. A plan has at most one draft: loading it again replaces the draft.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import IntegrityError, transaction

from accounts.models import Account, User
from accounts.operations import UnableToChange, record_act
from accounts.tenancy import current_alias
from insights.billing.catalogue_queries import UnknownPlan, priced_meters
from insights.billing.meter_checks import meter_faults
from insights.billing.plan_faults import InvalidPlan, PlanFault
from insights.billing.plan_toml import PlanDocument
from insights.billing.sheet_mapping import document_of, price_rows, version_terms
from insights.billing.subscription_queries import account_clashes, accounts_on, count_subscribers
from insights.models.prices import Plan, PlanVersion, Price
from insights.values.period import YEAR_FIRST, YEAR_LAST

COMMAND_LINE = "command line"
# What a plan is; its versions and subscriptions were made for it.
_FIXED = {
    "kind": "kind",
    "currency": "currency",
    "interval_months": "interval",
    "account_id": "account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlan:
    """What loading did: a draft of this number, of a new plan, in the place of another draft."""

    key: str
    number: int
    is_new_plan: bool
    replaced_draft: bool


def check_plan(*, document: PlanDocument) -> None:
    """Raise InvalidPlan with every fault that loading the document as a draft would meet."""
    plan = Plan.objects.filter(key=document.key).first()
    faults = [*_document_faults(document, plan)]
    if faults:
        raise InvalidPlan(faults)


def load_plan(*, document: PlanDocument, actor: User | None) -> LoadedPlan:
    """Make the plan, or a new draft version of it, from the document; or InvalidPlan with every fault."""
    with transaction.atomic(using=current_alias()):
        plan = Plan.objects.select_for_update().filter(key=document.key).first()
        faults = [*_document_faults(document, plan)]
        if faults:
            raise InvalidPlan(faults)
        is_new_plan = plan is None
        plan = _save_plan(plan, document)
        drafts = plan.versions.filter(published_at__isnull=True)
        replaced_draft = drafts.exists()
        Price.objects.filter(plan_version__in=drafts).delete()
        drafts.delete()
        version = _make_version(plan, document)
        _audit(plan, actor, "plan.load", {"version": version.number, "is_new_plan": is_new_plan})
    return LoadedPlan(
        key=plan.key, number=version.number, is_new_plan=is_new_plan, replaced_draft=replaced_draft
    )


def publish_version(
    *, key: str, number: int, actor: User | None, now: datetime, effective_from: datetime | None = None
) -> None:
    """Put a draft in force from its `effective_from` on, or from another instant, checked once more.

    Raises UnknownPlan, UnableToChange when it is published already, and InvalidPlan when its prices do not fit, when
    it begins before another published one, or in the past of a plan somebody is subscribed to.
    """
    with transaction.atomic(using=current_alias()):
        version = _locked_draft(key, number)
        version.effective_from = _checked_beginning(effective_from or version.effective_from)
        document = document_of(version, version.prices.all())
        faults = [*_document_faults(document, version.plan), *_past_faults(version, now)]
        if faults:
            raise InvalidPlan(faults)
        version.published_at = now
        version.save(update_fields=["published_at", "effective_from"])
        _refuse_clashes(version)
        details = {"version": number, "effective_from": version.effective_from.isoformat()}
        _audit(version.plan, actor, "plan.publish", details)


def _checked_beginning(instant: datetime) -> datetime:
    if not YEAR_FIRST <= instant.year <= YEAR_LAST:
        raise UnableToChange(f"Choose a year from {YEAR_FIRST} to {YEAR_LAST}.", field="effective_from")
    return instant


def delete_draft(*, key: str, number: int, actor: User | None) -> None:
    """Drop a version that was never published, or UnableToChange."""
    with transaction.atomic(using=current_alias()):
        version = _locked_draft(key, number)
        version.prices.all().delete()
        version.delete()
        _audit(version.plan, actor, "plan.delete_draft", {"version": number})


def retire_plan(*, key: str, actor: User | None, now: datetime) -> None:
    """Offer the plan to nobody from now on; who is on it stays. Retired twice is retired."""
    with transaction.atomic(using=current_alias()):
        plan = _locked_plan(key)
        if plan.retired_at is not None:
            return
        plan.retired_at = now
        plan.save(update_fields=["retired_at"])
        _audit(plan, actor, "plan.retire", {})


def _locked_plan(key: str) -> Plan:
    plan = Plan.objects.select_for_update().filter(key=key).first()
    if plan is None:
        raise UnknownPlan(key)
    return plan


def _locked_draft(key: str, number: int) -> PlanVersion:
    plan = _locked_plan(key)
    version = PlanVersion.objects.filter(plan=plan, number=number).select_related("plan__account").first()
    if version is None:
        raise UnableToChange(f"{plan.name} has no version {number}.", field="version")
    if version.published_at is not None:
        raise UnableToChange(
            f"Version {number} of {plan.name} is published, and a published version never changes. "
            "Load another version that begins later.",
            field="version",
        )
    return version


def _save_plan(plan: Plan | None, document: PlanDocument) -> Plan:
    words = {
        "name": document.name,
        "description": document.description,
        "position": document.position,
    }
    if plan is not None:
        for name, value in words.items():
            setattr(plan, name, value)
        plan.save(update_fields=list(words))
        return plan
    try:
        with transaction.atomic(using=current_alias()):
            return Plan.objects.create(
                key=document.key,
                kind=document.kind,
                currency=document.currency,
                interval_months=document.interval_months,
                account_id=_account_id(document),
                **words,
            )
    except IntegrityError:
        message = "was made by somebody else just now; load the file again to make a version of it"
        raise InvalidPlan([PlanFault("plan", "key", "taken", message)]) from None


def _make_version(plan: Plan, document: PlanDocument) -> PlanVersion:
    last = plan.versions.order_by("number").last()
    number = last.number + 1 if last else 1
    sheet = document.sheet(number)
    version = PlanVersion.objects.create(
        plan=plan,
        number=number,
        effective_from=document.effective_from,
        terms=version_terms(sheet),
        note=document.note,
    )
    Price.objects.bulk_create(price_rows(sheet, version))
    return version


def _document_faults(document: PlanDocument, plan: Plan | None) -> Iterator[PlanFault]:
    meters = priced_meters()
    for price in document.prices:
        yield from meter_faults(price, meters)
    if document.account_reference and _account_id(document) is None:
        message = f"no account has the reference {document.account_reference}"
        yield PlanFault("plan", "account", "unknown_account", message)
    if plan is not None:
        yield from _fixed_faults(document, plan)
        yield from _order_faults(document, plan)


def _fixed_faults(document: PlanDocument, plan: Plan) -> Iterator[PlanFault]:
    wanted = {
        "kind": document.kind,
        "currency": document.currency,
        "interval_months": document.interval_months,
        "account_id": _account_id(document),
    }
    for name, field in _FIXED.items():
        if getattr(plan, name) != wanted[name]:
            message = "stays as it was when the plan was made; load another plan under a key of its own"
            yield PlanFault("plan", field, "fixed", message)


def _order_faults(document: PlanDocument, plan: Plan) -> Iterator[PlanFault]:
    last = plan.versions.filter(published_at__isnull=False).order_by("effective_from").last()
    if last is not None and document.effective_from <= last.effective_from:
        begins = f"{last.effective_from.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        message = f"must be after {begins}, when version {last.number} begins, which is published"
        yield PlanFault("version", "effective_from", "not_after_published", message)


def _past_faults(version: PlanVersion, now: datetime) -> Iterator[PlanFault]:
    if version.effective_from < now and count_subscribers([version.plan_id])[version.plan_id]:
        message = "lies in the past, and there are subscriptions to the plan; choose an instant to come"
        yield PlanFault("version", "effective_from", "in_the_past", message)


def _refuse_clashes(version: PlanVersion) -> None:
    """A meter that is new on the plan may be priced already by another plan of somebody who has both."""
    earlier = Price.objects.filter(
        plan_version__plan=version.plan, plan_version__published_at__isnull=False
    ).exclude(plan_version=version)
    priced = set(version.prices.exclude(meter_key="").values_list("meter_key", flat=True))
    if priced <= set(earlier.values_list("meter_key", flat=True)):
        return
    for account_id in accounts_on(version.plan_id):
        found = account_clashes(account_id)
        if found:
            account = Account.objects.get(pk=account_id)
            message = f"for the account {account.reference}, {found[0]}"
            raise InvalidPlan([PlanFault("version", "prices", "meter_priced_twice", message)])


def _account_id(document: PlanDocument) -> int | None:
    if not document.account_reference:
        return None
    found = Account.objects.filter(reference=document.account_reference).values_list("pk", flat=True)
    return found.first()


def _audit(plan: Plan, actor: User | None, act: str, details: dict[str, object]) -> None:
    record_act(
        account=None,
        actor=actor,
        act=act,
        subject=plan.key,
        details=details,
        actor_name="" if actor else COMMAND_LINE,
    )
