"""Many at once: one invoice and one number each, no credit used twice, no late row lost, and clocks that are wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connections, transaction

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing import issue_operations
from insights.billing.issue_operations import Outcome, issue_invoice
from insights.billing.period_queries import list_periods_to_bill
from insights.billing.run_operations import bill_subscription
from insights.invoicing import issue_invoices
from insights.models import (
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceNumber,
    InvoiceState,
    LineItem,
    Source,
    Subscription,
)
from insights.rating.charges import PerUnit
from tests.billing.scene import (
    bill,
    complete,
    deliver,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.books.test_verify_books import verify
from tests.factories import make_account, make_source
from tests.faults import bill_crowd

pytestmark = pytest.mark.database
THREADS = 32
SECONDS_MAX = 60
TEN_CENTS = PerUnit(unit_amount=Decimal("0.10"))


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests")
    return make_source()


def company(edge: Source, name: str, *, starts_at: str = "2026-03-01") -> tuple[Account, Subscription]:
    """An account with 10.00 of usage in March that is complete, on a plan of its own."""
    account = make_account(name, currency="USD")
    make_profile(account)
    subscription = subscribe(account, make_plan(name, [usage_price("requests", TEN_CENTS)]), starts_at)
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-04-01")
    return account, subscription


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Do all of it in threads that begin together; what one raises is its answer."""
    return bill_crowd.at_once(works, seconds_max=SECONDS_MAX)


def issue(subscription: Subscription, now: str) -> Outcome:
    """Issue the first invoice that the subscription still needs."""
    fresh = Subscription.objects.select_related("account").get(pk=subscription.pk)
    wanted = [one for one in list_periods_to_bill([fresh], instant(now))[fresh.pk] if one.kind == "period"]
    return issue_invoice(wanted[0], instant(now))


def test_many_issue_the_same_invoices_and_there_is_one_of_each(edge: Source) -> None:
    subscriptions = [company(edge, f"account-{number}")[1] for number in range(5)]
    with as_worker():
        wanted = {
            one.pk: next(
                each
                for each in list_periods_to_bill([one], instant("2026-04-01T01"))[one.pk]
                if each.kind == "period"
            )
            for one in Subscription.objects.select_related("account")
        }
    slowest: list[float] = []

    def finalise() -> list[tuple[int, str | None]]:
        answers = []
        for subscription in subscriptions:
            began = time.monotonic()
            invoice = issue_invoice(wanted[subscription.pk], instant("2026-04-01T01")).invoice
            slowest.append(time.monotonic() - began)
            answers.append((invoice.pk, invoice.number))
        return answers

    answers = at_once([finalise] * THREADS)

    assert answers == [answers[0]] * THREADS, "everybody gets the same invoices"
    with as_worker():
        issued = Invoice.objects.filter(state=InvoiceState.ISSUED)
        assert sorted(issued.values_list("number_in_series", flat=True)) == [1, 2, 3, 4, 5]
        assert InvoiceNumber.objects.count() == 5
    assert max(slowest) < SECONDS_MAX / 2
    assert "invoice numbers have no gap: 5 rows compared, 0 differences" in verify()[0]


def test_drafts_and_issues_of_one_subscription_at_once_all_succeed(edge: Source) -> None:
    _, subscription = company(edge, "halyard")
    fresh = Subscription.objects.using("worker").select_related("account").get(pk=subscription.pk)
    for now in ("2026-03-20", "2026-04-01T01"):
        tallies = at_once([lambda now=now: bill_subscription(fresh, instant(now))] * 12)  # type: ignore[misc]
        assert not [one for one in tallies if isinstance(one, Exception) or one.failed], tallies

    with as_worker():
        assert Invoice.objects.filter(state=InvoiceState.ISSUED).count() == 1
        assert Invoice.objects.count() == 2


