"""One pass over all subscriptions, or over a part of the accounts, that says how far it got.

May be stopped anywhere and begun again: it goes on after the last subscription that it had finished.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime

from accounts.tenancy import connection
from insights.billing.period_queries import (
    ALL_ACCOUNTS,
    PartOfAccounts,
    list_subscription_ids,
    list_subscriptions,
    read_clock,
)
from insights.billing.run_operations import Tally, bill_subscriptions
from insights.billing.subscription_operations import end_with_accounts
from insights.models import BillingRun

SUBSCRIPTIONS_AT_ONCE = 1_000
CHUNKS_AT_ONCE = 2


def run_pass(
    kind: str, now: datetime, *, until: float, part: PartOfAccounts = ALL_ACCOUNTS
) -> BillingRun | None:
    """Draft what is behind (`draft`) or issue what is due (`issue`), and keep how far it got after every few.

    Goes on where an unfinished pass for the same part stopped. Returns None where there is nothing to do. Stops at
    `until` on the monotonic clock; the next pass then takes the rest.
    """
    end_with_accounts(now)
    unfinished = BillingRun.objects.filter(kind=kind, finished_at__isnull=True)
    # Where the accounts were divided otherwise, the passes of now look at all of them from the beginning.
    unfinished.exclude(parts=part.of).update(finished_at=now)
    run = unfinished.filter(part=part.number, parts=part.of).order_by("-pk").first()
    wanted = [
        one for one in list_subscription_ids(kind, now, part) if run is None or one > run.last_subscription_id
    ]
    if run is None:
        if not wanted:
            return None
        run = BillingRun.objects.create(
            kind=kind, part=part.number, parts=part.of, started_at=now, total=len(wanted)
        )
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
    run.advanced_at = read_clock()
    run.save()
