"""The one function that makes an invoice of a basis and the usage metered for it: `draft_invoice`, top to bottom.

Pure: the same basis and usage give the same lines, whoever asks and whenever. An issued invoice, a running draft and
an invoice that is rated again all come from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from insights.billing.basis import (
    Basis,
    CreditOffer,
    Draft,
    DraftLine,
    MeterOfBill,
    Problem,
    StoredLine,
    Unpriced,
)
from insights.billing.corrections import correct_bills, credits_left
from insights.billing.fee_lines import fee_lines, fees_ahead, given_back
from insights.billing.usage_lines import MeteredUsage, usage_lines
from insights.billing.whole_lines import carried_line, total_lines, whole_lines
from insights.rating.invoice import RatedInvoice

_TAXES_CHANGED = Problem(
    code="taxes_changed",
    message="A fee that was billed ahead comes back, and the taxes it bore are others now.",
)
_DISCOUNTS_CHANGED = Problem(
    code="discounts_changed",
    message="A fee that was billed ahead comes back, and the discount it was billed with is another now.",
)
_CREDIT_GIVEN_BACK = Problem(
    code="credit_given_back",
    message="A fee that was billed ahead comes back in money, and a credit had paid for it, or for a part of it.",
)


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
    fees = fee_lines(basis.whole, basis.segments, billed_ahead=basis.billed_ahead, taxes=taxes)
    ahead = fees_ahead(basis.next_whole, basis.ahead, taxes=taxes) if basis.next_whole else ()
    changed = _changed_since(given_back(fees, basis.billed_ahead), basis)
    used = usage_lines(basis.whole, basis.plans, usage.meters, usage.current, taxes=taxes)
    corrected = correct_bills(basis, usage.meters, usage.earlier, usage.earlier_lost)
    lines = (*fees, *ahead, *used.lines, *corrected.lines)
    if corrected.credit_uses:
        # Corrections come first, so that they and the invoice's own lines never take the same credit.
        basis = replace(basis, credits=credits_left(basis.credits, corrected.credit_uses))
    elsewhere = tuple(one for one in used.unpriced if basis.is_elsewhere(one.meter_key, usage.lost))
    unpriced = tuple(one for one in used.unpriced if one not in elsewhere)
    draft = _finish(
        basis, lines, unpriced, (*changed, *used.problems, *corrected.problems), corrected.credit_uses
    )
    return replace(draft, priced_elsewhere=(*elsewhere, *used.counted), uncorrected=corrected.skipped)


def _changed_since(returned: Iterable[StoredLine], basis: Basis) -> Iterator[Problem]:
    """What keeps a fee billed ahead from coming back as it was paid: other taxes, other discounts, or a credit."""
    last = basis.plans[-1].sheet.discounts if basis.plans else ()
    percents = tuple(discount.percent for discount in last if discount.percent is not None)
    returned = tuple(returned)
    for problem, found in (
        (_TAXES_CHANGED, [stored for stored in returned if _bears_other_taxes(stored, basis)]),
        (_DISCOUNTS_CHANGED, [stored for stored in returned if stored.discounts != percents]),
        (_CREDIT_GIVEN_BACK, [stored for stored in returned if stored.is_paid_by_credit]),
    ):
        if found:
            # Another fee that comes back later is another finding.
            yield replace(problem, about=" ".join(str(stored.id) for stored in found))


def _bears_other_taxes(stored: StoredLine, basis: Basis) -> bool:
    return any(stored.taxes.get(name) != basis.taxes.get(name) for name in stored.line.taxes)


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
