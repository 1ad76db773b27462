"""Bills in plain words: what a step did, a line in one sentence, and what a bill asks for. Pure.

Everything is read from what the bill stores; nothing is calculated but sums of the same line's steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from insights.billing.bill import INCLUDED_CREDIT, Bill, BillLine, BillStatus, LineGroup, PlanSegment
from insights.billing.correction_words import corrected_words
from insights.billing.price_words import (
    cell_words,
    exact_words,
    money_words,
    number_words,
    price_amount,
    price_words,
    quantity_words,
    share_words,
    tier_range,
)
from insights.rating.charges import Package
from insights.rating.invoice import LineKind
from insights.rating.terms import FeeTiming
from insights.values.exact import exact_number_text
from insights.values.money import Money
from insights.values.step import Step, StepKind

STATUS_WORDS = {
    BillStatus.DRAFT: "so far",
    BillStatus.CHECKING: "being checked",
    BillStatus.OPEN: "open",
    BillStatus.OVERDUE: "overdue",
    BillStatus.PAID: "paid",
    BillStatus.VOID: "void",
}
_TIMES = "\u00d7"
_CHARGED_BEFORE = "what was charged before the plan changed is not taken back"


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a row: what it did, of how much, exactly how much money, and how much of the line's amount."""

    words: str
    quantity: str
    exact: str
    amount: Money


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
            return f"{quantity_words(step.quantity, unit)} {_are(step.quantity)} free: {step.note}"
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
        case StepKind.MINIMUM if step.note:
            return f"Lifted from {price_amount(step.base, currency)} to {unit_amount}: {_CHARGED_BEFORE}"
        case StepKind.MAXIMUM if step.note:
            return f"Lowered from {price_amount(step.base, currency)} to {unit_amount}: {_CHARGED_BEFORE}"
        case StepKind.MINIMUM:
            return f"Lifted from {price_amount(step.base, currency)} to the minimum of {unit_amount}"
        case StepKind.MAXIMUM:
            return f"Lowered from {price_amount(step.base, currency)} to the maximum of {unit_amount}"


def _included_words(step: Step, unit: str) -> str:
    words = f"{quantity_words(step.quantity, unit)} of the {number_words(step.up_to or Fraction(0))} included"
    return words if step.share.is_whole else f"{words} for {share_words(step.share)}"


def _tier_words(step: Step) -> str:
    return f"Tier {step.tier}, {tier_range(step.above or Fraction(0), step.up_to)}"


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
    if line.comes_with_plan:
        return "Paid from credit that comes with the plan, each period anew."
    return _OWN_LINE_WORDS.get(line.kind, "")


_OWN_LINE_WORDS = {
    LineKind.DISCOUNT: "Taken off what the lines above come to.",
    LineKind.MINIMUM: "Lifts the lines above to the least that a period comes to.",
    LineKind.MAXIMUM: "Lowers the lines above to the most that a period comes to.",
    LineKind.CREDIT: "Paid from a credit.",
    LineKind.TAX: "Taken once, of everything that is taxed.",
    LineKind.CARRIED: "This bill is below zero; what is left is yours and lowers the next bill.",
}


def included_credit_words(line: BillLine, segments: Sequence[PlanSegment]) -> str:
    """How much credit comes with the plan of the line, so that a part of it explains itself; else empty."""
    if not line.comes_with_plan:
        return ""
    for segment in segments:
        credit, key = segment.sheet.included_credit, f"credit {INCLUDED_CREDIT}{segment.sheet.plan_key} "
        if credit is not None and line.key.startswith(key):
            amount = price_amount(credit.amount, line.amount.currency)
            return (
                f"It is {amount} for a whole period on {segment.sheet.plan_name}, a part of that for a part of the "
                "period, and never more than what it pays for comes to."
            )
    return ""


def correction_rounding_words(currency: str) -> str:
    """Why the steps of a correction may not round to its amount."""
    return (
        "What the line comes to now, less what was billed for it. Both are rounded once, so this may be "
        f"{money_words(Money(1, currency))} more or less than its exact steps come to."
    )


