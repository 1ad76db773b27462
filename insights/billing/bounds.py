"""Rather no bill than a wrong bill: what speaks against issuing an invoice until a person has looked.

Every bound is looked at on its own, so that none hides another. Each finding has a stable code and says what it is
about; a person lets that one pass, and what is found later parks the invoice again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from statistics import median

from insights.billing.basis import Basis, Draft, Problem
from insights.billing.price_words import money_words
from insights.values.money import Money, minor_of
from insights.values.period import Period
from insights.values.quantity import grouped_text

JUMP_TIMES = 10
JUMP_MAJOR_UNITS = 1_000
EARLIER_MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How complete one source's usage of the account is, and from when until when it is expected."""

    name: str
    counts_from: datetime
    complete_to: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Earlier issued invoices of the subscription: totals in minor units, and of how many records the last were made.

    The records need not be given of an invoice that has some itself.
    """

    totals: tuple[int, ...] = ()
    records: tuple[int, ...] = ()
    overlapping: tuple[str, ...] = ()


def find_problems(
    basis: Basis,
    draft: Draft,
    *,
    records: int,
    history: History,
    sources: Iterable[SourceState],
    has_profile: bool,
    uncovered: Sequence[Problem] = (),
) -> tuple[Problem, ...]:
    """Everything that parks this invoice, in a fixed order; nothing means that it may be issued.

    Usage of the account that no subscription covers is on no invoice, so it parks the next one for a period.
    """
    return (
        *([] if has_profile else [Problem(code="no_profile", message="The account has no billing profile.")]),
        *_problems_of_usage(basis, draft, sources),
        *(uncovered if basis.bills_usage else ()),
        *draft.problems,
        *_problems_of_history(basis, draft, history, records),
    )


def _problems_of_usage(basis: Basis, draft: Draft, sources: Iterable[SourceState]) -> Iterator[Problem]:
    if not basis.bills_usage:
        return
    for usage in draft.unpriced:
        amount = f"{grouped_text(usage.quantity)} {usage.unit} of {usage.meter_key}"
        prices = [segment.sheet.by_meter.get(usage.meter_key) for segment in basis.plans]
        units = [price.units for price in prices if price is not None]
        # Another plan of the same period may well have a price for it.
        if units and usage.unit not in frozenset().union(*units):
            yield Problem(code="unknown_unit", message=f"{amount}: its price is for another unit.")
        else:
            yield Problem(code="unpriced_meter", message=f"{amount} have no price in the plan.")
    for source in sources:
        yield from _problem_of_source(source, basis.service)


def _problem_of_source(source: SourceState, service: Period) -> Iterator[Problem]:
    expected_to = service.end if source.ended_at is None else min(service.end, source.ended_at)
    if source.counts_from >= service.end or expected_to <= service.start:
        return
    if source.complete_to is None or source.complete_to <= max(service.start, source.counts_from):
        yield Problem(code="missing_source", message=f"Nothing came from {source.name} for this period.")
    elif source.complete_to < expected_to:
        until = f"{source.complete_to:%Y-%m-%d %H:%M} UTC"
        message = f"{source.name} is complete to {until} only."
        # Whoever lets it pass knows that it is not complete: that it comes nearer is nothing new.
        yield Problem(code="incomplete", message=message, about=source.name)


def _problems_of_history(basis: Basis, draft: Draft, history: History, records: int) -> Iterator[Problem]:
    for number in history.overlapping:
        yield Problem(code="duplicate_period", message=f"Invoice {number} is for a part of the same period.")
    if basis.is_opening or len(history.totals) < EARLIER_MIN:
        return
    usual = median(history.totals)
    if draft.total_minor > JUMP_TIMES * usual and draft.total_minor - usual > _jump_minor(basis.currency):
        moneys = (Money(int(minor), basis.currency) for minor in (draft.total_minor, usual))
        now, before = map(money_words, moneys)
        message = f"{now} is more than {JUMP_TIMES} times the usual {before}."
        # A record that comes late makes no other jump of it, once more of what is usual does.
        height = draft.total_minor // max(int(usual), _jump_minor(basis.currency))
        yield Problem(code="jump", message=message, about=f"{height} times")
    if basis.bills_usage and not records and all(history.records[-EARLIER_MIN:]):
        yield Problem(code="no_usage", message="There is no usage at all after months with usage.")


def _jump_minor(currency: str) -> int:
    return int(minor_of(Fraction(JUMP_MAJOR_UNITS), currency))


def still_parked(problems: Sequence[Problem], released: Iterable[str]) -> tuple[Problem, ...]:
    """What is left of the findings after a person let some of them pass."""
    passed = frozenset(released)
    return tuple(problem for problem in problems if problem.finding not in passed)
