"""What a pass of drafts asks the database: no more for many accounts than for few, and of each account once."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.tenancy import as_owner, as_worker
from insights.billing import pass_operations
from insights.billing.pass_operations import run_pass
from insights.billing.period_queries import PartOfAccounts
from insights.billing.run_operations import bill_subscriptions
from insights.models import BillingRun, Invoice, LineItem, Plan, PlanVersion, Source, Subscription
from insights.rating.charges import Graduated, PerUnit, Tier
from tests.billing.scene import (
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    meters,
    subscribe,
    usage_price,
)
from tests.factories import make_account, make_source

pytestmark = pytest.mark.database
NOW = instant("2026-03-20")
TIERS = (
    Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal("0.01")),
    Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.005")),
)


@pytest.fixture
def edge(portal_db: None) -> Source:
    meters("requests", "bytes")
    return make_source()


@pytest.fixture
def plan(edge: Source) -> Plan:
    prices = [
        usage_price("requests", Graduated(tiers=TIERS)),
        usage_price("bytes", PerUnit(unit_amount=Decimal("0.001"))),
    ]
    return make_plan("sold", [*prices, fee("base", "20")])


def companies(edge: Source, plan: Plan, numbers: range) -> list[Subscription]:
    """Accounts with usage of their own, subscribed to the plan."""
    made = []
    for number in numbers:
        account = make_account(f"company-{number}", currency="USD")
        make_profile(account, tax_name="VAT", tax_percent=Decimal(19))
        deliver(edge, account, [("requests", "2026-03-02", str(90 + number))])
        made.append(subscribe(account, plan, "2026-03-01"))
    return made


def statements(subscriptions: list[Subscription]) -> list[str]:
    """How each statement begins that brings the invoices of the subscriptions up to date."""
    with as_worker(), CaptureQueriesContext(connections["worker"]) as captured:
        rows = Subscription.objects.filter(pk__in=[one.pk for one in subscriptions]).select_related("account")
        tally = bill_subscriptions(list(rows), NOW)
    assert (tally.done, tally.failed) == (len(subscriptions), 0), tally.problem
    return [query["sql"][:60] for query in captured]


def test_many_accounts_take_as_many_statements_as_few(edge: Source, plan: Plan) -> None:
    few = companies(edge, plan, range(2))
    many = companies(edge, plan, range(2, 14))

    assert statements(few) == statements(many), "new drafts"
    assert statements(few) == statements(many), "the same drafts again"

    with as_worker():
        totals = {row.subscription_id: int(row.total_minor) for row in Invoice.objects.all()}
    # 20.00, up to 100 at 0.01 and what is above at 0.005; 19 % of it.
    for number, subscription in enumerate([*few, *many]):
        used = Decimal(90 + number)
        cents = min(used, Decimal(100)) + max(used - 100, Decimal(0)) / 2
        net = 2000 + int(cents.quantize(Decimal(1), "ROUND_HALF_UP"))
        tax = (Decimal(net) * 19 / 100).quantize(Decimal(1), "ROUND_HALF_UP")
        assert totals[subscription.pk] == net + int(tax)


def test_a_pass_in_several_parts_does_each_account_once(
    edge: Source, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = companies(edge, plan, range(7))
    monkeypatch.setattr(pass_operations, "SUBSCRIPTIONS_AT_ONCE", 2)

    with as_worker():
        run = run_pass("issue", NOW, until=time.monotonic() + 60)
        assert run is not None
        assert (run.done, run.failed, run.last_subscription_id) == (7, 0, subscriptions[-1].pk)
        assert run.finished_at is not None
        drafted = Invoice.objects.values_list("subscription_id", flat=True)
        assert sorted(drafted) == [one.pk for one in subscriptions]
        assert LineItem.objects.count() == 7 * 4


def test_one_that_fails_holds_up_no_other_part(
    edge: Source, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = companies(edge, plan, range(4))
    broken = make_plan("broken", [usage_price("bytes", PerUnit(unit_amount=Decimal(1)))])
    [failing] = companies(edge, broken, range(4, 5))
    sound += companies(edge, plan, range(5, 8))
    with as_owner():
        PlanVersion.objects.filter(plan=broken).update(
            terms={"minimum": {"amount": "-1", "is_prorated": False}}
        )
    monkeypatch.setattr(pass_operations, "SUBSCRIPTIONS_AT_ONCE", 4)

    with as_worker():
        run = run_pass("issue", NOW, until=time.monotonic() + 60)
        assert run is not None
        assert (run.done, run.failed) == (len(sound) + 1, 1)
        assert str(failing.pk) in run.problem
        drafted = Invoice.objects.values_list("subscription_id", flat=True)
        assert sorted(drafted) == [one.pk for one in sound]


def test_a_pass_that_is_out_of_time_is_gone_on_with(edge: Source, plan: Plan) -> None:
    companies(edge, plan, range(2))

    with as_worker():
        stopped = run_pass("issue", NOW, until=time.monotonic() - 1)
        assert stopped is not None
        assert (stopped.done, stopped.finished_at, Invoice.objects.count()) == (0, None, 0)
        again = run_pass("issue", NOW, until=time.monotonic() + 60)
        assert again is not None
        assert (again.pk, again.done, BillingRun.objects.count()) == (stopped.pk, 2, 1)


def test_parts_of_the_accounts_do_each_account_once_and_share_no_pass(edge: Source, plan: Plan) -> None:
    subscriptions = companies(edge, plan, range(5))
    parts = [PartOfAccounts(number, 2) for number in range(2)]

    with as_worker():
        stopped = run_pass("issue", NOW, until=time.monotonic() - 1, part=parts[0])
        runs = [run_pass("issue", NOW, until=time.monotonic() + 60, part=part) for part in parts]

        assert stopped is not None
        assert [(run.pk == stopped.pk, run.part, run.parts) for run in runs if run] == [
            (True, 0, 2),
            (False, 1, 2),
        ]
        assert sum(run.done for run in runs if run) == 5
        drafted = Invoice.objects.values_list("subscription_id", flat=True)
        assert sorted(drafted) == [one.pk for one in subscriptions]


def test_passes_of_another_division_are_over(edge: Source, plan: Plan) -> None:
    companies(edge, plan, range(3))

    with as_worker():
        stopped = run_pass("issue", NOW, until=time.monotonic() - 1, part=PartOfAccounts(1, 2))
        run = run_pass("issue", NOW, until=time.monotonic() + 60)

        assert stopped is not None
        assert run is not None
        assert (run.pk != stopped.pk, run.done, run.total) == (True, 3, 3)
        assert run.advanced_at is not None
        assert BillingRun.objects.filter(finished_at__isnull=True).count() == 0
