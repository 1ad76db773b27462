"""Keeps the list of usage that no subscription covers, and lets a person take something off their desk.

What is found is put on the list at once; what is covered since, or was taken back, goes. Runs as the worker, under the
account's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import Account, User
from accounts.operations import record_act
from accounts.operations.refusals import UnableToChange, check_text
from accounts.tenancy import as_worker, current_alias
from insights.billing.account_lock_operations import hold_account
from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.uncovered import UncoveredPlace, UncoveredUsage, still_let_pass
from insights.billing.uncovered_queries import finding_of, list_account_ids, list_uncovered, rows_of
from insights.models import Invoice, InvoiceState
from insights.models import UncoveredUsage as UncoveredRow

logger = structlog.get_logger(__name__)

# As many as are billed at once: what is read of them fits in memory, and a look that is cut short has done the first.
_ACCOUNTS_AT_ONCE = 1_000
_REASON_LENGTH_MAX = 300


class _Release(NamedTuple):
    """Who let something of the list pass, when and why."""

    at: datetime | None = None
    by_name: str = ""
    reason: str = ""


_NO_RELEASE = _Release()


class UnknownFinding(LookupError):
    """There is no such usage on the list."""


def find_uncovered(accounts: Collection[int] | None, now: datetime) -> int:
    """Bring the list up to date for these accounts, or for all; returns how many accounts it changed for.

    Many are looked through at once; only those for which the list is not right are taken one by one. One that fails is
    in the log and holds up no other, nor any bill: its usage is found by the next look.
    """
    wanted = sorted(list_account_ids() if accounts is None else accounts)
    chunks = (wanted[first : first + _ACCOUNTS_AT_ONCE] for first in range(0, len(wanted), _ACCOUNTS_AT_ONCE))
    return sum(_is_listed_anew(account_id, now) for chunk in chunks for account_id in _list_behind(chunk))


def _list_behind(accounts: Collection[int]) -> list[int]:
    """Those of the accounts for which the list is not right."""
    found = {one.place: one for one in list_uncovered(accounts)}
    listed = {_place_of(row): row for row in rows_of(accounts)}
    behind = {place.account_id for place in found.keys() ^ listed.keys()}
    behind |= {
        place.account_id for place in found.keys() & listed.keys() if _differs(found[place], listed[place])
    }
    return sorted(behind)


def find_uncovered_of_due(wanted: Iterable[Sequence[PeriodToBill]], now: datetime) -> None:
    """The same for the accounts of invoices that are due: they wait for usage that no subscription covers."""
    find_uncovered({one.account.pk for many in wanted for one in many if one.service.end <= now}, now)


def _is_listed_anew(account_id: int, now: datetime) -> bool:
    try:
        _list_anew(account_id, now)
    except Exception as error:
        logger.error(
            "uncovered usage not listed", account=account_id, error=f"{type(error).__name__}: {error}"
        )
        return False
    return True


def _list_anew(account_id: int, now: datetime) -> None:
    with transaction.atomic(using=current_alias()):
        hold_account(account_id)
        found = list_uncovered([account_id])
        rows = list(rows_of([account_id]))
        releases = {_place_of(row): _release_of(row) for row in rows if row.released_at is not None}
        held = still_let_pass(found, [_seen(row) for row in rows if row.released_at is not None])
        # Where a stretch begins it is the same one, though a subscription ends it meanwhile.
        listed = {(row.meter_id, row.begins_at): row for row in rows}
        for one in found:
            row = listed.pop((one.place.meter_id, one.place.begins_at), None)
            row = row or UncoveredRow(account_id=account_id, meter_id=one.place.meter_id, found_at=now)
            _keep(row, one, releases[held[one.place]] if one.place in held else _NO_RELEASE)
        UncoveredRow.objects.filter(account=account_id, pk__in=[row.pk for row in listed.values()]).delete()


def _keep(row: UncoveredRow, found: UncoveredUsage, release: _Release) -> None:
    """Write what is found; what a person let pass they have to see again if there is more of it."""
    row.released_at, row.released_by_name, row.reason = release
    row.begins_at, row.ends_at = found.place.begins_at, found.place.ends_at
    row.first_used_on, row.last_used_on = found.first_used_on, found.last_used_on
    row.quantity, row.records, row.digest = found.quantity, found.records, found.digest
    row.save()


def _release_of(row: UncoveredRow) -> _Release:
    return _Release(row.released_at, row.released_by_name, row.reason)


def _seen(row: UncoveredRow) -> UncoveredUsage:
    """What a row says, as it was found when it was written."""
    return UncoveredUsage(
        place=_place_of(row),
        first_used_on=row.first_used_on,
        last_used_on=row.last_used_on,
        quantity=row.quantity,
        records=row.records,
    )


def _place_of(row: UncoveredRow) -> UncoveredPlace:
    return UncoveredPlace(
        account_id=row.account_id, meter_id=row.meter_id, begins_at=row.begins_at, ends_at=row.ends_at
    )


def _differs(found: UncoveredUsage, row: UncoveredRow) -> bool:
    return (found.quantity, found.records, found.first_used_on, found.last_used_on) != (
        row.quantity, row.records, row.first_used_on, row.last_used_on,
    )  # fmt: skip


def release_uncovered(account: Account, public_id: UUID, *, finding: str, reason: str, by: User) -> None:
    """Let usage that no subscription covers pass, as it is on the list, as the worker; more of it is found anew.

    Raises UnknownFinding, or UnableToChange where it is another amount by now, or without a reason.
    """
    check_text(reason, field="reason", what="reason", longest=_REASON_LENGTH_MAX)
    with as_worker(), transaction.atomic(using="worker"):
        hold_account(account.pk)
        row = rows_of([account.pk]).filter(public_id=public_id).first()
        if row is None:
            raise UnknownFinding
        if finding_of(row).problem.finding != finding:
            raise UnableToChange("It is another amount by now; look at it again.")
        let_uncovered_pass(account.pk, [finding], reason=reason, by=by)
        for invoice in Invoice.objects.filter(account=account, state=InvoiceState.PARKED):
            if any(parked.get("finding") == finding for parked in invoice.parked_for):
                released = sorted({*invoice.released, finding})
                Invoice.objects.filter(pk=invoice.pk).update(released=released)


def let_uncovered_pass(account_id: int, findings: Collection[str], *, reason: str, by: User) -> None:
    """Let pass what of these findings is on the account's list; inside the caller's transaction, under its lock."""
    for row in rows_of([account_id]).filter(released_at__isnull=True):
        found = finding_of(row)
        if found.problem.finding not in findings:
            continue
        rows_of([account_id]).filter(pk=row.pk).update(
            released_at=Now(), released_by_name=by.email, reason=reason.strip()
        )
        record_act(
            account=Account(pk=account_id),
            actor=by,
            act="uncovered_usage.release",
            subject=found.meter_name,
            details={"reason": reason.strip(), "message": found.problem.message},
        )
