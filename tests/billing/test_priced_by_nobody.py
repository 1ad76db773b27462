"""Usage that moves from one subscription to another: charged once, or a person is told that nobody charges it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.settlement_operations import release_invoice
from insights.models import Invoice, Plan, PlanVersion, Price, Source, Subscription, SubscriptionPhase
from insights.rating.charges import PerUnit
from insights.rating.sheet import price_document
from tests.billing.scene import (
    assert_books_agree,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    findings_of,
    instant,
    make_plan,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_user

pytestmark = pytest.mark.database
NOW = "2026-05-01T01"
PRICE = usage_price("requests", PerUnit(unit_amount=Decimal(1)))


def metered(key: str) -> Plan:
    return make_plan(key, [PRICE])


def plain(key: str) -> Plan:
    return make_plan(key, [fee("base", "1")])


def ended(subscription: Subscription, at: str) -> None:
    with as_worker():
        Subscription.objects.filter(pk=subscription.pk).update(ends_at=instant(at))


def used(edge: Source, account: Account, *hours: str) -> None:
    deliver(edge, account, [("requests", hour, "100") for hour in hours])
    complete(account, NOW)


def of_april(subscription: Subscription, now: str = NOW) -> Invoice:
    [april] = [one for one in bill(subscription, now) if one.period_start < instant("2026-05-01")]
    return april


def reasons(invoice: Invoice) -> list[str]:
    return [one["code"] for one in invoice.parked_for]


@pytest.fixture
def handed_over(account: Account) -> tuple[Subscription, Subscription]:
    """Two subscriptions: the first prices requests until 10 April, the second from 20 April on."""
    first = subscribe(account, metered("first"), "2026-04-01")
    change_plan(first, plain("first-plain"), "2026-04-10")
    second = subscribe(account, plain("second-plain"), "2026-04-01")
    change_plan(second, metered("second"), "2026-04-20")
    return first, second


def test_usage_between_two_subscriptions_parks(
    edge: Source, account: Account, handed_over: tuple[Subscription, Subscription]
) -> None:
    used(edge, account, "2026-04-15")

    assert [reasons(of_april(one)) for one in handed_over] == [["unpriced_meter"]] * 2


def test_usage_on_both_sides_of_the_gap_is_charged_and_parks_nobody(
    edge: Source, account: Account, handed_over: tuple[Subscription, Subscription]
) -> None:
    used(edge, account, "2026-04-09T23", "2026-04-20")

    first, second = (of_april(one) for one in handed_over)

    assert (first.state, second.state) == ("issued", "issued")
    assert (int(first.total_minor), int(second.total_minor)) == (10_070, 10_063)
    assert_books_agree()


def test_usage_that_comes_late_into_the_gap_parks_what_would_correct(
    edge: Source, account: Account, handed_over: tuple[Subscription, Subscription]
) -> None:
    used(edge, account, "2026-04-09T23", "2026-04-20")
    assert [of_april(one).state for one in handed_over] == ["issued", "issued"]

    deliver(edge, account, [("requests", "2026-04-15", "5"), ("requests", "2026-05-02", "1")])
    complete(account, "2026-06-01")
    may = [bill(one, "2026-06-01T01")[1] for one in handed_over]

    assert [reasons(one)[-1:] for one in may] == [["unpriced_meter"]] * 2


def test_a_change_that_was_to_come_after_the_end_prices_nothing(edge: Source, account: Account) -> None:
    first = subscribe(account, metered("first"), "2026-04-01")
    change_plan(first, plain("first-plain"), "2026-08-01")
    ended(first, "2026-04-10")
    second = subscribe(account, plain("second"), "2026-04-01")
    used(edge, account, "2026-04-20")

    assert of_april(first).state == "issued"
    assert reasons(of_april(second)) == ["unpriced_meter"]


def test_prices_that_are_not_published_price_nothing(edge: Source, account: Account) -> None:
    first, second = (subscribe(account, plain(key), "2026-04-01") for key in ("first", "second"))
    with as_worker():
        for phase in SubscriptionPhase.objects.select_related("plan"):
            draft = PlanVersion.objects.create(
                plan=phase.plan, number=2, effective_from=instant("2026-09-01")
            )
            row = Price(plan_version=draft, position=1, **price_document(PRICE))
            row.save()
    used(edge, account, "2026-04-20")

    assert [reasons(of_april(one)) for one in (first, second)] == [["unpriced_meter"]] * 2


def test_how_much_is_said_in_groups_of_digits(edge: Source, account: Account) -> None:
    subscription = subscribe(account, plain("plan"), "2026-04-01")
    deliver(edge, account, [("requests", "2026-04-20", "1234567.5")])
    complete(account, NOW)

    [reason] = of_april(subscription).parked_for

    assert reason["message"] == "1,234,567.5 unit of requests have no price in the plan."


def test_hours_without_a_price_that_were_let_pass_agree_with_the_books(
    edge: Source, account: Account
) -> None:
    meters("volume", aggregation="time_weighted_sum")
    subscription = subscribe(account, plain("plain"), "2026-04-01")
    deliver(edge, account, [("volume", "2026-04-05", "3")])
    complete(account, NOW)
    parked = of_april(subscription)
    staff = make_user("s@x.example", is_staff=True)
    release_invoice(parked.public_id, findings=findings_of(parked), reason="a test of ours", by=staff)

    issued = of_april(subscription)

    assert (issued.state, issued.details["unpriced"]) == (
        "issued",
        [{"meter_key": "volume", "unit": "unit hours", "quantity": "3"}],
    )
    assert_books_agree()
