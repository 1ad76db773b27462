"""What a price says: the frozen input of rating, complete and checked before anything is calculated with it.

Refuses a minimum above its maximum, a percentage of what is no money, and anything a price leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from insights.rating.charges import ChargeModel, Flat, GraduatedPercentage, Percentage, check_charge
from insights.rating.figures import InvalidTerms, check_above_zero, check_amount
from insights.values.money import currency_decimals

HUNDRED = Decimal(100)


class FeeTiming(StrEnum):
    """Which period a line on a period's invoice is for: the next one, the same one, or it is due only once."""

    IN_ADVANCE = "in_advance"
    IN_ARREARS = "in_arrears"
    ONCE = "once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The unit a price is for, and how many of the meter's unit make one: 10^9 B are one GB, 2^30 one GiB."""

    unit: str
    units_per: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """Lowers the line, never below zero: by a percent of what it came to, or by an amount, one of the two."""

    percent: Decimal | None = None
    amount: Decimal | None = None
    is_prorated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The least or the most a line may come to, for a whole period or for the part of it that the line is for."""

    amount: Decimal
    is_prorated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """One price as it stood when a line was rated; amounts in major units, `included` in the price's unit.

    `unit` is the meter's. `is_prorated` charges the part of a period that the line is for. A price with an
    `exempt_reason` shows its quantity and charges nothing for it.
    """

    currency: str
    charge: ChargeModel
    unit: str = ""
    conversion: Conversion | None = None
    included: Decimal = Decimal(0)
    discounts: tuple[Discount, ...] = ()
    minimum: Bound | None = None
    maximum: Bound | None = None
    timing: FeeTiming = FeeTiming.IN_ARREARS
    is_prorated: bool = False
    exempt_reason: str = ""

    def __post_init__(self) -> None:
        check_terms(self)

    @property
    def priced_unit(self) -> str:
        """The unit that amounts and included usage are for."""
        return self.conversion.unit if self.conversion else self.unit


def check_terms(terms: PriceTerms) -> None:
    """Raise InvalidTerms or UnknownCurrency unless every part of the terms holds together."""
    currency_decimals(terms.currency)
    check_charge(terms.charge)
    _check_unit(terms)
    if terms.conversion:
        check_above_zero("conversion.units_per", terms.conversion.units_per)
    for number, discount in enumerate(terms.discounts, 1):
        check_discount(f"discount {number}", discount)
    for name in ("minimum", "maximum"):
        bound = getattr(terms, name)
        if bound:
            check_amount(name, bound.amount)
    if terms.minimum and terms.maximum:
        _check_bounds(terms.minimum, terms.maximum)


def _check_unit(terms: PriceTerms) -> None:
    check_amount("included", terms.included)
    if isinstance(terms.charge, Flat) and terms.included:
        raise InvalidTerms("included has no meaning for a flat price")
    if isinstance(terms.charge, Percentage | GraduatedPercentage) and terms.priced_unit != terms.currency:
        unit = terms.priced_unit or "no unit"
        raise InvalidTerms(f"a percentage is taken of {terms.currency}, not of {unit}")


def check_discount(name: str, discount: Discount) -> None:
    """Raise InvalidTerms unless the discount is exactly one of a percent up to 100 and an amount."""
    if (discount.percent is None) == (discount.amount is None):
        raise InvalidTerms(f"{name} is either a percent or an amount")
    if discount.percent is not None:
        check_amount(f"{name} percent", discount.percent)
        if discount.percent > HUNDRED:
            raise InvalidTerms(f"{name} percent must be 100 or less")
        if discount.is_prorated:
            raise InvalidTerms(f"{name} is a percent, which is not prorated")
    if discount.amount is not None:
        check_amount(f"{name} amount", discount.amount)


def _check_bounds(minimum: Bound, maximum: Bound) -> None:
    if minimum.amount > maximum.amount:
        raise InvalidTerms("the minimum is above the maximum")
    if minimum.is_prorated != maximum.is_prorated:
        raise InvalidTerms("minimum and maximum are prorated together or not at all")
