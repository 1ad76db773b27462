"""What billing works on: a subscription's period with its plans, prices and earlier lines, as frozen facts.

Plain values. Loading them is `basis_queries.py`; what is made of them is in `draft.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256

from insights.rating.credits import Credit
from insights.rating.invoice import LineKind
from insights.rating.plan_change import ChangePolicy
from insights.rating.rate import WHOLE_PERIOD, Segment
from insights.rating.sheet import PriceSheet
from insights.rating.terms import PriceTerms
from insights.values.period import Period
from insights.values.step import Step

_KEY_CHARACTERS_MAX = 300
_FINDING_CHARACTERS = 16


@lru_cache(maxsize=4096)
def line_key(*parts: str) -> str:
    """The name of a line on its invoice, the same for the same parts and for no others, and never too long to keep."""
    key = ":".join(parts)
    if len(key) <= _KEY_CHARACTERS_MAX and not any(":" in part for part in parts):
        return key
    digest = sha256("\n".join(f"{len(part)} {part}" for part in parts).encode()).hexdigest()
    return f"{parts[0]}:{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSegment:
    """A stretch of a period on one plan, or with one add-on. `is_first` tells that the plan began here for good."""

    service: Period
    sheet: PriceSheet
    policy: ChangePolicy = ChangePolicy.RESTART
    counts: Mapping[str, Decimal] = field(default_factory=dict)
    is_first: bool = False
    add_on_id: int | None = None

    def __hash__(self) -> int:
        return hash(
            (self.service, self.sheet, self.policy, self.is_first, self.add_on_id, *self.counts.items())
        )


def counted_meters(segments: Iterable[ServiceSegment]) -> frozenset[str]:
    """Keys of the meters that percentages of these plans count."""
    return frozenset(
        getattr(terms.charge, "count_meter", "")
        for segment in segments
        for price in segment.sheet.prices
        for _, terms in price.every_terms()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOfBill:
    """One version of a meter as a bill names it."""

    id: int
    key: str
    version: int
    name: str
    unit: str
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftLine:
    """One line of an invoice, not yet stored. Amounts in minor units, quantities as in `models.LineItem`."""

    key: str
    kind: LineKind
    name: str
    service: Period
    minor: int
    price_key: str = ""
    plan_key: str = ""
    plan_version: int | None = None
    meter_key: str = ""
    meter_version: int | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    metered_quantity: Decimal | None = None
    billed_quantity: Fraction | None = None
    unit: str = ""
    terms: PriceTerms | None = None
    segment: Segment = WHOLE_PERIOD
    steps: tuple[Step, ...] = ()
    allotted: Mapping[str, int] = field(default_factory=dict)
    taxes: tuple[str, ...] = ()
    takes_credit: bool = False
    corrects_id: int | None = None
    corrects_invoice_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line of an earlier invoice, with its id. The number is empty while that invoice is a draft.

    Of lines that were due in advance `taxes` and `discounts` of that invoice are known, in percent, whether a credit
    paid for a part of the line, and whether the invoice had bounds or a discount by an amount.
    """

    id: int
    invoice_id: int
    invoice_number: str
    line: DraftLine
    taxes: Mapping[str, Decimal] = field(default_factory=dict)
    discounts: tuple[Decimal, ...] = ()
    is_paid_by_credit: bool = False
    is_by_amount: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedBill:
    """An issued invoice as its re-rating needs it: what it was made of, and what corrections came since.

    `credits` are those it had, as they stood then; `credits_used`, by their keys, what it and its corrections took.
    `comes_back` are ids of its fees billed ahead that are no part of it any more. `priced_elsewhere` as in `Basis`.
    """

    id: int
    number: str
    period: Period
    whole: Period
    is_opening: bool = False
    segments: tuple[ServiceSegment, ...]
    taxes: Mapping[str, Decimal]
    credits: tuple[CreditOffer, ...]
    lines: tuple[StoredLine, ...]
    corrections: tuple[DraftLine, ...] = ()
    credits_used: Mapping[str, int] = field(default_factory=dict)
    unpriced: tuple[Unpriced, ...] = ()
    comes_back: frozenset[int] = frozenset()
    priced_elsewhere: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)

    def is_elsewhere(self, meter_key: str, lost: Collection[str]) -> bool:
        """Whether another subscription had prices for all usage of the meter; `lost` has some while nobody did."""
        return meter_key in self.priced_elsewhere and meter_key not in lost

    @property
    def used_segments(self) -> tuple[ServiceSegment, ...]:
        """The segments that it bills usage of: none if it opened a subscription."""
        return () if self.is_opening else self.segments


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditOffer:
    """A credit as an invoice may use it. `grant_id` is None for one that comes with the plan."""

    credit: Credit
    name: str
    kind: str
    grant_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """All that a period's invoice follows from but the usage.

    `whole` is the billing period, `service` the part of it that is subscribed. An invoice that opens a subscription
    has only fees due in advance; one that closes it has no segments, and corrects what was billed before. `ahead` are
    the segments of the next period for which fees are due in advance, `next_whole` that period. `billed_ahead` are
    lines of earlier invoices that were due in advance for this period. `priced_elsewhere` are keys of the meters that
    other subscriptions price, each with the times at which nobody does.
    """

    account_id: int
    subscription_id: int
    zone: str
    currency: str
    whole: Period
    service: Period
    is_opening: bool = False
    is_closing: bool = False
    segments: tuple[ServiceSegment, ...]
    next_whole: Period | None = None
    ahead: tuple[ServiceSegment, ...] = ()
    billed_ahead: tuple[StoredLine, ...] = ()
    taxes: Mapping[str, Decimal] = field(default_factory=dict)
    credits: tuple[CreditOffer, ...] = ()
    to_correct: tuple[IssuedBill, ...] = ()
    priced_elsewhere: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def is_elsewhere(self, meter_key: str, lost: Collection[str]) -> bool:
        """Whether another subscription has prices for all usage of the meter; `lost` has some while nobody does."""
        return meter_key in self.priced_elsewhere and meter_key not in lost

    @property
    def bills_usage(self) -> bool:
        """Whether it is the invoice of a period's usage."""
        return not (self.is_opening or self.is_closing)

    @property
    def plans(self) -> tuple[ServiceSegment, ...]:
        """The segments of the subscription's own plans, without add-ons."""
        return tuple(segment for segment in self.segments if segment.add_on_id is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a person has to look before the invoice is issued: a stable code, and a sentence for staff.

    `about` is what it was found of, where the sentence says more or less than that.
    """

    code: str
    message: str
    about: str = ""

    @property
    def finding(self) -> str:
        """What tells it from all others, of this code too: a person lets this one pass, and no later one."""
        return (
            f"{self.code}:{sha256((self.about or self.message).encode()).hexdigest()[:_FINDING_CHARACTERS]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """Usage that no price of the plan names."""

    meter_key: str
    unit: str
    quantity: Decimal


def name_totals(totals: Mapping[int, Decimal], meters: Mapping[int, MeterOfBill]) -> tuple[Unpriced, ...]:
    """What was used of each meter, by the ids of their versions, as a bill names it."""
    return tuple(
        Unpriced(meter_key=meters[id_].key, unit=meters[id_].unit, quantity=total)
        for id_, total in totals.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An invoice as it would be: lines in order, which add to the total, and what speaks against issuing it.

    `credits` are those the lines had to take from, `credit_uses` how much of each grant they take, in minor units;
    below zero is given back. `priced_elsewhere` is usage without a line here for which another subscription has a
    price, or which a percentage counts. `uncorrected` are ids of bills that usage came late for and that cannot be
    rated again.
    """

    lines: tuple[DraftLine, ...]
    total_minor: int
    currency: str
    credit_uses: Mapping[int, int]
    credits: tuple[CreditOffer, ...] = ()
    unpriced: tuple[Unpriced, ...] = ()
    priced_elsewhere: tuple[Unpriced, ...] = ()
    problems: tuple[Problem, ...] = ()
    uncorrected: tuple[int, ...] = ()
