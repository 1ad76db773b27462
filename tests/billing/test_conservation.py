"""Whatever plans change to and whatever usage comes late: what is billed adds up, without a database."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from insights.billing.basis import Basis, Draft, IssuedBill, MeterOfBill, ServiceSegment, StoredLine
from insights.billing.draft import BilledUsage, draft_invoice
from insights.rating.charges import Flat
from insights.rating.invoice import LineKind
from insights.rating.matrix import Cell, Matrix
from insights.rating.plan_change import ChangePolicy
from insights.rating.rate import Usage, rate_line
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.rating.terms import Bound, Discount, FeeTiming, PriceTerms
from insights.values.money import minor_of
from insights.values.period import Period
from tests.rating.strategies import decimals, graduated_charges

SEED = int(os.environ.get("SEED", "20261125"))
EXAMPLES = int(os.environ.get("EXAMPLES", "25"))
MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
APRIL = Period(MARCH.end, datetime(2026, 5, 1, tzinfo=UTC))
HOURS = 31 * 24
METERS = (
    MeterOfBill(id=1, key="requests", version=1, name="Requests", unit="unit"),
    MeterOfBill(id=2, key="bytes", version=1, name="Bytes", unit="unit"),
)
CALLS = MeterOfBill(id=3, key="calls", version=1, name="Calls", unit="unit")
ALL_METERS = (*METERS, CALLS)
REGIONS = ("eu", "us", "elsewhere")
quantities = decimals(0, 400, 3) | st.just(Decimal(10**18))


@st.composite
def sheets(draw: st.DrawFn, key: str) -> PriceSheet:
    """A plan with a price for each meter, one of them by region, a fee in advance, a counted one, and terms."""

    def usage_terms() -> PriceTerms:
        included = draw(st.just(Decimal(0)) | decimals(0, 30, 1))
        return PriceTerms(currency="USD", charge=draw(graduated_charges()), unit="unit", included=included)

    prices = [
        SheetPrice(key=meter.key, name=meter.name, meter_key=meter.key, terms=usage_terms())
        for meter in METERS
    ]
    cells = tuple(Cell(values=(region,), terms=usage_terms()) for region in REGIONS[:2])
    matrix = Matrix(dimensions=("region",), cells=cells, catch_all=usage_terms())
    prices.append(SheetPrice(key=CALLS.key, name=CALLS.name, meter_key=CALLS.key, matrix=matrix))
    for name, timing in (("base", FeeTiming.IN_ADVANCE), ("seats", FeeTiming.IN_ARREARS)):
        terms = PriceTerms(
            currency="USD", charge=Flat(amount=draw(decimals(0, 99, 2))), timing=timing, is_prorated=True
        )
        prices.append(SheetPrice(key=name, name=name, terms=terms, is_counted=name == "seats"))
    return PriceSheet(
        plan_key=key, plan_name=key, version=1, effective_from=MARCH.start, currency="USD", prices=tuple(prices),
        discounts=draw(st.just(()) | st.just((Discount(percent=Decimal("12.5")),))),
        minimum=draw(st.none() | st.just(Bound(amount=Decimal(80), is_prorated=draw(st.booleans())))),
    )  # fmt: skip


@st.composite
def bases(draw: st.DrawFn) -> Basis:
    """March with up to five changes among three plans, back to an earlier one too, taxed or not."""
    plans = [draw(sheets(key)) for key in ("a", "b", "c")]
    hours = sorted(draw(st.sets(st.integers(1, HOURS - 1), max_size=5)))
    edges = [MARCH.start, *(MARCH.start + timedelta(hours=hour) for hour in hours), MARCH.end]
    segments = tuple(
        ServiceSegment(
            service=Period(start, end),
            sheet=draw(st.sampled_from(plans)),
            policy=draw(st.sampled_from(ChangePolicy)) if number else ChangePolicy.RESTART,
            counts={"seats": Decimal(draw(st.integers(0, 4)))},
        )
        for number, (start, end) in enumerate(pairwise(edges))
    )
    taxes = draw(st.sampled_from(({}, {"VAT": Decimal(19)}, {"VAT": Decimal("7.5"), "GST": Decimal(3)})))
    return Basis(
        account_id=1, subscription_id=1, zone="UTC", currency="USD", whole=MARCH, service=MARCH, segments=segments,
        next_whole=APRIL, ahead=(replace(segments[-1], service=APRIL),), taxes=taxes,
    )  # fmt: skip


@st.composite
def usage_of(draw: st.DrawFn, basis: Basis) -> BilledUsage:
    current: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
    for number in range(len(basis.plans)):
        current |= {(number, meter.id): {(): draw(quantities)} for meter in METERS}
        current[number, CALLS.id] = {
            (each,): draw(quantities) for each in draw(st.sets(st.sampled_from(REGIONS)))
        }
    return BilledUsage(meters=ALL_METERS, current=current, earlier={})


def issued(basis: Basis, draft: Draft, *, corrections: tuple[Draft, ...] = ()) -> IssuedBill:
    """The draft as an issued invoice, with the corrections that later ones had of it."""
    return IssuedBill(
        id=7,
        number="TG-7",
        period=MARCH,
        whole=MARCH,
        segments=basis.segments,
        taxes=basis.taxes,
        credits=(),
        lines=tuple(
            StoredLine(id=number, invoice_id=7, invoice_number="TG-7", line=line)
            for number, line in enumerate(draft.lines, 1)
        ),
        corrections=tuple(
            line for later in corrections for line in later.lines if line.kind is LineKind.CORRECTION
        ),
    )


def next_month(basis: Basis, bill: IssuedBill, usage: BilledUsage) -> Draft:
    """April's invoice, on which usage that is now known for March is corrected."""
    april = replace(
        basis,
        whole=APRIL,
        service=APRIL,
        segments=basis.ahead,
        ahead=(),
        next_whole=None,
        to_correct=(bill,),
    )
    return draft_invoice(april, BilledUsage(meters=ALL_METERS, current={}, earlier={7: usage.current}))


