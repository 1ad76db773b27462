"""The difference of two bills as rows of tables: causes and matches, with links to what stands behind each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.urls import reverse

from accounts.models import Account
from insights.billing.bill import Bill
from insights.billing.correction_words import PlacedCorrection, corrected_words, corrections_of
from insights.billing.difference_words import EFFECT_MEANINGS, EFFECT_TITLES, match_words, part_words
from insights.billing.price_words import money_words
from insights.rating.invoice import LineKind
from insights.scenarios.difference import Bar, Part
from insights.scenarios.effects import Effect
from insights.scenarios.matching import Match, Place, Side
from insights.values.money import Money
from insights.values.period import Period
from insights.web.bill_charts import signed_number
from insights.web.bill_ruler import whole_bills_url
from insights.web.bills import corrected_url, usage_url

WITH = "with"


@dataclass(frozen=True, slots=True)
class DifferenceRows:
    """Parts and matches as rows of tables, with links to the lines of both bills and to the usage behind them."""

    account: Account
    before: Bill
    after: Bill
    plan_names: dict[str, str]
    # A match has a part for each cause, and addresses take long to make.
    _links: dict[Place, list[tuple[str, str, str]]] = field(default_factory=dict)

    def cause(self, bar: Bar) -> dict[str, Any]:
        """A cause with its parts, the largest first."""
        shown = [part for part in bar.parts if part.amount.minor]
        return {
            "id": f"cause-{bar.effect}",
            "title": EFFECT_TITLES[bar.effect],
            "meaning": EFFECT_MEANINGS[bar.effect],
            "amount": signed_change(bar.amount),
            "links": self.plan_links() if bar.effect is Effect.PLAN_CHANGE else [],
            "parts": [self.part(part) for part in sorted(shown, key=lambda part: -abs(part.amount.minor))],
        }

    def part(self, part: Part) -> dict[str, Any]:
        """What one cause changed in one match."""
        return {
            "name": match_words(part.match),
            "words": part_words(part, self.plan_names),
            "amount": signed_change(part.amount),
            "links": self.links(part),
            "corrections": [self.correction(one) for one in corrections_of(part, self.before, self.after)],
        }

    def correction(self, one: PlacedCorrection) -> dict[str, str]:
        """One of the corrections that a row is the sum of, and the line of an earlier bill that it corrects."""
        corrected = one.line.corrects
        return {
            "amount": money_words(one.line.amount),
            "when": "now" if one.is_later else "before",
            "url": self._line_url(one.bill, one.line.position),
            "corrects": corrected_words(one.line),
            "corrects_url": corrected_url(self.account, one.line) if corrected else "",
        }

    def plan_links(self) -> list[tuple[str, str]]:
        """Where else what a change of plan inside this bill costs is told, and as what."""
        if not self.after.plan_changes:
            return []
        found = [
            (
                "The same lines with the change and without, on the bill",
                f"{self.bill_url(self.after)}#segments-heading",
            )
        ]
        url = whole_bills_url(self.account, self.after)
        return [*found, ("Whole bills, after credits and tax", url)] if url else found

    def match(self, match: Match, change: Money) -> dict[str, Any]:
        """What a match came to on both bills."""
        return {
            "name": match_words(match),
            "before": plain_number(Money(match.before.minor, change.currency)),
            "after": plain_number(Money(match.after.minor, change.currency)),
            "change": signed_change(change),
        }

    def bill_url(self, bill: Bill) -> str:
        """Where a bill is."""
        return reverse("bill-detail", args=[self.account.public_id, bill.head.public_id])

    def links(self, part: Part) -> list[tuple[str, str, str]]:
        """What each link says, what it is of, and where it leads; corrections are told one by one."""
        match = part.match
        if part.effect is Effect.CORRECTIONS:
            return []
        if match.place not in self._links:
            self._links[match.place] = list(self._links_of(match))
        if part.effect is Effect.USAGE and match.meter_key:
            return [*self._links[match.place], ("By value", match_words(match), self._values_url(match))]
        return self._links[match.place]

    def _links_of(self, match: Match) -> Iterator[tuple[str, str, str]]:
        name = match_words(match)
        for when, bill, side in (("before", self.before, match.before), ("now", self.after, match.after)):
            lines = [line for line in side.lines if line.kind is not LineKind.CORRECTION]
            if lines:
                yield f"Line {when}", name, self._line_url(bill, lines[0].position)
            if match.meter_key:
                yield f"Usage {when}", name, self._usage_url(match, bill, side)

    def _values_url(self, match: Match) -> str:
        path = reverse("bill-difference-values", args=[self.account.public_id, self.after.head.public_id])
        return f"{path}?{urlencode({WITH: str(self.before.head.public_id), **values_query(match)})}"

    def _line_url(self, bill: Bill, position: int) -> str:
        return reverse("bill-line", args=[self.account.public_id, bill.head.public_id, position])

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


def signed_change(money: Money) -> str:
    """A change with its sign."""
    return signed_number(money, is_change=True)


def plain_number(money: Money) -> str:
    """An amount as a column of them has it."""
    return signed_number(money, is_change=False)


def values_query(match: Match) -> dict[str, str]:
    """How the address of a split names what is split: the meter, and the dimension values it is for."""
    return {"meter": match.meter_key, **{f"dimension.{name}": value for name, value in match.values}}
