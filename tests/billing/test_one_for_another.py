"""What happens to one subscription, invoice or credit neither stops nor changes another."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, User
from accounts.tenancy import as_owner, as_worker
from insights.billing.run_operations import bill_subscriptions
from insights.billing.settlement_operations import void_invoice
from insights.models import (
    CreditGrant,
    CreditUse,
    Invoice,
    InvoiceState,
    Plan,
    PlanVersion,
    Source,
    Subscription,
)
from insights.rating.charges import PerUnit
from insights.rating.terms import Bound
from tests.billing.scene import (
    amounts,
    assert_books_agree,
    bill,
    change_plan,
    complete,
    deliver,
    instant,
    lines_of,
    make_plan,
    make_profile,
    meters,
    run_billing,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source, make_user

pytestmark = pytest.mark.database
PER_UNIT = PerUnit(unit_amount=Decimal("0.10"))


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests", "bytes")
    return make_source()


def an_account(reference: str) -> Account:
    account = make_account(reference, currency="USD")
    make_profile(account)
    return account


def both(key: str, **whole: Any) -> Plan:
    return make_plan(key, [usage_price("requests", PER_UNIT), usage_price("bytes", PER_UNIT)], **whole)


def staff() -> User:
    return make_user("books@tidegate.example", is_staff=True)


def test_a_subscription_that_fails_holds_up_no_other(edge: Source) -> None:
    broken = subscribe(an_account("adder"), both("broken"), "2026-03-01")
    sound = subscribe(an_account("bream"), both("sound"), "2026-03-01")
    with as_owner():
        PlanVersion.objects.filter(plan__key="broken").update(
            terms={"minimum": {"amount": "-1", "is_prorated": False}}
        )

    with as_worker():
        rows = (
            Subscription.objects.filter(pk__in=[broken.pk, sound.pk]).select_related("account").order_by("pk")
        )
        tally = bill_subscriptions(list(rows), instant("2026-03-20"))

    assert (tally.failed, str(broken.pk) in tally.problem) == (1, True)
    assert [invoice.state for invoice in bill(sound, "2026-03-21")] == [InvoiceState.DRAFT]


def test_a_maximum_does_not_hold_for_a_plan_without_one(edge: Source) -> None:
    account = an_account("adder")
    subscription = subscribe(account, both("open"), "2026-04-01")
    change_plan(
        subscription, both("capped", maximum=Bound(amount=Decimal(100), is_prorated=True)), "2026-04-16"
    )
    deliver(edge, account, [("requests", "2026-04-02", "90000")])

    [april] = bill(subscription, "2026-04-20")

    assert int(april.total_minor) == 900_000


def test_each_of_two_subscriptions_charges_its_own_meter(edge: Source) -> None:
    account = an_account("adder")
    first = subscribe(account, make_plan("first", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    second = subscribe(account, make_plan("second", [usage_price("bytes", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-02", "10"), ("bytes", "2026-03-02", "20")])
    complete(account, "2026-05-01")

    for subscription, minor in ((first, 100), (second, 200)):
        [march, _] = bill(subscription, "2026-04-02")
        assert (march.state, int(march.total_minor)) == (InvoiceState.ISSUED, minor)


def test_usage_that_came_late_is_corrected_after_a_void_too(edge: Source) -> None:
    account = an_account("adder")
    subscription = subscribe(account, both("plain"), "2026-03-01")
    complete(account, "2026-09-01")
    deliver(edge, account, [("requests", "2026-03-02", "10"), ("requests", "2026-04-02", "10")])
    complete(account, "2026-09-01")
    bill(subscription, "2026-04-02")
    deliver(edge, account, [("requests", "2026-03-03", "5")])
    _, april, _ = bill(subscription, "2026-05-02")
    assert amounts(april)["Requests"] == 150

    with as_worker():
        void_invoice(april.public_id, reason="wrong address", by=staff(), now=instant("2026-05-03"))
    again = next(one for one in bill(subscription, "2026-05-04") if one.operation)

    assert (again.state, int(again.total_minor)) == (InvoiceState.ISSUED, 150)
    assert [int(line.amount_minor) for line in lines_of(again) if line.kind == "correction"] == [50]


def test_what_another_subscription_has_a_price_for_is_not_without_one(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    first = subscribe(account, make_plan("first", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    second = subscribe(account, make_plan("second", [usage_price("bytes", PER_UNIT)]), "2026-03-01")
    deliver(edge, account, [("requests", "2026-03-05", "10"), ("bytes", "2026-03-05", "20")])
    complete(account, "2026-04-01")

    for subscription, due in ((first, 100), (second, 200)):
        march, _ = bill(subscription, "2026-04-01T01")
        assert (march.state, march.details["unpriced"], int(march.total_minor)) == ("issued", [], due)
    assert_books_agree()

    # Late usage of the one corrects the one, and is nothing that the other's bill would wait for.
    deliver(
        edge,
        account,
        [("bytes", "2026-03-06", "5"), ("bytes", "2026-04-06", "1"), ("requests", "2026-04-06", "1")],
    )
    complete(account, "2026-05-01")
    for subscription, due in ((first, 10), (second, 60)):
        _, april, _ = bill(subscription, "2026-05-01T01")
        assert (april.state, int(april.total_minor)) == ("issued", due)
    assert_books_agree()


def test_what_another_subscription_had_a_price_for_before_is_without_one(edge: Source) -> None:
    account = make_account("halyard", currency="USD")
    make_profile(account)
    first = subscribe(account, make_plan("first", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    second = subscribe(account, make_plan("second", [usage_price("bytes", PER_UNIT)]), "2026-03-01")
    with as_owner():
        Subscription.objects.filter(pk=second.pk).update(ends_at=instant("2026-04-01"))
    deliver(edge, account, [("bytes", "2026-04-05", "20"), ("requests", "2026-03-05", "10")])
    complete(account, "2026-05-01")

    march, april, _ = bill(first, "2026-05-01T01")

    assert march.state == "issued"
    assert [one["code"] for one in april.parked_for] == ["unpriced_meter"]


def credit_lines(subscriptions: Iterable[Subscription]) -> list[int]:
    """What the newest invoice of each takes of credits, in minor units."""
    with as_worker():
        newest = [
            Invoice.objects.filter(subscription=one).order_by("period_start").last() for one in subscriptions
        ]
    return [
        -sum(int(line.amount_minor) for line in lines_of(one) if line.kind == "credit")
        for one in newest
        if one
    ]


def test_drafts_of_an_account_show_no_more_of_a_credit_than_there_is(edge: Source) -> None:
    account = an_account("halyard")
    # The older subscription's period ends later.
    plans = [
        make_plan(key, [usage_price(meter, PER_UNIT)])
        for key, meter in (("one", "requests"), ("two", "bytes"))
    ]
    late = subscribe(account, plans[0], "2026-03-05", anchor="2026-03-05")
    first = subscribe(account, plans[1], "2026-03-01")
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=1500, currency="USD",
            granted_at=instant("2026-01-01"), reason="welcome",
        )  # fmt: skip
    deliver(edge, account, [("requests", "2026-03-06", "100")])
    bill(late, "2026-03-10")
    assert credit_lines([late]) == [1000]

    # The one that is due first shows the credit, and the other what is left.
    deliver(edge, account, [("bytes", "2026-03-06", "80")])
    bill(first, "2026-03-11")
    assert credit_lines([first, late]) == [800, 700]
    deliver(edge, account, [("bytes", "2026-03-07", "100")])
    bill(first, "2026-03-12")
    assert credit_lines([first, late]) == [1500, 0]
    bill(late, "2026-03-13")
    assert credit_lines([first, late]) == [1500, 0]

    # Whoever is issued takes what is there, and the drafts follow.
    complete(account, "2026-04-01")
    bill(first, "2026-04-01T01")
    run_billing("2026-04-02")
    with as_worker():
        used = CreditUse.objects.filter(account=account).values_list("amount_minor", flat=True)
        assert [int(minor) for minor in used] == [1500]
    assert credit_lines([late]) == [0]


def test_a_parked_invoice_and_the_draft_after_it_share_a_credit(edge: Source) -> None:
    account = an_account("halyard")
    subscription = subscribe(account, make_plan("one", [usage_price("requests", PER_UNIT)]), "2026-03-01")
    with as_worker():
        CreditGrant.objects.create(
            account=account, kind="promotion", name="Welcome", amount_minor=1500, currency="USD",
            granted_at=instant("2026-01-01"), reason="welcome",
        )  # fmt: skip
    deliver(edge, account, [("requests", "2026-03-06", "100"), ("requests", "2026-04-01", "100")])
    # Nobody has a price for it, so that March waits for a person.
    deliver(edge, account, [("bytes", "2026-03-06", "1")])

    march, april = bill(subscription, "2026-04-02")

    assert (march.state, amounts(march)["Welcome"], amounts(april)["Welcome"]) == ("parked", -1000, -500)
