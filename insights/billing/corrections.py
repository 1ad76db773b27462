"""Late and corrected usage, and fees that come back: an issued invoice is rated again, and lines of the next differ.

At the stored prices, tax and credits of the invoice that is corrected. A correction names the line it corrects and is
what that line comes to now, less what it was billed at, less what earlier corrections of it came to. So billed lines
and all their corrections add to what the usage known now comes to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from insights.billing.basis import (
    Basis,
    CreditOffer,
    DraftLine,
    IssuedBill,
    MeterOfBill,
    Problem,
    StoredLine,
    Unpriced,
    line_key,
)
from insights.billing.fee_lines import rated_of
from insights.billing.usage_lines import MeteredUsage, usage_lines
from insights.billing.whole_lines import total_lines, whole_lines
from insights.rating.invoice import LineKind
from insights.rating.rate import RatedLine, correct_line
from insights.values.exact import EXACT
from insights.values.money import Money

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Lines for the next invoice, and how much more of each grant they take (below zero: give back).

    `skipped` are ids of bills that cannot be rated any more, and are left as they were; `came_back` ids of the fees
    that are left out of bills that were rated again.
    """

    lines: tuple[DraftLine, ...] = ()
    credit_uses: Mapping[int, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    skipped: tuple[int, ...] = ()
    came_back: frozenset[int] = frozenset()


def correct_bills(
    basis: Basis,
    meters: Sequence[MeterOfBill],
    usage: Mapping[int, MeteredUsage],
    lost: Mapping[int, frozenset[str]],
) -> Corrections:
    """Correct every bill of the basis that usage came late for, or of which a fee billed ahead comes back.

    By the bill's id: `usage` as known now, and keys of meters with usage that nobody priced then.
    """
    lines: list[DraftLine] = []
    problems: list[Problem] = []
    uses: dict[int, int] = {}
    skipped: list[int] = []
    came_back: set[int] = set()
    for stored in basis.to_correct:
        left = {offer.grant_id: offer.credit.remaining_minor for offer in credits_left(basis.credits, uses)}
        offers = credits_for_correction(stored.credits, stored.credits_used, left)
        bill = replace(stored, credits=offers)
        again = rate_again(basis, bill, meters, usage.get(bill.id, {}), lost=lost.get(bill.id, frozenset()))
        problems += again.problems
        if not again.is_whole:
            skipped.append(bill.id)
            continue
        came_back |= bill.comes_back
        found = list(_differences(bill, again.lines, basis.currency))
        lines += found
        for offer in bill.credits:
            name = correction_key(bill.number, f"credit {offer.credit.key}")
            changed = sum(line.minor for line in found if line.key == name)
            if offer.grant_id is not None and changed:
                uses[offer.grant_id] = uses.get(offer.grant_id, 0) - changed
    return Corrections(
        lines=tuple(lines),
        credit_uses=uses,
        problems=tuple(problems),
        skipped=tuple(skipped),
        came_back=frozenset(came_back),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedAgain:
    """All lines of an issued invoice as they come out with the usage known now.

    Not whole if a price that has a line on it cannot be rated any more, for the others say nothing then.
    """

    lines: tuple[DraftLine, ...]
    problems: tuple[Problem, ...] = ()
    is_whole: bool = True


def _without_line(usages: Iterable[Unpriced]) -> set[tuple[str, str, Decimal]]:
    """How much of each meter had no line, in each unit."""
    totals: dict[tuple[str, str], Decimal] = {}
    for one in usages:
        place = one.meter_key, one.unit
        totals[place] = EXACT.add(totals.get(place, _ZERO), one.quantity)
    return {(*place, total) for place, total in totals.items()}


def rate_again(
    basis: Basis,
    bill: IssuedBill,
    meters: Sequence[MeterOfBill],
    metered: MeteredUsage,
    *,
    lost: frozenset[str] = frozenset(),
) -> RatedAgain:
    """Rate an issued invoice with other usage: its own plans, fees, taxes and credits, by the same functions.

    The corrections on it are lines of it as they are: they decide with the others how much credit was to be used.
    """
    taxes = tuple(bill.taxes)
    plans = [segment for segment in bill.used_segments if segment.add_on_id is None]
    used = usage_lines(bill.whole, plans, meters, metered, taxes=taxes)
    problems = [
        replace(problem, message=f"Late usage for invoice {bill.number}: {problem.message}")
        for problem in used.problems
    ]
    changed = _without_line((*used.unpriced, *used.counted)) ^ _without_line(bill.unpriced)
    # What is counted by a percentage has its price there, unless some was used where none counted it.
    counted = {one.meter_key for one in used.counted} - {one.meter_key for one in used.unpriced}
    named = {key for key, _, _ in changed if key not in counted and not bill.is_elsewhere(key, lost)}
    if named:
        message = f"Late usage for invoice {bill.number} has no price there: {', '.join(sorted(named))}."
        problems.append(Problem(code="unpriced_meter", message=message))
    kept = [
        stored.line
        for stored in bill.lines
        if stored.line.kind is LineKind.CHARGE
        and not stored.line.meter_key
        and stored.id not in bill.comes_back
    ]
    earlier = [stored.line for stored in bill.lines if stored.line.kind is LineKind.CORRECTION]
    base = (*kept, *used.lines, *earlier)
    then = replace(
        basis,
        whole=bill.whole,
        service=bill.period,
        segments=bill.segments,
        taxes=bill.taxes,
        credits=bill.credits,
        is_opening=bill.is_opening,
        is_closing=False,
        to_correct=(),
    )
    rated = total_lines(base, bill.segments, then)
    return RatedAgain(
        lines=(*base, *whole_lines(rated, base, then)),
        problems=tuple(problems),
        is_whole=used.unrated.isdisjoint(stored.line.price_key for stored in bill.lines),
    )


def _differences(bill: IssuedBill, now: Iterable[DraftLine], currency: str) -> Iterator[DraftLine]:
    billed = {stored.line.key: stored for stored in bill.lines if stored.line.kind is not LineKind.CORRECTION}
    earlier = _earlier_by_key(bill.corrections)
    for line in now:
        if line.kind is not LineKind.CORRECTION:
            before = earlier.pop(correction_key(bill.number, line.key), ())
            yield from _difference(bill, line.key, billed.pop(line.key, None), line, before, currency)
    for key, stored in billed.items():
        # What was carried was paid out as a credit; it is settled there.
        if stored.line.kind is not LineKind.CARRIED:
            before = earlier.pop(correction_key(bill.number, key), ())
            yield from _difference(bill, key, stored, None, before, currency)
    for before in earlier.values():
        yield from _undone(before, currency)


def _undone(corrections: Sequence[DraftLine], currency: str) -> Iterator[DraftLine]:
    """The end of a line that the bill never had: it came with corrections, and its usage is gone again."""
    change = _nothing(currency)
    for correction in corrections:
        change = correct_line(rated_of(correction, currency), change)
    yield from _correction(corrections[-1], change)


def _earlier_by_key(corrections: Iterable[DraftLine]) -> dict[str, list[DraftLine]]:
    found: dict[str, list[DraftLine]] = {}
    for line in corrections:
        found.setdefault(line.key, []).append(line)
    return found


def _difference(
    bill: IssuedBill,
    key: str,
    stored: StoredLine | None,
    now: DraftLine | None,
    earlier: Sequence[DraftLine],
    currency: str,
) -> Iterator[DraftLine]:
    line = now or (stored.line if stored else None)
    if line is None:
        return
    change = correct_line(
        rated_of(stored.line, currency) if stored else _nothing(currency),
        rated_of(now, currency) if now else _nothing(currency),
    )
    for correction in earlier:
        change = correct_line(rated_of(correction, currency), change)
    name = correction_key(bill.number, key)
    named = replace(line, key=name, corrects_id=stored.id if stored else None, corrects_invoice_id=bill.id)
    yield from _correction(named, change)


def _correction(line: DraftLine, change: RatedLine) -> Iterator[DraftLine]:
    """The line as a correction that comes to the change, if it comes to anything."""
    if not change.amount.minor and not change.metered_quantity and not change.steps:
        return
    yield replace(
        line,
        kind=LineKind.CORRECTION,
        minor=change.amount.minor,
        metered_quantity=None if line.metered_quantity is None else change.metered_quantity,
        billed_quantity=None if line.billed_quantity is None else change.billed_quantity,
        steps=change.steps,
        allotted={},
        taxes=(),
        takes_credit=False,
    )


def correction_key(number: str, key: str) -> str:
    """What every correction of one line of the invoice of this number is called, on whichever invoice it stands."""
    return line_key("correction", number, key)


def _nothing(currency: str) -> RatedLine:
    return RatedLine(metered_quantity=_ZERO, billed_quantity=Fraction(0), steps=(), amount=Money(0, currency))


def credits_left(offers: Iterable[CreditOffer], uses: Mapping[int, int]) -> tuple[CreditOffer, ...]:
    """The credits after these uses, in minor units by grant; what is given back is there again."""
    return tuple(
        offer
        if offer.grant_id is None or not uses.get(offer.grant_id)
        else replace(
            offer,
            credit=replace(offer.credit, remaining_minor=offer.credit.remaining_minor - uses[offer.grant_id]),
        )
        for offer in offers
    )


def credits_for_correction(
    offers: Iterable[CreditOffer], used: Mapping[str, int], left_now: Mapping[int | None, int]
) -> tuple[CreditOffer, ...]:
    """The credits an invoice had, as far as they are still there: what it used, and what nobody used since.

    `used` is by the credit's key what the invoice took, corrections included; `left_now` by grant what is left today.
    """
    found = []
    for offer in offers:
        if offer.grant_id is None:
            found.append(offer)
            continue
        taken = used.get(offer.credit.key, 0)
        more = min(offer.credit.remaining_minor - taken, left_now.get(offer.grant_id, 0))
        found.append(replace(offer, credit=replace(offer.credit, remaining_minor=taken + max(more, 0))))
    return tuple(found)
