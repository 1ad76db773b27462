"""Lines for fees: in arrears, in advance for the next period, once, and what a change of plan gives back.

A fee is due for the time that its plan was held with one count; neighbouring segments that do not differ in that are
one stretch, so that a change elsewhere neither splits a fee nor rounds it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from insights.billing.basis import DraftLine, ServiceSegment, StoredLine, line_key
from insights.rating.invoice import LineKind
from insights.rating.proration import share_of
from insights.rating.rate import RatedLine, Segment, Usage, correct_line, rate_line
from insights.rating.sheet import PriceSheet, SheetPrice
from insights.rating.terms import FeeTiming, PriceTerms
from insights.values.money import Money
from insights.values.period import Period

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """How long a fee of one plan was held with one count, inside a billing period."""

    service: Period
    sheet: PriceSheet
    price: SheetPrice
    terms: PriceTerms
    count: Decimal
    is_first: bool
    add_on_id: int | None

    @property
    def name(self) -> tuple[str, str, int | None]:
        """What makes two stretches the same fee."""
        return self.sheet.plan_key, self.price.key, self.add_on_id


def fee_lines(
    whole: Period,
    segments: Sequence[ServiceSegment],
    *,
    billed_ahead: Sequence[StoredLine],
    taxes: tuple[str, ...],
) -> tuple[DraftLine, ...]:
    """Fees of a period that are due at its end, and the difference to what was billed ahead for it."""
    return (
        _fee_lines(whole, tuple(segments), tuple(billed_ahead), taxes)
        if billed_ahead
        else _plain_fee_lines(whole, tuple(segments), taxes)
    )


@lru_cache(maxsize=1024)
def _plain_fee_lines(
    whole: Period, segments: tuple[ServiceSegment, ...], taxes: tuple[str, ...]
) -> tuple[DraftLine, ...]:
    """The same lines for all accounts that have the same plans in the same time."""
    return _fee_lines(whole, segments, (), taxes)


def _fee_lines(
    whole: Period,
    segments: tuple[ServiceSegment, ...],
    billed_ahead: tuple[StoredLine, ...],
    taxes: tuple[str, ...],
) -> tuple[DraftLine, ...]:
    stretches = list(_stretches(segments))
    due = [stretch for stretch in stretches if stretch.terms.timing is FeeTiming.IN_ARREARS]
    due += [stretch for stretch in stretches if stretch.terms.timing is FeeTiming.ONCE and stretch.is_first]
    lines = [_fee_line(whole, stretch, taxes) for stretch in _once_each(due)]
    in_advance = [stretch for stretch in stretches if stretch.terms.timing is FeeTiming.IN_ADVANCE]
    return (*lines, *_settle_ahead(whole, list(_once_each(in_advance)), billed_ahead, taxes))


def fees_ahead(
    whole: Period, segments: Sequence[ServiceSegment], *, taxes: tuple[str, ...]
) -> tuple[DraftLine, ...]:
    """Fees due in advance for a period, by the plans it begins with."""
    return _fees_ahead(whole, tuple(segments), taxes)


@lru_cache(maxsize=1024)
def _fees_ahead(
    whole: Period, segments: tuple[ServiceSegment, ...], taxes: tuple[str, ...]
) -> tuple[DraftLine, ...]:
    stretches = [stretch for stretch in _stretches(segments) if stretch.terms.timing is FeeTiming.IN_ADVANCE]
    return tuple(_fee_line(whole, stretch, taxes) for stretch in _once_each(stretches))


def _stretches(segments: Iterable[ServiceSegment]) -> Iterator[_Stretch]:
    open_stretches: dict[tuple[str, str, int | None], _Stretch] = {}
    for segment in segments:
        for price in segment.sheet.fees:
            if price.terms is None:
                continue
            stretch = _Stretch(
                service=segment.service,
                sheet=segment.sheet,
                price=price,
                terms=price.terms,
                count=segment.counts.get(price.key, Decimal(0)) if price.is_counted else _ONE,
                is_first=segment.is_first,
                add_on_id=segment.add_on_id,
            )
            before = open_stretches.get(stretch.name)
            if before is not None and _goes_on(before, stretch):
                open_stretches[stretch.name] = replace(
                    before, service=Period(before.service.start, stretch.service.end)
                )
                continue
            if before is not None:
                yield before
            open_stretches[stretch.name] = stretch
    yield from open_stretches.values()


def _goes_on(before: _Stretch, stretch: _Stretch) -> bool:
    is_same = (before.terms, before.count) == (stretch.terms, stretch.count)
    return is_same and before.service.end == stretch.service.start


def _once_each(stretches: Iterable[_Stretch]) -> Iterator[_Stretch]:
    """All stretches of fees charged by time; of any other fee only the first, for it is due once for the plan."""
    seen: set[tuple[str, str, int | None]] = set()
    for stretch in sorted(stretches, key=lambda one: one.service.start):
        if stretch.terms.is_prorated or stretch.name not in seen:
            yield stretch
        seen.add(stretch.name)


def _rate(whole: Period, stretch: _Stretch) -> tuple[RatedLine, Segment]:
    segment = Segment(share=share_of(stretch.service, whole))
    return rate_line(stretch.terms, Usage(stretch.count), segment=segment), segment


def _fee_line(whole: Period, stretch: _Stretch, taxes: tuple[str, ...]) -> DraftLine:
    rated, segment = _rate(whole, stretch)
    price, sheet = stretch.price, stretch.sheet
    add_on = () if stretch.add_on_id is None else (str(stretch.add_on_id),)
    return DraftLine(
        key=line_key("fee", sheet.plan_key, price.key, _instant_text(stretch.service.start), *add_on),
        kind=LineKind.CHARGE,
        name=price.name,
        service=stretch.service,
        minor=rated.amount.minor,
        price_key=price.key,
        plan_key=sheet.plan_key,
        plan_version=sheet.version,
        metered_quantity=stretch.count if price.is_counted else None,
        billed_quantity=rated.billed_quantity if price.is_counted else None,
        unit=stretch.terms.priced_unit,
        terms=stretch.terms,
        segment=segment,
        steps=rated.steps,
        taxes=taxes if price.is_taxable else (),
        takes_credit=price.takes_credit,
    )


@lru_cache(maxsize=1024)
def _instant_text(instant: datetime) -> str:
    return instant.strftime("%Y%m%dT%H%M%S")


def _settle_ahead(
    whole: Period, due: Sequence[_Stretch], billed: Sequence[StoredLine], taxes: tuple[str, ...]
) -> Iterator[DraftLine]:
    """What was billed ahead and not used comes back; what was used and not billed ahead is charged."""
    lines = {line.key: (line, stretch) for stretch in due for line in (_fee_line(whole, stretch, taxes),)}
    for stored in billed:
        same = lines.pop(stored.line.key, None)
        if same is None or not _is_equal(same[0], stored.line):
            yield from _give_back(stored, None if same is None else same[0], taxes)
    yield from (line for line, _ in lines.values())


def _is_equal(due: DraftLine, billed: DraftLine) -> bool:
    return (due.minor, due.service, due.steps) == (billed.minor, billed.service, billed.steps)


def _give_back(stored: StoredLine, due: DraftLine | None, taxes: tuple[str, ...]) -> Iterator[DraftLine]:
    """The correction of a fee billed ahead, now that it comes to less, to more, or to nothing.

    A charge below zero, so that discounts and taxes of this invoice come back with it.
    """
    billed = stored.line
    if billed.terms is None:
        return
    currency = billed.terms.currency
    nothing = RatedLine(
        metered_quantity=Decimal(0), billed_quantity=Fraction(0), steps=(), amount=Money(0, currency)
    )
    correction = correct_line(rated_of(billed, currency), nothing if due is None else rated_of(due, currency))
    if not correction.amount.minor and not correction.steps:
        return
    yield replace(
        billed,
        key=line_key("correction", stored.invoice_number or "draft", billed.key),
        kind=LineKind.CHARGE,
        minor=correction.amount.minor,
        metered_quantity=None if billed.metered_quantity is None else correction.metered_quantity,
        billed_quantity=None if billed.billed_quantity is None else correction.billed_quantity,
        steps=correction.steps,
        allotted={},
        # A tax that is no more cannot be taken of this invoice; then a person looks, see `given_back`.
        taxes=tuple(name for name in billed.taxes if name in taxes),
        takes_credit=False,
        # Lines of a draft are made anew with it, so none of them can be pointed at.
        corrects_id=stored.id if stored.invoice_number else None,
        corrects_invoice_id=stored.invoice_id,
    )


def given_back(lines: Iterable[DraftLine], billed: Sequence[StoredLine]) -> tuple[StoredLine, ...]:
    """The fees billed ahead, on invoices that are issued, which these lines give back or bring to another amount."""
    changed = {line.corrects_id for line in lines}
    return tuple(stored for stored in billed if stored.id in changed)


def rated_of(line: DraftLine, currency: str) -> RatedLine:
    """A line's figures in the form in which lines are compared."""
    return RatedLine(
        metered_quantity=line.metered_quantity or Decimal(0),
        billed_quantity=line.billed_quantity or Fraction(0),
        steps=line.steps,
        amount=Money(line.minor, currency),
    )
