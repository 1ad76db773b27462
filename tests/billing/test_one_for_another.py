"""What happens to one subscription, invoice or credit neither stops nor changes another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account, User
from accounts.tenancy import as_owner, as_worker
from insights.billing.run_operations import bill_subscriptions
from insights.billing.settlement_operations import void_invoice
from insights.models import InvoiceState, Plan, PlanVersion, Source, Subscription
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
