"""What is changed while an invoice is being made: it is in the invoice, or comes after it, and never in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections, transaction

from accounts.models import Account
from accounts.operations import UnableToChange
from accounts.tenancy import as_worker
from insights.billing.account_lock_operations import hold_account
from insights.billing.account_terms_operations import ProfileChanges, grant_credit, save_profile
from insights.billing.add_on_operations import end_add_on, start_add_on
from insights.billing.override_operations import end_override, set_override
from insights.billing.period_queries import list_subscription_ids
from insights.billing.profile_operations import BillingDetails, change_billing_details
from insights.billing.settlement_operations import void_invoice
from insights.billing.subscription_operations import cancel_change, change_plan, end_subscription
from insights.models import Invoice, InvoiceState, Plan, Source, Subscription
from insights.rating.charges import PerUnit
from insights.rating.plan_change import ChangePolicy
from tests.billing.scene import (
    agreed_long_ago,
    amounts,
    assert_books_agree,
    bill,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source, make_user

pytestmark = pytest.mark.database
SECONDS_MAX = 60
NOW = "2026-04-01T01"
OWN_PRICE = 'model = "per_unit"\nunit_amount = "0.50"\n'


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests")
    return make_source()


@pytest.fixture
def company(edge: Source) -> tuple[Account, Subscription]:
    """An account whose March of 10.00 of usage and a fee of 31.00 is due."""
    account = make_account("halyard", currency="USD")
    make_profile(account)
    prices = [usage_price("requests", PerUnit(unit_amount=Decimal("0.10"))), fee("base", "31")]
    subscription = subscribe(account, make_plan("small", prices), "2026-03-01")
    make_plan("large", [*prices[:1], fee("base", "62")])
    extra = make_plan("extra", [fee("help", "31")])
    with as_worker():
        Plan.objects.filter(pk=extra.pk).update(kind="add_on")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-04-01")
    return account, subscription


def to_large(subscription: Subscription, at: str = "2026-03-17") -> None:
    change_plan(
        **of(subscription), plan_key="large", starts_at=instant(at), policy=ChangePolicy.RESTART, counts={},
        by=None,
    )  # fmt: skip


def with_help(subscription: Subscription) -> None:
    start_add_on(**of(subscription), plan_key="extra", starts_at=instant("2026-03-01"), counts={}, by=None)


def own_price(subscription: Subscription) -> None:
    set_override(
        account_id=subscription.account_id, plan_key="small", price_key="requests", toml=OWN_PRICE,
        starts_at=instant("2026-03-01"), ends_at=None, reason="agreed", by=None,
    )  # fmt: skip


def with_tax(subscription: Subscription) -> None:
    changes = ProfileChanges(legal_entity_key="tidegate", tax_name="VAT", tax_percent="10", grace_days=0)
    save_profile(account_id=subscription.account_id, changes=changes, by=None, now=instant(NOW))


def ended(subscription: Subscription) -> None:
    end_subscription(**of(subscription), ends_at=instant("2026-03-11"), by=None, now=instant(NOW))


def credited(subscription: Subscription) -> None:
    grant_credit(
        account_id=subscription.account_id, kind="goodwill", name="Sorry", amount="5", reason="sorry",
        is_before_tax=False, by=None, now=instant("2026-03-31"),
    )  # fmt: skip


def another_address(subscription: Subscription) -> None:
    details = BillingDetails(company_name="New", address="", tax_id="", purchase_order="", recipients=[])
    by = make_user("owner@example.com")
    change_billing_details(subscription.account, details, by=by, now=instant(NOW))


def of(subscription: Subscription) -> dict[str, Any]:
    return {"account_id": subscription.account_id, "subscription_id": subscription.public_id}


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Begin it in a thread with connections of its own; what it raises is its answer."""
    answers: list[Any] = []

    def run() -> None:
        try:
            with as_worker():
                answers.append(work())
        except Exception as error:
            answers.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def wait_for_a_waiter() -> None:
    """Until somebody waits for a lock."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        with connections["worker"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (to_large, {"Base": 1600 + 3000, "Requests": 1000}),
        (with_help, {"Base": 3100, "Help": 3100, "Requests": 1000}),
        (own_price, {"Base": 3100, "Requests": 5000}),
        (with_tax, {"Base": 3100, "Requests": 1000, "VAT 10 %": 410}),
        (credited, {"Base": 3100, "Requests": 1000, "Sorry": -500}),
        (ended, {"Base": 1000, "Requests": 1000}),
    ],
)
def test_what_commits_between_reading_and_issuing_is_in_the_invoice(
    company: tuple[Account, Subscription], act: Callable[[Subscription], None], expected: dict[str, int]
) -> None:
    account, subscription = company
    with as_worker():
        with transaction.atomic(using="worker"):
            hold_account(account.pk)
            # The pass lists, reads usage and then waits for the account.
            thread, answers = in_thread(lambda: bill(subscription, NOW))
            wait_for_a_waiter()
            act(subscription)
        thread.join(SECONDS_MAX)
    [invoices] = answers
    assert not isinstance(invoices, Exception), invoices

    assert invoices[0].state == InvoiceState.ISSUED
    assert amounts(invoices[0]) == expected
    assert_books_agree()


def cancelled(subscription: Subscription) -> None:
    cancel_change(**of(subscription), starts_at=instant("2026-05-01"), by=None, now=instant(NOW))


def without_help(subscription: Subscription) -> None:
    end_add_on(
        **of(subscription), plan_key="extra", started_at=instant("2026-03-01"), ends_at=instant("2026-03-11"), by=None,
        now=instant("2026-03-02"),
    )  # fmt: skip


def usual_price(subscription: Subscription) -> None:
    end_override(
        account_id=subscription.account_id, plan_key="small", price_key="requests",
        started_at=instant("2026-03-01"), ends_at=instant("2026-04-01"), by=None, now=instant("2026-03-02"),
    )  # fmt: skip


ACTS = (
    to_large, with_help, own_price, with_tax, credited, ended, another_address, cancelled, without_help, usual_price,
)  # fmt: skip


def prepare(act: Callable[[Subscription], None], subscription: Subscription) -> None:
    """Do first what the act takes back."""
    if act is cancelled:
        to_large(subscription, at="2026-05-01")
    if act is without_help:
        with_help(subscription)
    if act is usual_price:
        own_price(subscription)


@pytest.mark.parametrize("act", ACTS)
def test_every_act_waits_while_an_invoice_is_made(
    company: tuple[Account, Subscription], act: Callable[[Subscription], None]
) -> None:
    account, subscription = company
    with as_worker():
        prepare(act, subscription)
        with transaction.atomic(using="worker"):
            hold_account(account.pk)
            thread, answers = in_thread(transaction.atomic(using="worker")(lambda: act(subscription)))
            wait_for_a_waiter()
            assert not answers
        thread.join(SECONDS_MAX)
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers


@pytest.mark.parametrize("act", ACTS)
def test_every_act_makes_the_draft_anew(
    company: tuple[Account, Subscription], act: Callable[[Subscription], None]
) -> None:
    _, subscription = company
    with as_worker():
        prepare(act, subscription)
    agreed_long_ago()
    bill(subscription, "2026-03-20")
    with as_worker():
        assert list_subscription_ids("draft", instant("2026-03-20T01")) == []

        transaction.atomic(using="worker")(lambda: act(subscription))()

        assert list_subscription_ids("draft", instant("2026-03-20T01")) == [subscription.pk]


def test_an_invoice_voided_while_the_next_waits_is_made_first(
    edge: Source, company: tuple[Account, Subscription]
) -> None:
    account, subscription = company
    march, _ = bill(subscription, NOW)
    complete(account, "2026-05-01")
    with as_worker():
        with transaction.atomic(using="worker"):
            hold_account(account.pk)
            thread, answers = in_thread(lambda: bill(subscription, "2026-05-01T01"))
            wait_for_a_waiter()
            finance = make_user("finance@example.com", is_staff=True)
            void_invoice(march.public_id, reason="wrong", by=finance, now=instant("2026-05-01T01"))
        thread.join(SECONDS_MAX)
    [invoices] = answers
    assert not isinstance(invoices, Exception), invoices

    numbers = {invoice.number: invoice.period_start for invoice in invoices if invoice.number}
    assert [numbers[number] for number in sorted(numbers)] == [
        instant("2026-03-01"),
        instant("2026-03-01"),
        instant("2026-04-01"),
    ]
    assert_books_agree()
    with as_worker():
        assert not Invoice.objects.filter(state=InvoiceState.PARKED).exists()


def test_what_is_void_may_be_changed_and_is_billed_anew(company: tuple[Account, Subscription]) -> None:
    """A bill is voided because something was agreed wrongly; that can then be put right for the same time."""
    _, subscription = company
    [march] = [one for one in bill(subscription, NOW) if one.number]
    with pytest.raises(UnableToChange, match="is issued"):
        in_turn(to_large, subscription)
    void_invoice(march.public_id, reason="another plan", by=make_user("fin@example.com"), now=instant(NOW))

    in_turn(to_large, subscription)

    [again] = [one for one in bill(subscription, NOW) if one.operation]
    assert (again.state, again.period_start) == ("issued", march.period_start)
    # 16 of 31 days at 31.00, 15 at 62.00, and the usage.
    assert amounts(again) == {"Base": 1_600 + 3_000, "Requests": 1_000}
    assert_books_agree()


def in_turn(act: Callable[[Subscription], None], subscription: Subscription) -> None:
    with as_worker():
        act(subscription)