def _usage_sentence(line: BillLine) -> str:
    used = sum((step.quantity for step in line.steps if not step.is_taken_back), Fraction(0))
    if not used:
        return "You used nothing." if not line.amount.minor else f"You used nothing; {_due_anyway(line)}."
    parts = [f"You used {quantity_words(used, line.unit)}"]
    for kind, words in ((StepKind.EXEMPT, "free"), (StepKind.INCLUDED, "included")):
        free = sum((step.quantity for step in line.steps if step.kind is kind), Fraction(0))
        if free:
            parts.append(f"{quantity_words(free, line.unit)} {_were(free)} {words}")
    charged = [step for step in line.steps if step.kind not in (StepKind.EXEMPT, StepKind.INCLUDED)]
    if charged:
        parts.append(_charged_words(charged, line))
    return f"{', '.join(parts)}."


def _due_anyway(line: BillLine) -> str:
    return f"{money_words(line.amount)} are due all the same"


def _charged_words(charged: Sequence[Step], line: BillLine) -> str:
    quantity = sum((step.quantity for step in charged), Fraction(0))
    first = charged[0]
    amount, were = quantity_words(quantity, line.unit), _were(quantity)
    if len(charged) == 1 and first.unit_amount is not None and first.kind is StepKind.UNITS:
        return f"{amount} {were} charged at {price_amount(first.unit_amount, line.amount.currency)}"
    if len(charged) == 1 and first.unit_amount is not None and first.kind is StepKind.TIER:
        each = price_amount(first.unit_amount, line.amount.currency)
        return f"{amount} {were} charged at {each}, the price of tier {first.tier}"
    tiers = {step.tier for step in charged if step.tier is not None}
    if tiers:
        return f"{amount} {were} charged in {len(tiers)} tier{'' if len(tiers) == 1 else 's'}"
    return f"{amount} {were} charged" if quantity else f"{money_words(line.amount)} were charged"


def _were(quantity: Fraction) -> str:
    return "was" if quantity == 1 else "were"


def _are(quantity: Fraction) -> str:
    return "is" if quantity == 1 else "are"


def _before_and_now(line: BillLine, before: Fraction, after: Fraction) -> str:
    """What was used by the corrected bill and now, with what is included; else what was billed, in the price's unit."""
    corrected = line.corrects
    if corrected and corrected.metered_before is not None and corrected.metered_after is not None:
        conversion = line.terms.conversion if line.terms else None
        per = Fraction(conversion.units_per) if conversion else Fraction(1)
        before, after = (Fraction(one) / per for one in (corrected.metered_before, corrected.metered_after))
    return f"{quantity_words(before, line.unit)} before, {quantity_words(after, line.unit)} now"


def _correction_sentence(line: BillLine) -> str:
    corrected = line.corrects
    if corrected is None:
        return "Corrects an earlier bill that had no such line."
    where = corrected_words(line)
    before, after = corrected.quantity_before, corrected.quantity_after
    if _is_fee_ahead(line):
        return f"Takes back {where}, which was billed in advance. What of it is due is a line of its own."
    if before is None or after is None or before == after:
        return f"Corrects {where}."
    return f"Corrects {where}: {_before_and_now(line, before, after)}."


def _is_fee_ahead(line: BillLine) -> bool:
    """Whether it is of a fee that was billed ahead: these are corrected by nothing but being taken back as a whole."""
    return not line.meter_key and line.terms is not None and line.terms.timing is FeeTiming.IN_ADVANCE


def values_words(line: BillLine) -> str:
    """Which dimension values the line is for: region eu-west, protocol https."""
    return cell_words(line.values)


def line_price_words(line: BillLine) -> str:
    """The price of the line in words, if it has one."""
    return price_words(line.terms) if line.terms else ""


def bill_why(kind: str) -> str:
    """Why there is a bill that is not one of a period's usage; empty for one that is."""
    return _WHY.get(kind, "")


_WHY = {
    "opening": "The subscription begins. This bill has the fees that are due in advance for its first period.",
    "closing": "The subscription has ended. This bill has only what changed since its last bill: usage that came late "
    "or was corrected, and fees for a time after the end.",
}


def bill_answer(bill: Bill) -> str:
    """What the bill asks for, in one phrase that a total follows."""
    if bill.head.kind == "closing" and bill.head.status is BillStatus.DRAFT:
        return "As it stands you would pay"
    return {
        BillStatus.DRAFT: "If the period ended now you would pay",
        BillStatus.CHECKING: "This bill is being checked before it is sent. As it stands you would pay",
        BillStatus.OPEN: "You pay",
        BillStatus.OVERDUE: "This bill is overdue. You pay",
        BillStatus.PAID: "This bill is paid. It came to",
        BillStatus.VOID: "This bill is void and nothing is to be paid. It came to",
    }[bill.head.status]
