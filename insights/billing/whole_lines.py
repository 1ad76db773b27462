"""The invoice as a whole: which discounts, bounds, credits and taxes hold for it, and the lines that these become.

A new invoice and one that is rated again use the same functions, at the terms of their own plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from insights.billing.basis import Basis, CreditOffer, DraftLine, ServiceSegment
from insights.billing.bill import INCLUDED_CREDIT
from insights.rating.credits import Credit
from insights.rating.invoice import InvoiceLine, InvoiceTerms, LineKind, RatedInvoice, total_invoice
from insights.rating.proration import share_of
from insights.rating.terms import Bound, Discount
from insights.values.exact import decimal_of
from insights.values.money import Money, currency_decimals
from insights.values.period import Period

# What a plan says for a period.
Said = TypeVar("Said")
# Grants have priorities from 0 on.
_BEFORE_ANY_GRANT = -1
_NAMES = {
    LineKind.DISCOUNT: "Discount",
    LineKind.MINIMUM: "Up to the minimum",
    LineKind.MAXIMUM: "Down to the maximum",
}


def total_lines(lines: Sequence[DraftLine], segments: Sequence[ServiceSegment], basis: Basis) -> RatedInvoice:
    """The rating of the invoice as a whole, at the terms of the plans in force."""
    return total_invoice(
        [
            InvoiceLine(
                key=line.key, kind=line.kind, minor=line.minor, price=line.price_key, taxes=line.taxes,
                takes_credit=line.takes_credit,
            )
            for line in lines
        ],
        whole_terms(segments, basis),
        granted=[offer.credit for offer in basis.credits],
        at=basis.service.start,
    )  # fmt: skip


def whole_terms(segments: Sequence[ServiceSegment], basis: Basis) -> InvoiceTerms:
    """What holds for the invoice: the last plan's discounts, and bounds by the time that each plan was held.

    A bound that is not prorated is the last plan's. Otherwise each plan's counts for its time, rounded to minor units,
    also where the last plan has none. A maximum holds only if every plan has one, and goes before a minimum above it.
    An invoice that opens a subscription bears no bounds and no discount by an amount, for the period's own invoice
    does.
    """
    place = _Place(basis.whole, basis.currency, basis.is_opening, tuple(basis.taxes.items()))
    return _whole_terms(place, tuple(segments))


class _Place(NamedTuple):
    """What the terms of an invoice as a whole follow from besides its plans."""

    whole: Period
    currency: str
    is_opening: bool
    taxes: tuple[tuple[str, Decimal], ...]


@lru_cache(maxsize=1024)
def _whole_terms(basis: _Place, segments: tuple[ServiceSegment, ...]) -> InvoiceTerms:
    """The same for all accounts that have the same plans in the same time."""
    plans = [segment for segment in segments if segment.add_on_id is None]
    is_whole = bool(plans) and not basis.is_opening
    minimum = _bound(basis, [(plan, plan.sheet.minimum) for plan in plans]) if is_whole else None
    maximum = _bound(basis, [(plan, plan.sheet.maximum) for plan in plans]) if is_whole else None
    # A plan without a maximum has no part of one, and what was used on it may come to anything.
    if maximum and any(plan.sheet.maximum is None for plan in plans):
        maximum = None
    if minimum and maximum and minimum.amount > maximum.amount:
        minimum = maximum
    return InvoiceTerms(
        currency=basis.currency,
        discounts=tuple(_discounts(basis, plans)) if plans else (),
        minimum=minimum,
        maximum=maximum,
        minimum_taxes=tuple(name for name, _ in basis.taxes),
        taxes=dict(basis.taxes),
    )


def _discounts(basis: _Place, plans: Sequence[ServiceSegment]) -> Iterator[Discount]:
    """The last plan's discounts; one by time is for all the time its plan was held, rounded to minor units."""
    last = plans[-1].sheet
    for discount in last.discounts:
        if discount.amount is None:
            yield discount
        elif basis.is_opening:
            yield Discount(amount=Decimal(0))
        elif not discount.is_prorated:
            yield discount
        else:
            stays = [(plan, discount) for plan in plans if plan.sheet.plan_key == last.plan_key]
            part = Fraction(discount.amount) * sum(_held(basis.whole, stays).values())
            yield Discount(amount=Money.rounded(part, basis.currency).amount)


def _bound(basis: _Place, bounds: Sequence[tuple[ServiceSegment, Bound | None]]) -> Bound | None:
    last = bounds[-1][1]
    if last is not None and not last.is_prorated:
        return last
    # A bound that is not by time goes with its plan; one by time holds for the time its plan was held.
    if not any(bound is not None and bound.is_prorated for _, bound in bounds):
        return None
    minor = sum(
        Money.rounded(Fraction(bound.amount) * held, basis.currency).minor
        for (_, bound), held in _held(basis.whole, bounds).items()
    )
    return Bound(amount=decimal_of(minor, currency_decimals(basis.currency)))


def _held(
    whole: Period, said: Iterable[tuple[ServiceSegment, Said | None]]
) -> dict[tuple[str, Said], Fraction]:
    """What each plan says for a whole period, with the part of it that the plan was held, however often that was cut.

    By plan, in the order of time: rounded once for each, a change of counts or a plan in between makes no minor unit.
    """
    found: dict[tuple[str, Said], Fraction] = {}
    for segment, one in said:
        if one is not None:
            place = segment.sheet.plan_key, one
            found[place] = found.get(place, Fraction(0)) + share_of(segment.service, whole).fraction
    return found


def whole_lines(rated: RatedInvoice, lines: Sequence[DraftLine], basis: Basis) -> tuple[DraftLine, ...]:
    """The lines that rating the whole invoice added, with names for a bill."""
    names = {f"credit {offer.credit.key}": offer.name for offer in basis.credits}
    names |= {f"tax {name}": f"{name} {percent.normalize():f} %" for name, percent in basis.taxes.items()}
    return tuple(
        DraftLine(
            key=line.key,
            kind=line.kind,
            name=names.get(line.key) or _NAMES[line.kind],
            service=basis.service,
            minor=line.minor,
            allotted=line.allotted,
            taxes=line.taxes,
        )
        for line in rated.lines[len(lines) :]
    )


def carried_line(service: Period, minor: int) -> DraftLine:
    """What an invoice below zero leaves for the next one, in minor units above zero; with it the total is zero."""
    return DraftLine(
        key="carried",
        kind=LineKind.CARRIED,
        name="Carried to the next bill",
        service=service,
        minor=minor,
    )


def offer_included_credits(
    whole: Period, service: Period, plans: Sequence[ServiceSegment], currency: str
) -> tuple[CreditOffer, ...]:
    """The money that comes with the plans of the period, by the time each was held; used before any grant."""
    offers = []
    held = _held(whole, [(plan, plan.sheet.included_credit) for plan in plans])
    for number, ((plan_key, included), part) in enumerate(held.items()):
        exact = Fraction(included.amount) * part
        credit = Credit(
            key=f"{INCLUDED_CREDIT}{plan_key} {number}",
            name=included.name,
            remaining_minor=Money.rounded(exact, currency).minor,
            granted_at=service.start,
            expires_at=service.end,
            priority=_BEFORE_ANY_GRANT,
            covers=None if included.covers is None else frozenset(included.covers),
        )
        offers.append(CreditOffer(credit=credit, name=included.name, kind="included"))
    return tuple(offers)
