"""The ruler of a plan change: shares that tile, and a cost without the change that is what billing would have made."""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from insights.billing.basis import Basis, Draft, StoredLine
from insights.billing.bill_facts import bill_ruler
from insights.billing.draft import BilledUsage, draft_invoice
from insights.rating.invoice import LineKind
from insights.values.period import Period
from tests.scenarios.pairs import MARCH, bill_of, make_pair

PAIRS = int(os.environ.get("EXAMPLES", "500"))


def without_the_change(basis: Basis, usage: BilledUsage) -> Draft:
    """The bill if the first plan had gone on with the count it began with, and all usage had been on it."""
    first = basis.plans[0]
    stayed = replace(first, service=basis.service)
    merged: dict[tuple[int, int], dict[tuple[str, ...], Decimal]] = {}
    for (_, meter), values in usage.current.items():
        place = merged.setdefault((0, meter), {})
        for value, quantity in values.items():
            place[value] = place.get(value, Decimal(0)) + quantity
    assert basis.next_whole is not None
    alone = replace(basis, segments=(stayed,), ahead=(replace(first, service=basis.next_whole),))
    return draft_invoice(alone, replace(usage, current=merged))


def charges(draft: Draft) -> int:
    """What plans' own lines come to, before what holds for the whole bill."""
    return sum(
        line.minor for line in draft.lines if line.kind is LineKind.CHARGE and line.plan_key != "extra"
    )


def billed_ahead(basis: Basis, usage: BilledUsage) -> Basis:
    """The same month, of which the bill before had the fees in advance of its first plan."""
    opening = replace(
        basis, is_opening=True, segments=(replace(basis.plans[0], service=MARCH),), service=MARCH
    )
    lines = draft_invoice(opening, usage).lines
    stored = tuple(
        StoredLine(id=number, invoice_id=5, invoice_number="TG-5", line=line)
        for number, line in enumerate(lines, 1)
        if line.kind is LineKind.CHARGE
    )
    return replace(basis, billed_ahead=stored)


def test_the_cost_without_the_change_is_what_billing_would_have_made() -> None:
    told = 0
    for number in range(PAIRS):
        pair = make_pair(number)
        starts_whole = pair.basis.service == MARCH
        for basis in (pair.basis, billed_ahead(pair.basis, pair.usage))[: 2 if starts_whole else 1]:
            draft = draft_invoice(basis, pair.usage)
            ruler = bill_ruler(bill_of(basis, draft))
            if ruler is None:
                assert len(basis.plans) == 1
                continue
            assert ruler.billed.minor == charges(draft), number
            if ruler.without is not None:
                told += 1
                assert ruler.without.minor == charges(without_the_change(basis, pair.usage)), number
    assert told > PAIRS // 5


def test_the_shares_tile_the_time_that_is_subscribed() -> None:
    seen = 0
    for number in range(PAIRS // 5):
        pair = make_pair(number)
        ruler = bill_ruler(pair.before)
        if ruler is None:
            continue
        seen += 1
        shares = sum((share.fraction for _, share in ruler.stretches), Fraction(0))
        service = Period(pair.basis.service.start, pair.basis.service.end)
        assert shares == Fraction(service.duration // MARCH.duration) or shares == Fraction(
            int(service.duration.total_seconds()), int(MARCH.duration.total_seconds())
        )
    assert seen
