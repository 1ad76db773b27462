"""Amounts and prices in plain words: every digit of a figure, what a price says, its tiers as rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from insights.rating.charges import (
    ChargeModel,
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Packages,
    Percentage,
    PerUnit,
    Stairstep,
    Tier,
    Volume,
)
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Discount, FeeTiming, PriceTerms
from insights.values.exact import decimal_of, exact_number_text, round_half_away
from insights.values.money import Money, currency_decimals
from insights.values.quantity import (
    BYTE_UNITS,
    MINUS,
    Scale,
    exact_text,
    grouped_text,
    is_multiple,
    one_of,
    priced_scale,
)
from insights.values.share import Share

_TIMING_WORDS = {
    FeeTiming.IN_ADVANCE: "each period, in advance",
    FeeTiming.IN_ARREARS: "each period, at its end",
    FeeTiming.ONCE: "once",
}
_ROUNDED_DIGITS = 6
_TIMES = "\u00d7"
_DAY, _HOUR = 86_400, 3_600


@dataclass(frozen=True, slots=True)
class TierRow:
    """A tier as a row: which units it holds, and what they cost."""

    units: str
    price: str


# --- Numbers ---------------------------------------------------------------------------------
def money_words(money: Money) -> str:
    """All digits of the amount, grouped, with a real minus, and the currency: 1,234.50 EUR."""
    sign = MINUS if money.minor < 0 else ""
    return f"{sign}{abs(money.amount):,f} {money.currency}"


def money_number(money: Money) -> str:
    """The amount for a file: 1234.50, with the currency's decimals and a plain hyphen."""
    return f"{money.amount:f}"


def number_words(number: Fraction) -> str:
    """Every digit where there is a last one, else six decimals and “about”; grouped, with a real minus."""
    text = exact_number_text(number)
    if "/" not in text:
        return grouped_text(Decimal(text))
    rounded = round_half_away(number * 10**_ROUNDED_DIGITS)
    return f"about {grouped_text(decimal_of(rounded, _ROUNDED_DIGITS))}"


def price_amount(amount: Decimal | Fraction, currency: str) -> str:
    """An amount of a price, with at least the currency's decimals: 0.10 USD, 0.0075 USD, 5 JPY."""
    text = exact_number_text(Fraction(amount))
    if "/" in text:
        return f"{number_words(Fraction(amount))} {currency}"
    whole, _, decimals = grouped_text(Decimal(text)).partition(".")
    decimals = decimals.ljust(currency_decimals(currency), "0")
    return f"{whole}.{decimals} {currency}" if decimals else f"{whole} {currency}"


def quantity_words(number: Fraction, unit: str) -> str:
    """A quantity with every digit, and its unit; a unit that is named by a number stands behind a cross."""
    if unit[:1].isdigit():
        return f"{number_words(number)} {_TIMES} {unit}"
    return f"{number_words(number)} {one_of(unit) if number == 1 else unit}".rstrip()


def scale_of_price(terms: PriceTerms | None) -> Scale | None:
    """The unit that a price names quantities in, for pages that show what was metered; None where it is the meter's."""
    if terms is None or terms.conversion is None:
        return None
    return priced_scale(terms.conversion.unit, terms.conversion.units_per)


def scale_of_record(terms: PriceTerms | None, unit: str) -> Scale | None:
    """What a page names a record of a line in: the unit of its price, unless that is a pack or another meter's."""
    scale = scale_of_price(terms)
    is_of_price = terms is not None and terms.unit == unit
    return scale if scale and is_of_price and is_multiple(unit, scale.unit) else None


def unit_size_words(terms: PriceTerms | None) -> str:
    """How large the unit of a price is: 1 GB is 1,000,000,000 bytes (decimal). Empty where its name says so."""
    scale = scale_of_price(terms)
    if terms is None or scale is None or not is_multiple(terms.unit, scale.unit):
        return ""
    return scale_words(scale, terms.unit)


def scale_words(scale: Scale, unit: str) -> str:
    """How many of a meter's unit the unit of a scale is, and by which numbers it counts."""
    kind = "" if unit not in BYTE_UNITS else " (binary)" if scale.binary else " (decimal)"
    return f"1 {scale.unit} is {scale.size:,} {unit}{kind}"


def share_words(share: Share) -> str:
    """A part of a period in its largest whole units: 20 of 29 days."""
    for size, name in ((_DAY, "days"), (_HOUR, "hours"), (1, "seconds")):
        if not share.seconds % size and not share.of_seconds % size:
            return f"{share.seconds // size:,} of {share.of_seconds // size:,} {name}"
    raise ValueError("every whole number of seconds is a number of seconds")


# --- Prices -----------------------------------------------------------------------------------
def price_words(terms: PriceTerms) -> str:
    """What a price says, in one phrase: 0.10 USD per GB, 5 GB included."""
    if terms.exempt_reason:
        return f"free: {terms.exempt_reason}"
    parts = [_charge_words(terms.charge, terms)]
    if terms.included:
        parts.append(f"{quantity_words(Fraction(terms.included), terms.priced_unit)} included")
    if isinstance(terms.charge, Flat):
        parts.append(_TIMING_WORDS[terms.timing])
    if terms.is_prorated:
        parts.append("charged for the part of the period it is held")
    parts += [discount_words(discount, terms.currency) for discount in terms.discounts]
    parts += bound_words(terms.minimum, terms.maximum, terms.currency)
    return ", ".join(parts)


