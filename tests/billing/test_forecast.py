"""The forecast of a bill is rated as its draft is, and how often its band held is counted right, by brute force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from insights.billing.band_history import band_test
from insights.billing.basis import Basis, IssuedBill, MeterOfBill, ServiceSegment, StoredLine
from insights.billing.draft import BilledUsage, draft_invoice
from insights.billing.forecast import forecast_bill, running_amounts, total_of
from insights.billing.forecast_words import band_sentence
from insights.billing.prospect import MeterDays, Prospect
from insights.rating.charges import ChargeModel, Graduated, PerUnit, Tier, Volume
from insights.rating.invoice import LineKind
from insights.rating.matrix import Cell, Matrix
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.rating.terms import PriceTerms
from insights.scenarios.forecast import Growth, count_inside
from insights.values.period import Period
from tests.scenarios.pairs import make_pair

ONE_DAY = timedelta(days=1)
METER = MeterOfBill(id=1, key="requests", version=1, name="Requests", unit="unit")
JANUARY = date(2026, 1, 1)
MONTHS = (31, 28, 31, 30, 31, 30)
PER_UNIT = PerUnit(unit_amount=Decimal("0.03"))
FALLING = Volume(
    tiers=(
        Tier(above=Decimal(0), up_to=Decimal(300), unit_amount=Decimal("0.50")),
        Tier(above=Decimal(300), up_to=None, unit_amount=Decimal("0.10")),
    )
)


TRIED = ((1, 1), (0, 1), (2, 3))


def month(number: int) -> tuple[date, date]:
    first = JANUARY + sum(MONTHS[:number]) * ONE_DAY
    return first, first + MONTHS[number] * ONE_DAY


def made_bill(first: date, end: date, quantity: Decimal, charge: ChargeModel = PER_UNIT) -> IssuedBill:
    terms = PriceTerms(currency="USD", charge=charge, unit="unit")
    price = SheetPrice(key="requests", name="Requests", meter_key="requests", terms=terms)
    return bill_of([price], first, end, {(): quantity})


def bill_of(
    prices: list[SheetPrice], first: date, end: date, quantities: Mapping[tuple[str, ...], Decimal]
) -> IssuedBill:
    period = Period(*(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, end)))
    sheet = PriceSheet(
        plan_key="p",
        plan_name="P",
        version=1,
        effective_from=period.start,
        currency="USD",
        prices=tuple(prices),
    )
    segments = (ServiceSegment(service=period, sheet=sheet),)
    basis = Basis(
        account_id=1, subscription_id=1, zone="UTC", currency="USD", whole=period, service=period, segments=segments,
        taxes={"VAT": Decimal(19)},
    )  # fmt: skip
    draft = draft_invoice(basis, BilledUsage(meters=(METER,), current={(0, 1): quantities}, earlier={}))
    lines = tuple(
        StoredLine(id=number, invoice_id=1, invoice_number="", line=line)
        for number, line in enumerate(draft.lines, 1)
    )
    return IssuedBill(
        id=1,
        number="",
        period=period,
        whole=period,
        segments=segments,
        taxes=basis.taxes,
        credits=(),
        lines=lines,
    )


def prospect_of(bill: IssuedBill, days: Mapping[date, Decimal], growth: Growth = Growth.ADDED) -> Prospect:
    return Prospect(
        bill=bill, currency="USD", meters=(METER,), zone=UTC,
        histories={("requests", "unit"): MeterDays(growth=growth, days=days)},
    )  # fmt: skip


def amount(quantity: Fraction, charge: ChargeModel) -> int:
    """What a quantity costs with 19 % tax, worked out here."""
    if isinstance(charge, Volume):
        each = Fraction(1, 2) if quantity <= 300 else Fraction(1, 10)
    else:
        each = Fraction(3, 100)
    minor = rounded(quantity * each * 100)
    return minor + rounded(Fraction(minor * 19, 100))


def rounded(number: Fraction) -> int:
    return int(number + Fraction(1, 2))


def test_a_bill_with_its_own_quantities_comes_to_what_it_says() -> None:
    for number in range(150):
        pair = make_pair(number)
        draft = draft_invoice(pair.basis, pair.usage)
        bill = IssuedBill(
            id=7, number="TG-7", period=pair.basis.service, whole=pair.basis.whole, segments=pair.basis.plans,
            taxes=pair.basis.taxes, credits=pair.basis.credits,
            lines=tuple(
                StoredLine(id=place, invoice_id=7, invoice_number="TG-7", line=line)
                for place, line in enumerate(draft.lines, 1)
            ),
        )  # fmt: skip
        prospect = Prospect(
            bill=bill, currency=pair.basis.currency, meters=pair.usage.meters, histories={}, zone=UTC
        )

        # At its end nothing is looked ahead to any more, so that the forecast is the bill as it stands.
        found = forecast_bill(prospect, until=prospect.end)

        assert [found.so_far.minor, found.low.minor, found.expected.minor, found.high.minor] == [
            draft.total_minor
        ] * 4, number


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 40), min_size=181, max_size=181),
    st.integers(0, 30),
    st.sampled_from([PER_UNIT, FALLING]),
)
def test_hits_are_counted_as_by_brute_force(values: list[int], point: int, charge: ChargeModel) -> None:
    days = {JANUARY + number * ONE_DAY: Decimal(value) for number, value in enumerate(values)}
    tests = []
    expected = []
    for number in range(6):
        first, end = month(number)
        whole = sum(values[(first - JANUARY).days : (end - JANUARY).days])
        bill = made_bill(first, end, Decimal(whole), charge)
        tests.append(band_test(prospect_of(bill, days), point=point))
        expected.append(_by_hand(values, first, end, point, charge))

    assert [test and (test.low, test.high, test.ended) for test in tests] == expected
    known = [row for row in expected if row is not None]
    assert count_inside(test for test in tests if test) == (
        sum(low <= ended <= high for low, high, ended in known),
        len(known),
    )


def _by_hand(
    values: list[int], first: date, end: date, point: int, charge: ChargeModel
) -> tuple[int, int, int] | None:
    start, stop = (first - JANUARY).days, (end - JANUARY).days
    cut = min(start + point, stop - 1)
    # The first day that has any record is the first day of history, be it zero.
    weeks = [values[cut - 7 * (back + 1) : cut - 7 * back] for back in range(min(cut // 7, 12))]
    if len(weeks) < 2:
        return None
    used, left = sum(values[start:cut]), stop - cut
    low = high = mean = Fraction(used)
    for number in range(left % 7):
        same = [week[number] for week in weeks]
        low, high, mean = low + min(same), high + max(same), mean + Fraction(sum(same[:4]), len(same[:4]))
    sums = [sum(week) for week in weeks]
    low, high = low + left // 7 * min(sums), high + left // 7 * max(sums)
    mean += left // 7 * Fraction(sum(sums[:4]), len(sums[:4]))
    amounts = [amount(quantity, charge) for quantity in (low, mean, high)]
    edges = amounts if isinstance(charge, Volume) else [amounts[0], amounts[2]]
    return min(edges), max(edges), amount(Fraction(sum(values[start:stop])), charge)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=60, max_size=60),
    st.integers(0, 30),
    st.sampled_from([PER_UNIT, FALLING]),
)
def test_the_band_holds_the_forecast_whatever_the_price(
    values: list[int], point: int, charge: ChargeModel
) -> None:
    first, end = month(2)
    days = {first + (number - 40) * ONE_DAY: Decimal(value) for number, value in enumerate(values)}
    until = first + point * ONE_DAY
    used = sum((value for day, value in days.items() if first <= day <= until), Decimal(0))

    found = forecast_bill(prospect_of(made_bill(first, end, used, charge), days), until=until)

    assert found.low.minor <= found.expected.minor <= found.high.minor
    [meter] = found.meters
    assert meter.used == used
    assert used <= meter.outlook.low <= meter.outlook.expected <= meter.outlook.high


@given(st.integers(0, 1000), st.integers(0, 30))
@settings(deadline=None)
def test_constant_use_is_priced_exactly(each: int, point: int) -> None:
    first, end = month(2)
    days = {first + number * ONE_DAY: Decimal(each) for number in range(-40, point)}

    found = forecast_bill(
        prospect_of(made_bill(first, end, Decimal(each * point)), days), until=first + point * ONE_DAY
    )

    whole = amount(Fraction(each * 31), PER_UNIT)
    assert (found.low.minor, found.expected.minor, found.high.minor) == (whole, whole, whole)


def test_a_meter_that_is_too_new_says_so_and_nothing_else() -> None:
    first, end = month(2)
    days = {first + number * ONE_DAY: Decimal(5) for number in range(-3, 10)}

    found = forecast_bill(prospect_of(made_bill(first, end, Decimal(50)), days), until=first + 10 * ONE_DAY)

    assert (found.is_known, found.too_new, found.meters) == (False, ("Requests",), ())
    assert found.so_far.minor == amount(Fraction(50), PER_UNIT)


def test_what_was_never_used_is_not_taken_for_never_to_be_used() -> None:
    first, end = month(2)

    found = forecast_bill(prospect_of(made_bill(first, end, Decimal(0)), {}), until=first + 10 * ONE_DAY)

    assert (found.is_known, found.too_new) == (False, ("Requests",))


def test_dimension_values_keep_their_proportion() -> None:
    first, end = month(2)
    cells = {"eu": "0.10", "us": "1.00"}
    matrix = Matrix(
        dimensions=("region",),
        cells=tuple(
            Cell(
                values=(region,),
                terms=PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(each)), unit="unit"),
            )
            for region, each in cells.items()
        ),
        catch_all=PriceTerms(currency="USD", charge=PER_UNIT, unit="unit"),
    )
    price = SheetPrice(key="requests", name="Requests", meter_key="requests", matrix=matrix)
    bill = bill_of([price], first, end, {("eu",): Decimal(60), ("us",): Decimal(30), ("asia",): Decimal(10)})
    days = {first + number * ONE_DAY: Decimal(10) for number in range(-40, 10)}

    found = forecast_bill(prospect_of(bill, days), until=first + 10 * ONE_DAY)

    # 310 in all: 186 at 0.10, 93 at 1.00 and 31 at 0.03, each rounded, with 19 % tax.
    assert found.expected.minor == 1860 + 9300 + 93 + rounded(Fraction((1860 + 9300 + 93) * 19, 100))


def test_a_change_of_plan_to_come_is_looked_ahead_to_at_its_own_price() -> None:
    first, end = month(2)
    change = datetime(2026, 3, 21, tzinfo=UTC)
    bill = made_bill(first, end, Decimal(100))
    [segment] = bill.segments
    dearer = replace(
        segment.sheet,
        plan_key="q",
        prices=tuple(
            replace(
                price, terms=PriceTerms(currency="USD", charge=PerUnit(unit_amount=Decimal(1)), unit="unit")
            )
            for price in segment.sheet.prices
        ),
    )
    bill = replace(
        bill,
        segments=(
            replace(segment, service=Period(segment.service.start, change)),
            ServiceSegment(service=Period(change, segment.service.end), sheet=dearer),
        ),
        lines=tuple(
            replace(stored, line=replace(stored.line, service=Period(segment.service.start, change)))
            for stored in bill.lines
        ),
    )
    days = {first + number * ONE_DAY: Decimal(10) for number in range(-40, 10)}

    found = forecast_bill(prospect_of(bill, days), until=first + 10 * ONE_DAY)

    # 200 until the 21st at 0.03, then 110 at 1.00.
    charged = 600 + 11_000
    assert found.expected.minor == charged + rounded(Fraction(charged * 19, 100))
    assert found.meters[0].outlook.expected == 310


def test_how_often_the_band_held_is_said_of_one_period_as_of_many() -> None:
    first, end = month(3)
    days = {first + timedelta(days=number): Decimal(1) for number in range(-40, 10)}
    found = forecast_bill(prospect_of(made_bill(first, end, Decimal(10)), days), until=first + timedelta(10))

    said = [band_sentence(replace(found, inside=inside, tested=tested)) for inside, tested in TRIED]

    assert [words.split(" the least")[0] for words in said] == [
        "In the one earlier period with enough history the bill ended between",
        "In the one earlier period with enough history the bill did not end between",
        "In 2 of the last 3 periods the bill ended between",
    ]


def test_the_course_of_a_bill_ends_with_its_last_complete_day() -> None:
    first, end = month(2)
    days = {first + number * ONE_DAY: Decimal(10) for number in range(-40, 20)}
    tiers = (
        Tier(above=Decimal(0), up_to=Decimal(100)),
        Tier(above=Decimal(100), up_to=None, unit_amount=Decimal(1)),
    )
    bill = made_bill(first, end, Decimal(200), Graduated(tiers=tiers))

    points = running_amounts(prospect_of(bill, days), until=first + 20 * ONE_DAY)

    assert len(points) <= 8
    assert points[-1].day == first + 19 * ONE_DAY
    assert points[-1].amount == total_of(prospect_of(bill, days), {(0, 1): {(): Decimal(200)}})
    assert [point.amount.minor for point in points] == sorted(point.amount.minor for point in points)
    assert not any(stored.line.kind is LineKind.CREDIT for stored in bill.lines)
