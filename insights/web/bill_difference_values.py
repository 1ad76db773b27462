"""Where a change of usage between two bills came from: one meter by every value of its dimensions, as page and CSV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.difference_words import match_words, part_words
from insights.billing.price_words import scale_of_price, unit_size_words
from insights.explain.difference_queries import read_values
from insights.exports.difference_rows import value_rows
from insights.rating.terms import PriceTerms
from insights.scenarios.by_value import UnableToSplit, ValueChange, split_usage
from insights.scenarios.difference import BillDifference, Part
from insights.scenarios.effects import Effect
from insights.web.bill_charts import signed_number
from insights.web.bill_difference import Compared, compare, name_of
from insights.web.bill_difference_rows import WITH, values_query
from insights.web.bills import file_stem, usage_url
from insights.web.csv_files import csv_file
from insights.web.words import label

ROWS_MAX = 50
PAGE = "bills/difference_values.html"


@dataclass(frozen=True, slots=True)
class _Split:
    """A change of usage, and its split by each dimension; None where the values are not what was billed."""

    part: Part
    dimensions: tuple[tuple[str, tuple[ValueChange, ...] | None], ...]


@account_page
@require_safe
def bill_difference_values(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show what each value of each dimension has to do with a change of usage, the largest unless one is chosen."""
    compared = compare(request, bill_uuid)
    found = compared.found
    context: dict[str, Any] = {
        "nav": "bills",
        "head": found.bill.head,
        "name": name_of(found.bill.head),
        "page": {},
    }
    split = _split_of(request, compared)
    if split and found.other:
        context |= _context(request.account, split, found.other, found.bill)
    return render(request, PAGE, context)


@account_page
@require_safe
def bill_difference_values_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download every value of every dimension."""
    compared = compare(request, bill_uuid)
    split = _split_of(request, compared)
    rows = value_rows(split.part if split else None, split.dimensions if split else ())
    return csv_file(rows, f"{file_stem(compared.found.bill.head)}-difference-values.csv")


def _split_of(request: Any, compared: Compared) -> _Split | None:
    if compared.fault:
        raise Http404
    before = compared.found.other
    if compared.difference is None or before is None:
        return None
    part = _chosen(compared.difference, request.GET)
    if part is None:
        return None
    then = read_values(request.account, before, part.match.before.charges)
    now = read_values(request.account, compared.found.bill, part.match.after.charges)
    return _Split(part, tuple((name, _split(part, then, now, name)) for name in sorted({*then, *now})))


def _chosen(difference: BillDifference, asked: Mapping[str, str]) -> Part | None:
    """The change of usage that the address names, or the largest; 404 for one that is not there."""
    parts = [part for part in difference.parts if part.effect is Effect.USAGE and part.match.meter_key]
    if "meter" not in asked:
        return max(parts, key=lambda part: abs(part.exact), default=None)
    named = {key: value for key, value in asked.items() if key != WITH}
    for part in parts:
        if values_query(part.match) == named:
            return part
    raise Http404


def _split(
    part: Part,
    before: Mapping[str, Mapping[str, Decimal]],
    after: Mapping[str, Mapping[str, Decimal]],
    name: str,
) -> tuple[ValueChange, ...] | None:
    try:
        return split_usage(part, before.get(name, {}), after.get(name, {}))
    except UnableToSplit:
        return None


def _context(account: Account, split: _Split, before: Bill, after: Bill) -> dict[str, Any]:
    part = split.part
    terms = _terms(part)
    scale = scale_of_price(terms)
    query = {WITH: str(before.head.public_id), **values_query(part.match)}
    return {
        "other": before.head,
        "other_name": name_of(before.head),
        "part_name": match_words(part.match),
        "words": part_words(part, {}),
        "amount": signed_number(part.amount, is_change=True),
        "currency": part.amount.currency,
        "metered_unit": terms.unit if terms else "",
        "scale": scale,
        "unit": scale.unit if scale else terms.unit if terms else "",
        "unit_size": unit_size_words(terms),
        "dimensions": [
            {
                "name": label(name),
                "rows": [_row(account, after, part, name, one) for one in (values or ())[:ROWS_MAX]],
                "left": max(len(values or ()) - ROWS_MAX, 0),
                "is_split": values is not None,
            }
            for name, values in split.dimensions
        ],
        "query": urlencode(query),
    }


def _terms(part: Part) -> PriceTerms | None:
    terms = [line.terms for side in (part.match.after, part.match.before) for line in side.charges]
    return next((one for one in terms if one), None)


def _row(account: Account, bill: Bill, part: Part, dimension: str, change: ValueChange) -> dict[str, Any]:
    values = {**dict(part.match.values), dimension: change.value}
    return {
        "value": change.value or "(none)",
        "before": change.before,
        "after": change.after,
        "amount": signed_number(change.amount, is_change=True),
        "url": usage_url(account, part.match.meter_key, values, bill.head.period, ZoneInfo(bill.head.zone))
        if change.value
        else "",
    }
