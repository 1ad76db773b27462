"""Many small accounts on simple plans, made at once, and threads that bill them together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

BEGIN_SECONDS_MAX = 120


def gather(
    count: int, plans: Sequence[Any], *, starts_at: datetime, prefix: str = "acct", entities: int = 1
) -> list[Any]:
    """Make accounts that are each subscribed to every one of the plans; the subscriptions, account by account."""
    from accounts.models import Account
    from accounts.tenancy import as_worker
    from insights.models import BillingProfile, LegalEntity, Subscription, SubscriptionPhase

    with as_worker():
        senders = [
            LegalEntity.objects.get_or_create(
                key=f"tidegate-{number}",
                defaults={"name": "Tidegate", "address": "1 Quay", "number_prefix": f"T{number}-"},
            )[0]
            for number in range(entities)
        ]
        accounts = Account.objects.bulk_create(
            Account(reference=f"{prefix}-{number:04d}", name=f"{prefix} {number}", currency="USD")
            for number in range(count)
        )
        BillingProfile.objects.bulk_create(
            BillingProfile(account=account, legal_entity=senders[number % entities], grace_days=0)
            for number, account in enumerate(accounts)
        )
        subscriptions = Subscription.objects.bulk_create(
            Subscription(
                account=account, name=plan.name, currency=plan.currency, anchor_day=starts_at.date(),
                starts_at=starts_at, billing_zone="UTC", interval_months=plan.interval_months,
            )
            for account in accounts
            for plan in plans
        )  # fmt: skip
        SubscriptionPhase.objects.bulk_create(
            SubscriptionPhase(
                account=one.account, subscription=one, plan=plans[number % len(plans)], starts_at=starts_at
            )
            for number, one in enumerate(subscriptions)
        )
    return subscriptions


def deliver_rows(rows: Iterable[Sequence[str]], *, until: datetime | None = None) -> None:
    """Send rows of account, meter, window, quantity and revision in one file, complete to an instant."""
    from accounts.tenancy import as_worker
    from insights.models import Source, Watermark
    from tests.factories import ingest_now

    with as_worker():
        source = Source.objects.get(slug="edge")
    body = (
        "\n".join(["account,meter,window_start,quantity,revision", *(",".join(row) for row in rows)]) + "\n"
    )
    batch = ingest_now(source, body)
    if (batch.state, batch.rejected) != ("done", 0):
        raise AssertionError(f"batch {batch.pk} is {batch.state}, {batch.rejected} lines are refused")
    if until is not None:
        with as_worker():
            marks = Watermark.objects.filter(source_id=source.pk).exclude(complete_to=until)
            marks.update(complete_to=until, counts_from=datetime(2020, 1, 1, tzinfo=UTC))


def periods_of(subscriptions: Iterable[Any], now: datetime) -> list[Any]:
    """The first period that each subscription still needs an invoice for."""
    from accounts.tenancy import as_worker
    from insights.billing.period_queries import list_periods_to_bill
    from insights.models import Subscription

    ids = [one.pk for one in subscriptions]
    with as_worker():
        rows = list(Subscription.objects.filter(pk__in=ids).select_related("account").order_by("pk"))
        wanted = list_periods_to_bill(rows, now)
    return [next(each for each in wanted[row.pk] if each.kind == "period") for row in rows]


def at_once(works: Sequence[Callable[[], Any]], *, seconds_max: float | None = None) -> list[Any]:
    """Do all of it as the worker in threads that begin together; what one raises is its answer.

    Raises AssertionError where one still waits after so many seconds.
    """
    from django.db import connections

    from accounts.tenancy import as_worker

    answers: list[Any] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def run(number: int) -> None:
        try:
            gate.wait(BEGIN_SECONDS_MAX)
            with as_worker():
                answers[number] = works[number]()
        except Exception as error:
            answers[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds_max)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a deadlock is left")
    return answers
