"""Why a bill is not what another one was: the answer, a waterfall, and each part with the lines and usage behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.models import Account
from insights.billing.bill import Bill, BillHead
from insights.billing.bill_facts import bill_facts, plan_names
from insights.billing.difference_queries import TwoBills, find_two_bills
from insights.billing.difference_words import (
    EFFECT_MEANINGS,
    EFFECT_TITLES,
    causes_words,
    change_words,
    difference_sentence,
    match_words,
    part_words,
)
from insights.billing.price_words import money_words, share_words
from insights.exports.difference_rows import difference_rows
from insights.rating.invoice import LineKind
from insights.scenarios.difference import Bar, BillDifference, Part, compare_bills
from insights.scenarios.effects import Effect
from insights.scenarios.facts import BilledLine, DifferentCurrencies
from insights.scenarios.matching import Match, Place, Side
from insights.values.money import Money
from insights.values.period import Period
from insights.values.share import Share
from insights.web import words
from insights.web.bill_charts import signed_number, waterfall_figure
from insights.web.bills import file_stem, period_of, usage_url, uuid_of
from insights.web.csv_files import csv_file

PAGE = "bills/difference.html"
WITH = "with"
_KINDS = {"opening": "in advance", "closing": "after the end"}


@dataclass(frozen=True, slots=True)
class Compared:
    """Both bills and what they differ by, or what is wrong with the question."""

    found: TwoBills
    difference: BillDifference | None = None
    fault: str = ""


@account_page
@require_safe
def bill_difference(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Show what changed from another bill, the one before unless another is chosen, to this one, and why."""
    compared = compare(request, bill_uuid)
    found = compared.found
    context: dict[str, Any] = {
        "nav": "bills",
        "head": found.bill.head,
        "name": name_of(found.bill.head),
        "zone": found.bill.head.zone,
        "fault": compared.fault,
        "offered": _offered(found),
        "page": {},
    }
    if compared.difference and found.other:
        context |= _context(request.account, compared.difference, found.other, found.bill)
    return render(request, PAGE, context, status=400 if compared.fault else 200)


@account_page
@require_safe
def bill_difference_csv(request: Any, bill_uuid: UUID) -> HttpResponse:
    """Download every part."""
    compared = compare(request, bill_uuid)
    found = compared.found
    if compared.fault:
        return HttpResponse(compared.fault, content_type="text/plain; charset=utf-8", status=400)
    # A bill with none before it has no rows under the heading.
    rows = difference_rows(compared.difference, found.other or found.bill, found.bill)
    return csv_file(rows, f"{file_stem(found.bill.head)}-difference.csv")


def compare(request: Any, bill_uuid: UUID) -> Compared:
    """The bill and the one that the address names, or the one before; 404 where one of them is not the account's."""
    asked = request.GET.get(WITH, "")
    other_id = uuid_of(asked)
    found = find_two_bills(request.account, public_id=bill_uuid, other_id=other_id, now=timezone.now())
    if found is None:
        raise Http404
    if asked and other_id is None:
        return Compared(found, fault="That is not the id of a bill. Choose one from the list.")
    if found.other is None:
        return Compared(found)
    if found.other.head.public_id == found.bill.head.public_id:
        return Compared(found, fault="A bill does not differ from itself. Choose another one.")
    try:
        return Compared(found, compare_bills(bill_facts(found.other), bill_facts(found.bill)))
    except DifferentCurrencies:
        currencies = f"{found.other.head.currency} and {found.bill.head.currency}"
        return Compared(found, fault=f"Bills in {currencies} cannot be compared. Choose one in the same.")


def _context(account: Account, difference: BillDifference, before: Bill, after: Bill) -> dict[str, Any]:
    names = plan_names(before, after)
    rows = _Rows(account, before, after, names)
    before_name, after_name = name_of(before.head), name_of(after.head)
    if before_name == after_name:
        # Of two bills for the same days the other one is told apart by its number.
        before_name = f"{before_name}, {before.head.number or before.head.subscription_name}"
    other = {"other": before.head, "other_name": before_name}
    return {
        **other,
        "difference": difference,
        "sentence": difference_sentence(difference, before_name),
        "answer": change_words(difference, before_name),
        "because": causes_words(difference),
        "covered": _covered(before.head, after.head),
        "figure": waterfall_figure(difference, before=before_name, after=after_name),
        "causes": [rows.cause(bar) for bar in difference.bars if any(p.amount.minor for p in bar.parts)],
        "matches": [rows.match(match, money) for match, money, _ in difference.by_match],
        "csv_query": f"{WITH}={before.head.public_id}",
        "before": _plain(difference.before),
        "after": _plain(difference.after),
        "change": _signed(difference.change),
        "unchanged": _plain(difference.unchanged),
        "nothing": _plain(Money(0, difference.change.currency)),
        "before_url": rows.bill_url(before),
        "after_url": rows.bill_url(after),
    }


def name_of(head: BillHead) -> str:
    """A bill by its days, and by its number where other bills may be for the same days."""
    period = period_of(head.period, ZoneInfo(head.zone))
    if head.kind in _KINDS:
        return f"{period}, {_KINDS[head.kind]}"
    return period if head.is_issued else f"{period} so far"


