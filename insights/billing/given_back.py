"""Fees billed ahead that come back, and for which of them the bill that had them is made again without them.

Pure. A fee comes back as a charge below zero where that gives back what was paid: where this invoice takes the same
percents off, bears the same taxes, and neither it nor the one that billed the fee has anything that goes by an amount,
and no credit had paid. Anywhere else the bill that had the fee is rated again, so that its own discount, bounds, tax
and credits come back, and what is due for the time in which the fee was held is charged anew, at this invoice's terms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal

from insights.billing.basis import Basis, Problem, StoredLine
from insights.billing.fee_lines import fee_lines, given_back
from insights.rating.sheet import PriceSheet


def rated_out(basis: Basis) -> Mapping[int, frozenset[int]]:
    """The ids of lines that come back by making their bill again without them, by the bill's id.

    All that comes back of one bill does so in one way: what is left on it decides about its credits and bounds.
    """
    unlike = {
        stored.invoice_id
        for stored in basis.billed_ahead
        if stored.invoice_number and not _is_borne_alike(stored, basis)
    }
    if not unlike:
        return {}
    ahead = basis.billed_ahead
    fees = fee_lines(basis.whole, basis.segments, billed_ahead=ahead, taxes=tuple(basis.taxes))
    found: dict[int, set[int]] = defaultdict(set)
    is_needed: set[int] = set()
    for stored in given_back(fees, ahead):
        found[stored.invoice_id].add(stored.id)
        if not _is_borne_alike(stored, basis):
            is_needed.add(stored.invoice_id)
    return {invoice_id: frozenset(found[invoice_id]) for invoice_id in is_needed}


def _is_borne_alike(stored: StoredLine, basis: Basis) -> bool:
    """Whether this invoice takes off and adds to a charge what the line's own invoice did."""
    last = basis.plans[-1].sheet if basis.plans else None
    percents = () if last is None else percents_of(last)
    # A line that bore none of the taxes that there were is for a price that is not taxed.
    is_taxed_alike = stored.taxes == basis.taxes or bool(stored.taxes and not stored.line.taxes)
    is_by_amount = stored.is_by_amount or any(goes_by_amount(plan.sheet) for plan in basis.plans)
    return is_taxed_alike and stored.discounts == percents and not (is_by_amount or stored.is_paid_by_credit)


def came_to_nothing(
    billed_ahead: Iterable[StoredLine], returned: Mapping[int, frozenset[int]]
) -> frozenset[int]:
    """Those of the lines that have nothing to give back, such as a fee for no seats: what is due is charged anew."""
    ids = frozenset().union(*returned.values())
    return frozenset(
        stored.id
        for stored in billed_ahead
        if stored.id in ids and not (stored.line.minor or stored.line.steps)
    )


def unable_to_give_back(stored: Iterable[StoredLine], came_back: Collection[int]) -> Iterator[Problem]:
    """Fees for a time after the subscription's end, of bills that cannot be made again, unless they came back before.

    A closing invoice has corrections alone, so that such a fee comes back by nobody but a person.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for one in stored:
        if one.id not in came_back and (one.line.minor or one.line.steps):
            found[one.invoice_number].append(one.id)
    for number, lines in sorted(found.items()):
        message = (
            f"A fee that invoice {number} billed ahead is for a time after the end and does not come back: that "
            "invoice cannot be rated again, its usage is archived. Restore its months, or grant a credit."
        )
        yield Problem(code="unable_to_give_back", message=message, about=" ".join(map(str, sorted(lines))))


def percents_of(sheet: PriceSheet) -> tuple[Decimal, ...]:
    """What a plan takes off a whole invoice in percent, one after the other."""
    return tuple(discount.percent for discount in sheet.discounts if discount.percent is not None)


def goes_by_amount(sheet: PriceSheet) -> bool:
    """Whether a plan has a minimum, a maximum or a discount by an amount for a whole invoice."""
    has_amount = any(discount.amount is not None for discount in sheet.discounts)
    return has_amount or sheet.minimum is not None or sheet.maximum is not None


def came_back_before(lines: Iterable[StoredLine], corrected: Iterable[int | None]) -> frozenset[int]:
    """Of a bill's lines, by the ids that earlier invoices corrected: the fees that came back by making it again.

    A fee is corrected by nothing else. It stays off the bill whenever that is made again.
    """
    ids = frozenset(corrected)
    return frozenset(stored.id for stored in lines if stored.id in ids and is_fee(stored))


def is_fee(stored: StoredLine) -> bool:
    """Whether a line is a fee, and not what comes back of one."""
    line = stored.line
    return bool(line.price_key) and not line.meter_key and line.corrects_invoice_id is None
