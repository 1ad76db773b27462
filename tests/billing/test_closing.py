"""What changes after a subscription's last invoice: a closing invoice of corrections, or none where nothing changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from accounts.models import Account, AuditEntry, User
from accounts.operations import close_account
from accounts.tenancy import as_staff, as_worker
from insights.billing.bill_document import bill_document
from insights.billing.bill_pdf import render_invoice_pdf
from insights.billing.bill_queries import get_bill
from insights.billing.period_queries import list_subscription_ids
from insights.billing.settlement_operations import release_invoice, void_invoice
from insights.billing.subscription_operations import end_subscription
from insights.models import (
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceState,
    RollupSeal,
    Settlement,
    Source,
    Subscription,
)
from insights.rating.charges import PerUnit
from insights.rating.terms import Bound, Discount, FeeTiming
from tests.billing.scene import (
    amounts,
    assert_books_agree,
    bill,
    complete,
    deliver,
    fee,
    instant,
    lines_of,
    make_plan,
    run_billing,
    subscribe,
    usage_price,
)
from tests.books.test_verify_books import damage, verify
from tests.factories import ingest_now, make_user

pytestmark = pytest.mark.database
TEN_CENTS = PerUnit(unit_amount=Decimal("0.10"))


@pytest.fixture
def ended(edge: Source, account: Account) -> Subscription:
    """A subscription of March alone, whose last invoice of 10.00 is issued."""
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", TEN_CENTS)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    end(subscription, "2026-04-01", now="2026-03-20")
    complete(account, "2026-04-01")
    [march] = bill(subscription, "2026-04-01T01")
    assert (march.state, int(march.total_minor)) == (InvoiceState.ISSUED, 1000)
    return subscription


def end(subscription: Subscription, at: str, *, now: str) -> None:
    with as_staff():
        end_subscription(
            account_id=subscription.account_id,
            subscription_id=subscription.public_id,
            ends_at=instant(at),
            by=None,
            now=instant(now),
        )


def finance() -> User:
    return make_user("finance@example.com", is_staff=True)


def is_wanted(subscription: Subscription, now: str) -> bool:
    with as_worker():
        return any(
            subscription.pk in list_subscription_ids(kind, instant(now)) for kind in ("issue", "draft")
        )


def test_usage_after_the_last_invoice_becomes_a_closing_invoice_once(
    edge: Source, account: Account, ended: Subscription
) -> None:
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    assert is_wanted(ended, "2026-04-10")

    march, closing = bill(ended, "2026-04-10")

    assert (closing.kind, closing.state, closing.number) == ("closing", InvoiceState.ISSUED, "TG-000002")
    assert (closing.period_start, closing.period_end) == (march.period_start, march.period_end)
    assert [
        (line.kind, line.metered_quantity, int(line.amount_minor), line.corrects_invoice_id)
        for line in lines_of(closing)
    ] == [("correction", Decimal(30), 300, march.pk)]
    assert len(bill(ended, "2026-04-11")) == 2
    assert not is_wanted(ended, "2026-04-11")
    assert_books_agree()

    # What comes later still has a closing invoice of its own.
    deliver(edge, account, [("requests", "2026-03-07", "5")])
    *_, second = bill(ended, "2026-05-20")
    assert (second.number, second.operation, int(second.total_minor)) == ("TG-000003", "after 1", 50)
    assert_books_agree()


def test_where_nothing_changed_there_is_no_closing_invoice_and_nobody_looks_again(
    edge: Source, account: Account, ended: Subscription
) -> None:
    assert len(bill(ended, "2026-04-05")) == 1
    assert not is_wanted(ended, "2026-04-06")

    # Usage of another time is nothing that the ended subscription has to do with.
    deliver(edge, account, [("requests", "2026-04-05", "30")])
    assert not is_wanted(ended, "2026-04-06")

    # A repeat is looked at once, and found to change nothing.
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    assert len(bill(ended, "2026-04-07")) == 1
    assert not is_wanted(ended, "2026-04-08")


def test_the_usual_passes_find_draft_and_issue_it_when_the_grace_is_over(
    edge: Source, account: Account, ended: Subscription
) -> None:
    run_billing("2026-04-02")
    with as_worker():
        account.billing_profile.grace_days = 3
        account.billing_profile.save()
    deliver(edge, account, [("requests", "2026-03-06", "30")])

    [_, closing] = run_billing("2026-04-10")
    assert (closing.state, closing.issue_from) == (InvoiceState.DRAFT, instant("2026-04-13"))

    # More that comes meanwhile is on the same invoice, which waits no longer for it.
    deliver(edge, account, [("requests", "2026-03-07", "2")])
    [_, closing] = run_billing("2026-04-12")
    assert (closing.state, int(closing.total_minor)) == (InvoiceState.DRAFT, 320)
    assert closing.issue_from == instant("2026-04-13")
    [_, closing] = run_billing("2026-04-13")
    assert (closing.state, int(closing.total_minor)) == (InvoiceState.ISSUED, 320)


def test_a_draft_of_it_goes_when_what_came_late_is_taken_back(
    edge: Source, account: Account, ended: Subscription
) -> None:
    with as_worker():
        account.billing_profile.grace_days = 3
        account.billing_profile.save()
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    assert len(bill(ended, "2026-04-10")) == 2
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-06T00:00:00Z,0,2\n"
    )

    assert [invoice.kind for invoice in bill(ended, "2026-04-11")] == ["period"]
    assert not is_wanted(ended, "2026-04-12")


def test_below_zero_it_is_carried(edge: Source, account: Account, ended: Subscription) -> None:
    ingest_now(
        edge, "account,meter,window_start,quantity,revision\nhalyard,requests,2026-03-05T00:00:00Z,40,2\n"
    )

    _, closing = bill(ended, "2026-04-10")

    assert amounts(closing) == {"Requests": -600, "Carried to the next bill": 600}
    assert int(closing.total_minor) == 0
    with as_worker():
        grant = CreditGrant.objects.get(account=account)
        assert (grant.kind, int(grant.amount_minor), grant.from_invoice_id) == ("carried", 600, closing.pk)
        assert Settlement.objects.get(invoice=closing).state == "paid"
    assert_books_agree()


def test_a_closing_invoice_that_is_voided_is_made_anew(
    edge: Source, account: Account, ended: Subscription
) -> None:
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    _, closing = bill(ended, "2026-04-10")
    bill(ended, "2026-04-11")
    void_invoice(
        closing.public_id,
        reason="wrong address",
        by=finance(),
        now=instant("2026-04-12"),
    )
    assert is_wanted(ended, "2026-04-13")

    *_, again = bill(ended, "2026-04-13")

    assert (again.kind, again.number, int(again.total_minor)) == ("closing", "TG-000003", 300)
    bill(ended, "2026-04-14")
    assert not is_wanted(ended, "2026-04-15")
    assert_books_agree()


@pytest.mark.parametrize("whole", [{}, {"discounts": (Discount(percent=Decimal(10)),)}])
def test_a_fee_billed_ahead_comes_back_when_the_subscription_ends_at_the_edge(
    edge: Source, account: Account, whole: dict[str, tuple[Discount, ...]]
) -> None:
    with as_worker():
        profile = account.billing_profile
        profile.tax_name, profile.tax_percent = "VAT", Decimal(20)
        profile.save()
    price = usage_price("requests", TEN_CENTS)
    plan = make_plan("ahead", [price, fee("base", "40", timing=FeeTiming.IN_ADVANCE)], **whole)
    subscription = subscribe(account, plan, "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    complete(account, "2026-05-01")
    opening, april, may = bill(subscription, "2026-05-01T01")
    percent = 90 if whole else 100
    assert int(opening.total_minor) == 4000 * percent // 100 * 12 // 10
    assert (int(april.total_minor), may.state) == (5000 * percent // 100 * 12 // 10, InvoiceState.DRAFT)

    end(subscription, "2026-05-01", now="2026-05-10")
    assert is_wanted(subscription, "2026-05-10T01")
    opening, april, closing = bill(subscription, "2026-05-10T01")

    # May's fee with its part of the discount and of the tax; the draft of May is gone.
    back = 4000 * percent // 100 * 12 // 10
    assert (closing.kind, closing.state, int(closing.total_minor)) == ("closing", InvoiceState.ISSUED, 0)
    [fee_back] = [line for line in lines_of(closing) if line.price_key == "base"]
    assert (fee_back.kind, int(fee_back.amount_minor)) == ("correction", -4000)
    assert fee_back.corrects_invoice_id == april.pk
    assert amounts(closing)["Carried to the next bill"] == back
    assert len(bill(subscription, "2026-05-11")) == 3
    assert not is_wanted(subscription, "2026-05-12")
    assert_books_agree()


def test_a_fee_that_a_credit_paid_ahead_comes_back_as_that_credit(edge: Source, account: Account) -> None:
    plan = make_plan(
        "ahead",
        [
            usage_price("requests", TEN_CENTS),
            fee("base", "40", timing=FeeTiming.IN_ADVANCE, takes_credit=True),
        ],
    )
    subscription = subscribe(account, plan, "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    complete(account, "2026-05-01")
    bill(subscription, "2026-04-02")
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=9000, currency="USD",
            granted_at=instant("2026-04-03"), reason="welcome",
        )  # fmt: skip
    _, april, _ = bill(subscription, "2026-05-01T01")
    assert amounts(april)["Welcome"] == -5000

    end(subscription, "2026-05-01", now="2026-05-10")
    *_, closing = bill(subscription, "2026-05-10T01")

    assert amounts(closing) == {"Base": -4000, "Welcome": 4000}
    with as_worker():
        uses = CreditUse.objects.filter(account=account).order_by("id")
        assert [int(use.amount_minor) for use in uses] == [5000, -4000]
    assert_books_agree()


def test_drafts_of_the_time_after_an_end_are_gone(edge: Source, account: Account) -> None:
    subscription = subscribe(account, make_plan("plain", [usage_price("requests", TEN_CENTS)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    # Nothing says that March is complete, so it waits, and April to June are drafts.
    assert len(bill(subscription, "2026-06-10")) == 4

    end(subscription, "2026-04-16", now="2026-06-11")
    assert is_wanted(subscription, "2026-06-11T01")
    march, april = bill(subscription, "2026-06-11T01")

    assert (march.period_end, april.period_end) == (instant("2026-04-01"), instant("2026-04-16"))
    assert_books_agree()


def test_an_end_before_what_was_issued_is_refused_with_what_to_do(
    edge: Source, account: Account, ended: Subscription
) -> None:
    subscription = subscribe(account, make_plan("other", [fee("base", "5")]), "2026-03-01")
    bill(subscription, "2026-04-02")

    with pytest.raises(Exception, match="Choose 1 Apr 2026, 00:00 UTC or later"):
        end(subscription, "2026-03-15", now="2026-04-03")


def test_subscriptions_of_a_closed_account_end_with_it(edge: Source, account: Account) -> None:
    plan = make_plan("plain", [usage_price("requests", TEN_CENTS), fee("base", "31")])
    subscription = subscribe(account, plan, "2026-03-01")
    later = subscribe(account, make_plan("later", [fee("base", "5")]), "2026-05-01")
    deliver(edge, account, [("requests", "2026-03-05", "100")])
    complete(account, "2026-04-01")
    with as_staff():
        close_account(
            account=account,
            actor=finance(),
            now=instant("2026-03-11") - timedelta(minutes=5),
        )

    [march] = run_billing("2026-06-02")

    assert march.period_end == instant("2026-03-11")
    assert amounts(march) == {"Base": 1000, "Requests": 1000}
    with as_worker():
        assert not Invoice.objects.filter(subscription=later).exists()
    assert len(run_billing("2026-06-03")) == 1
    assert not is_wanted(subscription, "2026-06-04")
    with as_staff():
        acts = list(AuditEntry.objects.filter(account=account).order_by("id").values_list("act", flat=True))
    assert acts == ["account.close", "subscription.end"]
    assert_books_agree()


def test_it_is_said_why_there_is_a_closing_invoice(
    edge: Source, account: Account, ended: Subscription
) -> None:
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    _, closing = bill(ended, "2026-04-10")

    with as_worker():
        found = get_bill(account, public_id=closing.public_id, now=instant("2026-04-11"))
    assert found is not None
    document = bill_document(found)
    assert document["kind"] == "closing"
    assert document["why"].startswith("The subscription has ended")
    other = replace(found, head=replace(found.head, kind="period"))
    assert len(render_invoice_pdf(found)) > len(render_invoice_pdf(other))


def test_a_minimum_holds_for_what_was_due_in_the_end(edge: Source, account: Account) -> None:
    plan = make_plan(
        "least",
        [usage_price("requests", TEN_CENTS), fee("base", "40", timing=FeeTiming.IN_ADVANCE)],
        minimum=Bound(amount=Decimal(30)),
    )
    subscription = subscribe(account, plan, "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-05", "100")])
    complete(account, "2026-05-01")
    bill(subscription, "2026-05-01T01")

    end(subscription, "2026-05-01", now="2026-05-10")
    *_, closing = bill(subscription, "2026-05-10T01")

    # April came to 10.00 and May's 40.00. Without May it would have come to its minimum of 30.00.
    assert amounts(closing) == {"Base": -4000, "Up to the minimum": 2000, "Carried to the next bill": 2000}


def test_the_books_name_what_is_no_closing_invoice(
    edge: Source, account: Account, ended: Subscription
) -> None:
    deliver(edge, account, [("requests", "2026-03-06", "30")])
    _, closing = bill(ended, "2026-04-10")
    damage(
        f"UPDATE insights_subscription SET ends_at = '2026-05-01Z' WHERE id = {ended.pk}",
        f"UPDATE insights_lineitem SET kind = 'charge' WHERE invoice_id = {closing.pk}",
    )

    said, _ = verify()

    assert f"invoice {closing.pk}: closes a subscription that does not end with its period" in said
    assert f"of invoice {closing.pk}: is no correction, and closes a subscription" in said


@pytest.fixture
def paid_ahead(edge: Source, account: Account) -> Subscription:
    """A subscription that had April's fee on March's bill, and ends with March after all."""
    prices = [usage_price("requests", TEN_CENTS), fee("base", "40", timing=FeeTiming.IN_ADVANCE)]
    subscription = subscribe(account, make_plan("ahead", prices), "2026-03-01")
    complete(account, "2026-04-01")
    bill(subscription, "2026-04-01T01")
    end(subscription, "2026-04-01", now="2026-04-01T02")
    return subscription


def archive_march(account: Account) -> None:
    with as_worker():
        RollupSeal.objects.create(
            account=account, month=date(2026, 3, 1), rollup="insights_usagerollup", rows=0, sha256="0" * 64
        )


def test_a_fee_that_cannot_come_back_of_an_archived_bill_waits_for_a_person(
    account: Account, paid_ahead: Subscription
) -> None:
    archive_march(account)

    _, march, closing = bill(paid_ahead, "2026-04-02")

    [reason] = closing.parked_for
    assert (closing.kind, closing.state, reason["code"]) == ("closing", "parked", "unable_to_give_back")
    assert str(march.number) in reason["message"]
    # Restored, it comes back by itself.
    with as_worker():
        RollupSeal.objects.all().delete()
    *_, closing = bill(paid_ahead, "2026-04-03")
    assert closing.state == "issued"
    assert amounts(closing) == {"Base": -4_000, "Carried to the next bill": 4_000}


def test_once_it_is_let_pass_nobody_looks_again(account: Account, paid_ahead: Subscription) -> None:
    archive_march(account)
    *_, closing = bill(paid_ahead, "2026-04-02")
    [finding] = [reason["finding"] for reason in closing.parked_for]
    release_invoice(closing.public_id, findings=[finding], reason="a credit was granted", by=finance())

    assert [one.kind for one in bill(paid_ahead, "2026-04-03")] == ["opening", "period"]
    assert not is_wanted(paid_ahead, "2026-04-03")


def test_a_fee_that_came_back_before_its_bill_was_archived_is_in_order(
    edge: Source, account: Account, paid_ahead: Subscription
) -> None:
    *_, closing = bill(paid_ahead, "2026-04-02")
    assert closing.state == "issued"
    archive_march(account)
    deliver(edge, account, [("requests", "2026-03-06", "5")])

    assert len(bill(paid_ahead, "2026-04-03")) == 3
    assert not is_wanted(paid_ahead, "2026-04-03")
