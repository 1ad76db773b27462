"""A day with usage that costs nothing or takes back has its reason in words, and so has a bill so far that falls."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.billing.bill import BillLine
from insights.billing.day_words import day_rounding_words, quiet_days_words, running_words
from insights.rating.charges import Package, Packages, PerUnit, Stairstep, Tier, Volume
from insights.rating.invoice import LineKind
from insights.rating.parts import cost_in_order
from insights.rating.rate import Usage, rate_line
from insights.rating.terms import Bound, Discount, PriceTerms
from insights.values.money import Money

VOLUME = Volume(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100), unit_amount=Decimal(1)),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal("0.5")),
    )
)
STAIRS = Stairstep(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(100), flat_amount=Decimal(5)),
        Tier(above=Decimal(100), up_to=None, flat_amount=Decimal(9)),
    )
)
PACKS = Package(amount=Decimal(5), size=Decimal(100), counting=Packages.WHOLE)
DIME = PerUnit(unit_amount=Decimal("0.10"))


def terms(charge: Any, **more: Any) -> PriceTerms:
    return PriceTerms(currency="USD", charge=charge, unit="unit", **more)


def days_of(priced: PriceTerms, *quantities: int) -> list[tuple[Decimal, Money]]:
    numbers = [Decimal(number) for number in quantities]
    return list(zip(numbers, cost_in_order(priced, [Usage(number) for number in numbers]), strict=True))


@pytest.mark.parametrize(
    ("priced", "quantities", "words"),
    [
        (terms(VOLUME), (90, 20), "a day that reaches a cheaper one lowers the days before it too"),
        (terms(VOLUME), (100, 100), "a day that reaches a cheaper one lowers the days before it too"),
        (terms(STAIRS), (50, 20), "one amount is due for the tier reached"),
        (terms(PACKS), (50, 20), "the package that it is in was charged whole"),
        (terms(DIME, included=Decimal(100)), (50, 20), "100 unit are included and last so far"),
        (terms(DIME, minimum=Bound(amount=Decimal(20))), (50, 20), "the minimum of 20.00 USD is due from the first"),
        (terms(DIME, maximum=Bound(amount=Decimal(2))), (50, 20), "the line is at its maximum of 2.00 USD"),
        (terms(DIME, discounts=(Discount(amount=Decimal(9)),)), (50, 20), "a discount takes the first amounts"),
        (terms(PerUnit(unit_amount=Decimal("0.001"))), (3,), "less than half of 0.01 USD"),
        (terms(DIME, exempt_reason="A trial."), (3,), "it is free: A trial."),
    ],
)  # fmt: skip
def test_each_reason_is_named_where_a_day_costs_nothing(
    priced: PriceTerms, quantities: tuple[int, ...], words: str
) -> None:
    assert words in quiet_days_words(priced, days_of(priced, *quantities))


@given(
    st.sampled_from(
        [terms(VOLUME), terms(STAIRS), terms(PACKS), terms(DIME), terms(DIME, included=Decimal(40))]
    ),
    st.lists(st.integers(0, 300), min_size=1, max_size=6),
)
def test_days_with_usage_are_explained_just_where_one_is_not_above_zero(
    priced: PriceTerms, quantities: list[int]
) -> None:
    days = days_of(priced, *quantities)

    words = quiet_days_words(priced, days)

    assert bool(words) == any(quantity and amount.minor <= 0 for quantity, amount in days)


def test_a_day_that_takes_back_is_said_to() -> None:
    priced = terms(VOLUME)

    words = quiet_days_words(priced, days_of(priced, 90, 20))

    assert words.startswith("Why a day with usage takes back: everything is charged at the price of the tier")
    assert "less than half" not in words


@pytest.mark.parametrize(("charge", "has_tiers"), [(VOLUME, True), (DIME, False)])
def test_a_day_of_a_correction_that_takes_back_has_a_reason(charge: Any, has_tiers: bool) -> None:
    """A day without usage of its own that came late still changes, by the tier that it is in now or by rounding."""
    days = [(Decimal(20), Money(3, "USD")), (Decimal(20), Money(-1, "USD"))]

    words = quiet_days_words(terms(charge), days, is_correction=True)

    assert ("moved it into a cheaper tier" in words) is has_tiers
    assert words.endswith("were rounded to different sides.")


def test_rounding_is_named_in_the_currency() -> None:
    assert "1 JPY more or less" in day_rounding_words("JPY")
    assert "0.01 EUR more or less" in day_rounding_words("EUR")


def line(kind: LineKind, priced: PriceTerms | None = None, used: str = "0") -> BillLine:
    day = datetime(2026, 5, 1, tzinfo=UTC)
    return BillLine(
        position=1, key="calls", kind=kind, name="Calls", price_key="calls", plan_key="plan", plan_version=1,
        meter_key="calls" if priced else "", meter_name="Calls", values={}, service_start=day, service_end=day,
        metered_quantity=None, billed_quantity=None, unit="unit", terms=priced, terms_document=None,
        steps=rate_line(priced, Usage(Decimal(used))).steps if priced else (), step_documents=(),
        amount=Money(0, "EUR"),
    )  # fmt: skip


def euros(*minor: int) -> list[Money]:
    return [Money(each, "EUR") for each in minor]


def test_a_bill_that_only_rises_needs_no_words() -> None:
    assert running_words(euros(1, 2), [line(LineKind.CREDIT)]) == ""


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (line(LineKind.CREDIT), "It falls where a credit pays what is added until it is used up."),
        (
            line(LineKind.MINIMUM),
            "It falls where the minimum of the bill is due until the lines come to more.",
        ),
        (
            line(LineKind.CHARGE, terms(VOLUME), "120"),
            "It falls where all of Calls gets the price of a cheaper tier.",
        ),
        (
            line(LineKind.CHARGE, terms(VOLUME), "20"),
            "It falls where a later day takes back usage, or adds none that is charged.",
        ),
        (
            line(LineKind.CHARGE, terms(DIME, maximum=Bound(amount=Decimal(2))), "20"),
            "It falls where Calls is at a maximum.",
        ),
    ],
)
def test_a_bill_that_falls_says_what_lowers_it(of: BillLine, words: str) -> None:
    assert running_words(euros(2, 1), [of]) == words


def test_a_minimum_that_a_credit_does_not_pay_for_is_said_though_it_adds_nothing_any_more() -> None:
    words = running_words(euros(3, 2, 2), [line(LineKind.CREDIT)], "6,000.00 EUR")

    assert words == (
        "It falls or stays level where a credit pays for usage, which takes the place of what the minimum of "
        "6,000.00 EUR had added and a credit does not pay for."
    )


def test_a_bill_that_stays_says_so() -> None:
    assert running_words(euros(0, 0), [line(LineKind.CREDIT)]).startswith(
        "It stays level where a credit pays"
    )
