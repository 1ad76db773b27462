"""Any two bills: the causes of their difference add to it to the cent, nothing is left over, and no order matters."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from functools import cache
from random import Random

import pytest

from insights.billing.bill_facts import bill_facts
from insights.scenarios.difference import BillDifference, compare_bills
from insights.scenarios.effects import Effect
from insights.scenarios.facts import BillFacts
from insights.scenarios.matching import match_bills
from insights.scenarios.rerate import as_billed, charged_of, rate_again
from tests.scenarios.pairs import Pair, make_pair

PAIRS = int(os.environ.get("EXAMPLES", "500"))
FIRST = int(os.environ.get("SEED", "0"))
IN_PARTS = 10
# What follows from the lines alone, without rating anything again: these turn their sign when the bills change places.
BY_DIFFERENCE = {
    Effect.DISCOUNTS, Effect.MINIMUM, Effect.MAXIMUM, Effect.CORRECTIONS, Effect.CREDITS, Effect.TAX, Effect.CARRIED,
    Effect.ROUNDING,
}  # fmt: skip
Parts = dict[tuple[tuple[str, ...], Effect], tuple[Fraction, int]]


@cache
def pair_of(number: int) -> Pair:
    return make_pair(number)


def facts_of(number: int) -> tuple[BillFacts, BillFacts]:
    pair = pair_of(number)
    return bill_facts(pair.before), bill_facts(pair.after)


@cache
def difference_of(number: int) -> BillDifference:
    return compare_bills(*facts_of(number))


def numbers(part: int) -> range:
    return range(FIRST + part, FIRST + PAIRS, IN_PARTS)


def parts_of(difference: BillDifference) -> Parts:
    return {(part.match.place, part.effect): (part.exact, part.amount.minor) for part in difference.parts}


def shuffled(bill: BillFacts, random: Random) -> BillFacts:
    return replace(
        bill,
        lines=tuple(random.sample(bill.lines, len(bill.lines))),
        offers=tuple(random.sample(bill.offers, len(bill.offers))),
    )


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_every_cent_of_a_difference_has_a_cause(part: int) -> None:
    for number in numbers(part):
        difference = difference_of(number)
        change = pair_of(number).totals[1] - pair_of(number).totals[0]

        assert difference.change.minor == change, number
        assert sum(part.amount.minor for part in difference.parts) == change, number
        assert sum(part.exact for part in difference.parts) == change, number
        assert sum(bar.amount.minor for bar in difference.bars) == change, number
        assert sum(money.minor for _, money, _ in difference.by_match) == change, number


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_nothing_is_left_over_for_rounding(part: int) -> None:
    """Rounding is what rounding each line took and no more; no part is a minor unit away from what it is exactly."""
    for number in numbers(part):
        for one in difference_of(number).parts:
            assert abs(one.amount.minor - one.exact) < 1, number
            if one.effect is Effect.ROUNDING:
                due = (*one.match.before.due, *one.match.after.due)
                # What is given back is the difference of two rounded amounts.
                roundings = sum(2 if line.is_given_back else 1 for line in due)
                assert abs(one.exact) <= Fraction(roundings, 2), number


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_no_order_matters(part: int) -> None:
    for number in numbers(part):
        random = Random(number)
        before, after = facts_of(number)

        again = compare_bills(shuffled(before, random), shuffled(after, random))

        assert again.parts == difference_of(number).parts, number


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_the_other_way_round_it_is_the_opposite(part: int) -> None:
    for number in numbers(part):
        before, after = facts_of(number)
        there, back = difference_of(number), compare_bills(after, before)

        assert back.change == -there.change, number
        # A change of plan takes the rounding of its lines with it, and is valued at the bill that comes first.
        is_changed = len(before.plans | after.plans) > 1
        told = BY_DIFFERENCE - {Effect.ROUNDING} if is_changed else BY_DIFFERENCE
        of_there, of_back = (
            {key: exact for key, (exact, _) in parts_of(one).items() if key[1] in told}
            for one in (there, back)
        )
        assert of_back == {key: -exact for key, exact in of_there.items()}, number


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_unchanged_inputs_give_the_stored_lines(part: int) -> None:
    for number in numbers(part):
        for bill in facts_of(number):
            assert compare_bills(bill, bill).parts == (), number
            for match in match_bills(bill, bill):
                lines = [charged for line in match.after.charges if (charged := charged_of(line))]
                if match.is_priced and lines:
                    again = rate_again(lines, [line.usage for line in lines], terms=None)
                    assert again == as_billed(lines), (number, match.place)


@pytest.mark.parametrize("part", range(IN_PARTS))
def test_a_cause_is_only_named_where_it_is_there(part: int) -> None:
    for number in numbers(part):
        before, after = facts_of(number)
        for one in difference_of(number).parts:
            plans = {line.plan_key for side in (one.match.before, one.match.after) for line in side.due}
            if one.effect is Effect.PLAN_CHANGE:
                assert len(before.plans | after.plans) > 1, number
            if one.effect is Effect.ADD_ON:
                assert plans == {"extra"}, number
            if one.effect in (Effect.USAGE, Effect.TIER_MIX, Effect.INCLUDED, Effect.PRICE):
                assert one.match.is_priced, number
            if one.effect is Effect.PRORATION:
                assert len(plans) <= 1, number


def test_the_pairs_have_every_cause_and_more_than_one_each() -> None:
    """Else the tests above would be about nothing."""
    seen: Counter[Effect] = Counter()
    currencies: Counter[str] = Counter()
    for number in range(FIRST, FIRST + PAIRS):
        difference = difference_of(number)
        seen.update(bar.effect for bar in difference.bars)
        currencies[difference.change.currency] += 1

    least = PAIRS // 50
    assert {effect: seen[effect] for effect in Effect if seen[effect] < least} == {}
    assert min(currencies.values()) > PAIRS // 5
    assert len(currencies) == 3
