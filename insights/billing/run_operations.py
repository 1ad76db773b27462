"""One pass over all subscriptions: drafts what is running, issues what is due, and says how far it got.

May be stopped anywhere and begun again: what is issued stays, what is drafted is drafted anew, and the pass goes on
after the last subscription it had finished.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from accounts.tenancy import connection
from insights.billing.bill_to_make_mapping import PeriodToBill
from insights.billing.closing_operations import close_subscription, drop_drafts_after_end
from insights.billing.draft_operations import draft_periods
from insights.billing.fee_lines import fees_ahead
from insights.billing.issue_operations import BasisMoved, issue_invoice, issue_invoices
from insights.billing.period_queries import (
    list_periods_to_bill,
    list_subscription_ids,
    list_subscriptions,
)
from insights.billing.plan_segment_queries import list_opening_segments
from insights.billing.subscription_operations import end_with_accounts
from insights.billing.uncovered_operations import find_uncovered_of_due
from insights.models import BillingRun, CreditGrant, Invoice, InvoiceKind, InvoiceState, Subscription

logger = structlog.get_logger(__name__)

SUBSCRIPTIONS_AT_ONCE = 1_000
CHUNKS_AT_ONCE = 2
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


def run_pass(kind: str, now: datetime, *, until: float) -> BillingRun | None:
    """Draft what is behind (`draft`) or issue what is due (`issue`), and keep how far it got after every few.

    Goes on where an unfinished pass stopped. Returns None where there is nothing to do. Stops at `until` on the
    monotonic clock; the next pass then takes the rest.
    """
    end_with_accounts(now)
    run = BillingRun.objects.filter(kind=kind, finished_at__isnull=True).order_by("-pk").first()
    wanted = [
        one for one in list_subscription_ids(kind, now) if run is None or one > run.last_subscription_id
    ]
    if run is None:
        if not wanted:
            return None
        run = BillingRun.objects.create(kind=kind, started_at=now, total=len(wanted))
    for ids, tally in _bill_in_order(_cut(wanted), now, until=until):
        _advance(run, ids, tally)
    if wanted and run.last_subscription_id < wanted[-1]:
        return run
    run.finished_at = now
    run.save(update_fields=["finished_at"])
    return run


def _cut(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[first : first + SUBSCRIPTIONS_AT_ONCE] for first in range(0, len(ids), SUBSCRIPTIONS_AT_ONCE)]


def _bill_in_order(
    chunks: Sequence[Sequence[int]], now: datetime, *, until: float
) -> Iterator[tuple[Sequence[int], Tally]]:
    """What became of each chunk, in order. Two are under way at once: one is rated while the database stores another.

    A chunk that was under way when a pass was cut short is done again by the next.
    """
    if len(chunks) == 1 and time.monotonic() <= until:
        yield chunks[0], bill_subscriptions(list_subscriptions(chunks[0]), now)
        return
    waiting: deque[tuple[Sequence[int], Future[Tally]]] = deque()
    with ThreadPoolExecutor(CHUNKS_AT_ONCE) as pool:
        for ids in chunks:
            if time.monotonic() > until:
                break
            # The role in force goes with the context.
            waiting.append((ids, pool.submit(copy_context().run, _bill_chunk, ids, now)))
            if len(waiting) == CHUNKS_AT_ONCE:
                done, billed = waiting.popleft()
                yield done, billed.result()
        while waiting:
            done, billed = waiting.popleft()
            yield done, billed.result()


def _bill_chunk(ids: Sequence[int], now: datetime) -> Tally:
    """Bill some subscriptions in a thread, whose database connection ends with it."""
    try:
        return bill_subscriptions(list_subscriptions(ids), now)
    finally:
        connection().close()


def _advance(run: BillingRun, ids: Sequence[int], tally: Tally) -> None:
    run.done += tally.done
    run.issued += tally.issued
    run.parked += tally.parked
    run.failed += tally.failed
    run.problem = tally.problem or run.problem
    run.last_subscription_id = ids[-1]
    run.save()


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
