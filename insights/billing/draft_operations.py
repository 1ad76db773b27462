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
from typing import Any

from django.db import IntegrityError, OperationalError, transaction

from accounts.tenancy import connection, current_alias
from insights.billing.basis import Basis, Draft, Problem
from insights.billing.basis_queries import load_bases
from insights.billing.bill_to_make_mapping import LoadedBasis, PeriodToBill
from insights.billing.bounds import History, SourceState, find_problems, still_parked
from insights.billing.bulk_operations import (
    delete_of_staged,
    insert_staged,
    stage_rows,
    update_staged,
)
from insights.billing.details_mapping import details_text
from insights.billing.draft import draft_invoice
from insights.billing.draft_credits import Place, offers_left
from insights.billing.invoice_mapping import (
    LINE_COLUMNS,
    SHARED_LINE_COLUMNS,
    Documents,
    line_values,
)
from insights.billing.row_queries import any_of, list_draft_uses
from insights.billing.usage_queries import UsageRead, read_usage
from insights.models import Invoice, InvoiceState, LineItem

_DEFAULT_GRACE = timedelta(days=3)
# Of passes that meet, one gets through each time, and more than this never run at once.
_TRIES = 12
# Changed since the snapshot, stored meanwhile, or waiting for each other in a ring.
_COLLISIONS = frozenset({"40001", "23505", "40P01"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A draft with all that storing or issuing it needs. `not_billed` are sources of the account that do not count."""

    loaded: LoadedBasis
    draft: Draft
    position: int
    records: int
    not_billed: tuple[str, ...]
    problems: tuple[Problem, ...]
    complete_to: datetime | None

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

    Each shows of the account's credits what the drafts stored before leave to it. Of two at once the second begins
    anew, since its snapshot is from before the first one's drafts; so does one whose draft another stored first.
    """
    for _ in range(_TRIES - 1):
        try:
            return _draft_once(wanted, now)
        except (IntegrityError, OperationalError) as error:
            if getattr(error.__cause__, "sqlstate", "") not in _COLLISIONS:
                raise
    return _draft_once(wanted, now)


def _draft_once(wanted: Sequence[PeriodToBill], now: datetime) -> list[Drafted]:
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
        used = usage.of(one.basis)
        draft = draft_invoice(one.basis, used)
        problems = find_problems(
            one.basis,
            draft,
            records=used.records,
            history=History(
                totals=one.earlier_totals, records=one.earlier_records, overlapping=one.overlapping
            ),
            sources=states,
            has_profile=one.profile is not None,
            uncovered=one.uncovered,
        )
        drafted.append(
            Drafted(
                loaded=one,
                draft=draft,
                position=usage.position,
                records=used.records,
                not_billed=usage.not_billed.get(one.basis.account_id, ()),
                problems=problems,
                complete_to=_complete_to(states, one.basis),
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
    known = _stored_drafts(drafted)
    documents = Documents()
    stored = [known.get(_place_of(one)) for one in drafted]
    rows = [_invoice_values(one, before, now, documents) for one, before in zip(drafted, stored, strict=True)]
    stage_rows(Invoice, ("id", *_FIXED_COLUMNS, *_DRAFT_COLUMNS), rows)
    old_ids = [before.id for before in stored if before is not None]
    if old_ids:
        delete_of_staged(LineItem, "invoice_id", Invoice)
        update_staged(Invoice, _DRAFT_COLUMNS)
    new_ids: Iterator[int] = iter(())
    if len(old_ids) < len(drafted):
        new_ids = iter(
            insert_staged(
                Invoice, (*_FIXED_COLUMNS, *_DRAFT_COLUMNS), public_id="gen_random_uuid()", released="'{}'"
            )
        )
    ids = [next(new_ids) if before is None else before.id for before in stored]
    _store_lines(drafted, ids, documents)


def _store_lines(drafted: Sequence[Drafted], invoice_ids: Sequence[int], documents: Documents) -> None:
    columns = ("account_id", "invoice_id", "position", *LINE_COLUMNS)
    rows = (
        (one.basis.account_id, invoice_id, position, *line_values(line, documents))
        for one, invoice_id in zip(drafted, invoice_ids, strict=True)
        for position, line in enumerate(one.draft.lines, 1)
    )
    stage_rows(LineItem, columns, rows, shared=SHARED_LINE_COLUMNS)
    insert_staged(LineItem, columns)


@dataclass(frozen=True, slots=True)
class _StoredDraft:
    """What is kept of the draft before: its id, from when it may be issued, and the findings that a person let pass."""

    id: int
    issue_from: datetime
    released: tuple[str, ...]


# Which invoice it is: subscription, kind, start of the period, operation.
_Place = tuple[int, str, datetime, str]


def _place_of(one: Drafted) -> _Place:
    to_bill = one.loaded.to_bill
    return one.basis.subscription_id, to_bill.kind, one.basis.service.start, to_bill.operation


def _stored_drafts(drafted: Sequence[Drafted]) -> dict[_Place, _StoredDraft]:
    rows = Invoice.objects.filter(
        account__in=any_of([one.basis.account_id for one in drafted]),
        subscription__in=any_of([one.basis.subscription_id for one in drafted]),
        state__in=(InvoiceState.DRAFT, InvoiceState.PARKED),
    ).values_list("subscription_id", "kind", "period_start", "operation", "id", "issue_from", "released")
    return {
        (subscription_id, kind, start, operation): _StoredDraft(invoice_id, issue_from, tuple(released))
        for subscription_id, kind, start, operation, invoice_id, issue_from, released in rows
    }


_FIXED_COLUMNS = ("account_id", "subscription_id", "kind", "operation", "period_start")
_DRAFT_COLUMNS = (
    "state", "period_end", "issue_from", "currency", "total_minor", "usage_as_of", "complete_to", "drafted_at",
    "details", "parked_for",
)  # fmt: skip


def _invoice_values(
    one: Drafted, before: _StoredDraft | None, now: datetime, documents: Documents
) -> tuple[Any, ...]:
    """Everything of an invoice that follows from its draft; parked once it is due and problems are left."""
    to_bill, basis = one.loaded.to_bill, one.basis
    # What closes a subscription waits from when it was first needed, so that what comes meanwhile is on it too.
    due = before.issue_from if before and basis.is_closing else issue_from(one.loaded, now)
    problems = still_parked(one.problems, before.released if before else ()) if now >= due else ()
    return (
        before and before.id,
        basis.account_id,
        basis.subscription_id,
        to_bill.kind.value,
        to_bill.operation,
        basis.service.start,
        (InvoiceState.PARKED if problems else InvoiceState.DRAFT).value,
        basis.service.end,
        due,
        basis.currency,
        Decimal(one.draft.total_minor),
        one.position,
        one.complete_to,
        now,
        details_text(
            one.loaded,
            one.draft,
            documents=documents,
            records=one.records,
            not_billed=one.not_billed,
        ),
        [
            {"code": problem.code, "message": problem.message, "finding": problem.finding}
            for problem in problems
        ],
    )


def issue_from(loaded: LoadedBasis, now: datetime) -> datetime:
    """When an invoice may be issued: at once if it opens a subscription, else after the period and the grace.

    If it closes one, after the grace from now on.
    """
    service = loaded.basis.service
    if loaded.basis.is_opening:
        return service.start
    grace = _DEFAULT_GRACE if loaded.profile is None else timedelta(days=loaded.profile.grace_days)
    return (now if loaded.basis.is_closing else service.end) + grace
