"""Brings subscriptions up to a moment: drafts what is running, issues what is due; one that fails holds up no other.

May be stopped anywhere and begun again: what is issued stays, what is drafted is drafted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.closing_operations import close_subscription, drop_drafts_after_end
from insights.billing.draft_operations import draft_periods
from insights.billing.fee_lines import fees_ahead
from insights.billing.issue_operations import BasisMoved, issue_invoice, issue_invoices
from insights.billing.period_queries import (
    list_periods_to_bill,
    list_subscriptions,
)
from insights.billing.plan_segment_queries import list_opening_segments
from insights.billing.uncovered_operations import find_uncovered_of_due
from insights.models import CreditGrant, Invoice, InvoiceKind, InvoiceState, Subscription

logger = structlog.get_logger(__name__)

_PROBLEM_CHARACTERS = 300
_TRIES = 3
Thing = TypeVar("Thing")


@dataclass(slots=True)
class Tally:
    """What became of some subscriptions."""

    done: int = 0
    issued: int = 0
    parked: int = 0
    failed: int = 0
    problem: str = ""


def bill_subscriptions(subscriptions: Sequence[Subscription], now: datetime) -> Tally:
    """Bring the invoices of these subscriptions up to this moment; one that fails holds up no other."""
    tally = Tally()
    drop_drafts_after_end(subscriptions)
    to_draft: list[PeriodToBill] = []
    find_uncovered_of_due(listed := _list_wanted(subscriptions, now, tally), now)
    for wanted in listed:
        is_running = len(wanted) == 1 and wanted[0].service.end > now
        to_draft += wanted if is_running else _bill_one(wanted, now, tally)
        tally.done += 1
    _draft_in_turn([*to_draft, *_drafts_beside(to_draft, subscriptions, now, tally)], now, tally)
    return tally


def _drafts_beside(
    to_draft: Sequence[PeriodToBill], asked: Sequence[Subscription], now: datetime, tally: Tally
) -> list[PeriodToBill]:
    """Drafts of other subscriptions of the same accounts, where they share credits: what one shows the next lacks."""
    with_credits = CreditGrant.objects.filter(account__in={one.account.pk for one in to_draft}).values(
        "account"
    )
    drafts = Invoice.objects.filter(account__in=with_credits).exclude(state=InvoiceState.ISSUED)
    drafts = drafts.exclude(subscription__in=[one.pk for one in asked])
    existing = set(drafts.values_list("subscription", "kind", "period_start"))
    others = list_subscriptions([subscription_id for subscription_id, _, _ in existing])
    return [
        one
        for wanted in _list_wanted(others, now, tally)
        for one in wanted
        if (one.subscription.pk, one.kind, one.service.start) in existing
    ]


def _draft_in_turn(to_draft: Sequence[PeriodToBill], now: datetime, tally: Tally) -> None:
    """Draft them together, but those of one account after each other: the period that ends first goes first."""
    queues: dict[int, list[PeriodToBill]] = {}
    for one in sorted(to_draft, key=lambda one: (one.service.end, one.subscription.pk)):
        queues.setdefault(one.account.pk, []).append(one)
    for number in range(max(map(len, queues.values()), default=0)):
        _draft_together([queue[number] for queue in queues.values() if number < len(queue)], now, tally)


def issue_due(subscriptions: Sequence[Subscription], now: datetime) -> Tally:
    """Issue or park what is over at this moment and leave what is running alone: for bills of the past in a row.

    Subscriptions of different accounts are issued together, the periods of each in the order of time.
    """
    tally = Tally(done=len(subscriptions))
    found = _list_wanted(subscriptions, now, tally)
    find_uncovered_of_due(found, now)
    queues = [
        [one for one in wanted if one.kind == InvoiceKind.OPENING or _is_over(one, now)] for wanted in found
    ]
    while queues := [queue for queue in queues if queue]:
        firsts = {queue[0].account.pk: queue for queue in reversed(queues)}
        together = [queue.pop(0) for queue in firsts.values()]
        issued = _issue_together(together, now, tally)
        for queue, to_bill in zip(firsts.values(), together, strict=True):
            if to_bill.subscription.pk not in issued:
                queue.clear()
    return tally


def _is_over(to_bill: PeriodToBill, now: datetime) -> bool:
    return to_bill.kind == InvoiceKind.PERIOD and to_bill.service.end <= now


def _issue_together(together: Sequence[PeriodToBill], now: datetime, tally: Tally) -> set[int]:
    """Issue one invoice of each of several accounts; returns the subscriptions whose invoice is issued now."""
    try:
        outcomes = issue_invoices(together, now)
    except Exception as error:
        if len(together) == 1:
            _note(tally, together[0], error)
            return set()
        # One of them fails; the others are not to wait for it.
        return set().union(*(_issue_together([one], now, tally) for one in together))
    tally.issued += sum(outcome.is_new for outcome in outcomes)
    tally.parked += sum(outcome.invoice.state == InvoiceState.PARKED for outcome in outcomes)
    return {
        outcome.invoice.subscription_id
        for outcome in outcomes
        if outcome.invoice.state == InvoiceState.ISSUED
    }


def bill_subscription(subscription: Subscription, now: datetime) -> Tally:
    """The same for one subscription."""
    return bill_subscriptions([subscription], now)


def _draft_together(wanted: Sequence[PeriodToBill], now: datetime, tally: Tally) -> None:
    try:
        draft_periods(wanted, now)
    except Exception as error:
        if len(wanted) == 1:
            _note(tally, wanted[0], error)
            return
        # One of them was issued or drafted by somebody else meanwhile, or fails; the others are not to wait for it.
        for half in _halves(wanted):
            _draft_together(half, now, tally)


def _halves(things: Sequence[Thing]) -> tuple[Sequence[Thing], Sequence[Thing]]:
    """Which of many fails is found in steps as few as the number has binary digits, and the rest is done on the way."""
    middle = len(things) // 2
    return things[:middle], things[middle:]


def _bill_one(
    wanted: Sequence[PeriodToBill], now: datetime, tally: Tally, tries: int = _TRIES
) -> list[PeriodToBill]:
    """Issue what is due in the order of time; returns the first that is not, and all that follow, to be drafted.

    Where what is needed is changed meanwhile, it is listed anew.
    """
    for number, to_bill in enumerate(wanted):
        if to_bill.kind == InvoiceKind.PERIOD and to_bill.service.end > now:
            return list(wanted[number:])
        try:
            is_closing = to_bill.kind == InvoiceKind.CLOSING
            outcome = close_subscription(to_bill, now) if is_closing else issue_invoice(to_bill, now)
        except Exception as error:
            if not (tries and isinstance(error, BasisMoved)):
                _note(tally, to_bill, error)
                return []
            again = _list_wanted(list_subscriptions([to_bill.subscription.pk]), now, tally)
            return [one for listed in again for one in _bill_one(listed, now, tally, tries - 1)]
        if outcome is None:
            return []
        tally.issued += outcome.is_new
        tally.parked += outcome.invoice.state == InvoiceState.PARKED
        if outcome.invoice.state != InvoiceState.ISSUED:
            return list(wanted[number:])
    return []


def _list_wanted(
    subscriptions: Sequence[Subscription], now: datetime, tally: Tally
) -> list[list[PeriodToBill]]:
    """What each subscription needs; one of which that cannot be said is noted, and holds up no other."""
    try:
        return list(_without_empty_openings(list_periods_to_bill(subscriptions, now).values()))
    except Exception as error:
        if len(subscriptions) == 1:
            _note_subscription(tally, subscriptions[0].pk, error)
            return []
        return [wanted for half in _halves(subscriptions) for wanted in _list_wanted(half, now, tally)]


def _without_empty_openings(
    wanted: Iterable[Sequence[PeriodToBill]],
) -> Iterator[list[PeriodToBill]]:
    """Leave out the opening invoice of every subscription that begins without anything due in advance."""
    wanted = list(wanted)
    openings = [one for many in wanted for one in many if one.kind == InvoiceKind.OPENING]
    empty = {
        opening.subscription.pk
        for opening, segments in zip(openings, list_opening_segments(openings), strict=True)
        if not fees_ahead(opening.whole, segments, taxes=())
    }
    for many in wanted:
        yield [one for one in many if one.kind != InvoiceKind.OPENING or one.subscription.pk not in empty]


def _note(tally: Tally, to_bill: PeriodToBill, error: Exception) -> None:
    _note_subscription(tally, to_bill.subscription.pk, error)


def _note_subscription(tally: Tally, subscription_id: int, error: Exception) -> None:
    """Whatever stops one subscription is said on the staff page and in the log, and the pass goes on."""
    logger.error("not billed", subscription=subscription_id, error=f"{type(error).__name__}: {error}")
    tally.failed += 1
    tally.problem = f"Subscription {subscription_id}: {error}"[:_PROBLEM_CHARACTERS]
