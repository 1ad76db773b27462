"""A bill as everybody reads it: page, API, CSV and PDF take their figures from here and from nowhere else.

Plain frozen values without tables or clock. Subtotals are sums of the lines, so that they cannot differ from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID

from insights.rating.invoice import LineKind
from insights.rating.rate import WHOLE_PERIOD, Segment
from insights.rating.sheet import PriceSheet
from insights.rating.terms import PriceTerms
from insights.values.money import Money, sum_money
from insights.values.period import Period
from insights.values.step import Step

# Keys of credits that come with a plan begin so; those of grants do not.
INCLUDED_CREDIT = "plan "


class BillStatus(StrEnum):
    """Where a bill is for the person who gets it; overdue is open with the due date past."""

    DRAFT = "draft"
    CHECKING = "checking"
    OPEN = "open"
    OVERDUE = "overdue"
    PAID = "paid"
    VOID = "void"


class LineGroup(StrEnum):
    """What lines stand together on a bill, in the order of the bill."""

    FEES = "fees"
    USAGE = "usage"
    CORRECTIONS = "corrections"
    ADJUSTMENTS = "adjustments"
    CREDITS = "credits"
    TAX = "tax"
    CARRIED = "carried"


GROUP_TITLES: Mapping[LineGroup, str] = {
    LineGroup.FEES: "Fees",
    LineGroup.USAGE: "Usage",
    LineGroup.CORRECTIONS: "Corrections of earlier bills",
    LineGroup.ADJUSTMENTS: "Discounts, minimum and maximum",
    LineGroup.CREDITS: "Credits",
    LineGroup.TAX: "Tax",
    LineGroup.CARRIED: "Carried to the next bill",
}
_GROUP_OF_KIND: Mapping[LineKind, LineGroup] = {
    LineKind.CORRECTION: LineGroup.CORRECTIONS,
    LineKind.DISCOUNT: LineGroup.ADJUSTMENTS,
    LineKind.MINIMUM: LineGroup.ADJUSTMENTS,
    LineKind.MAXIMUM: LineGroup.ADJUSTMENTS,
    LineKind.CREDIT: LineGroup.CREDITS,
    LineKind.TAX: LineGroup.TAX,
    LineKind.CARRIED: LineGroup.CARRIED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedLine:
    """What a correction corrects: the bill, its line, and the line's quantity as it stood before, in its unit.

    `number` is empty for a bill without one, `position` None where that bill had no such line. Quantities are None
    where the line has none: `quantity_before` and `quantity_after` are what is billed, behind included usage, in the
    unit of the price; those metered are before it, as a difference of two bills tells them, in the meter's unit.
    """

    bill_id: UUID
    number: str
    period: Period
    line_name: str
    quantity_before: Fraction | None
    quantity_after: Fraction | None
    metered_before: Decimal | None = None
    metered_after: Decimal | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line. `billed_quantity` is in `unit`; `metered_quantity` in the meter's. Steps add to the amount."""

    position: int
    key: str
    kind: LineKind
    name: str
    price_key: str
    plan_key: str
    plan_version: int | None
    meter_key: str
    meter_name: str
    values: Mapping[str, str]
    service_start: datetime
    service_end: datetime
    metered_quantity: Decimal | None
    billed_quantity: Fraction | None
    unit: str
    terms: PriceTerms | None
    terms_document: Mapping[str, Any] | None
    steps: tuple[Step, ...]
    step_documents: tuple[Mapping[str, Any], ...]
    amount: Money
    segment: Segment = WHOLE_PERIOD
    corrects: CorrectedLine | None = None

    @property
    def comes_with_plan(self) -> bool:
        """Whether it is credit that comes with a plan, each period anew, and no grant of the account's."""
        return self.kind is LineKind.CREDIT and self.key.startswith(f"credit {INCLUDED_CREDIT}")

    @property
    def group(self) -> LineGroup:
        """Where it stands on the bill."""
        return group_of(self.kind, self.meter_key)