def thorough(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_steps_add_to_lines_and_lines_to_the_invoice_and_all_usage_is_billed(data: st.DataObject) -> None:
    basis = data.draw(bases())
    usage = data.draw(usage_of(basis))

    draft = draft_invoice(basis, usage)

    assert draft == draft_invoice(basis, usage), "drafting twice is the same"
    assert sum(line.minor for line in draft.lines) == draft.total_minor >= 0
    for line in draft.lines:
        if line.steps:
            assert sum(step.amount_minor for step in line.steps) == line.minor
    for meter in ALL_METERS:
        billed = [line for line in draft.lines if line.meter_key == meter.key]
        metered = sum(
            (sum(usage.current[number, meter.id].values(), Decimal(0)) for number in range(len(basis.plans))),
            Decimal(0),
        )
        assert sum((line.metered_quantity or Decimal(0) for line in billed), Decimal(0)) == metered
        assert sum((step.quantity for line in billed for step in line.steps), Fraction(0)) == Fraction(
            metered
        )


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_a_bill_and_its_corrections_add_to_the_bill_of_what_is_known_at_last(data: st.DataObject) -> None:
    basis = data.draw(bases())
    first = draft_invoice(basis, data.draw(usage_of(basis)))
    later: tuple[Draft, ...] = ()
    for _ in range(data.draw(st.integers(1, 3))):
        known = data.draw(usage_of(basis))
        later = (*later, next_month(basis, issued(basis, first, corrections=later), known))

    again = draft_invoice(basis, known)
    corrected = [line for each in later for line in each.lines if line.kind is LineKind.CORRECTION]

    assert first.total_minor + sum(line.minor for line in corrected) == again.total_minor
    for line in corrected:
        if line.steps:
            assert sum(step.amount_minor for step in line.steps) == line.minor
    settled = next_month(basis, issued(basis, first, corrections=later), known)
    assert not [line for line in settled.lines if line.kind is LineKind.CORRECTION], (
        "and then there is no more"
    )


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_a_fee_in_advance_comes_to_the_time_its_plans_were_held(data: st.DataObject) -> None:
    """Whatever was billed ahead, each stretch of one plan in a row is charged its exact part, rounded once."""
    basis = data.draw(bases())
    first_plan = replace(basis.segments[0], service=MARCH)
    opening = draft_invoice(
        replace(basis, is_opening=True, segments=(first_plan,)),
        BilledUsage(meters=ALL_METERS, current={}, earlier={}),
    )
    ahead = tuple(
        StoredLine(id=number, invoice_id=5, invoice_number="TG-5", line=line)
        for number, line in enumerate(opening.lines, 1)
        if line.kind is LineKind.CHARGE
    )

    draft = draft_invoice(
        replace(basis, billed_ahead=ahead), BilledUsage(meters=ALL_METERS, current={}, earlier={})
    )

    fees = [
        line
        for line in (*opening.lines, *draft.lines)
        if line.price_key == "base" and line.service.start < APRIL.start
    ]
    exact, stretches = Fraction(0), 0
    before = None
    for segment in basis.segments:
        price = segment.sheet.price("base")
        assert price is not None
        assert price.terms is not None
        assert isinstance(price.terms.charge, Flat)
        seconds = (segment.service.end - segment.service.start) // timedelta(seconds=1)
        exact += minor_of(price.terms.charge.amount, "USD") * Fraction(seconds, HOURS * 3600)
        stretches += segment.sheet.plan_key != before
        before = segment.sheet.plan_key
    # Each stretch is rounded once, by at most half a cent; what was billed ahead comes back as it was billed.
    assert abs(sum(line.minor for line in fees) - exact) <= Fraction(stretches, 2)


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_counted_fees_and_add_ons_come_to_what_was_held_for_how_long(data: st.DataObject) -> None:
    """Over any sequence of plans and counts, each stretch of one plan and one count is rounded once."""
    basis = data.draw(bases())
    hours = st.lists(st.integers(0, HOURS), min_size=2, max_size=2, unique=True).map(sorted)
    add_ons = []
    for add_on_id in range(data.draw(st.integers(0, 2))):
        start, end = (MARCH.start + timedelta(hours=hour) for hour in data.draw(hours))
        fee = basis.segments[0].sheet.price("seats")
        assert fee is not None
        sheet = replace(basis.segments[0].sheet, plan_key="extra", prices=(fee,), minimum=None, discounts=())
        counts = {"seats": Decimal(data.draw(st.integers(0, 4)))}
        add_ons.append(
            ServiceSegment(service=Period(start, end), sheet=sheet, counts=counts, add_on_id=add_on_id)
        )
    basis = replace(basis, segments=(*basis.segments, *add_ons))

    draft = draft_invoice(basis, data.draw(usage_of(basis)))

    exact, stretches, before = Fraction(0), 0, None
    for segment in basis.segments:
        price = segment.sheet.price("seats")
        assert price is not None
        assert price.terms is not None
        assert isinstance(price.terms.charge, Flat)
        seconds = (segment.service.end - segment.service.start) // timedelta(seconds=1)
        held = minor_of(price.terms.charge.amount, "USD") * Fraction(seconds, HOURS * 3600)
        exact += held
        now = (segment.sheet.plan_key, segment.counts["seats"], segment.add_on_id)
        stretches += now != before
        before = now
    fees = [line for line in draft.lines if line.price_key == "seats"]
    assert len(fees) == stretches
    assert abs(sum(line.minor for line in fees) - exact) <= Fraction(stretches, 2)
    assert sum(
        (line.metered_quantity or Decimal(0) for line in fees if line.plan_key == "extra"), Decimal(0)
    ) == sum((one.counts["seats"] for one in add_ons), Decimal(0))


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_going_on_with_the_same_plan_changes_nothing_for_any_value(data: st.DataObject) -> None:
    """Whichever values were used on which side of a change: each comes to what all of it comes to at once."""
    basis = data.draw(bases())
    sheet = basis.segments[0].sheet
    segments = tuple(replace(each, sheet=sheet, policy=ChangePolicy.CONTINUE) for each in basis.segments)
    basis = replace(basis, segments=segments, ahead=())
    usage = data.draw(usage_of(basis))

    draft = draft_invoice(basis, usage)

    price = sheet.price(CALLS.key)
    assert price is not None
    assert price.matrix is not None
    for region in REGIONS[:2]:
        terms = price.matrix.terms_of((region,))
        assert terms is not None
        used = [usage.current[number, CALLS.id].get((region,), Decimal(0)) for number in range(len(segments))]
        lines = [line for line in draft.lines if line.values.get("region") == region]
        whole = rate_line(terms, Usage(sum(used, Decimal(0)))) if any(used) else None
        steps = [step for line in lines for step in line.steps]
        assert sum((step.amount for step in steps), Fraction(0)) == (whole.exact_amount if whole else 0)
