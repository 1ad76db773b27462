"""Bills in plain words: amounts, what a price says, what a step did, and a line in one sentence. Pure.

Everything is read from what the bill stores; nothing is calculated but sums of the same line's steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from insights.billing.bill import Bill, BillLine, BillStatus, LineGroup
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
from insights.rating.invoice import LineKind
from insights.rating.sheet import SheetPrice
from insights.rating.terms import Bound, Discount, FeeTiming, PriceTerms
from insights.values.exact import exact_number_text
from insights.values.money import Money, currency_decimals
from insights.values.quantity import MINUS, exact_text, grouped_text
from insights.values.share import Share
from insights.values.step import Step, StepKind

STATUS_WORDS = {
    BillStatus.DRAFT: "so far",
    BillStatus.CHECKING: "being checked",
    BillStatus.OPEN: "open",
    BillStatus.OVERDUE: "overdue",
    BillStatus.PAID: "paid",
    BillStatus.VOID: "void",
}
_TIMING_WORDS = {
    FeeTiming.IN_ADVANCE: "each period, in advance",
    FeeTiming.IN_ARREARS: "each period, at its end",
    FeeTiming.ONCE: "once",
}
_ROUNDED_DIGITS = 6
_TIMES = "\u00d7"
_DAY, _HOUR = 86_400, 3_600


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a row: what it did, of how much, exactly how much money, and how much of the line's amount."""

    words: str
    quantity: str
    exact: str
    amount: Money


@dataclass(frozen=True, slots=True)
class TierRow:
    """A tier as a row: which units it holds, and what they cost."""

    units: str
    price: str


# --- Numbers ----------------------------------------------------------------------------------
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
    rounded = Decimal(number.numerator) / Decimal(number.denominator)
    return f"about {grouped_text(round(rounded, _ROUNDED_DIGITS))}"


def price_amount(amount: Decimal | Fraction, currency: str) -> str:
    """An amount of a price, with at least the currency's decimals: 0.10 USD, 0.0075 USD, 5 JPY."""
    text = exact_number_text(Fraction(amount))
    if "/" in text:
        return f"{number_words(Fraction(amount))} {currency}"
    whole, _, decimals = grouped_text(Decimal(text)).partition(".")
    decimals = decimals.ljust(currency_decimals(currency), "0")
    return f"{whole}.{decimals} {currency}" if decimals else f"{whole} {currency}"


def quantity_words(number: Fraction, unit: str) -> str:
    """A quantity with every digit, and its unit."""
    return f"{number_words(number)} {unit}".rstrip()


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
        parts.append(f"{exact_words(terms.included)} {terms.priced_unit} included".replace("  ", " "))
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


def _per(terms: PriceTerms) -> str:
    return f" per {terms.priced_unit}" if terms.priced_unit else " each"


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
            size = f"{exact_words(charge.size)} {terms.priced_unit}".rstrip()
            return f"{price_amount(charge.amount, currency)} per {size}{begun}"
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
            _tier_range(Fraction(tier.above), None if tier.up_to is None else Fraction(tier.up_to)),
            _tier_price(tier, terms, is_percent=is_percent, is_step=is_step),
        )
        for tier in charge.tiers
    )


def _tier_range(above: Fraction, up_to: Fraction | None) -> str:
    if up_to is None:
        return f"above {number_words(above)}" if above else "any quantity"
    return (
        f"above {number_words(above)} up to {number_words(up_to)}"
        if above
        else f"up to {number_words(up_to)}"
    )


def _tier_price(tier: Tier, terms: PriceTerms, *, is_percent: bool, is_step: bool) -> str:
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
        (_cell_words(dict(zip(names, values, strict=True))) if values else "everything else", terms)
        for values, terms in price.every_terms()
    )


def _cell_words(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value or '(none)'}" for name, value in values.items())


# --- Steps and lines --------------------------------------------------------------------------
def step_rows(line: BillLine) -> tuple[StepRow, ...]:
    """The steps of a line as rows; their amounts add to the line's."""
    currency = line.amount.currency
    return tuple(
        StepRow(
            words=step_words(step, line),
            quantity=number_words(step.quantity) if step.quantity else "",
            exact=exact_number_text(step.amount),
            amount=Money(step.amount_minor, currency),
        )
        for step in line.steps
    )


def step_words(step: Step, line: BillLine) -> str:
    """What one step did."""
    words = _step_words(step, line)
    if not step.share.is_whole and step.kind is not StepKind.INCLUDED:
        words = f"{words}, for {share_words(step.share)}"
    return f"Taken back: {words[0].lower()}{words[1:]}" if step.is_taken_back else words


def _step_words(step: Step, line: BillLine) -> str:
    currency, unit = line.amount.currency, line.unit
    unit_amount = "" if step.unit_amount is None else price_amount(step.unit_amount, currency)
    match step.kind:
        case StepKind.EXEMPT:
            return f"{quantity_words(step.quantity, unit)} are free: {step.note}"
        case StepKind.INCLUDED:
            return _included_words(step, unit)
        case StepKind.FEE:
            return (
                f"Fee of {unit_amount}"
                if step.base == 1
                else f"{number_words(step.base)} {_TIMES} {unit_amount}"
            )
        case StepKind.UNITS:
            return f"{quantity_words(step.base, unit)} at {unit_amount}"
        case StepKind.TIER:
            at = unit_amount or f"{number_words(step.percent or Fraction(0))} %"
            return f"{_tier_words(step)}: {quantity_words(step.base, unit)} at {at}"
        case StepKind.TIER_FEE:
            return f"{_tier_words(step)}: {unit_amount}"
        case StepKind.PACKAGES:
            return f"{_packs_words(step, line)} at {unit_amount}"
        case StepKind.PERCENT:
            return f"{number_words(step.percent or Fraction(0))} % of {quantity_words(step.base, unit)}"
        case StepKind.COUNT_FEE:
            return f"{number_words(step.base)} {step.note} at {unit_amount}"
        case StepKind.DISCOUNT:
            return _discount_words(step, currency)
        case StepKind.MINIMUM:
            return f"Lifted from {price_amount(step.base, currency)} to the minimum of {unit_amount}"
        case StepKind.MAXIMUM:
            return f"Lowered from {price_amount(step.base, currency)} to the maximum of {unit_amount}"


