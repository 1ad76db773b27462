"""An invoice's own arithmetic over lines that are already rounded. The order is in `total_invoice`, top to bottom.

Discount, minimum, maximum, credits and tax become lines of their own, in minor units; the lines add to the total.
Refuses two lines of one key and taxes that nobody defined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from insights.rating.adjustments import bound_amount, discount_step
from insights.rating.credits import Credit, CreditUse, burn_credits, burn_order
from insights.rating.figures import InvalidTerms, check_amount
from insights.rating.terms import Bound, Discount, check_discount
from insights.values.exact import PER_CENT, round_half_away
from insights.values.money import Money, currency_decimals, minor_of, rounded_minor, split
from insights.values.share import WHOLE


class LineKind(StrEnum):
    """What a line of an invoice is; the first two are given, the rest are made here."""

    CHARGE = "charge"
    CORRECTION = "correction"
    DISCOUNT = "discount"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    CREDIT = "credit"
    TAX = "tax"
    CARRIED = "carried"


class InvalidInvoice(ValueError):
    """The lines, taxes or bounds given do not make one invoice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """One line in minor units. `taxes` are keys of the taxes taken of it; `price` is what credits are granted for.

    A line with `takes_credit` may be paid by credits. What a line made here takes off others is in `allotted`, by
    their keys. Corrections were adjusted and taxed on the invoice they correct, and are left alone.
    """

    key: str
    kind: LineKind
    minor: int
    price: str = ""
    taxes: tuple[str, ...] = ()
    takes_credit: bool = False
    allotted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceTerms:
    """What holds for the invoice as a whole: amounts in major units, taxes as percent by key.

    `minimum_taxes` are the taxes of the line that lifts the invoice to its minimum.
    """

    currency: str
    discounts: tuple[Discount, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    minimum_taxes: tuple[str, ...] = ()
    taxes: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        currency_decimals(self.currency)
        for number, discount in enumerate(self.discounts, 1):
            check_discount(f"discount {number}", discount)
        for bound in (self.minimum, self.maximum):
            if bound is not None:
                check_amount("minimum or maximum", bound.amount)
        adjustments = (*self.discounts, self.minimum, self.maximum)
        if any(each is not None and each.is_prorated for each in adjustments):
            raise InvalidTerms("what holds for a whole invoice is not prorated")
        if self.minimum and self.maximum and self.minimum.amount > self.maximum.amount:
            raise InvalidTerms("the minimum is above the maximum")
        for key, percent in self.taxes.items():
            check_amount(f"tax {key}", percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedInvoice:
    """All lines in order and what they add to; a total below zero is the account's."""

    lines: tuple[InvoiceLine, ...]
    credits: tuple[CreditUse, ...]
    total: Money


def total_invoice(
    lines: Sequence[InvoiceLine], terms: InvoiceTerms, *, granted: Sequence[Credit] = (), at: datetime
) -> RatedInvoice:
    """Discounts, minimum, maximum, credits before tax, tax once per rate, credits after tax: in this order.

    `at` decides which credits are usable. Raises InvalidInvoice.
    """
    bill = _Bill(list(lines), terms)
    for number, discount in enumerate(terms.discounts, 1):
        bill.discount(f"discount {number}", discount)
    bill.lift_to_minimum()
    bill.lower_to_maximum()
    usable = burn_order(granted, at)
    bill.use_credits([credit for credit in usable if credit.is_before_tax])
    bill.add_taxes()
    bill.pay_with_credits([credit for credit in usable if not credit.is_before_tax])
    return RatedInvoice(
        lines=tuple(bill.lines), credits=tuple(bill.uses), total=Money(bill.due, terms.currency)
    )


class _Bill:
    """An invoice while it is made: its lines so far, and what is left of each after what was taken off it."""

    def __init__(self, lines: list[InvoiceLine], terms: InvoiceTerms) -> None:
        self.terms = terms
        self.lines: list[InvoiceLine] = []
        self.left: dict[str, int] = {}
        self.uses: list[CreditUse] = []
        for line in lines:
            self._add(line)

    def _add(self, line: InvoiceLine) -> None:
        if line.key in self.left:
            raise InvalidInvoice(f"there are two lines {line.key!r}")
        if missing := {name for name in line.taxes if name not in self.terms.taxes}:
            raise InvalidInvoice(f"line {line.key!r} has unknown taxes: {', '.join(sorted(missing))}")
        self.lines.append(line)
        self.left[line.key] = 0 if line.allotted else line.minor
        for key, minor in line.allotted.items():
            self.left[key] += minor

    @property
    def due(self) -> int:
        """The sum of all lines so far."""
        return sum(line.minor for line in self.lines)

    def _left_of(self, lines: Iterable[InvoiceLine]) -> dict[str, int]:
        return {line.key: self.left[line.key] for line in lines}

    def _adjustable(self) -> dict[str, int]:
        return self._left_of(line for line in self.lines if line.kind in (LineKind.CHARGE, LineKind.MINIMUM))

    def _take_off(self, key: str, kind: LineKind, minor: int, weights: Mapping[str, int]) -> None:
        allotted = split(minor, {each: Fraction(weight) for each, weight in weights.items()})
        self._add(InvoiceLine(key=key, kind=kind, minor=minor, allotted=allotted))

    def discount(self, key: str, discount: Discount) -> None:
        weights = self._adjustable()
        subtotal = sum(weights.values())
        major = Fraction(subtotal) / minor_of(Decimal(1), self.terms.currency)
        off = self._rounded(discount_step(discount, major, WHOLE).amount)
        if off:
            self._take_off(key, LineKind.DISCOUNT, off, weights)

    def lift_to_minimum(self) -> None:
        if self.terms.minimum is None:
            return
        missing = self._rounded(bound_amount(self.terms.minimum, WHOLE)) - sum(self._adjustable().values())
        if missing > 0:
            taxes = self.terms.minimum_taxes
            self._add(InvoiceLine(key="minimum", kind=LineKind.MINIMUM, minor=missing, taxes=taxes))

    def lower_to_maximum(self) -> None:
        if self.terms.maximum is None:
            return
        weights = self._adjustable()
        excess = sum(weights.values()) - self._rounded(bound_amount(self.terms.maximum, WHOLE))
        if excess > 0:
            self._take_off("maximum", LineKind.MAXIMUM, -excess, weights)

    def use_credits(self, granted: Sequence[Credit]) -> None:
        paid = [line for line in self.lines if line.takes_credit]
        self._burn(granted, self._left_of(paid), {line.key: line.price for line in paid})

    def pay_with_credits(self, granted: Sequence[Credit]) -> None:
        everything = {"": self.due}
        for use in burn_credits(granted, open_minor=everything, prices={"": ""}, due_minor=self.due):
            self.uses.append(use)
            self._add(InvoiceLine(key=f"credit {use.key}", kind=LineKind.CREDIT, minor=-use.minor))

    def _burn(self, granted: Sequence[Credit], weights: dict[str, int], prices: dict[str, str]) -> None:
        for use in burn_credits(granted, open_minor=weights, prices=prices, due_minor=self.due):
            self.uses.append(use)
            allotted = {key: -minor for key, minor in use.allotted.items()}
            self._add(
                InvoiceLine(
                    key=f"credit {use.key}", kind=LineKind.CREDIT, minor=-use.minor, allotted=allotted
                )
            )

    def add_taxes(self) -> None:
        for key, percent in self.terms.taxes.items():
            taxed = [line for line in self.lines if key in line.taxes]
            base = sum(self._left_of(taxed).values())
            minor = round_half_away(base * Fraction(percent) * PER_CENT)
            if taxed:
                self._add(InvoiceLine(key=f"tax {key}", kind=LineKind.TAX, minor=minor))

    def _rounded(self, amount: Fraction) -> int:
        return rounded_minor(amount, self.terms.currency)
