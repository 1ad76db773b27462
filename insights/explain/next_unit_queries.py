"""Reads what the next unit of each meter costs, from the bills of the periods that run; inside the account's scope.

At the stored terms of a line, its place in its period and the usage that it has so far: two statements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F

from accounts.models import Account
from insights.billing.bill_line_queries import meter_names
from insights.billing.line_segment_mapping import segment_of
from insights.explain.line_reading_queries import usage_before
from insights.models import InvoiceState, LineItem
from insights.rating.charges import Percentage
from insights.rating.invoice import LineKind
from insights.rating.next_unit import NextUnit, next_unit
from insights.rating.rate import Segment, UnableToRate, Usage, count_of
from insights.rating.terms import PriceTerms
from insights.rating.terms_json import parse_terms
from insights.values.step import parse_step

# Those of ten bills with as many prices as a page shows.
PRICES_KEPT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class NextUnitPrice:
    """One price of a running bill: which usage it is for, how much there is so far, and what the next unit costs.

    `used` is in the meter's unit; `complete_to` is up to when it is complete.
    """

    bill_id: UUID
    position: int
    name: str
    meter_key: str
    meter_version: int | None
    meter_name: str
    values: Mapping[str, str]
    terms: PriceTerms
    used: Decimal
    complete_to: datetime | None
    next_unit: NextUnit


def list_next_units(account: Account, *, now: datetime, meter_key: str = "") -> tuple[NextUnitPrice, ...]:
    """List the prices that usage of this moment is for, in the order of the bill; of a meter, its newest version.

    With a key of one meter alone.
    """
    rows = (
        LineItem.objects.for_account(account)
        .filter(
            invoice__account=account,
            invoice__period_end__gt=now,
            kind=LineKind.CHARGE,
            service_start__lte=now,
            service_end__gt=now,
        )
        .exclude(invoice__state=InvoiceState.ISSUED)
        .filter(**({"meter_key": meter_key} if meter_key else {"meter_key__gt": ""}))
        .annotate(bill_id=F("invoice__public_id"), complete_to=F("invoice__complete_to"))
        .defer("allotted", "taxes")
        .order_by("invoice", "position")
    )
    found = list(_newest(rows))
    names = meter_names({row.meter_key for row, _ in found}) if found else {}
    return tuple(one for row, older in found if (one := _price_of(row, older, names)) is not None)


def _newest(rows: Iterable[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Each line of the newest version of its meter, with those of older ones."""
    by_bill: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row in rows:
        by_bill[row.invoice_id, row.meter_key].append(row)
    for lines in by_bill.values():
        newest = max(line.meter_version or 0 for line in lines)
        older = [line for line in lines if (line.meter_version or 0) < newest]
        yield from ((line, older) for line in lines if (line.meter_version or 0) == newest)


@lru_cache(maxsize=PRICES_KEPT)
def _next_unit(terms: PriceTerms, usage: Usage, segment: Segment, before: Usage | None) -> NextUnit:
    """Kept, since it follows from what is given alone and pages ask for a bill again and again."""
    return next_unit(terms, usage, segment=segment, before=before)


def _price_of(row: Any, older: list[Any], names: Mapping[str, str]) -> NextUnitPrice | None:
    """The price of one line, or None where what it has so far has none."""
    if row.terms is None:
        return None
    terms = parse_terms(row.terms)
    # Only a percentage takes a fee for each count.
    has_counts = isinstance(terms.charge, Percentage)
    count = count_of(map(parse_step, row.steps)) if has_counts else Decimal(0)
    usage = Usage(row.metered_quantity or Decimal(0), count)
    try:
        found = _next_unit(terms, usage, segment_of(row.segment), usage_before(row, older))
    except UnableToRate:
        return None
    return NextUnitPrice(
        bill_id=row.bill_id,
        position=row.position,
        name=row.name,
        meter_key=row.meter_key,
        meter_version=row.meter_version,
        meter_name=names.get(row.meter_key, row.meter_key),
        values=dict(row.values),
        terms=terms,
        used=usage.quantity,
        complete_to=row.complete_to,
        next_unit=found,
    )
