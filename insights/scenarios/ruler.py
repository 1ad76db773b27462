"""The plan-change ruler: a period with its plans in turn, and what it would have come to without the change.

Without the change means that the plan the period began with had gone on to its end, with the same usage and the counts
it began with. Rated by the engine that bills; before what holds for a whole bill, so without its discounts, credits and
tax. Where the old plan has no price for something that was used, or usage is not kept by the values it would need, it
cannot be told, and is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from insights.rating.charges import Percentage
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.proration import share_of
from insights.rating.rate import Segment, Usage, rate_line
from insights.rating.terms import FeeTiming
from insights.scenarios.facts import BilledLine, BillFacts, OfferedPrice, Values
from insights.scenarios.rerate import charged_of, total_usage
from insights.values.money import Money, sum_money
from insights.values.period import Period
from insights.values.share import WHOLE, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStretch:
    """A part of the period on one plan. `policy` is what the change that began it did to tiers and included usage."""

    service: Period
    plan_key: str
    policy: ChangePolicy
    offers: tuple[OfferedPrice, ...]
    counts: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RulerRow:
    """A meter or a fee: what it came to, and what it would have without the change; None where that cannot be told."""

    name: str
    meter_key: str
    billed: Money
    without: Money | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRuler:
    """The stretches with their parts of the period, and a row for each meter and fee of the plans."""

    stretches: tuple[tuple[PlanStretch, Share], ...]
    rows: tuple[RulerRow, ...]
    currency: str

    @property
    def billed(self) -> Money:
        """What all rows came to."""
        return sum_money((row.billed for row in self.rows), self.currency)

    @property
    def without(self) -> Money | None:
        """What all rows would have come to, if that can be told of each."""
        found = [row.without for row in self.rows if row.without is not None]
        return sum_money(found, self.currency) if len(found) == len(self.rows) else None


def measure_period(bill: BillFacts, whole: Period, stretches: Sequence[PlanStretch]) -> PlanRuler:
    """The ruler of a bill whose plan, or a count of it, changed inside the billing period `whole`.

    Raises InvalidSegments if a stretch is not inside it.
    """
    due = [line for line in bill.lines if not line.is_add_on and line.kind is LineKind.CHARGE]
    return PlanRuler(
        stretches=tuple((stretch, share_of(stretch.service, whole)) for stretch in stretches),
        rows=(*_fee_rows(bill, due, whole, stretches), *_usage_rows(bill, due, whole, stretches)),
        currency=bill.currency,
    )


def _service(whole: Period, stretches: Sequence[PlanStretch]) -> Segment:
    """All of the stretches as one segment, on tiers as the first of them had them."""
    share = share_of(Period(stretches[0].service.start, stretches[-1].service.end), whole)
    is_shared = stretches[0].policy is ChangePolicy.SHARED_BY_TIME
    return Segment(share=share, tier_share=share if is_shared else WHOLE)


# --- Usage -----------------------------------------------------------------------------------------
def _usage_rows(
    bill: BillFacts, due: Iterable[BilledLine], whole: Period, stretches: Sequence[PlanStretch]
) -> Iterator[RulerRow]:
    by_meter: dict[str, list[BilledLine]] = {}
    for line in due:
        if line.meter_key:
            by_meter.setdefault(line.meter_key, []).append(line)
    for meter_key, lines in sorted(by_meter.items()):
        yield RulerRow(
            name=lines[0].name,
            meter_key=meter_key,
            billed=Money(sum(line.minor for line in lines), bill.currency),
            without=_usage_without(bill.currency, meter_key, lines, whole, stretches),
        )


def _usage_without(
    currency: str,
    meter_key: str,
    lines: Sequence[BilledLine],
    whole: Period,
    stretches: Sequence[PlanStretch],
) -> Money | None:
    cells = [_cells(stretch, meter_key) for stretch in stretches]
    first = cells[0]
    is_kept = set(first) == {()} or all(set(one) == set(first) for one in cells)
    # What a plan has no price for is on no line, and what it does not count is in no step.
    is_priced = all(cells) and len({offer.terms.unit for one in cells for offer in one.values()}) == 1
    is_counted = len({_count_meter(offer) for one in cells for offer in one.values()}) == 1
    if not (is_kept and is_priced and (is_counted or not any(map(_count_meter, first.values())))):
        return None
    segment = _service(whole, stretches)
    amounts = []
    for values, offer in first.items():
        used = [line for line in lines if set(first) == {()} or line.values == values]
        charged = [one for line in used if (one := charged_of(line)) is not None]
        if charged:
            amounts.append(rate_line(offer.terms, total_usage(charged), segment=segment).amount)
    return sum_money(amounts, currency)


def _count_meter(offer: OfferedPrice) -> str:
    return offer.terms.charge.count_meter if isinstance(offer.terms.charge, Percentage) else ""


def _cells(stretch: PlanStretch, meter_key: str) -> dict[Values, OfferedPrice]:
    return {offer.values: offer for offer in stretch.offers if offer.meter_key == meter_key}


# --- Fees ------------------------------------------------------------------------------------------
def _fee_rows(
    bill: BillFacts, due: Iterable[BilledLine], whole: Period, stretches: Sequence[PlanStretch]
) -> Iterator[RulerRow]:
    fees = [line for line in due if not line.meter_key]
    kept = {offer.price_key: offer for offer in stretches[0].offers if not offer.meter_key}
    next_is_billed = _next_is_billed(fees, whole, stretches[-1])
    for key in sorted({line.price_key for line in fees} | set(kept)):
        lines = [line for line in fees if line.price_key == key]
        offer = kept.get(key)
        without: Money | None = Money(0, bill.currency)
        if offer is not None:
            own = [line for line in lines if line.plan_key == offer.plan_key]
            without = _fee_without(offer, own, whole, stretches, next_is_billed=next_is_billed)
        billed = Money(sum(line.minor for line in lines), bill.currency)
        if lines or without is None or without.minor:
            name = lines[0].name if lines else offer.name if offer else key
            yield RulerRow(name=name, meter_key="", billed=billed, without=without)


def _next_is_billed(fees: Iterable[BilledLine], whole: Period, last: PlanStretch) -> bool | None:
    """Whether fees in advance for the next period are on the bill; None if the last plan has none that would tell."""
    if any(line.service_start >= whole.end for line in fees):
        return True
    in_advance = [
        one for one in last.offers if one.terms.timing is FeeTiming.IN_ADVANCE and not one.meter_key
    ]
    return False if in_advance else None


def _fee_without(
    offer: OfferedPrice,
    own: Sequence[BilledLine],
    whole: Period,
    stretches: Sequence[PlanStretch],
    *,
    next_is_billed: bool | None,
) -> Money | None:
    """The fee of the first plan: for this period unless it was billed ahead, and for the next one if that is billed."""
    terms, currency = offer.terms, offer.terms.currency
    count = stretches[0].counts.get(offer.price_key, Decimal(0)) if offer.is_counted else Decimal(1)
    amounts = []
    # One that is due once, or in advance, is on this bill only if it was not on an earlier one.
    if terms.timing is FeeTiming.IN_ARREARS or _is_billed_now(own, whole.end):
        amounts.append(rate_line(terms, Usage(count), segment=_service(whole, stretches)).amount)
    if terms.timing is FeeTiming.IN_ADVANCE:
        if next_is_billed is None:
            return None
        if next_is_billed:
            amounts.append(rate_line(terms, Usage(count)).amount)
    return sum_money(amounts, currency)


def _is_billed_now(lines: Iterable[BilledLine], end: datetime) -> bool:
    """Whether a fee due in advance was charged for the period itself, and not by the bill before."""
    inside = [line for line in lines if line.service_start < end]
    return bool(inside) and not any(line.is_given_back for line in inside)
