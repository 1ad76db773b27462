"""Looks up the ledger position of a moment that is asked for, and refuses one that has not been reached.

The position of an instant is the account's last one by then.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from django.db.models import Max

from accounts.models import Account
from insights.metering.faults import Fault, UsageFilterRefused
from insights.metering.known_moment import KnownAt
from insights.metering.known_queries import rows_of
from insights.metering.usage_filter import UsageFilter
from insights.models import Invoice

_POSITION = "SELECT known_position, changed_at FROM portal_known_position(%s, %s)"
_POSITION_MAX = 2**63 - 1


def settle_known(account: Account, question: UsageFilter) -> UsageFilter:
    """Look up the position of the moment asked for; raises UsageFilterRefused for one that has not been reached.

    Positions of the account alone are named and compared with, so that nothing is learnt of others.
    """
    return (
        question
        if question.known is None
        else replace(question, known=settle_moment(account, question.known))
    )


def settle_moment(account: Account, known: KnownAt) -> KnownAt:
    """The moment with the account's last position by then; raises UsageFilterRefused for one not reached yet.

    A bill is made at a position of the whole ledger, which may be another account's. Its own account has been told of
    it, and asks for the usage behind the bill by it.
    """
    last = last_position()
    asked = known.asked_position
    if asked is not None and asked > last and asked > _last_billed_position(account):
        message = f"Position {asked} has not been reached; the last one of this account is {last}."
        raise UsageFilterRefused([Fault("position_future", "position", message)])
    position, changed_at = _position(
        by=known.instant or datetime.max.replace(tzinfo=UTC),
        highest=_POSITION_MAX if asked is None else asked,
    )
    return replace(known, position=position, changed_at=changed_at)


def last_position() -> int:
    """The position of the last change that the account has seen; 0 where there was none."""
    return _position(by=datetime.max.replace(tzinfo=UTC), highest=_POSITION_MAX)[0]


def _last_billed_position(account: Account) -> int:
    """The highest position that a bill of the account was made at; 0 where it has none."""
    return Invoice.objects.for_account(account).aggregate(highest=Max("usage_as_of"))["highest"] or 0


def _position(*, by: datetime, highest: int) -> tuple[int, datetime | None]:
    found = rows_of(_POSITION, [by, highest])
    return found[0] if found else (0, None)
