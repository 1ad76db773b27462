"""A line's money by day and by dimension value always adds to the line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.rating.charges import Flat, PerUnit
from insights.rating.parts import cost_by_value, cost_in_order
from insights.rating.rate import Segment, UnableToRate, Usage, rate_line
from insights.rating.terms import Bound, PriceTerms
from insights.values.money import UnableToAllot
from insights.values.share import Share
from tests.rating import strategies


def days(*quantities: str) -> list[Usage]:
    return [Usage(Decimal(quantity)) for quantity in quantities]


def cents(terms: PriceTerms, *quantities: str) -> list[int]:
    return [amount.minor for amount in cost_in_order(terms, days(*quantities))]


@settings(deadline=None)
@given(strategies.prices(), st.lists(strategies.usages, min_size=1, max_size=8))
def test_days_add_to_the_line(terms: PriceTerms, usages: list[Usage]) -> None:
    total = usages[0]
    for usage in usages[1:]:
        total = total + usage

    amounts = cost_in_order(terms, usages)

    assert sum(amount.minor for amount in amounts) == rate_line(terms, total).amount.minor
    assert len(amounts) == len(usages)


@settings(deadline=None)
@given(strategies.prices(), st.lists(strategies.usages, min_size=1, max_size=6), strategies.segments)
def test_a_day_is_the_piece_that_rating_adds_for_it(
    terms: PriceTerms, usages: list[Usage], segment: Segment
) -> None:
    before: Usage | None = None
    for usage, amount in zip(usages, cost_in_order(terms, usages, segment=segment), strict=True):
        assert rate_line(terms, usage, already_rated=before, segment=segment).amount == amount
        before = usage if before is None else before + usage


corrections = st.builds(Usage, strategies.decimals(-300, 300, 3), st.integers(-40, 40).map(Decimal))


@settings(deadline=None)
@given(strategies.prices(), st.lists(corrections, min_size=1, max_size=8), strategies.segments)
def test_days_that_take_back_add_to_the_line_too(
    terms: PriceTerms, usages: list[Usage], segment: Segment
) -> None:
    total = usages[0]
    for usage in usages[1:]:
        total = total + usage
    if total.quantity < 0 or total.count < 0:
        # The last day brings so much that the line has a price.
        lift = total.or_nothing() - total
        usages, total = [*usages, lift], total + lift

    amounts = cost_in_order(terms, usages, segment=segment)

    assert sum(each.minor for each in amounts) == rate_line(terms, total, segment=segment).amount.minor
    assert len(amounts) == len(usages)


def test_a_correction_that_comes_first_costs_nothing_and_is_made_up_for_first() -> None:
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)))

    assert cents(terms, "-5", "3", "4", "-1", "2") == [0, 0, 200, -100, 200]
    assert cents(terms, "3", "-5", "1", "4") == [300, -300, 0, 300]


def test_days_that_add_to_less_than_nothing_have_no_price() -> None:
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)))

    with pytest.raises(UnableToRate):
        cost_in_order(terms, days("3", "-5"))


def test_included_usage_is_used_up_by_the_first_days() -> None:
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), included=Decimal(5))

    assert cents(terms, "3", "3", "3") == [0, 100, 300]


def test_a_fee_and_a_minimum_fall_on_the_first_day() -> None:
    fee = PriceTerms(currency="USD", charge=Flat(amount=Decimal(20)))
    least = PriceTerms(
        currency="USD", charge=PerUnit(unit_amount=Decimal(1)), minimum=Bound(amount=Decimal(5))
    )

    assert cents(fee, "1", "0", "0") == [2000, 0, 0]
    assert cents(least, "3", "3", "3") == [500, 100, 300]


def test_days_with_less_than_a_cent_are_not_all_rounded_up() -> None:
    terms = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal("0.005")))

    assert cents(terms, *["1"] * 6) == [1, 0, 1, 0, 1, 0]


def test_a_segment_is_split_at_its_own_share() -> None:
    seats = PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), is_prorated=True)
    half = Segment(share=Share(1, 2))

    amounts = cost_in_order(seats, days("1", "1"), segment=half)

    assert [amount.minor for amount in amounts] == [50, 50]


def test_no_days_have_no_lines() -> None:
    assert cost_in_order(PriceTerms(currency="USD", charge=Flat(amount=Decimal(1))), []) == ()


@settings(deadline=None)
@given(
    st.integers(-(10**12), 10**12),
    st.dictionaries(st.text(max_size=5), strategies.decimals(0, 10**6, 3), min_size=1, max_size=20),
)
def test_dimension_values_add_to_the_line(minor: int, quantities: dict[str, Decimal]) -> None:
    if not sum(quantities.values()):
        quantities = {**quantities, "more": Decimal(1)}

    shares = cost_by_value(minor, quantities)

    assert sum(shares.values()) == minor
    assert all(not shares[value] for value, quantity in quantities.items() if not quantity)


def test_a_fee_without_usage_belongs_to_no_value() -> None:
    assert cost_by_value(0, {"eu": Decimal(0)}) == {"eu": 0}
    with pytest.raises(UnableToAllot):
        cost_by_value(500, {"eu": Decimal(0), "us": Decimal(0)})
