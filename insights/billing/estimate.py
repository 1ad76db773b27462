"""An estimate: what a period or typed quantities come to on a plan, beside what the period was billed. Pure.

Made by the functions that make bills. Left out on both sides is what belongs to an account and not to a plan: credits
that were granted, corrections of other bills, and what was carried. Credits that come with a plan are in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from insights.billing.basis import Basis, DraftLine, IssuedBill, MeterOfBill, ServiceSegment, Unpriced
from insights.billing.bill import BillHead, BillLine, BillSection, sections_of
from insights.billing.corrections import rate_again
from insights.billing.draft import BilledUsage, draft_invoice
from insights.billing.drafted_lines import bill_lines
from insights.billing.usage_lines import MeteredUsage
from insights.billing.whole_lines import offer_included_credits
from insights.rating.invoice import LineKind
from insights.rating.sheet import PriceSheet
from insights.values.money import Money, sum_money
from insights.values.period import Period

_LEFT_OUT = (LineKind.CORRECTION, LineKind.CARRIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedSide:
    """Lines with their steps and what they come to; usage that no price is for; and why a price gave no line."""

    currency: str
    lines: tuple[BillLine, ...]
    unpriced: tuple[Unpriced, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def total(self) -> Money:
        """What the lines add to."""
        return sum_money((line.amount for line in self.lines), self.currency)

    @property
    def sections(self) -> tuple[BillSection, ...]:
        """The lines in groups, as on a bill."""
        return sections_of(self.lines, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedPeriod:
    """One period on both plans. `head` is the bill as it was issued, None for quantities that were typed in.

    `left_out` is what the issued bill has beyond `billed`. `has_first_prices` says that the plan had no prices yet
    when the period began, so that its first ones are taken. `own_price_note` says why an own price of the account
    is not. `is_changed` says that the plan, or a count of it, changed inside the period.
    """

    period: Period
    sheet: PriceSheet
    estimate: RatedSide
    head: BillHead | None = None
    billed: RatedSide | None = None
    has_first_prices: bool = False
    own_price_note: str = ""
    is_changed: bool = False
    counts: Mapping[str, str] = field(default_factory=dict)

    @property
    def difference(self) -> Money | None:
        """How much more it comes to on the plan."""
        return None if self.billed is None else self.estimate.total - self.billed.total

    @property
    def left_out(self) -> Money | None:
        """Granted credits, corrections and what was carried, with the tax of them."""
        if self.head is None or self.billed is None:
            return None
        return self.head.total - self.billed.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The periods, the newest first, and the sums of both sides. `is_as_billed`: each is the bill as it was."""

    plan_key: str
    plan_name: str
    currency: str
    zone: str
    periods: tuple[EstimatedPeriod, ...]
    asked_periods: int | None = None
    is_as_billed: bool = False

    @property
    def billed(self) -> Money | None:
        """What all periods were billed; None where none was."""
        found = [period.billed.total for period in self.periods if period.billed is not None]
        return sum_money(found, self.currency) if found else None

    @property
    def estimated(self) -> Money:
        """What all of them come to on the plan."""
        return sum_money((period.estimate.total for period in self.periods), self.currency)

    @property
    def difference(self) -> Money | None:
        """How much more all of them come to on the plan."""
        return None if self.billed is None else self.estimated - self.billed


def billed_side(
    basis: Basis,
    bill: IssuedBill,
    meters: Sequence[MeterOfBill],
    metered: MeteredUsage,
    names: Mapping[str, str],
) -> RatedSide:
    """An issued bill rated again as it was, without what belongs to the account alone."""
    own = replace(
        bill,
        lines=tuple(stored for stored in bill.lines if stored.line.kind not in _LEFT_OUT),
        corrections=(),
        credits=tuple(offer for offer in bill.credits if offer.grant_id is None),
    )
    again = rate_again(basis, own, meters, metered)
    return RatedSide(
        currency=basis.currency, lines=bill_lines(again.lines, basis.currency, meter_names=names)
    )


def estimated_side(
    basis: Basis, meters: Sequence[MeterOfBill], metered: MeteredUsage, names: Mapping[str, str]
) -> RatedSide:
    """What the basis comes to as a draft, with the credit that comes with its plans."""
    offered = offer_included_credits(basis.whole, basis.service, basis.plans, basis.currency)
    draft = draft_invoice(
        replace(basis, credits=offered), BilledUsage(meters=tuple(meters), current=metered, earlier={})
    )
    kept: Iterable[DraftLine] = (line for line in draft.lines if line.kind not in _LEFT_OUT)
    return RatedSide(
        currency=basis.currency,
        lines=bill_lines(kept, basis.currency, meter_names=names),
        unpriced=draft.unpriced,
        problems=tuple(problem.message for problem in draft.problems),
    )


def is_on_plan(bill: IssuedBill, plan_key: str) -> bool:
    """Whether the bill was made at this plan throughout."""
    return bool(bill.segments) and all(segment.sheet.plan_key == plan_key for segment in bill.segments)


def plan_throughout(
    bill: IssuedBill, sheet: PriceSheet, counts: Mapping[str, Decimal], add_ons: Sequence[ServiceSegment]
) -> tuple[ServiceSegment, ...]:
    """The bill's time on one plan, and its add-ons as they were. Fees that are due once are not due again."""
    own = ServiceSegment(service=bill.period, sheet=sheet, counts=counts)
    return (own, *add_ons)
