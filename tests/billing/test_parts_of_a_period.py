"""What is for a part of a period: discounts by time over segments, and tiers shared by time on one side only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from accounts.models import Account
from accounts.tenancy import as_worker
from insights.billing.subscription_operations import start_subscription
from insights.models import Plan, Source, Subscription
from insights.rating.charges import PerUnit
from insights.rating.plan_change import ChangePolicy
from insights.rating.sheet import IncludedCredit
from insights.rating.terms import Bound, Discount, FeeTiming
from tests.billing.scene import (
    amounts,
    assert_books_agree,
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    subscribe,
    usage_price,
)

pytestmark = pytest.mark.database
SHARED = "shared_by_time"


def with_included(key: str = "metered") -> Plan:
    """1 a request, 30 of them included."""
    return make_plan(key, [usage_price("requests", PerUnit(unit_amount=Decimal(1)), included=Decimal(30))])


def of_a_hundred(subscription: Subscription, edge: Source, account: Account, at: str) -> int:
    """What April comes to with a hundred requests in one hour of it."""
    deliver(edge, account, [("requests", at, "100")])
    complete(account, "2026-05-01")
    [april, *_] = bill(subscription, "2026-05-01T01")
    assert april.number
    assert_books_agree()
    return int(april.total_minor)


class TestSharedByTime:
    def test_a_subscription_that_begins_inside_a_period_has_its_part(
        self, edge: Source, account: Account
    ) -> None:
        with_included()
        with as_worker():
            subscription = start_subscription(
                account_id=account.pk, plan_key="metered", name="Main", anchor_day=date(2026, 4, 1),
                starts_at=instant("2026-04-16"), counts={}, policy=ChangePolicy.SHARED_BY_TIME, by=None,
            )  # fmt: skip

        # 15 of 30 days: 15 included, 85 billed.
        assert of_a_hundred(subscription, edge, account, "2026-04-20") == 8500

    def test_a_meter_that_only_the_new_plan_has_a_price_for(self, edge: Source, account: Account) -> None:
        subscription = subscribe(account, make_plan("plain", [fee("base", "0")]), "2026-04-01")
        change_plan(subscription, with_included(), "2026-04-16", policy=SHARED)

        assert of_a_hundred(subscription, edge, account, "2026-04-20") == 8500

    def test_a_meter_that_only_the_old_plan_has_a_price_for(self, edge: Source, account: Account) -> None:
        subscription = subscribe(account, with_included(), "2026-04-01")
        change_plan(subscription, make_plan("plain", [fee("base", "0")]), "2026-04-16", policy=SHARED)

        assert of_a_hundred(subscription, edge, account, "2026-04-10") == 8500

    def test_an_hour_elsewhere_and_back(self, edge: Source, account: Account) -> None:
        """Behind a plan without a price for the meter tiers begin anew, each time with their part."""
        subscription = subscribe(account, with_included(), "2026-04-01")
        change_plan(subscription, make_plan("plain", [fee("base", "0")]), "2026-04-16", policy=SHARED)
        with as_worker():
            metered = Plan.objects.get(key="metered")
        change_plan(subscription, metered, "2026-04-16T01", policy=SHARED)

        # 15 days less an hour are 359 of 720 hours, of 30: 14.958333 included, 85.041667 billed.
        assert of_a_hundred(subscription, edge, account, "2026-04-20") == 8504

    def test_a_restart_leaves_all_of_them(self, edge: Source, account: Account) -> None:
        subscription = subscribe(account, with_included(), "2026-04-01")
        change_plan(subscription, make_plan("plain", [fee("base", "0")]), "2026-04-16")

        assert of_a_hundred(subscription, edge, account, "2026-04-10") == 7000


class TestDiscountByAnAmount:
    def test_a_change_of_counts_does_not_halve_one_by_time(self, account: Account) -> None:
        thirty_off = Discount(amount=Decimal(30), is_prorated=True)
        plan = make_plan("plan", [fee("base", "100")], discounts=(thirty_off,))
        subscription = subscribe(account, plan, "2026-04-01", counts={"seats": "1"})
        change_plan(subscription, plan, "2026-04-16", counts={"seats": "2"})

        [april, *_] = bill(subscription, "2026-05-01T01")

        assert amounts(april) == {"Base": 10_000, "Discount": -3_000}

    def test_one_by_time_is_for_both_stays_on_the_plan(self, account: Account) -> None:
        thirty_off = Discount(amount=Decimal(30), is_prorated=True)
        plan = make_plan("plan", [fee("base", "100")], discounts=(thirty_off,))
        subscription = subscribe(account, plan, "2026-04-01")
        change_plan(subscription, make_plan("other", [fee("base", "100")]), "2026-04-11")
        change_plan(subscription, plan, "2026-04-21")

        [april, *_] = bill(subscription, "2026-05-01T01")

        # 20 of 30 days.
        assert amounts(april) == {"Base": 9_999, "Discount": -2_000}

    @pytest.mark.parametrize("is_prorated", [True, False])
    def test_a_month_has_it_once_though_it_has_two_bills(
        self, account: Account, *, is_prorated: bool
    ) -> None:
        ten_off = Discount(amount=Decimal(10), is_prorated=is_prorated)
        prices = [fee("base", "30", timing=FeeTiming.IN_ADVANCE), fee("help", "30")]
        subscription = subscribe(account, make_plan("plan", prices, discounts=(ten_off,)), "2026-04-01")

        opening, april, *_ = bill(subscription, "2026-05-01T01")

        assert amounts(opening) == {"Base": 3_000}
        assert amounts(april) == {"Help": 3_000, "Base": 3_000, "Discount": -1_000}

    def test_a_percent_is_of_what_opens_a_subscription_too(self, account: Account) -> None:
        prices = [fee("base", "30", timing=FeeTiming.IN_ADVANCE)]
        plan = make_plan("plan", prices, discounts=(Discount(percent=Decimal(10)),))

        [opening, *_] = bill(subscribe(account, plan, "2026-04-01"), "2026-04-01T01")

        assert amounts(opening) == {"Base": 3_000, "Discount": -300}


class TestTimeOfOnePlan:
    """A change of counts cuts a period in parts; what the plan says for a whole period is not rounded for each."""

    @pytest.fixture
    def in_thirds(self, account: Account) -> Callable[..., dict[str, int]]:
        def bill_april(plan: Plan) -> dict[str, int]:
            subscription = subscribe(account, plan, "2026-04-01", counts={"seats": "1"})
            for count, day in enumerate(("2026-04-11", "2026-04-21"), 2):
                change_plan(subscription, plan, day, counts={"seats": str(count)})
            [april, *_] = bill(subscription, "2026-05-01T01")
            return amounts(april)

        return bill_april

    def test_a_maximum_by_time(self, in_thirds: Callable[..., dict[str, int]]) -> None:
        most = Bound(amount=Decimal(20), is_prorated=True)

        found = in_thirds(make_plan("plan", [fee("base", "100")], maximum=most))

        assert sum(found.values()) == 2_000

    def test_a_minimum_by_time(self, in_thirds: Callable[..., dict[str, int]]) -> None:
        least = Bound(amount=Decimal(20), is_prorated=True)

        found = in_thirds(make_plan("plan", [fee("base", "1")], minimum=least))

        assert sum(found.values()) == 2_000

    @pytest.mark.parametrize(
        ("bounds", "due_minor"),
        [
            # Ten days of 30.00 and twenty of none: 10.00.
            ([("30", True), None], 1_000),
            # Ten days of 30.00, ten of none, ten of 60.00: 10.00 and 20.00.
            ([("30", True), None, ("60", True)], 3_000),
            # Ten days of 30.00, ten of 60.00, ten of none: the same.
            ([("30", True), ("60", True), None], 3_000),
            # A minimum that is not by time goes with its plan,
            ([("30", False), None], 300),
            # and is the only one where it is the last plan's.
            ([("30", True), ("60", False)], 6_000),
        ],
    )
    def test_a_minimum_by_time_stays_for_the_time_its_plan_was_held(
        self, account: Account, bounds: list[tuple[str, bool] | None], due_minor: int
    ) -> None:
        """Each plan has a fee of 3.00 for all of April, so that there is a bill in any case."""
        plans = [
            make_plan(
                f"plan-{number}",
                [fee("base", "3")],
                minimum=None if bound is None else Bound(amount=Decimal(bound[0]), is_prorated=bound[1]),
            )
            for number, bound in enumerate(bounds)
        ]
        subscription = subscribe(account, plans[0], "2026-04-01")
        for plan, day in zip(plans[1:], ("2026-04-11", "2026-04-21"), strict=False):
            change_plan(subscription, plan, day)

        [april, *_] = bill(subscription, "2026-05-01T01")

        assert int(april.total_minor) == due_minor

    def test_a_credit_that_comes_with_it(self, in_thirds: Callable[..., dict[str, int]]) -> None:
        included = IncludedCredit(name="Comes with it", amount=Decimal(20))

        found = in_thirds(make_plan("plan", [fee("base", "100")], included_credit=included))

        assert found == {"Base": 10_000, "Comes with it": -2_000}

    def test_two_plans_have_their_parts(self, account: Account) -> None:
        included = IncludedCredit(name="Comes with it", amount=Decimal(20))
        plan = make_plan("plan", [fee("base", "100")], included_credit=included)
        subscription = subscribe(account, plan, "2026-04-01")
        change_plan(subscription, make_plan("other", [fee("base", "100")]), "2026-04-11")
        change_plan(subscription, plan, "2026-04-21")

        [april, *_] = bill(subscription, "2026-05-01T01")

        assert amounts(april)["Comes with it"] == -1_333
