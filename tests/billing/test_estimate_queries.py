"""Estimates of real bills: the own plan gives what was issued, another plan is worked out by hand, rules are kept."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounts.tenancy import account_scope, as_owner, as_worker
from insights.billing.estimate import Estimate
from insights.billing.estimate_queries import make_estimate
from insights.billing.estimate_question import EstimateQuestion, EstimateRefused, TypedQuantity
from insights.billing.estimate_words import ONCE, estimate_sentence, left_out_sentences, period_notes
from insights.models import Invoice, LineItem, Plan, PlanVersion
from insights.rating.charges import PerUnit
from insights.rating.invoice import LineKind
from insights.rating.sheet import SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms
from tests.billing.estimates import NOW, Asking, make_asking, make_plans
from tests.billing.scene import (
    bill,
    change_plan,
    complete,
    deliver,
    fee,
    instant,
    make_plan,
    make_profile,
    publish,
    usage_price,
)
from tests.conftest import Cast
from tests.factories import make_source

pytestmark = pytest.mark.database


def ask(cast: Cast, plan: str, periods: int | None = 3, *, any_plan: bool = False, **more: Any) -> Estimate:
    question = EstimateQuestion(plan_key=plan, periods=periods, **more)
    with account_scope(cast.ours.pk, read_only=True):
        return make_estimate(cast.ours, question, now=instant(NOW), may_take_any=any_plan)


@pytest.fixture
def asking(cast: Cast) -> Asking:
    return make_asking(cast.ours, cast.other)


def test_its_own_plan_gives_the_issued_bills_to_the_cent(cast: Cast, asking: Asking) -> None:
    found = ask(cast, "basic", 12)

    assert [period.estimate.total.minor for period in found.periods] == [
        int(invoice.total_minor) for invoice in reversed(asking.invoices)
    ]
    assert found.difference is not None
    assert found.difference.minor == 0
    with as_worker():
        stored = LineItem.objects.filter(invoice=asking.invoices[-1]).order_by("position")
        assert [(line.key, line.amount.minor) for line in found.periods[0].estimate.lines] == [
            (row.key, int(row.amount_minor)) for row in stored
        ]


def test_its_own_plan_with_credits_says_what_is_left_out(cast: Cast) -> None:
    asking = make_asking(cast.ours, cast.other, credit_minor=500)

    found = ask(cast, "basic", 3)

    oldest = found.periods[-1]
    assert oldest.head is not None
    assert oldest.left_out is not None
    # 10 + 100 x 0.10 + 40 x 0.25 = 30, with 19 % tax 35.70; the credit of 5 comes off before tax.
    assert oldest.estimate.total.minor == 3570
    assert oldest.left_out.minor == -595
    assert int(asking.invoices[0].total_minor) == 2975
    assert "The bill itself came to 29.75 USD" in period_notes(oldest)[0]
    assert estimate_sentence(found).endswith("which is what was billed before credits and corrections.")
    with as_worker():
        charges = LineItem.objects.filter(invoice=asking.invoices[0], kind=LineKind.CHARGE).order_by(
            "position"
        )
        assert [line.amount.minor for line in oldest.estimate.lines if line.kind is LineKind.CHARGE] == [
            int(row.amount_minor) for row in charges
        ]


def test_late_usage_changes_no_estimate_of_what_was_billed(cast: Cast, asking: Asking) -> None:
    before = ask(cast, "growth")

    deliver(make_source("late"), cast.ours, [("requests", "2026-03-06", "1000")])

    assert ask(cast, "growth") == before
    assert ask(cast, "basic").difference == ask(cast, "basic").estimated - ask(cast, "basic").estimated


def test_another_plan_is_rated_with_every_step(cast: Cast, asking: Asking) -> None:
    found = ask(cast, "growth")

    january = found.periods[-1]
    # 25 fee, 20 requests above 100 at 0.05 = 1, bytes by region 20 x 0.10 + 10 x 0.20 + 10 x 0.30 = 7: 33 less 10 %
    # is 29.70, lifted to the minimum of 30, with 19 % tax 35.70.
    amounts = {
        (line.name, line.values.get("region", "")): line.amount.minor for line in january.estimate.lines
    }
    assert amounts == {
        ("Base", ""): 2500, ("Requests", ""): 100, ("Bytes", "eu"): 200, ("Bytes", "us"): 200, ("Bytes", ""): 300,
        ("Discount", ""): -330, ("Up to the minimum", ""): 30, ("VAT 19 %", ""): 570,
    }  # fmt: skip
    assert january.estimate.total.minor == 3570
    assert [
        step.kind for line in january.estimate.lines if line.name == "Requests" for step in line.steps
    ] == [
        "tier",
        "tier",
    ]


def test_the_sentence_says_which_is_cheaper_and_by_how_much(cast: Cast, asking: Asking) -> None:
    found = ask(cast, "growth")

    assert found.billed is not None
    assert found.billed.minor == sum(int(invoice.total_minor) for invoice in asking.invoices)
    assert found.difference is not None
    assert estimate_sentence(found) == (
        "On Growth the last 3 closed periods come to 107.10 USD, 34.51 USD more than the 72.59 USD billed: "
        "what you had is cheaper."
    )
    assert any("credits that were granted" in words for words in left_out_sentences(found))


def test_a_period_with_a_change_of_plan_is_put_on_one(cast: Cast, asking: Asking) -> None:
    """The quantities of both halves are together in one set of tiers, and nothing is lost."""
    deliver(
        make_source("april"), cast.ours, [("requests", "2026-04-02", "80"), ("requests", "2026-04-20", "70")]
    )
    change_plan(asking.subscription, _plan("seats"), "2026-04-10", counts={"seats": "2"})
    change_plan(asking.subscription, _plan("growth"), "2026-04-15")
    complete(cast.ours, "2026-05-02")
    bill(asking.subscription, "2026-05-02")

    april = ask(cast, "basic", 1).periods[0]

    # 150 requests, 20 of them included, at 0.10 and the whole fee.
    assert {line.name: line.amount.minor for line in april.estimate.lines} == {
        "Base": 1000, "Requests": 1300, "Bytes": 0, "VAT 19 %": 437,
    }  # fmt: skip


def _plan(key: str) -> Plan:
    with as_worker():
        return Plan.objects.get(key=key)


def test_prices_are_those_then_unless_those_now_are_asked(cast: Cast, asking: Asking) -> None:
    dearer = [usage_price("requests", PerUnit(unit_amount=Decimal(1)))]
    publish(_plan("basic"), dearer, number=2, effective_from=instant("2026-03-15"))

    then, now = ask(cast, "basic"), ask(cast, "basic", prices="now")

    assert then.difference is not None
    assert then.difference.minor == 0
    assert [period.sheet.version for period in now.periods] == [2, 2, 2]
    assert now.periods[-1].estimate.total.minor == 120 * 119
    assert [one.meter_key for one in now.periods[-1].estimate.unpriced] == ["bytes"]
    assert "40 unit of bytes have no price" in " ".join(period_notes(now.periods[-1]))


def test_first_prices_are_taken_for_periods_before_them(cast: Cast, asking: Asking) -> None:
    with as_worker():
        version = PlanVersion.objects.get(plan__key="ours")
    with as_owner():
        PlanVersion.objects.filter(pk=version.pk).update(effective_from=instant("2026-02-01"))

    assert [period.has_first_prices for period in ask(cast, "ours").periods] == [False, False, True]


def test_counts_are_as_asked_or_one(cast: Cast, asking: Asking) -> None:
    assert ask(cast, "seats", 1).periods[0].estimate.lines[0].amount.minor == 700
    asked = ask(cast, "seats", 1, counts={"seats": Decimal("2.5")})
    assert asked.periods[0].estimate.lines[0].amount.minor == 1750
    with pytest.raises(EstimateRefused) as refused:
        ask(cast, "seats", 1, counts={"doors": Decimal(1)})
    assert (refused.value.code, refused.value.field) == ("unknown_fee", "counts.doors")


def bill_april_on(cast: Cast, asking: Asking, *fees: SheetPrice, **change: Any) -> None:
    """April with ten requests at 0.10, on a plan named team with these fees beside."""
    team = make_plan("team", [*fees, usage_price("requests", PerUnit(unit_amount=Decimal("0.10")))])
    change_plan(asking.subscription, team, "2026-04-01", **change)
    deliver(make_source("april"), cast.ours, [("requests", "2026-04-02", "10")])
    complete(cast.ours, "2026-05-02")
    bill(asking.subscription, "2026-05-02")


def test_counts_that_are_asked_for_hold_on_the_own_plan_too(cast: Cast, asking: Asking) -> None:
    seats = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(7)))
    counted = SheetPrice(key="seats", name="Seats", terms=seats, is_counted=True)
    bill_april_on(cast, asking, counted, counts={"seats": "2"})

    as_it_was, asked = ask(cast, "team", 1), ask(cast, "team", 1, counts={"seats": Decimal(5)})

    # 1 for the requests and 7 for each seat, with 19 % tax.
    assert [found.estimated.minor for found in (as_it_was, asked)] == [1785, 4284]
    assert asked.billed == as_it_was.estimated
    assert "5 \u00d7 Seats" in " ".join(period_notes(asked.periods[0]))
    with pytest.raises(EstimateRefused) as refused:
        ask(cast, "team", 1, counts={"doors": Decimal(1)})
    assert refused.value.code == "unknown_fee"


def test_fees_that_are_due_once_are_said_to_be_left_out_of_the_own_plan_at_new_prices(
    cast: Cast, asking: Asking
) -> None:
    bill_april_on(cast, asking, fee("setup", "50", timing=FeeTiming.ONCE))

    then, now = ask(cast, "team", 1), ask(cast, "team", 1, prices="now")

    assert [found.estimated.minor for found in (then, now)] == [6069, 119]
    assert [ONCE in left_out_sentences(found) for found in (then, now)] == [False, True]


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        ("theirs", "unknown_plan"),
        ("retired", "unknown_plan"),
        ("absent", "unknown_plan"),
        ("euro", "different_currencies"),
        ("yearly", "different_interval"),
    ],
)
def test_plans_that_an_account_may_not_have_are_refused(
    cast: Cast, asking: Asking, plan: str, code: str
) -> None:
    with pytest.raises(EstimateRefused) as refused:
        ask(cast, plan)

    assert (refused.value.code, refused.value.field) == (code, "plan")


def test_staff_may_take_any_plan(cast: Cast, asking: Asking) -> None:
    assert ask(cast, "theirs", any_plan=True).estimated.minor == 3 * 238
    assert ask(cast, "retired", any_plan=True).estimated.minor == 3 * 595


def test_typed_quantities_come_to_a_whole_period(cast: Cast, asking: Asking) -> None:
    typed = (
        TypedQuantity(place="a", meter_key="requests", quantity=Decimal(120)),
        TypedQuantity(place="b", meter_key="bytes", quantity=Decimal(20), values={"region": "eu"}),
        TypedQuantity(place="c", meter_key="bytes", quantity=Decimal(10), values={"region": "us"}),
        TypedQuantity(place="d", meter_key="bytes", quantity=Decimal(10)),
    )

    found = ask(cast, "growth", None, quantities=typed)

    assert found.estimated.minor == 3570
    assert found.billed is None
    assert estimate_sentence(found) == "On Growth these quantities come to 35.70 USD in a whole period."


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ([("doors", {})], "unknown_meter"),
        ([("bytes", {"colour": "red"})], "unknown_values"),
        ([("requests", {"region": "eu"})], "unknown_values"),
        ([("requests", {}), ("requests", {})], "duplicate_quantity"),
    ],
)
def test_typed_quantities_without_a_price_are_refused(
    cast: Cast, asking: Asking, typed: list[tuple[str, dict[str, str]]], code: str
) -> None:
    quantities = tuple(
        TypedQuantity(place="here", meter_key=meter, quantity=Decimal(1), values=values)
        for meter, values in typed
    )

    with pytest.raises(EstimateRefused) as refused:
        ask(cast, "growth", None, quantities=quantities)

    assert (refused.value.code, refused.value.field) == (code, "here")


def test_the_largest_quantity_is_rated_exactly(cast: Cast, asking: Asking) -> None:
    largest = Decimal("9999999999999999999.999999999")

    found = ask(
        cast, "basic", None, quantities=(TypedQuantity(place="a", meter_key="requests", quantity=largest),)
    )

    # (10^19 - 10^-9 - 20) x 0.10 rounded, the fee, and 19 % of both.
    charged = 10**20 - 200
    assert found.estimated.minor == charged + 1000 + (charged + 1000) * 19 // 100


def test_without_a_closed_period_there_is_nothing_to_rate(cast: Cast) -> None:
    make_profile(cast.ours)
    make_plans(cast.ours, cast.other)

    with pytest.raises(EstimateRefused) as refused:
        ask(cast, "basic")

    assert (refused.value.code, refused.value.field) == ("no_closed_period", "periods")
    assert refused.value.message.startswith("This account has no subscription")


def test_nothing_is_stored(cast: Cast, asking: Asking) -> None:
    with as_worker():
        before = (Invoice.objects.count(), LineItem.objects.count())
    ask(cast, "growth", 12)
    with as_worker():
        assert (Invoice.objects.count(), LineItem.objects.count()) == before