def _offered(found: TwoBills) -> list[dict[str, Any]]:
    chosen = found.other.head.public_id if found.other else None
    return [
        {
            "id": str(head.public_id),
            "words": f"{name_of(head)}{f', {head.number}' if head.number else ''}, {money_words(head.total)}",
            "is_chosen": head.public_id == chosen,
        }
        for head in found.offered
    ]


def _covered(*heads: BillHead) -> list[str]:
    """How much of its period each bill speaks for, if one of them is not issued yet."""
    return [] if all(head.is_issued for head in heads) else [_covered_by(head) for head in heads]


def _covered_by(head: BillHead) -> str:
    zone = ZoneInfo(head.zone)
    name = period_of(head.period, zone)
    if head.is_issued:
        return f"{name} is whole."
    end = head.complete_to and min(max(head.complete_to, head.period.start), head.period.end)
    if end is None:
        return f"No source has said yet how far usage of {name} is complete."
    whole = head.period.duration
    share = Share(int((end - head.period.start).total_seconds()), int(whole.total_seconds()))
    return f"Usage of {name} is complete to {words.instant_words(end, zone)}, which is {share_words(share)}."


@dataclass(frozen=True, slots=True)
class _Rows:
    """Parts and matches as rows of tables, with links to the lines of both bills and to the usage behind them."""

    account: Account
    before: Bill
    after: Bill
    plan_names: dict[str, str]
    # A match has a part for each cause, and addresses take long to make.
    _links: dict[tuple[Place, bool], list[tuple[str, str, str]]] = field(default_factory=dict)

    def cause(self, bar: Bar) -> dict[str, Any]:
        shown = [part for part in bar.parts if part.amount.minor]
        return {
            "id": f"cause-{bar.effect}",
            "title": EFFECT_TITLES[bar.effect],
            "meaning": EFFECT_MEANINGS[bar.effect],
            "amount": _signed(bar.amount),
            "parts": [self.part(part) for part in sorted(shown, key=lambda part: -abs(part.amount.minor))],
        }

    def part(self, part: Part) -> dict[str, Any]:
        return {
            "name": match_words(part.match),
            "words": part_words(part, self.plan_names),
            "amount": _signed(part.amount),
            "links": self.links(part),
        }

    def match(self, match: Match, change: Money) -> dict[str, Any]:
        return {
            "name": match_words(match),
            "before": _plain(Money(match.before.minor, change.currency)),
            "after": _plain(Money(match.after.minor, change.currency)),
            "change": _signed(change),
        }

    def bill_url(self, bill: Bill) -> str:
        return reverse("bill-detail", args=[self.account.public_id, bill.head.public_id])

    def links(self, part: Part) -> list[tuple[str, str, str]]:
        """What each link says, what it is of, and where it leads."""
        match, is_correction = part.match, part.effect is Effect.CORRECTIONS
        key = (match.place, is_correction)
        if key not in self._links:
            self._links[key] = list(self._links_of(match, is_correction=is_correction))
        if part.effect is Effect.USAGE and match.meter_key:
            return [*self._links[key], ("By value", match_words(match), self._values_url(match))]
        return self._links[key]

    def _links_of(self, match: Match, *, is_correction: bool) -> Iterator[tuple[str, str, str]]:
        name = match_words(match)
        for when, bill, side in (("before", self.before, match.before), ("now", self.after, match.after)):
            lines = [line for line in side.lines if (line.kind is LineKind.CORRECTION) == is_correction]
            if lines:
                yield f"Line {when}", name, self._line_url(bill, lines[0])
            if match.meter_key and not is_correction:
                yield f"Usage {when}", name, self._usage_url(match, bill, side)

    def _values_url(self, match: Match) -> str:
        path = reverse("bill-difference-values", args=[self.account.public_id, self.after.head.public_id])
        return f"{path}?{urlencode({WITH: str(self.before.head.public_id), **values_query(match)})}"

    def _line_url(self, bill: Bill, line: BilledLine) -> str:
        return reverse("bill-line", args=[self.account.public_id, bill.head.public_id, line.position])

    def _usage_url(self, match: Match, bill: Bill, side: Side) -> str:
        period = _service(bill, side) or bill.head.period
        return usage_url(self.account, match.meter_key, dict(match.values), period, ZoneInfo(bill.head.zone))


def _service(bill: Bill, side: Side) -> Period | None:
    """From the first to the last instant that the lines are for."""
    positions = {line.position for line in side.due}
    lines = [line for line in bill.lines if line.position in positions]
    edges = _edges((line.service_start, line.service_end) for line in lines)
    return Period(*edges) if edges and edges[0] < edges[1] else None


def _edges(pairs: Iterable[tuple[Any, Any]]) -> tuple[Any, Any] | None:
    found = list(pairs)
    return (min(start for start, _ in found), max(end for _, end in found)) if found else None


def _signed(money: Money) -> str:
    return signed_number(money, is_change=True)


def _plain(money: Money) -> str:
    return signed_number(money, is_change=False)


def values_query(match: Match) -> dict[str, str]:
    """How the address of a split names what is split: the meter, and the dimension values it is for."""
    return {"meter": match.meter_key, **{f"dimension.{name}": value for name, value in match.values}}
