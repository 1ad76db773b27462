"""What every invoice must say, worked out from plan files, usage files and account settings alone.

Nothing of the product. `docs/pricing.md` and the READMEs of rating and billing say the rules, which are written anew
here, in `bill_facts.py` and in `bill_sums.py`. Of the product it takes what it calls things: the numbers of invoices,
which keys of corrections name, and the ids of add-ons.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.faults.bill_facts import (
    DECIMALS,
    ZERO,
    Credit,
    Invoice,
    Line,
    Row,
    Segment,
    Span,
    Usage,
    edge,
    instant,
    line_key,
    number,
    rounded,
    share,
)
from tests.faults.bill_sums import Had, amount_of, whole_lines


class Oracle:
    """Follows what was sent and when bills were made, and says what each had to be."""

    def __init__(self, directory: Path, numbers: Mapping[tuple[str, str, datetime], str]) -> None:
        self.directory = directory
        self.world = json.loads((directory / "bills.json").read_text())
        self.numbers = numbers
        self.usage = Usage(self.world["meters"])
        self.plans: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for name in self.world["plans"]:
            plan = tomllib.loads((directory / name).read_text())
            self.plans[plan["key"]].append(plan | {"number": len(self.plans[plan["key"]]) + 1})
        self.issued: dict[str, list[Invoice]] = defaultdict(list)
        self.grants: dict[str, list[Credit]] = {
            account["reference"]: [_grant(grant) for grant in account["grants"]]
            for account in self.world["accounts"]
        }

    def run(self) -> list[Invoice]:
        """All invoices in the order of passes."""
        for step in self.world["steps"]:
            if "deliver" in step:
                self.usage.deliver(step["source"], self.directory / step["deliver"])
            else:
                for account in self.world["accounts"]:
                    self._bill(account, instant(step["bill"]))
        return [invoice for many in self.issued.values() for invoice in many]

    def _bill(self, account: Mapping[str, Any], now: datetime) -> None:
        starts_at, anchor = instant(account["starts_at"]), date.fromisoformat(account["anchor"])
        if starts_at > now:
            return
        done = {invoice.place for invoice in self.issued[account["reference"]]}
        first = -1
        while edge(account["zone"], anchor, first + 1) <= starts_at:
            first += 1
        months = first
        while (whole := self._whole(account, anchor, months))[1] <= now or months == first:
            span = (max(whole[0], starts_at), whole[1])
            if months == first and (account["reference"], "opening", span[0]) not in done:
                self._open(account, whole, span)
            if whole[1] <= now and (account["reference"], "period", span[0]) not in done:
                self._issue(account, whole, span, self._whole(account, anchor, months + 1), now)
            months += 1

    def _whole(self, account: Mapping[str, Any], anchor: date, months: int) -> Span:
        return edge(account["zone"], anchor, months), edge(account["zone"], anchor, months + 1)

    def _open(self, account: Mapping[str, Any], whole: Span, span: Span) -> None:
        begun = _from_the_start(self._segments(account, whole), span[0])
        lines = list(_fees(self, whole, begun, account, is_ahead=True))
        if lines:
            self._finish(account, "opening", whole, span, lines, begun, [], {}, is_opening=True)

    def _issue(
        self, account: Mapping[str, Any], whole: Span, span: Span, following: Span, now: datetime
    ) -> None:
        name = account["reference"]
        segments = self._segments(account, whole)
        ahead = _from_the_start(self._segments(account, following), following[0])
        returned = self._leave_out(account, whole, span, segments)
        fees = list(self._settled_fees(account, whole, span, segments))
        fees += _fees(self, following, ahead, account, is_ahead=True)
        used = list(self._usage_lines(account, whole, segments))
        grants = [
            grant
            for grant in self.grants[name]
            if grant.granted_at <= max(now, span[1])
            and (grant.expires_at is None or grant.expires_at > span[0])
        ]
        offers = [*self._included(account, whole, span, segments), *grants]
        corrections, uses = self._corrections(account, offers, returned)
        self._finish(account, "period", whole, span, [*fees, *used, *corrections], segments, offers, uses)

    def _finish(
        self,
        account: Mapping[str, Any],
        kind: str,
        whole: Span,
        span: Span,
        lines: list[Line],
        segments: list[Segment],
        offers: list[Credit],
        uses: Mapping[str, int],
        *,
        is_opening: bool = False,
    ) -> None:
        offers = [replace(offer, left=offer.left - uses.get(offer.key, 0)) for offer in offers]
        made = whole_lines(account, whole, span, lines, segments, offers, is_opening=is_opening)
        total = sum(line.minor for line in (*lines, *made))
        invoice = Invoice(
            account["reference"], kind, span, whole, [*lines, *made], max(total, 0), segments, offers
        )
        taken = defaultdict(int, uses)
        for line in made:
            if line.kind == "credit":
                taken[line.key.removeprefix("credit ")] -= line.minor
        self._take(account["reference"], taken)
        if total < 0:
            invoice.lines.append(Line("carried", "carried", -total))
            self.grants[account["reference"]].append(
                Credit(
                    f"carried {span[0]:%Y%m%dT%H%M%S}",
                    -total,
                    span[1],
                    None,
                    10,
                    None,
                    is_before_tax=False,
                    is_grant=True,
                )
            )
        self.issued[account["reference"]].append(invoice)

    def _take(self, account: str, taken: Mapping[str, int]) -> None:
        self.grants[account] = [
            replace(grant, left=grant.left - taken.get(grant.key, 0)) for grant in self.grants[account]
        ]

    # Plans in force.

    def _segments(self, account: Mapping[str, Any], whole: Span) -> list[Segment]:
        starts_at = instant(account["starts_at"])
        part = (max(whole[0], starts_at), whole[1])
        phases = account["phases"]
        found = []
        for number_, phase in enumerate(phases):
            began = instant(phase["starts_at"])
            until = instant(phases[number_ + 1]["starts_at"]) if number_ + 1 < len(phases) else whole[1]
            span = (max(began, part[0]), min(until, part[1]))
            if span[0] >= span[1]:
                continue
            came = number_
            while came and phases[came - 1]["plan"] == phase["plan"]:
                came -= 1
            version = self._version(phase["plan"], max(whole[0], instant(phases[came]["starts_at"])))
            firsts = [instant(other["starts_at"]) for other in phases if other["plan"] == phase["plan"]]
            found.append(
                Segment(
                    span, phase["plan"], version, phase["policy"] if began > whole[0] else "restart", phase["counts"],
                    is_first=span[0] == max(min(firsts), starts_at),
                )
            )  # fmt: skip
        for add_on in account["add_ons"]:
            began = instant(add_on["starts_at"])
            until = instant(add_on["ends_at"]) if add_on["ends_at"] else part[1]
            span = (max(began, part[0]), min(until, part[1]))
            if span[0] < span[1]:
                version = self._version(add_on["plan"], max(whole[0], began))
                found.append(
                    Segment(
                        span,
                        add_on["plan"],
                        version,
                        "restart",
                        add_on["counts"],
                        span[0] == max(began, starts_at),
                        add_on["id"],
                    )
                )
        return found

    def _version(self, plan: str, at: datetime) -> Mapping[str, Any]:
        begun = [each for each in self.plans[plan] if each["version"]["effective_from"] <= at]
        return max(begun, key=lambda each: each["version"]["effective_from"])

    # Fees.

    def _settled_fees(
        self, account: Mapping[str, Any], whole: Span, span: Span, segments: list[Segment]
    ) -> Iterator[Line]:
        """Fees in arrears and once; and the difference between what was billed ahead and what was held."""
        yield from _fees(self, whole, segments, account, is_ahead=False)
        due = {line.key: line for line in _fees(self, whole, segments, account, is_ahead=True)}
        for invoice, line in self._billed_ahead(account, whole, span):
            if line.key in invoice.left_out:
                continue
            number_ = self.numbers.get(invoice.place, "")
            now = due.pop(line.key, None)
            if _has_changed(now, line):
                yield replace(
                    line, key=line_key("correction", number_, line.key), minor=(now.minor if now else 0) - line.minor,
                    metered=_less(now.metered if now else ZERO, line.metered),
                    billed=_less(now.billed if now else ZERO, line.billed), takes_credit=False, is_ahead=False,
                )  # fmt: skip
        yield from (replace(line, is_ahead=False) for line in due.values())

    def _billed_ahead(
        self, account: Mapping[str, Any], whole: Span, span: Span
    ) -> Iterator[tuple[Invoice, Line]]:
        for invoice in self.issued[account["reference"]]:
            for line in invoice.lines:
                if line.is_ahead and line.span and line.span[0] >= span[0] and line.span[1] <= whole[1]:
                    yield invoice, line

    def _leave_out(
        self, account: Mapping[str, Any], whole: Span, span: Span, segments: list[Segment]
    ) -> list[Invoice]:
        """The bills that are made again without fees that come back, where a charge would give back something else."""
        due = {line.key: line for line in _fees(self, whole, segments, account, is_ahead=True)}
        back: dict[int, list[Line]] = defaultdict(list)
        unlike: dict[int, Invoice] = {}
        for invoice, line in self._billed_ahead(account, whole, span):
            if _figures(due.get(line.key)) != _figures(line):
                back[id(invoice)].append(line)
                if not _is_alike(invoice, line, segments):
                    unlike[id(invoice)] = invoice
        for name, invoice in unlike.items():
            invoice.left_out |= {line.key for line in back[name]}
        return list(unlike.values())

    # Usage.

    def _usage_lines(
        self, account: Mapping[str, Any], whole: Span, segments: list[Segment]
    ) -> Iterator[Line]:
        chains: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[_Place]] = defaultdict(list)
        plans = [one for one in segments if not one.add_on]
        for number_, segment in enumerate(plans):
            rows = self.usage.of(account["reference"], segment.span)
            for price in segment.version["prices"]:
                if "meter" not in price:
                    continue
                for values, terms, mine in _cells(price, rows[price["meter"]]):
                    quantity = self.usage.quantity(price["meter"], mine)
                    counter = terms.get("count_meter")
                    count = self.usage.quantity(counter, rows[counter]) if counter else ZERO
                    key = (price["meter"], tuple(price["dimensions"]) if values else (), values)
                    chains[key].append(_Place(number_, segment, price, terms, quantity, count))
        for (_, _, values), chain in chains.items():
            # A value without usage in the period has no line; one with some has its price in every segment.
            if not values or any(place.quantity for place in chain):
                lines = self._chain_lines(account, whole, plans, values, chain)
                yield from (line for line in lines if not values or line.metered or line.exact)

    def _chain_lines(
        self,
        account: Mapping[str, Any],
        whole: Span,
        plans: list[Segment],
        values: tuple[str, ...],
        chain: list[_Place],
    ) -> Iterator[Line]:
        had: Had = {}
        for index, place in enumerate(chain):
            before, part = _tiers_left(chain, index, whole, plans)
            had = {} if before is None else had
            exact, billed = amount_of(
                place.terms, place.quantity, before=before, part=share(place.segment.span, whole), tier_part=part,
                count=place.count, had=had,
            )  # fmt: skip
            yield Line(
                key=":".join(["usage", str(place.number), place.price["key"], "1", *values]), kind="charge",
                minor=rounded(exact * 10 ** DECIMALS[account["currency"]]), metered=place.quantity, billed=billed,
                span=place.segment.span, price=place.price["key"], is_taxed=place.price.get("taxable", True),
                takes_credit=place.price.get("takes_credit", True), is_usage=True, exact=exact,
            )  # fmt: skip

    # Credits and corrections.

    def _included(
        self, account: Mapping[str, Any], whole: Span, span: Span, segments: list[Segment]
    ) -> Iterator[Credit]:
        held: dict[tuple[str, str, tuple[str, ...] | None], Fraction] = defaultdict(Fraction)
        for segment in segments:
            included = segment.version["version"].get("included_credit")
            if included and not segment.add_on:
                covers = tuple(included["covers"]) if "covers" in included else None
                held[segment.plan, included["amount"], covers] += share(segment.span, whole)
        for number_, ((plan, amount, covers), part) in enumerate(held.items()):
            exact = number(amount) * part
            yield Credit(
                f"plan {plan} {number_}", rounded(exact * 10 ** DECIMALS[account["currency"]]), span[0], span[1], -1,
                covers, is_before_tax=True, is_grant=False,
            )  # fmt: skip

    def _corrections(
        self, account: Mapping[str, Any], offers: list[Credit], returned: list[Invoice]
    ) -> tuple[list[Line], dict[str, int]]:
        """Every earlier bill as the usage known now makes it, less what it was billed at and corrected by."""
        lines: list[Line] = []
        uses: dict[str, int] = defaultdict(int)
        changed = self.usage.changed.pop(account["reference"], set())
        for bill in self.issued[account["reference"]]:
            is_late = bill.kind != "opening" and any(bill.span[0] <= at < bill.span[1] for at in changed)
            if not is_late and not any(bill is one for one in returned):
                continue
            left = {offer.key: offer.left - uses[offer.key] for offer in offers if offer.is_grant}
            again = self._again(account, bill, left)
            number_ = self.numbers.get(bill.place, "")
            found = list(_differences(bill, again, number_))
            lines += found
            bill.corrections += found
            for line in found:
                name = line.key.removeprefix(f"correction:{number_}:credit ")
                if name != line.key and any(offer.key == name and offer.is_grant for offer in bill.offers):
                    uses[name] -= line.minor
        return lines, uses

    def _again(self, account: Mapping[str, Any], bill: Invoice, left: Mapping[str, int]) -> list[Line]:
        number_ = self.numbers.get(bill.place, "")
        offers = []
        for offer in bill.offers:
            key = f"credit {offer.key}"
            taken = -sum(line.minor for line in bill.lines if line.key == key)
            taken -= sum(line.minor for line in bill.corrections if line.key == f"correction:{number_}:{key}")
            more = min(offer.left - taken, left.get(offer.key, 0))
            offers.append(replace(offer, left=taken + max(more, 0)) if offer.is_grant else offer)
        is_opening = bill.kind == "opening"
        kept = [line for line in bill.lines if line.kind == "charge" and not line.is_usage]
        kept = [line for line in kept if line.key not in bill.left_out]
        corrections = [line for line in bill.lines if line.kind == "correction"]
        used = [] if is_opening else list(self._usage_lines(account, bill.whole, bill.segments))
        base = [*kept, *used, *corrections]
        made = whole_lines(account, bill.whole, bill.span, base, bill.segments, offers, is_opening=is_opening)
        return [*base, *made]


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    segment: Segment
    price: Mapping[str, Any]
    terms: Mapping[str, Any]
    quantity: Fraction
    count: Fraction


def _tiers_left(
    chain: list[_Place], index: int, whole: Span, plans: list[Segment]
) -> tuple[Fraction | None, Fraction]:
    """What already stands in the tiers of a place, and which part of the period they are for."""
    first = index
    while first and _is_joined(chain, first) and chain[first].segment.policy == "continue":
        first -= 1
    last = index
    while (
        last + 1 < len(chain) and _is_joined(chain, last + 1) and chain[last + 1].segment.policy == "continue"
    ):
        last += 1
    before = sum((place.quantity for place in chain[first:index]), ZERO) if first < index else None
    openings = [chain[first].segment.policy]
    openings += [segment.policy for segment in plans if segment.span[0] == chain[last].segment.span[1]]
    if "shared_by_time" in openings:
        return before, share((chain[first].segment.span[0], chain[last].segment.span[1]), whole)
    return before, Fraction(1)


def _is_joined(chain: list[_Place], index: int) -> bool:
    return chain[index - 1].segment.span[1] == chain[index].segment.span[0]


def _cells(
    price: Mapping[str, Any], rows: list[Row]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any], list[Row]]]:
    """Each cell of a price with its terms and records; the rest falls to the last, which has no values."""
    names = price.get("dimensions")
    if not names:
        yield (), price, rows
        return
    shared = {name: price[name] for name in ("unit", "per", "conversion") if name in price}
    rest = rows
    for cell in price.get("cells", ()):
        wanted = tuple(cell["values"][name] for name in names)
        mine = [row for row in rest if tuple(dict(row.dimensions).get(name, "") for name in names) == wanted]
        rest = [row for row in rest if row not in mine] if mine else rest
        yield wanted, shared | cell, mine
    if "otherwise" in price:
        yield (), shared | price["otherwise"], rest


def _has_changed(now: Line | None, billed: Line) -> bool:
    """Whether a fee that was billed ahead comes to something else."""
    return now is None or (now.minor, now.span, now.exact) != (billed.minor, billed.span, billed.exact)


def _figures(line: Line | None) -> tuple[int, Fraction, Fraction]:
    """What comes back where it is other than billed; a fee once for a plan may be for other days at one amount."""
    return (0, ZERO, ZERO) if line is None else (line.minor, line.exact, line.metered or ZERO)


def _is_alike(bill: Invoice, line: Line, segments: list[Segment]) -> bool:
    """Whether a charge among these plans bears what the line of that bill did, and nothing goes by an amount."""
    plans = [[one for one in each if not one.add_on] for each in (bill.segments, segments)]
    percents = [
        [one["percent"] for one in each[-1].version["version"].get("discounts", ()) if "percent" in one]
        for each in plans
    ]
    bounded = [*plans[1], *([] if bill.kind == "opening" else plans[0])]
    is_by_amount = any(
        "minimum" in terms or "maximum" in terms or any("amount" in one for one in terms.get("discounts", ()))
        for terms in (one.version["version"] for one in bounded)
    )
    is_paid = any(line.key in other.paid for other in bill.lines)
    return percents[0] == percents[1] and not is_by_amount and not is_paid


def _less(now: Fraction | None, before: Fraction | None) -> Fraction | None:
    return None if before is None else (now or ZERO) - before


def _grant(row: Mapping[str, Any]) -> Credit:
    return Credit(
        f"grant {row['public_id']}", row["amount_minor"], instant(row["granted_at"]),
        row["expires_at"] and instant(row["expires_at"]), row["priority"],
        None if row["covers"] is None else tuple(row["covers"]), row["is_before_tax"], is_grant=True,
    )  # fmt: skip


def _from_the_start(segments: list[Segment], start: datetime) -> list[Segment]:
    """What holds when a period begins, taken for all of it."""
    end = max((segment.span[1] for segment in segments), default=start)
    return [replace(segment, span=(start, end)) for segment in segments if segment.span[0] == start]


def _fees(
    oracle: Oracle, whole: Span, segments: list[Segment], account: Mapping[str, Any], *, is_ahead: bool
) -> Iterator[Line]:
    """Each fee for each stretch in which it was held unchanged; one that is not by time only once for a plan."""
    held: dict[tuple[str, str, str], list[tuple[Segment, Mapping[str, Any], Span]]] = defaultdict(list)
    for segment in segments:
        for price in segment.version["prices"]:
            if "meter" in price or (price.get("timing") == "in_advance") is not is_ahead:
                continue
            stretches = held[segment.plan, price["key"], segment.add_on]
            if stretches:
                before, terms, span = stretches[-1]
                is_same = terms == price and (
                    not price.get("counted")
                    or before.counts.get(price["key"], "0") == segment.counts.get(price["key"], "0")
                )
                if is_same and span[1] == segment.span[0]:
                    stretches[-1] = (before, terms, (span[0], segment.span[1]))
                    continue
            stretches.append((segment, price, segment.span))
    for (plan, key, add_on), stretches in held.items():
        if stretches[0][1].get("timing") == "once":
            stretches = [one for one in stretches if one[0].is_first]
        stretches.sort(key=lambda one: one[2][0])
        for place, (segment, price, span) in enumerate(stretches):
            if place and not price.get("prorated"):
                continue
            is_counted = price.get("counted", False)
            quantity = number(segment.counts.get(key, 0)) if is_counted else Fraction(1)
            exact, billed = amount_of(
                price, quantity, before=None, part=share(span, whole), tier_part=Fraction(1)
            )
            yield Line(
                key=":".join(["fee", plan, key, f"{span[0]:%Y%m%dT%H%M%S}", *([add_on] if add_on else [])]),
                kind="charge", minor=rounded(exact * 10 ** DECIMALS[account["currency"]]),
                metered=quantity if is_counted else None, billed=billed if is_counted else None, span=span, price=key,
                is_taxed=price.get("taxable", True), takes_credit=price.get("takes_credit", True), is_ahead=is_ahead,
                exact=exact,
            )  # fmt: skip


def _differences(bill: Invoice, again: list[Line], number_: str) -> Iterator[Line]:
    billed = {line.key: line for line in bill.lines if line.kind not in ("correction", "carried")}
    now = {line.key: line for line in again if line.kind != "correction"}
    keys = {line_key("correction", number_, key): key for key in (*now, *billed)}
    for name in dict.fromkeys([*keys, *(line.key for line in bill.corrections)]):
        # What only a correction brought has no key of its own here, and is taken back like the rest.
        key = keys.get(name, "")
        earlier = [line for line in bill.corrections if line.key == name]
        line = now.get(key) or billed.get(key) or earlier[-1]
        sides = [
            (1, [now[key]] if key in now else []),
            (-1, [billed[key]] if key in billed else []),
            (-1, earlier),
        ]
        minor = sum(sign * each.minor for sign, many in sides for each in many)
        metered = sum((sign * (each.metered or ZERO) for sign, many in sides for each in many), ZERO)
        units = sum((sign * (each.billed or ZERO) for sign, many in sides for each in many), ZERO)
        if minor or metered:
            yield Line(
                name, "correction", minor, None if line.metered is None else metered,
                None if line.billed is None else units, line.span, line.price,
            )  # fmt: skip