def test_two_subscriptions_of_an_account_never_take_more_of_a_credit_than_there_is(edge: Source) -> None:
    meters("bytes")
    for round_ in range(6):
        account, first = company(edge, f"account-{round_}")
        other = subscribe(
            account, make_plan(f"bytes-{round_}", [usage_price("bytes", TEN_CENTS)]), "2026-03-01"
        )
        deliver(edge, account, [("bytes", "2026-03-05", "100")])
        complete(account, "2026-04-01")
        with as_worker():
            CreditGrant.objects.create(
                account=account, kind="promotion", name="Welcome", amount_minor=1500, currency="USD",
                granted_at=instant("2026-01-01"), reason="welcome",
            )  # fmt: skip
        at_once([lambda one=one: issue(one, "2026-04-02") for one in (first, other)] * 4)  # type: ignore[misc]

        with as_worker():
            assert Invoice.objects.filter(account=account, state=InvoiceState.ISSUED).count() == 2
            uses = CreditUse.objects.filter(account=account).values_list("amount_minor", flat=True)
            assert (sum(uses), sorted(map(int, uses))) == (1500, [500, 1000])


@pytest.mark.parametrize("trial", range(10))
def test_a_late_row_is_in_the_invoice_or_in_the_correction(edge: Source, trial: int) -> None:
    account, subscription = company(edge, "halyard")

    def send_late() -> None:
        time.sleep(trial * 0.01)
        deliver(edge, account, [("requests", "2026-03-31T23", "7")])

    answers = at_once([lambda: bill(subscription, "2026-04-01T01"), send_late])
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers
    deliver(edge, account, [("requests", "2026-04-01T00", "1")])
    complete(account, "2026-05-01")
    march, april, _ = bill(subscription, "2026-05-01T01")

    with as_worker():
        found = {
            (line.invoice_id, line.kind): line.metered_quantity
            for line in LineItem.objects.filter(invoice__in=[march.pk, april.pk], meter_key="requests")
        }
    in_march = found[march.pk, "charge"]
    assert in_march in (Decimal(100), Decimal(107))
    assert in_march + found.get((april.pk, "correction"), Decimal(0)) == 107
    assert found[april.pk, "charge"] == 1
    assert int(march.total_minor + april.total_minor) == 1080


def test_a_number_is_given_back_by_whoever_fails_after_taking_it(
    edge: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = [company(edge, f"account-{number}")[1] for number in range(8)]
    hash_of, lock = issue_operations.invoice_hash, threading.Lock()
    calls = []

    def fail_every_other(*args: Any) -> bytes:
        with lock:
            calls.append(args)
            fails = len(calls) % 2 == 1
        if fails:
            raise ConnectionError("gone between the number and the commit")
        return hash_of(*args)

    monkeypatch.setattr(issue_operations, "invoice_hash", fail_every_other)
    answers = at_once([lambda one=one: issue(one, "2026-04-01T01") for one in subscriptions])  # type: ignore[misc]
    monkeypatch.undo()
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert len(failed) == 4
    assert {type(answer) for answer in failed} == {ConnectionError}
    at_once([lambda one=one: bill(one, "2026-04-01T01") for one in subscriptions])  # type: ignore[misc]

    with as_worker():
        numbers = InvoiceNumber.objects.order_by("number_in_series").values_list(
            "number_in_series", flat=True
        )
        assert list(numbers) == list(range(1, 9))


@pytest.mark.parametrize("hours_off", [-48, 48])
def test_a_host_whose_clock_is_wrong_issues_nothing_early(edge: Source, hours_off: int) -> None:
    """The period ends in a day by the database's clock, which alone decides."""
    with as_worker(), transaction.atomic(using="worker"), connections["worker"].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0].astimezone(UTC)
    ends = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    account = make_account("halyard", currency="USD")
    make_profile(account)
    plan = make_plan("plain", [usage_price("requests", TEN_CENTS)])
    subscription = subscribe(
        account, plan, f"{ends - timedelta(days=20):%Y-%m-%d}", anchor=f"{ends:%Y-%m-%d}"
    )

    with time_machine.travel(now + timedelta(hours=hours_off), tick=True):
        issue_invoices()

    with as_worker():
        assert not Invoice.objects.filter(subscription=subscription, state=InvoiceState.ISSUED).exists()
        assert not Invoice.objects.filter(subscription=subscription, state=InvoiceState.PARKED).exists()
