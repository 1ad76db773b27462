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
from insights.rating.plan_change import ChangePolicy
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
quantities = decimals(0, 400, 3) | st.just(Decimal(10**18))


@st.composite
def sheets(draw: st.DrawFn, key: str) -> PriceSheet:
    """A plan with a price for each meter, a fee in advance and one in arrears, both counted or not, and terms."""
    prices = [
        SheetPrice(
            key=meter.key,
            name=meter.name,
            meter_key=meter.key,
            terms=PriceTerms(
                currency="USD",
                charge=draw(graduated_charges()),
                unit="unit",
                included=draw(st.just(Decimal(0)) | decimals(0, 30, 1)),
            ),
        )
        for meter in METERS
    ]
    for name, timing in (("base", FeeTiming.IN_ADVANCE), ("seats", FeeTiming.IN_ARREARS)):
        terms = PriceTerms(
            currency="USD", charge=Flat(amount=draw(decimals(0, 99, 2))), timing=timing, is_prorated=True
        )
        prices.append(SheetPrice(key=name, name=name, terms=terms))
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
    current = {
        (number, meter.id): {(): draw(quantities)}
        for number in range(len(basis.segments))
        for meter in METERS
    }
    return BilledUsage(meters=METERS, current=current, earlier={})


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
    return draft_invoice(april, BilledUsage(meters=METERS, current={}, earlier={7: usage.current}))


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
    for meter in METERS:
        billed = [line for line in draft.lines if line.meter_key == meter.key]
        metered = sum(
            (usage.current[number, meter.id][()] for number in range(len(basis.segments))), Decimal(0)
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
        BilledUsage(meters=METERS, current={}, earlier={}),
    )
    ahead = tuple(
        StoredLine(id=number, invoice_id=5, invoice_number="TG-5", line=line)
        for number, line in enumerate(opening.lines, 1)
        if line.kind is LineKind.CHARGE
    )

    draft = draft_invoice(
        replace(basis, billed_ahead=ahead), BilledUsage(meters=METERS, current={}, earlier={})
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
