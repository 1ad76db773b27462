"""The one function that makes an invoice of a basis and the usage metered for it: `draft_invoice`, top to bottom.

Pure: the same basis and usage give the same lines, whoever asks and whenever. An issued invoice, a running draft and
an invoice that is rated again all come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from insights.billing.basis import (
    Basis,
    CreditOffer,
    Draft,
    DraftLine,
    MeterOfBill,
    Problem,
    Unpriced,
)
from insights.billing.corrections import correct_bills, credits_left
from insights.billing.fee_lines import fee_lines, fees_ahead
from insights.billing.given_back import came_to_nothing, rated_out
from insights.billing.usage_lines import MeteredUsage, usage_lines
from insights.billing.whole_lines import carried_line, total_lines, whole_lines
from insights.rating.invoice import RatedInvoice


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledUsage:
    """What was metered at one position: in the period itself, and in the periods of bills to correct, by their id.

    `records` is how many records the period itself is made of. `lost` are keys of meters that other subscriptions price
    and that have usage at a time at which nobody does, `earlier_lost` the same of bills to correct.
    """

    meters: tuple[MeterOfBill, ...]
    current: MeteredUsage
    earlier: Mapping[int, MeteredUsage]
    records: int = 0
    lost: frozenset[str] = frozenset()
    earlier_lost: Mapping[int, frozenset[str]] = field(default_factory=dict)


def draft_invoice(basis: Basis, usage: BilledUsage) -> Draft:
    """Fees, usage, corrections of earlier bills; then discounts, bounds, credits and taxes; then what is carried.

    What has no price or cannot be rated is named and left out, so that a person looks before it is issued.
    """
    taxes = tuple(basis.taxes)
    if basis.is_opening:
        return _finish(basis, fees_ahead(basis.whole, basis.segments, taxes=taxes), (), (), {})
    corrected = correct_bills(basis, usage.meters, usage.earlier, usage.earlier_lost)
    returned = rated_out(basis)
    came_back = corrected.came_back | came_to_nothing(basis.billed_ahead, returned)
    billed_ahead = tuple(one for one in basis.billed_ahead if one.id not in came_back)
    fees = fee_lines(basis.whole, basis.segments, billed_ahead=billed_ahead, taxes=taxes)
    ahead = fees_ahead(basis.next_whole, basis.ahead, taxes=taxes) if basis.next_whole else ()
    stuck = _unable_to_give_back(basis, returned, came_back)
    used = usage_lines(basis.whole, basis.plans, usage.meters, usage.current, taxes=taxes)
    lines = (*fees, *ahead, *used.lines, *corrected.lines)
    if corrected.credit_uses:
        # Corrections come first, so that they and the invoice's own lines never take the same credit.
        basis = replace(basis, credits=credits_left(basis.credits, corrected.credit_uses))
    elsewhere = tuple(one for one in used.unpriced if basis.is_elsewhere(one.meter_key, usage.lost))
    unpriced = tuple(one for one in used.unpriced if one not in elsewhere)
    draft = _finish(
        basis, lines, unpriced, (*stuck, *used.problems, *corrected.problems), corrected.credit_uses
    )
    return replace(draft, priced_elsewhere=(*elsewhere, *used.counted), uncorrected=corrected.skipped)


def _unable_to_give_back(
    basis: Basis, returned: Mapping[int, frozenset[int]], came_back: frozenset[int]
) -> Iterator[Problem]:
    """Fees that come back at other terms than they were billed at, of bills that cannot be made again."""
    numbers = {stored.invoice_id: stored.invoice_number for stored in basis.billed_ahead}
    for invoice_id, lines in returned.items():
        if not lines <= came_back:
            message = (
                f"A fee that invoice {numbers[invoice_id]} billed ahead comes back at other terms, and that invoice "
                "cannot be rated again: its usage is archived, or has no price any more."
            )
            about = " ".join(map(str, sorted(lines - came_back)))
            yield Problem(code="unable_to_give_back", message=message, about=about)


def _finish(
    basis: Basis,
    lines: Sequence[DraftLine],
    unpriced: tuple[Unpriced, ...],
    problems: tuple[Problem, ...],
    corrected_uses: Mapping[int, int],
) -> Draft:
    rated = total_lines(lines, basis.segments, basis)
    whole = whole_lines(rated, lines, basis)
    total = rated.total.minor
    carried: tuple[DraftLine, ...] = ()
    if total < 0:
        total, carried = 0, (carried_line(basis.service, -rated.total.minor),)
    return Draft(
        lines=(*lines, *whole, *carried),
        total_minor=total,
        currency=basis.currency,
        credit_uses=_credit_uses(rated, basis.credits, corrected_uses),
        credits=basis.credits,
        unpriced=unpriced,
        problems=(*basis.problems, *problems),
    )


def _credit_uses(
    rated: RatedInvoice, offers: Sequence[CreditOffer], corrected: Mapping[int, int]
) -> dict[int, int]:
    grants = {offer.credit.key: offer.grant_id for offer in offers}
    uses = dict(corrected)
    for use in rated.credits:
        grant_id = grants[use.key]
        if grant_id is not None:
            uses[grant_id] = uses.get(grant_id, 0) + use.minor
    return {grant_id: minor for grant_id, minor in uses.items() if minor}
