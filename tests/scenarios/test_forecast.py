"""The forecast's rules: constant use is met exactly, the band holds the forecast, and nothing used is forgotten."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights.scenarios.forecast import (
    BandTest,
    Growth,
    Outlook,
    Weeks,
    count_inside,
    last_weeks,
    look_ahead,
)

UNTIL = date(2026, 11, 16)
QUANTITIES = st.decimals(min_value=0, max_value=10**12, places=9)
SIGNED = st.decimals(min_value=-(10**6), max_value=10**12, places=9)


def day(number: int) -> date:
    """The day so many after the first that is not complete."""
    return UNTIL + timedelta(days=number)


def history(values: list[Decimal]) -> dict[date, Decimal]:
    return {day(number - len(values)): value for number, value in enumerate(values)}


def weeks_of(days: dict[date, Decimal], since: date) -> Weeks:
    found = last_weeks(days, since=since, until=UNTIL)
    assert found is not None
    return found


@given(QUANTITIES, st.integers(14, 60), st.integers(0, 40), QUANTITIES)
def test_constant_use_is_met_exactly(each: Decimal, known: int, left: int, used: Decimal) -> None:
    days = history([each] * known)

    found = look_ahead(Growth.ADDED, used, days, weeks_of(days, day(-known)), first=UNTIL, end=day(left))

    total = used + each * left
    assert found == Outlook(low=total, expected=total, high=total)


@given(
    st.lists(SIGNED, min_size=14, max_size=40),
    st.lists(QUANTITIES, max_size=9),
    st.integers(0, 40),
    QUANTITIES,
)
def test_the_band_holds_the_forecast_and_nothing_used_is_forgotten(
    values: list[Decimal], begun: list[Decimal], left: int, used: Decimal
) -> None:
    days = history(values) | {day(number): value for number, value in enumerate(begun)}

    for growth in Growth:
        found = look_ahead(growth, used, days, weeks_of(days, day(-len(values))), first=UNTIL, end=day(left))

        assert found.low <= found.expected <= found.high
        if growth is not Growth.LAST:
            assert found.low >= used


@given(st.lists(QUANTITIES, min_size=28, max_size=28), st.integers(0, 40))
def test_the_forecast_is_the_mean_of_each_weekday(values: list[Decimal], left: int) -> None:
    """By brute force, day by day, which whole weeks must add to as well."""
    days = history(values)

    found = look_ahead(Growth.ADDED, Decimal(0), days, weeks_of(days, day(-28)), first=UNTIL, end=day(left))

    exact = Fraction(0)
    for number in range(left):
        same = [days[day(number - 7 * (number // 7 + back))] for back in range(1, 5)]
        exact += sum((Fraction(value) for value in same), Fraction(0)) / 4
    assert abs(Fraction(found.expected) - exact) <= Fraction(1, 2 * 10**9)


@given(st.lists(QUANTITIES, min_size=28, max_size=28), QUANTITIES)
def test_a_day_that_has_begun_counts_with_what_it_has_or_what_is_expected(
    values: list[Decimal], begun: Decimal
) -> None:
    days = history(values)
    weeks = weeks_of(days, day(-28))
    whole = look_ahead(Growth.ADDED, Decimal(0), days, weeks, first=UNTIL, end=day(1))

    found = look_ahead(Growth.ADDED, begun, days | {UNTIL: begun}, weeks, first=UNTIL, end=day(1))

    assert found.expected == max(begun, whole.expected)


@pytest.mark.parametrize(
    ("known", "weeks"), [(13, None), (14, 2), (20, 2), (21, 3), (28, 4), (83, 11), (400, 12)]
)
def test_only_complete_weeks_count_and_fewer_than_two_say_nothing(known: int, weeks: int | None) -> None:
    found = last_weeks({}, since=day(-known), until=UNTIL)

    assert (found and len(found.values)) == weeks


def test_a_stretch_that_is_over_is_settled() -> None:
    days = history([Decimal(5)] * 28)

    found = look_ahead(Growth.ADDED, Decimal(7), days, weeks_of(days, day(-28)), first=day(-3), end=UNTIL)

    assert found == Outlook.settled(Decimal(7))


def test_a_peak_is_the_largest_of_what_was_and_what_is_expected() -> None:
    days = history(
        [Decimal(n) for n in (1, 2, 3, 4, 5, 6, 7)] * 3 + [Decimal(n) for n in (2, 3, 4, 5, 6, 7, 11)]
    )
    weeks = weeks_of(days, day(-28))

    assert look_ahead(Growth.LARGEST, Decimal(3), days, weeks, first=UNTIL, end=day(7)) == Outlook(
        low=Decimal("7"), expected=Decimal("8"), high=Decimal("11")
    )
    assert look_ahead(Growth.LARGEST, Decimal(9), days, weeks, first=UNTIL, end=day(7)).expected == 9


def test_a_last_value_stays_as_it_is() -> None:
    days = history([Decimal(n) for n in range(28)])

    found = look_ahead(Growth.LAST, Decimal(27), days, weeks_of(days, day(-28)), first=UNTIL, end=day(9))

    assert found == Outlook(low=Decimal(0), expected=Decimal(27), high=Decimal(27))


def test_the_worked_example_of_the_page() -> None:
    """docs/forecast.md, in whole GB: two complete weeks, a day that has begun, and nine days after it."""
    first_week, second_week = (10, 12, 11, 13, 12, 4, 3), (12, 12, 13, 13, 14, 6, 3)
    days = history([Decimal(n) for n in first_week + second_week]) | {UNTIL: Decimal(5)}

    found = look_ahead(Growth.ADDED, Decimal(78), days, weeks_of(days, day(-14)), first=UNTIL, end=day(10))

    assert found == Outlook(low=Decimal(78 + 5 + 12 + 11 + 65), expected=Decimal(78 + 6 + 12 + 12 + 69),
                            high=Decimal(78 + 7 + 12 + 13 + 73))  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_hits_are_counted_as_by_hand(rows: list[tuple[int, int, int]]) -> None:
    tests = [BandTest(low=min(a, b), high=max(a, b), ended=ended) for a, b, ended in rows]

    inside = 0
    for a, b, ended in rows:
        if ended in range(min(a, b), max(a, b) + 1):
            inside += 1
    assert count_inside(tests) == (inside, len(rows))
