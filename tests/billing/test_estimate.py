"""Estimates rate a bill's own quantities by the functions that make bills: its own plan gives the bill, to the cent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from insights.billing.basis import Draft, IssuedBill, StoredLine
from insights.billing.billed_quantities import MeterTraits, billed_quantities, regrouped
from insights.billing.draft import draft_invoice
from insights.billing.estimate import billed_side, estimated_side, is_on_plan, plan_throughout
from insights.rating.invoice import LineKind
from tests.scenarios.pairs import MARCH, Pair, make_pair

PAIRS = 300
_NAMES = {"requests": "Requests"}
_ADDS = MeterTraits(adds_over_time=True, adds_over_values=True)


def issued_bill(pair: Pair) -> tuple[IssuedBill, Draft]:
    draft = draft_invoice(pair.basis, pair.usage)
    stored = tuple(
        StoredLine(id=number, invoice_id=7, invoice_number="TG-7", line=line)
        for number, line in enumerate(draft.lines, 1)
    )
    bill = IssuedBill(
        id=7, number="TG-7", period=pair.basis.service, whole=MARCH, segments=pair.basis.plans,
        taxes=pair.basis.taxes, credits=pair.basis.credits, lines=stored,
    )  # fmt: skip
    return bill, draft


@pytest.mark.parametrize("first", range(0, PAIRS, 30))
def test_its_own_plan_gives_the_bill_to_the_cent(first: int) -> None:
    for number in range(first, first + 30):
        pair = make_pair(number)
        # Without credits that belong to the account, so that the whole bill is what the plan makes of it.
        pair = replace(
            pair,
            basis=replace(
                pair.basis, credits=tuple(one for one in pair.basis.credits if one.grant_id is None)
            ),
        )
        bill, draft = issued_bill(pair)

        side = billed_side(
            pair.basis, bill, pair.usage.meters, billed_quantities(bill, pair.usage.meters), _NAMES
        )

        kept = [line for line in draft.lines if line.kind is not LineKind.CARRIED]
        assert sorted((line.key, line.amount.minor, line.steps) for line in side.lines) == sorted(
            (line.key, line.minor, line.steps) for line in kept
        ), number
        if len(kept) == len(draft.lines):
            assert side.total.minor == draft.total_minor, number


@pytest.mark.parametrize("first", range(0, PAIRS, 30))
def test_every_charge_of_a_bill_with_credits_is_as_billed(first: int) -> None:
    for number in range(first, first + 30):
        pair = make_pair(number)
        bill, draft = issued_bill(pair)

        side = billed_side(
            pair.basis, bill, pair.usage.meters, billed_quantities(bill, pair.usage.meters), _NAMES
        )

        charged = {line.key: line.amount.minor for line in side.lines if line.kind is LineKind.CHARGE}
        assert charged == {line.key: line.minor for line in draft.lines if line.kind is LineKind.CHARGE}, (
            number
        )
        assert not any(line.kind is LineKind.CORRECTION for line in side.lines)


@pytest.mark.parametrize("first", range(0, PAIRS, 30))
def test_a_plan_throughout_is_charged_for_all_that_was_used(first: int) -> None:
    """No quantity is lost or counted twice on the way to another plan, and its draft is that of the same quantities."""
    for number in range(first, first + 30):
        pair = make_pair(number)
        bill, _ = issued_bill(pair)
        meters = pair.usage.meters
        billed = billed_quantities(bill, meters)
        sheet = bill.segments[0].sheet
        basis = replace(pair.basis, segments=plan_throughout(bill, sheet, bill.segments[0].counts, ()))
        metered = {
            (0, meter.id): regrouped(bill, billed, meter, sheet.by_meter.get(meter.key), _ADDS)
            for meter in meters
        }
        if any(quantities is None for quantities in metered.values()):
            continue
        known = {place: quantities for place, quantities in metered.items() if quantities is not None}

        side = estimated_side(basis, meters, known, _NAMES)

        for meter in meters:
            stored = [
                line.line.metered_quantity or 0
                for line in bill.lines
                if line.line.meter_key == meter.key and line.line.kind is LineKind.CHARGE
            ]
            rated = [line.metered_quantity or 0 for line in side.lines if line.meter_key == meter.key]
            unpriced = [one.quantity for one in side.unpriced if one.meter_key == meter.key]
            if meter.key in sheet.by_meter and not side.problems:
                assert sum(rated) + sum(unpriced) == sum(stored), (number, meter.key)


def test_only_a_bill_of_one_plan_is_on_it() -> None:
    plans = [{segment.sheet.plan_key for segment in issued_bill(make_pair(n))[0].segments} for n in range(60)]
    bills = [issued_bill(make_pair(n))[0] for n in range(60)]

    assert [is_on_plan(bill, "a") for bill in bills] == [keys == {"a"} for keys in plans]
    assert {len(keys) for keys in plans} == {1, 2}