def group_of(kind: LineKind, meter_key: str) -> LineGroup:
    """Where a line of this kind stands on a bill; without a meter a charge is a fee."""
    if kind is LineKind.CHARGE:
        return LineGroup.USAGE if meter_key else LineGroup.FEES
    return _GROUP_OF_KIND[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class BillSection:
    """Lines that stand together, and what they come to. `meter_key` is empty where they are not of one meter."""

    group: LineGroup
    title: str
    meter_key: str
    lines: tuple[BillLine, ...]
    subtotal: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who sends the bill, or who gets it; address by lines, absent parts empty."""

    name: str = ""
    address: tuple[str, ...] = ()
    tax_id: str = ""
    email: str = ""
    reference: str = ""
    purchase_order: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSegment:
    """A stretch of the period on one plan version, with all its prices."""

    period: Period
    policy: str
    sheet: PriceSheet
    counts: Mapping[str, str]
    is_add_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """Usage that no price names; while there is any, the bill is checked by a person."""

    meter_key: str
    quantity: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BillHead:
    """A bill without its lines, as a list shows it."""

    public_id: UUID
    kind: str
    status: BillStatus
    number: str
    currency: str
    period: Period
    zone: str
    total: Money
    drafted_at: datetime
    complete_to: datetime | None
    issued_at: datetime | None
    due_at: datetime | None
    subscription_name: str
    is_filed: bool = False

    @property
    def is_issued(self) -> bool:
        """Whether it is final."""
        return self.issued_at is not None

    @property
    def due(self) -> Money:
        """What is still to be paid, or would be if the period ended now."""
        if self.status in (BillStatus.PAID, BillStatus.VOID):
            return Money(0, self.currency)
        return self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A whole bill. `corrected_by` are later bills with corrections of this one.

    `whole` is the billing period of which the bill's own may be a part.
    """

    head: BillHead
    usage_as_of: int
    issue_from: datetime
    sha256: str
    seller: Party
    buyer: Party
    segments: tuple[PlanSegment, ...]
    lines: tuple[BillLine, ...]
    unpriced: tuple[Unpriced, ...] = ()
    tax_exempt_reason: str = ""
    void_reason: str = ""
    settled_at: datetime | None = None
    corrected_by: tuple[tuple[UUID, str], ...] = ()
    whole: Period | None = None

    @property
    def total(self) -> Money:
        """What the lines come to."""
        return sum_money((line.amount for line in self.lines), self.head.currency)

    @property
    def sections(self) -> tuple[BillSection, ...]:
        """The lines in groups, usage by meter, in the order of the bill."""
        return sections_of(self.lines, self.head.currency)

    @property
    def plan_changes(self) -> tuple[PlanSegment, ...]:
        """The segments, if the plan changed inside the period."""
        base = tuple(segment for segment in self.segments if not segment.is_add_on)
        return base if len(base) > 1 else ()


def bill_status(state: str, settlement: str, *, due_at: datetime | None, now: datetime) -> BillStatus:
    """What to call a bill: from the invoice's state, what became of it, and the time."""
    if state == "parked":
        return BillStatus.CHECKING
    if state != "issued":
        return BillStatus.DRAFT
    if settlement in (BillStatus.PAID, BillStatus.VOID):
        return BillStatus(settlement)
    return BillStatus.OVERDUE if due_at is not None and due_at < now else BillStatus.OPEN


def sections_of(lines: Sequence[BillLine], currency: str) -> tuple[BillSection, ...]:
    """Lines in groups, usage by meter, in the order of a bill."""
    return tuple(_sections(lines, currency))


def _sections(lines: Sequence[BillLine], currency: str) -> Iterable[BillSection]:
    for group in LineGroup:
        together = [line for line in lines if line.group is group]
        for meter_key in dict.fromkeys(_section_key(line) for line in together):
            shown = tuple(line for line in together if _section_key(line) == meter_key)
            yield BillSection(
                group=group,
                title=_section_title(shown[0]),
                meter_key=meter_key,
                lines=shown,
                subtotal=sum_money((line.amount for line in shown), currency),
            )


def _section_key(line: BillLine) -> str:
    return line.meter_key if line.group is LineGroup.USAGE else ""


def _section_title(line: BillLine) -> str:
    if line.group is LineGroup.USAGE:
        return f"{GROUP_TITLES[line.group]}: {line.meter_name or line.meter_key}"
    return GROUP_TITLES[line.group]
