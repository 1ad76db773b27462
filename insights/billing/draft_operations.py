"""Makes drafts and stores them: what each invoice would be if its period ended now.

Bases, usage and position are read in one snapshot. A draft replaces the one before it; an invoice that is issued
meanwhile stops it, and the next pass finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from django.db import transaction

from accounts.tenancy import connection, current_alias
from insights.billing.basis import Basis, Draft, Problem, Unpriced
from insights.billing.basis_queries import load_bases
from insights.billing.bill_to_make_mapping import LoadedBasis, PeriodToBill
from insights.billing.bounds import History, SourceState, find_problems, still_parked
from insights.billing.bulk_operations import insert_rows, update_rows
from insights.billing.draft import draft_invoice
from insights.billing.draft_credits import Place, offers_left
from insights.billing.invoice_mapping import credits_document, line_row, segments_document
from insights.billing.row_queries import list_draft_uses
from insights.billing.usage_queries import UsageRead, read_usage
from insights.models import BillingProfile, Invoice, InvoiceState, LineItem
from insights.values.quantity import exact_text

_DEFAULT_GRACE = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft with all that storing or issuing it needs."""

    loaded: LoadedBasis
    draft: Draft
    position: int
    records: int
    problems: tuple[Problem, ...]
    complete_to: datetime | None
    unbilled: tuple[int, ...]

    @property
    def basis(self) -> Basis:
        return self.loaded.basis


@contextmanager
def one_snapshot() -> Iterator[None]:
    """A transaction in which every statement sees the same moment, so that usage and position belong together."""
    with transaction.atomic(using=current_alias()):
        with connection().cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def draft_periods(wanted: Sequence[PeriodToBill], now: datetime) -> list[Drafted]:
    """Draft and store the invoices of these periods; returns them. In a snapshot of its own.

    Each shows of the account's credits what the drafts stored before leave to it.
    """
    with one_snapshot():
        loaded = load_bases(wanted, now)
        usage = read_usage([one.basis for one in loaded])
        drafted = make_drafts(_with_credits_left(loaded), usage)
        store_drafts(drafted, now)
    return drafted


def _with_credits_left(loaded: Sequence[LoadedBasis]) -> list[LoadedBasis]:
    """The bases with what the drafts before each leave of its account's credits."""
    shown = list_draft_uses([one.basis.account_id for one in loaded])
    return [
        replace(one, basis=replace(one.basis, credits=offers_left(one.basis.credits, uses, _place(one))))
        if (uses := shown.get(one.basis.account_id))
        else one
        for one in loaded
    ]


def _place(loaded: LoadedBasis) -> Place:
    return loaded.basis.service.end, loaded.basis.subscription_id, str(loaded.to_bill.kind)


def make_drafts(loaded: Sequence[LoadedBasis], usage: UsageRead) -> list[Drafted]:
    """Make the draft of each basis, and find what speaks against issuing it."""
    drafted = []
    for one in loaded:
        states = usage.sources.get(one.basis.account_id, ())
        draft = draft_invoice(one.basis, usage.of(one.basis))
        records = usage.records(one.basis)
        problems = find_problems(
            one.basis,
            draft,
            records=records,
            history=History(
                totals=one.earlier_totals, records=one.earlier_records, overlapping=one.overlapping
            ),
            sources=states,
            has_profile=one.profile is not None,
        )
        drafted.append(
            Drafted(
                loaded=one,
                draft=draft,
                position=usage.position,
                records=records,
                problems=problems,
                complete_to=_complete_to(states, one.basis),
                unbilled=usage.unbilled,
            )
        )
    return drafted


def _complete_to(sources: Sequence[SourceState], basis: Basis) -> datetime | None:
    expected = [
        source
        for source in sources
        if source.counts_from < basis.service.end
        and (source.ended_at is None or source.ended_at > basis.service.start)
    ]
    # A source that ended and sent everything up to its end holds nothing up after it.
    marks = [
        source.complete_to or source.counts_from
        for source in expected
        if source.ended_at is None or source.complete_to is None or source.complete_to < source.ended_at
    ]
    return min((*marks, basis.service.end)) if expected else None


def store_drafts(drafted: Sequence[Drafted], now: datetime) -> None:
    """Write the drafts in place of what they were before; inside the caller's transaction."""
    if not drafted:
        return
    existing = {
        (row.subscription_id, row.kind, row.period_start, row.operation): row
        for row in Invoice.objects.filter(
            subscription__in=[one.basis.subscription_id for one in drafted]
        ).exclude(state=InvoiceState.ISSUED)
    }
    invoices = [_invoice_row(one, existing, now) for one in drafted]
    old_ids = {row.pk for row in existing.values()}
    old = [invoice for invoice in invoices if invoice.pk in old_ids]
    new = [invoice for invoice in invoices if invoice.pk not in old_ids]
    accounts = [one.basis.account_id for one in drafted]
    LineItem.objects.filter(account__in=accounts, invoice__in=[invoice.pk for invoice in old]).delete()
    insert_rows(new)
    update_rows(old, _DRAFT_FIELDS)
    insert_rows(
        [
            line_row(line, account_id=invoice.account_id, invoice_id=invoice.pk, position=position)
            for one, invoice in zip(drafted, invoices, strict=True)
            for position, line in enumerate(one.draft.lines, 1)
        ]
    )