def exact_words(number: Decimal) -> str:
    """Every digit of a figure of a price, grouped."""
    return grouped_text(Decimal(exact_text(number)))


def discount_words(discount: Discount, currency: str) -> str:
    """What a discount takes off."""
    if discount.percent is not None:
        return f"{exact_words(discount.percent)} % off"
    return f"{price_amount(discount.amount or Decimal(0), currency)} off"


def bound_words(minimum: Bound | None, maximum: Bound | None, currency: str) -> list[str]:
    """The least and the most that something comes to, if there are such."""
    words = []
    if minimum:
        words.append(f"at least {price_amount(minimum.amount, currency)}")
    if maximum:
        words.append(f"at most {price_amount(maximum.amount, currency)}")
    return words


def amount_each(amount: Decimal | Fraction, terms: PriceTerms) -> str:
    """What one unit of the price costs, for as many as the price is published for: 1.00 USD per 100,000 requests."""
    charge = terms.charge
    packed = Fraction(charge.size) if isinstance(charge, Package) else 1
    return f"{price_amount(Fraction(amount) * packed, terms.currency)} {per_words(terms)}"


def per_words(terms: PriceTerms) -> str:
    """For how many the price is published: per GB, per 100,000 requests."""
    charge = terms.charge
    if isinstance(charge, Package):
        return f"per {quantity_words(Fraction(charge.size), terms.priced_unit)}"
    return _per(terms).strip()


def _per(terms: PriceTerms) -> str:
    return f" per {one_of(terms.priced_unit)}" if terms.priced_unit else " each"


def _charge_words(charge: ChargeModel, terms: PriceTerms) -> str:
    currency = terms.currency
    match charge:
        case Flat():
            return price_amount(charge.amount, currency)
        case PerUnit():
            return f"{price_amount(charge.unit_amount, currency)}{_per(terms)}"
        case Graduated() | GraduatedPercentage():
            return f"by {len(charge.tiers)} tiers, each part at the price of its tier"
        case Volume():
            return f"by {len(charge.tiers)} tiers, everything at the price of the tier it reaches"
        case Stairstep():
            return f"by {len(charge.tiers)} tiers, one amount for the tier it reaches"
        case Package():
            begun = ", begun ones whole" if charge.counting is Packages.WHOLE else ", parts in proportion"
            return f"{price_amount(charge.amount, currency)} {per_words(terms)}{begun}"
        case Percentage():
            fixed = f" and {price_amount(charge.fixed_amount, currency)} for each of {charge.count_meter}"
            return f"{exact_words(charge.percent)} %{fixed if charge.count_meter else ''}"


def tier_rows(terms: PriceTerms) -> tuple[TierRow, ...]:
    """The tiers of a price in order; none for one without tiers."""
    charge = terms.charge
    if terms.exempt_reason or not isinstance(charge, Graduated | GraduatedPercentage | Volume | Stairstep):
        return ()
    is_percent, is_step = isinstance(charge, GraduatedPercentage), isinstance(charge, Stairstep)
    return tuple(
        TierRow(
            tier_range(Fraction(tier.above), None if tier.up_to is None else Fraction(tier.up_to)),
            tier_price_words(tier, terms, is_percent=is_percent, is_step=is_step),
        )
        for tier in charge.tiers
    )


def tier_range(above: Fraction, up_to: Fraction | None) -> str:
    """Which quantities a tier holds."""
    if up_to is None:
        return f"above {number_words(above)}" if above else "any quantity"
    return (
        f"above {number_words(above)} up to {number_words(up_to)}"
        if above
        else f"up to {number_words(up_to)}"
    )


def tier_price_words(tier: Tier, terms: PriceTerms, *, is_percent: bool, is_step: bool) -> str:
    """What units of a tier cost."""
    flat = price_amount(tier.flat_amount, terms.currency)
    if is_step:
        return flat
    if is_percent:
        each = f"{exact_words(tier.percent)} %"
    else:
        each = f"{price_amount(tier.unit_amount, terms.currency)}{_per(terms)}"
    return f"{each} and {flat} once" if tier.flat_amount else each


def sheet_price_rows(price: SheetPrice) -> tuple[tuple[str, PriceTerms], ...]:
    """What each part of a price is for, in words, with its terms."""
    if price.matrix is None:
        return tuple(("", terms) for _, terms in price.every_terms())
    names = price.matrix.dimensions
    return tuple(
        (cell_words(dict(zip(names, values, strict=True))) if values else "everything else", terms)
        for values, terms in price.every_terms()
    )


def cell_words(values: Mapping[str, str]) -> str:
    """Dimension values in words: region eu-west, protocol https."""
    return ", ".join(f"{name.replace('_', ' ')} {value or '(none)'}" for name, value in values.items())
