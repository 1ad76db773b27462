"""The edges of a bill's period, and which bill the records beside each edge went to. Pure.

An edge is where a record just before and a record just after may be charged differently: the period's start and end, a
change of plan, and a change of the zone's clock. Windows are shown that touch the minutes on either side of an edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from insights.billing.bill import Bill
from insights.values.period import clock_changes

MINUTES = (5, 15, 60)
MINUTES_DEFAULT = 15


class EdgeKind(StrEnum):
    """Why something may be charged differently from here on."""

    START = "period_start"
    PLAN = "plan_change"
    CLOCK = "clock_change"
    END = "period_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An instant; what is on it or after it counts to the later side. `plan` is the plan that begins there."""

    kind: EdgeKind
    at: datetime
    plan: str = ""


def edges_of(bill: Bill) -> tuple[Edge, ...]:
    """The edges of a bill's period in the order of time."""
    return tuple(sorted(_edges(bill), key=lambda edge: (edge.at, list(EdgeKind).index(edge.kind))))


def _edges(bill: Bill) -> Iterator[Edge]:
    period, zone = bill.head.period, ZoneInfo(bill.head.zone)
    yield Edge(kind=EdgeKind.START, at=period.start)
    for segment in bill.plan_changes[1:]:
        plan = f"{segment.sheet.plan_name}, version {segment.sheet.version}"
        yield Edge(kind=EdgeKind.PLAN, at=segment.period.start, plan=plan)
    for change in clock_changes(period, zone):
        yield Edge(kind=EdgeKind.CLOCK, at=change)
    yield Edge(kind=EdgeKind.END, at=period.end)


class Outcome(StrEnum):
    """What became of a record."""

    BILLED = "billed"
    CORRECTED = "corrected"
    WAITS = "waits"
    DRAFT = "draft"
    NOT_CHARGED = "not_charged"
    NO_PRICE = "no_price"
    NO_BILL = "no_bill"


OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.BILLED: "on it when it was made",
    Outcome.CORRECTED: "came later, corrected on",
    Outcome.WAITS: "came later, to be corrected on a later bill",
    Outcome.DRAFT: "on the draft",
    Outcome.NOT_CHARGED: "its source is not charged",
    Outcome.NO_PRICE: "the plan has no price for it",
    Outcome.NO_BILL: "no bill yet for this time",
}


def minutes_of(text: str) -> int | None:
    """The minutes that a text asks for, if it is one of those offered."""
    return next((minutes for minutes in MINUTES if text == str(minutes)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRef:
    """A bill by its id and number, which is empty for a draft."""

    public_id: UUID
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """Where a record went: the bill whose period it is in, its line there, and the bill that corrected it."""

    outcome: Outcome
    bill: BillRef | None = None
    line: int | None = None
    line_name: str = ""
    corrected_on: BillRef | None = None


@dataclass(frozen=True, slots=True)
class EdgePlace:
    """Where a page of records ended."""

    edge: int
    window_start: datetime
    series_id: int
    row_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRecord:
    """A record whose window touches the minutes beside an edge; `at.edge` is the edge's number."""

    at: EdgePlace
    window: timedelta
    meter: str
    meter_version: int
    dimensions: Mapping[str, str]
    quantity: Decimal
    unit: str
    source: str
    source_id: int
    batch: UUID | None
    line: int
    revision: int
    entry_id: int

    @property
    def window_end(self) -> datetime:
        """The end of the window, which is not part of it."""
        return self.at.window_start + self.window

    def is_after(self, edge: Edge) -> bool:
        """Whether it counts to the later side: by where its window starts."""
        return self.at.window_start >= edge.at


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCount:
    """How many records touch the minutes beside an edge, by the side to which they count."""

    edge: Edge
    before: int
    after: int