_DRAFT_FIELDS = [
    "state", "period_end", "issue_from", "currency", "total_minor", "usage_as_of", "complete_to", "drafted_at",
    "details", "parked_for",
]  # fmt: skip


def _invoice_row(one: Drafted, existing: dict[Any, Invoice], now: datetime) -> Invoice:
    to_bill, basis = one.loaded.to_bill, one.basis
    place = (basis.subscription_id, to_bill.kind, basis.service.start, to_bill.operation)
    invoice = existing.get(place) or Invoice(
        account_id=basis.account_id,
        subscription_id=basis.subscription_id,
        kind=to_bill.kind,
        operation=to_bill.operation,
        period_start=basis.service.start,
    )
    fill_invoice(invoice, one, now)
    return invoice


def fill_invoice(invoice: Invoice, one: Drafted, now: datetime) -> None:
    """Set everything of an invoice that follows from its draft; parked once it is due and problems are left."""
    basis = one.basis
    invoice.period_end = basis.service.end
    # What closes a subscription waits from when it was first needed, so that what comes meanwhile is on it too.
    if not basis.is_closing or invoice.pk is None:
        invoice.issue_from = issue_from(one.loaded, now)
    problems = still_parked(one.problems, invoice.released) if now >= invoice.issue_from else ()
    invoice.state = InvoiceState.PARKED if problems else InvoiceState.DRAFT
    invoice.parked_for = [{"code": problem.code, "message": problem.message} for problem in problems]
    invoice.currency = basis.currency
    invoice.total_minor = Decimal(one.draft.total_minor)
    invoice.usage_as_of = one.position
    invoice.complete_to = one.complete_to
    invoice.drafted_at = now
    invoice.details = details_document(one)


def issue_from(loaded: LoadedBasis, now: datetime) -> datetime:
    """When an invoice may be issued: at once if it opens a subscription, else after the period and the grace.

    If it closes one, after the grace from now on.
    """
    service = loaded.basis.service
    if loaded.basis.is_opening:
        return service.start
    grace = _DEFAULT_GRACE if loaded.profile is None else timedelta(days=loaded.profile.grace_days)
    return (now if loaded.basis.is_closing else service.end) + grace


def details_document(one: Drafted) -> dict[str, Any]:
    """What the lines cannot say alone, in the form that pages read and that a later re-rating starts from."""
    basis, profile = one.basis, one.loaded.profile
    add_ons = [segment for segment in basis.segments if segment.add_on_id is not None]
    return {
        "seller": _seller(profile),
        "buyer": _buyer(one.loaded),
        "zone": one.loaded.to_bill.subscription.billing_zone,
        "tzdata": version("tzdata"),
        "whole": [basis.whole.start.isoformat(), basis.whole.end.isoformat()],
        "segments": segments_document(basis.plans),
        "add_ons": segments_document(add_ons),
        "taxes": {name: exact_text(percent) for name, percent in basis.taxes.items()},
        "tax_exempt_reason": "" if profile is None else profile.tax_exempt_reason,
        "credits": credits_document(one.draft.credits),
        "credit_uses": {str(grant_id): minor for grant_id, minor in one.draft.credit_uses.items()},
        "unpriced": _unpriced(one.draft.unpriced),
        "priced_elsewhere": _unpriced(one.draft.priced_elsewhere),
        "records": one.records,
        "unbilled_sources": list(one.unbilled),
        "corrected": [bill.id for bill in basis.to_correct],
        "uncorrected": list(one.draft.uncorrected),
    }


def _unpriced(usages: Sequence[Unpriced]) -> list[dict[str, str]]:
    return [
        {"meter_key": usage.meter_key, "unit": usage.unit, "quantity": exact_text(usage.quantity)}
        for usage in usages
    ]


def _seller(profile: BillingProfile | None) -> dict[str, str]:
    if profile is None:
        return {}
    entity = profile.legal_entity
    return {"name": entity.name, "address": entity.address, "tax_id": entity.tax_id, "email": entity.email}


def _buyer(loaded: LoadedBasis) -> dict[str, Any]:
    account, profile = loaded.to_bill.account, loaded.profile
    buyer: dict[str, Any] = {"name": account.name, "reference": account.reference}
    if profile is not None:
        buyer |= {
            "company_name": profile.company_name,
            "address": profile.address,
            "tax_id": profile.tax_id,
            "purchase_order": profile.purchase_order,
            "recipients": profile.recipients,
        }
    return buyer