def _included_words(step: Step, unit: str) -> str:
    words = f"{quantity_words(step.quantity, unit)} of the {number_words(step.up_to or Fraction(0))} included"
    return words if step.share.is_whole else f"{words} for {share_words(step.share)}"


def _tier_words(step: Step) -> str:
    return f"Tier {step.tier}, {_tier_range(step.above or Fraction(0), step.up_to)}"


def _packs_words(step: Step, line: BillLine) -> str:
    charge = line.terms.charge if line.terms else None
    size = f"{exact_words(charge.size)} {line.unit}".rstrip() if isinstance(charge, Package) else line.unit
    return f"{number_words(step.base)} {_TIMES} {size}"


def _discount_words(step: Step, currency: str) -> str:
    if step.percent is not None:
        return f"{number_words(step.percent)} % off {price_amount(step.base, currency)}"
    return (
        f"{price_amount(step.unit_amount or Fraction(0), currency)} off {price_amount(step.base, currency)}"
    )


def line_sentence(line: BillLine) -> str:
    """The line in one sentence; for usage: You used 62.5 GB, 5 GB were included, 57.5 GB were charged at 0.10 USD."""
    if line.kind is LineKind.CORRECTION:
        return _correction_sentence(line)
    if line.group is LineGroup.USAGE:
        return _usage_sentence(line)
    if line.group is LineGroup.FEES and line.terms:
        return f"{price_words(line.terms)[0].upper()}{price_words(line.terms)[1:]}."
    return _OWN_LINE_WORDS.get(line.kind, "")


_OWN_LINE_WORDS = {
    LineKind.DISCOUNT: "Taken off what the lines above come to.",
    LineKind.MINIMUM: "Lifts the lines above to the least that a period comes to.",
    LineKind.MAXIMUM: "Lowers the lines above to the most that a period comes to.",
    LineKind.CREDIT: "Paid from a credit.",
    LineKind.TAX: "Taken once, of everything that is taxed.",
    LineKind.CARRIED: "This bill is below zero; what is left is yours and lowers the next bill.",
}


def _usage_sentence(line: BillLine) -> str:
    used = sum((step.quantity for step in line.steps if not step.is_taken_back), Fraction(0))
    if not used:
        return "You used nothing." if not line.amount.minor else f"You used nothing; {_due_anyway(line)}."
    parts = [f"You used {quantity_words(used, line.unit)}"]
    for kind, words in ((StepKind.EXEMPT, "free"), (StepKind.INCLUDED, "included")):
        free = sum((step.quantity for step in line.steps if step.kind is kind), Fraction(0))
        if free:
            parts.append(f"{quantity_words(free, line.unit)} were {words}")
    charged = [step for step in line.steps if step.kind not in (StepKind.EXEMPT, StepKind.INCLUDED)]
    if charged:
        parts.append(_charged_words(charged, line))
    return f"{', '.join(parts)}."


def _due_anyway(line: BillLine) -> str:
    return f"{money_words(line.amount)} are due all the same"


def _charged_words(charged: Sequence[Step], line: BillLine) -> str:
    quantity = sum((step.quantity for step in charged), Fraction(0))
    first = charged[0]
    amount = quantity_words(quantity, line.unit)
    if len(charged) == 1 and first.unit_amount is not None and first.kind is StepKind.UNITS:
        return f"{amount} were charged at {price_amount(first.unit_amount, line.amount.currency)}"
    tiers = {step.tier for step in charged if step.tier is not None}
    if tiers:
        return f"{amount} were charged in {len(tiers)} tier{'' if len(tiers) == 1 else 's'}"
    return f"{amount} were charged" if quantity else f"{money_words(line.amount)} were charged"


def _correction_sentence(line: BillLine) -> str:
    corrected = line.corrects
    if corrected is None:
        return "Corrects an earlier bill that had no such line."
    where = f"“{corrected.line_name}” of bill {corrected.number or corrected.bill_id}"
    before, after = corrected.quantity_before, corrected.quantity_after
    if before is None or after is None or before == after:
        return f"Corrects {where}."
    return f"Corrects {where}: {quantity_words(before, line.unit)} before, {quantity_words(after, line.unit)} now."


def values_words(line: BillLine) -> str:
    """Which dimension values the line is for: region eu-west, protocol https."""
    return _cell_words(line.values)


def line_price_words(line: BillLine) -> str:
    """The price of the line in words, if it has one."""
    return price_words(line.terms) if line.terms else ""


def bill_answer(bill: Bill) -> str:
    """What the bill asks for, in one phrase that a total follows."""
    return {
        BillStatus.DRAFT: "If the period ended now you would pay",
        BillStatus.CHECKING: "This bill is being checked before it is sent. As it stands you would pay",
        BillStatus.OPEN: "You pay",
        BillStatus.OVERDUE: "This bill is overdue. You pay",
        BillStatus.PAID: "This bill is paid. It came to",
        BillStatus.VOID: "This bill is void and nothing is to be paid. It came to",
    }[bill.head.status]
