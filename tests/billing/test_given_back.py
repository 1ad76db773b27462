"""Fees billed ahead that come back, whatever plans, counts, discounts, bounds, taxes and credits change to.

What an opening bill or a month came to, with its corrections, is what it would have come to without the fees that came
back; and the next month's own lines are what they would be if nothing had been billed ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import event, given, seed
from hypothesis import strategies as st

from insights.billing.basis import (
    Basis,
    CreditOffer,
    Draft,
    DraftLine,
    IssuedBill,
    ServiceSegment,
    StoredLine,
)
from insights.billing.corrections import correction_key, credits_left
from insights.billing.draft import BilledUsage, draft_invoice
from insights.billing.given_back import came_back_before, rated_out
from insights.rating.charges import Flat, PerUnit
from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.rating.terms import Bound, Discount, FeeTiming, PriceTerms
from insights.values.period import Period
from tests.billing.test_conservation import EXAMPLES, METERS, SEED, thorough
from tests.rating.strategies import decimals

MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
APRIL = Period(MARCH.end, datetime(2026, 5, 1, tzinfo=UTC))
MAY = Period(APRIL.end, datetime(2026, 6, 1, tzinfo=UTC))
TAXES = ({}, {"VAT": Decimal(19)}, {"VAT": Decimal("7.5"), "GST": Decimal(3)}, {"VAT": Decimal(20)})
TENTH = Discount(percent=Decimal(10))
# As many stretches as there may be.
USED = BilledUsage(
    meters=METERS[:1], current={(number, 1): {(): Decimal(10)} for number in range(4)}, earlier={}
)
DISCOUNTS = ((), (), (TENTH,), (Discount(percent=Decimal("12.5")), TENTH), (Discount(amount=Decimal(7)),))


@st.composite
def sheets(draw: st.DrawFn, key: str) -> PriceSheet:
    """A plan with usage, two fees in advance of which one is counted, and what holds for a whole bill or does not."""
    usage = PriceTerms(currency="USD", charge=PerUnit(unit_amount=draw(decimals(0, 2, 2))), unit="unit")
    prices = [SheetPrice(key="requests", name="Requests", meter_key="requests", terms=usage)]
    for name in ("base", "seats"):
        terms = PriceTerms(
            currency="USD", charge=Flat(amount=draw(decimals(0, 99, 2))), timing=FeeTiming.IN_ADVANCE,
            is_prorated=draw(st.integers(0, 3)) > 0,
        )  # fmt: skip
        prices.append(
            SheetPrice(
                key=name, name=name, terms=terms, is_counted=name == "seats", is_taxable=draw(st.booleans()),
                takes_credit=draw(st.booleans()),
            )
        )  # fmt: skip
    bounds = st.none() | st.none() | st.none()
    return PriceSheet(
        plan_key=key, plan_name=key, version=1, effective_from=MARCH.start, currency="USD", prices=tuple(prices),
        discounts=draw(st.sampled_from(DISCOUNTS)),
        minimum=draw(bounds | st.builds(Bound, amount=decimals(0, 200, 2), is_prorated=st.booleans())),
        maximum=draw(bounds | st.builds(Bound, amount=decimals(200, 400, 2), is_prorated=st.booleans())),
    )  # fmt: skip


@st.composite
def stretches(draw: st.DrawFn, period: Period, plans: list[PriceSheet]) -> tuple[ServiceSegment, ...]:
    hours = int((period.end - period.start) / timedelta(hours=1))
    cuts = sorted(draw(st.sets(st.integers(1, hours - 1), max_size=3)))
    edges = [period.start, *(period.start + timedelta(hours=cut) for cut in cuts), period.end]
    return tuple(
        ServiceSegment(
            service=Period(start, end),
            sheet=draw(st.sampled_from(plans)),
            counts={"seats": Decimal(draw(st.integers(0, 3)))},
        )
        for start, end in pairwise(edges)
    )


def credit_offers() -> st.SearchStrategy[tuple[CreditOffer, ...]]:
    def offer(minor: int, *, is_before_tax: bool) -> CreditOffer:
        credit = Credit(
            key="grant", remaining_minor=minor, granted_at=MARCH.start, is_before_tax=is_before_tax
        )
        return CreditOffer(credit=credit, name="Welcome", kind="promotion", grant_id=1)

    one = st.builds(offer, st.integers(1, 20_000), is_before_tax=st.booleans())
    return st.just(()) | one.map(lambda found: (found,))


@dataclass(frozen=True)
class World:
    """March's bill or the one that opens the subscription, and April's basis without what is known of that bill."""

    before: Basis
    first: Draft
    usage: BilledUsage
    april: Basis


@st.composite
def worlds(draw: st.DrawFn) -> World:
    plans = [draw(sheets(key)) for key in ("a", "b", "c")]
    april = draw(stretches(APRIL, plans))
    ahead = (replace(april[0], service=APRIL),)
    is_opening = draw(st.integers(0, 3)) == 0
    own = ahead if is_opening else draw(stretches(MARCH, plans))
    before = Basis(
        account_id=1, subscription_id=1, zone="UTC", currency="USD", whole=APRIL if is_opening else MARCH,
        service=APRIL if is_opening else MARCH, is_opening=is_opening, segments=own,
        next_whole=None if is_opening else APRIL, ahead=() if is_opening else ahead,
        taxes=draw(st.sampled_from(TAXES)), credits=() if is_opening else draw(credit_offers()),
    )  # fmt: skip
    quantity = st.integers(0, 300).map(Decimal)
    current = {} if is_opening else {(number, 1): {(): draw(quantity)} for number in range(len(own))}
    usage = BilledUsage(meters=METERS[:1], current=current, earlier={})
    first = draft_invoice(before, usage)
    grants = credits_left(before.credits, first.credit_uses)
    return World(
        before=before,
        first=first,
        usage=usage,
        april=Basis(
            account_id=1, subscription_id=1, zone="UTC", currency="USD", whole=APRIL, service=APRIL, segments=april,
            next_whole=MAY, ahead=(replace(april[-1], service=MAY),), credits=grants,
            taxes=draw(st.just(before.taxes) | st.sampled_from(TAXES)),
        ),
    )  # fmt: skip


def stored(world: World) -> tuple[StoredLine, ...]:
    """The lines of the first bill, with what is known of those that were due in advance."""
    last = world.before.plans[-1].sheet
    whole = [plan.sheet for plan in world.before.plans if not world.before.is_opening]
    paid = Counter[str]()
    for line in world.first.lines:
        if line.kind is LineKind.CREDIT:
            # One after tax pays a part of everything.
            paid.update(line.allotted or {each.key: 1 for each in world.first.lines})
    return tuple(
        StoredLine(
            id=number, invoice_id=7, invoice_number="TG-7", line=line, taxes=world.before.taxes,
            discounts=tuple(one.percent for one in last.discounts if one.percent is not None),
            is_paid_by_credit=bool(paid[line.key]),
            is_by_amount=any(
                one.minimum or one.maximum or any(each.amount is not None for each in one.discounts) for one in whole
            ),
        )
        for number, line in enumerate(world.first.lines, 1)
    )  # fmt: skip


def issued(world: World, corrections: tuple[DraftLine, ...] = ()) -> IssuedBill:
    lines = stored(world)
    key = "credit grant"
    used = [line for line in world.first.lines if line.key == key]
    used += [line for line in corrections if line.key == correction_key("TG-7", key)]
    return IssuedBill(
        id=7, number="TG-7", period=world.before.service, whole=world.before.whole,
        is_opening=world.before.is_opening, segments=world.before.segments, taxes=world.before.taxes,
        credits=world.before.credits, lines=lines, corrections=corrections,
        credits_used={"grant": -sum(line.minor for line in used)},
    )  # fmt: skip


def bill_april(world: World, known: BilledUsage) -> tuple[Basis, Draft]:
    """April as it is billed: of the first bill what comes back, and what usage came late for."""
    ahead = tuple(
        one for one in stored(world) if one.line.kind is LineKind.CHARGE and one.line.service == APRIL
    )
    basis = replace(world.april, billed_ahead=ahead)
    returned = rated_out(basis)
    is_late = known.current != world.usage.current
    if returned or is_late:
        basis = replace(basis, to_correct=(replace(issued(world), comes_back=returned.get(7, frozenset())),))
    return basis, draft_invoice(basis, replace(USED, earlier={7: known.current}))


def without_fees(world: World, usage: BilledUsage, keys: frozenset[str]) -> Mapping[str, int]:
    """What the lines of the first bill come to if these fees were never billed on it, with other usage."""
    before = world.before
    segments = _without(before.segments, keys) if before.is_opening else before.segments
    lines = draft_invoice(replace(before, segments=segments, ahead=_without(before.ahead, keys)), usage).lines
    return {line.key: line.minor for line in lines if line.kind is not LineKind.CARRIED}


def _without(found: tuple[ServiceSegment, ...], keys: frozenset[str]) -> tuple[ServiceSegment, ...]:
    return tuple(
        replace(one, sheet=replace(one.sheet, prices=tuple(p for p in one.sheet.prices if p.key not in keys)))
        for one in found
    )


@seed(SEED)
@thorough(EXAMPLES * 4)
@given(st.data())
def test_a_bill_and_its_corrections_are_the_bill_without_what_came_back(data: st.DataObject) -> None:
    world = data.draw(worlds())
    known = world.usage
    if data.draw(st.booleans()) and known.current:
        late = {place: {(): Decimal(data.draw(st.integers(0, 300)))} for place in known.current}
        known = replace(known, current=late)

    basis, april = bill_april(world, known)

    assert not april.problems
    came_back = {
        one.line.price_key for one in basis.billed_ahead if one.id in rated_out(basis).get(7, frozenset())
    }
    event(
        "rated out"
        if came_back
        else "given back"
        if any(line.corrects_id for line in april.lines)
        else "kept"
    )
    found = Counter[str]()
    for line in world.first.lines:
        if line.kind is not LineKind.CARRIED:
            found[correction_key("TG-7", line.key)] += line.minor
    for line in april.lines:
        if line.kind is LineKind.CORRECTION:
            found[line.key] += line.minor
    wanted = without_fees(world, known, frozenset(came_back))
    assert {key: minor for key, minor in found.items() if minor} == {
        correction_key("TG-7", key): minor for key, minor in wanted.items() if minor
    }


@seed(SEED)
@thorough(EXAMPLES * 4)
@given(st.data())
def test_what_is_due_is_charged_as_if_nothing_had_been_billed_ahead(data: st.DataObject) -> None:
    world = data.draw(worlds())

    basis, april = bill_april(world, world.usage)

    returned = rated_out(basis).get(7, frozenset())
    ahead = tuple(one for one in basis.billed_ahead if one.id not in returned)
    left = credits_left(basis.credits, _corrected_uses(april))
    alone = draft_invoice(
        replace(basis, billed_ahead=ahead, to_correct=(), credits=left),
        USED,
    )
    # Credits pay for what is due after corrections, and taxes are of what they left.
    compared = (LineKind.CHARGE, LineKind.DISCOUNT, LineKind.MINIMUM, LineKind.MAXIMUM)
    assert [line for line in april.lines if line.kind in compared] == [
        line for line in alone.lines if line.kind in compared
    ]
    if not world.before.credits:
        taxes = [[line for line in each.lines if line.kind is LineKind.TAX] for each in (april, alone)]
        assert taxes[0] == taxes[1]


def _corrected_uses(draft: Draft) -> dict[int, int]:
    key = correction_key("TG-7", "credit grant")
    return {1: -sum(line.minor for line in draft.lines if line.key == key)}


@seed(SEED)
@thorough(EXAMPLES)
@given(st.data())
def test_what_came_back_stays_off_the_bill_when_it_is_made_again(data: st.DataObject) -> None:
    world = data.draw(worlds())
    basis, april = bill_april(world, world.usage)
    corrections = tuple(line for line in april.lines if line.kind is LineKind.CORRECTION)
    bill = issued(world, corrections)
    bill = replace(bill, comes_back=came_back_before(bill.lines, (line.corrects_id for line in corrections)))
    may = replace(
        basis, whole=MAY, service=MAY, segments=basis.ahead, ahead=(), next_whole=None, billed_ahead=(),
        to_correct=(bill,), credits=credits_left(basis.credits, april.credit_uses),
    )  # fmt: skip

    draft = draft_invoice(may, BilledUsage(meters=METERS[:1], current={}, earlier={7: world.usage.current}))

    assert not [line for line in draft.lines if line.kind is LineKind.CORRECTION]


@seed(SEED)
@thorough(EXAMPLES * 4)
@given(st.data())
def test_in_either_way_it_comes_to_what_it_would_if_all_had_been_known(data: st.DataObject) -> None:
    """To the cent for each discount and tax that is rounded on two bills; exactly where the bill is made again."""
    world = data.draw(worlds())
    world = replace(
        world,
        before=replace(world.before, credits=()),
        april=replace(world.april, credits=()),
        first=draft_invoice(replace(world.before, credits=()), world.usage),
    )

    basis, april = bill_april(world, world.usage)

    back = {line.corrects_id for line in april.lines if line.kind is LineKind.CHARGE and line.corrects_id}
    back |= rated_out(basis).get(7, frozenset())
    keys = frozenset(one.line.price_key for one in basis.billed_ahead if one.id in back)
    kept = tuple(one for one in basis.billed_ahead if one.id not in back)
    alone = draft_invoice(replace(basis, billed_ahead=kept, to_correct=()), USED)
    known = sum(without_fees(world, world.usage, keys).values()) + _sum(alone)
    held = {plan.sheet for plan in (*world.before.plans, *basis.plans)}
    roundings = max(len(sheet.discounts) for sheet in held) + len(basis.taxes)
    may_differ = 0 if rated_out(basis) else 2 * roundings + 1
    assert abs(_sum(world.first) + _sum(april) - known) <= may_differ


def _sum(draft: Draft) -> int:
    return sum(line.minor for line in draft.lines if line.kind is not LineKind.CARRIED)
