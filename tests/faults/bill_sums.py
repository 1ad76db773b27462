"""The arithmetic of prices and of whole invoices once more: what units cost is the difference of two cumulative prices.

Plain Python and exact fractions; nothing of the product. Terms are the tables of plan files as TOML reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from tests.faults.bill_facts import (
    DECIMALS,
    ZERO,
    Credit,
    Line,
    Segment,
    Span,
    number,
    rounded,
    share,
    shared_out,
)

# By place: whether it is by time, its figure, what it holds for, and what it came to.
Had = dict[str, tuple[bool, Fraction, Fraction, Fraction, Fraction]]
UNITS_PER = {("byte", "GB"): 10**9, ("byte", "GiB"): 2**30}


def tiers_of(
    terms: Mapping[str, Any], part: Fraction
) -> list[tuple[Fraction, Fraction | None, Mapping[str, Any]]]:
    """Each tier's bounds for a part of a period."""
    found, above = [], ZERO
    for tier in terms["tiers"]:
        up_to = number(tier["up_to"]) * part if "up_to" in tier else None
        found.append((above, up_to, tier))
        above = up_to if up_to is not None else above
    return found


def tier_index(tiers: Iterable[tuple[Any, Fraction | None, Any]], quantity: Fraction) -> int:
    return next(index for index, (_, up_to, _) in enumerate(tiers) if up_to is None or quantity <= up_to)


def charged(
    terms: Mapping[str, Any], start: Fraction, end: Fraction, *, is_new: bool, part: Fraction, count: Fraction
) -> Fraction:
    """What the units from `start` to `end` of the tiers cost, in major units."""
    model, units = terms["model"], end - start
    if model == "flat":
        return number(terms["amount"])
    if model == "per_unit":
        return units * number(terms["unit_amount"])
    if model == "package":
        size, amount = number(terms["size"]), number(terms["amount"])
        if terms["counting"] == "pro_rata":
            return units / size * amount
        return (-(-end // size) + (-start // size)) * amount
    if model == "percentage":
        return units * number(terms["percent"]) / 100 + count * number(terms.get("fixed_amount", 0))
    tiers, is_due_at_zero = tiers_of(terms, part), terms.get("flat_at_zero", False)
    if model == "stairstep":
        return _stair(tiers, end, part, is_due_at_zero) - (
            ZERO if is_new else _stair(tiers, start, part, is_due_at_zero)
        )
    if model == "volume":
        index = tier_index(tiers, end)
        tier = tiers[index][2]
        amount = units * number(tier.get("unit_amount", 0))
        is_entered = units > 0 and (not start or tier_index(tiers, start) != index)
        is_due = is_new if index == 0 and is_due_at_zero else is_entered
        return amount + (number(tier.get("flat_amount", 0)) * part if is_due else ZERO)
    amount = _up_to(tiers, end) - _up_to(tiers, start)
    fees = _tier_fees(tiers, end, part) - _tier_fees(tiers, start, part)
    if is_due_at_zero:
        first = number(tiers[0][2].get("flat_amount", 0)) * part
        fees += first * (is_new - (end > 0 >= start))
    return amount + fees


def _stair(tiers: Any, quantity: Fraction, part: Fraction, is_due_at_zero: bool) -> Fraction:
    if not quantity and not is_due_at_zero:
        return ZERO
    return number(tiers[tier_index(tiers, quantity)][2].get("flat_amount", 0)) * part


def _up_to(tiers: Any, quantity: Fraction) -> Fraction:
    """The price of all units from zero on."""
    total = ZERO
    for above, up_to, tier in tiers:
        price = number(tier["percent"]) / 100 if "percent" in tier else number(tier.get("unit_amount", 0))
        total += max(ZERO, (quantity if up_to is None else min(quantity, up_to)) - above) * price
    return total


def _tier_fees(tiers: Any, quantity: Fraction, part: Fraction) -> Fraction:
    return sum(
        (number(tier.get("flat_amount", 0)) * part for above, _, tier in tiers if quantity > above), ZERO
    )


def _bound(stated: Any, part: Fraction) -> Fraction | None:
    if stated is None:
        return None
    if isinstance(stated, Mapping):
        return number(stated["amount"]) * (part if stated.get("prorated") else 1)
    return number(stated)


def amount_of(
    terms: Mapping[str, Any],
    quantity: Fraction,
    *,
    before: Fraction | None,
    part: Fraction,
    tier_part: Fraction,
    count: Fraction = ZERO,
    had: Had | None = None,
) -> tuple[Fraction, Fraction]:
    """The exact amount and the billed units of a line.

    `had` is what lines before it had that it continues, and has then what this one had too.
    """  # fmt: skip
    had = {} if had is None else had
    if terms.get("exempt"):
        return ZERO, ZERO
    per = terms.get("conversion", {}).get("units_per") or UNITS_PER.get(
        (terms.get("unit"), terms.get("per")), 1
    )
    units, counted = quantity / number(per), None if before is None else before / number(per)
    if terms.get("prorated"):
        counted, tier_part = None, Fraction(1)
    included = number(terms.get("included", 0)) * tier_part
    past = counted or ZERO
    start, end = max(ZERO, past - included), max(ZERO, past + units - included)
    amount = charged(terms, start, end, is_new=counted is None, part=tier_part, count=count)
    amount *= part if terms.get("prorated") else 1
    if terms["model"] == "flat" and not terms.get("prorated"):
        amount = ZERO if "flat" in had else amount
        had["flat"] = (False, ZERO, ZERO, ZERO, ZERO)
    for place, discount in enumerate(terms.get("discounts", ())):
        if "percent" in discount:
            amount -= discounted(discount, amount, part)
        else:
            amount = _once(had, f"discount {place}", discount, part, amount, _lowered)
    for name, bounded in (("minimum", max), ("maximum", min)):
        if terms.get(name) is not None:
            amount = _once(had, name, terms[name], part, amount, bounded)
    return amount, end - start


def _lowered(amount: Fraction, most: Fraction) -> Fraction:
    return amount - min(max(amount, ZERO), most)


def _once(
    had: Had,
    place: str,
    stated: Any,
    part: Fraction,
    amount: Fraction,
    adjusted: Callable[[Fraction, Fraction], Fraction],
) -> Fraction:
    """What a line comes to where something holds once for it and the lines that it continues."""
    is_by_time = isinstance(stated, Mapping) and bool(stated.get("prorated"))
    was_by_time, said, base, due, kept = had.get(place, (False, ZERO, ZERO, ZERO, ZERO))
    figure = (_bound(stated, part) or ZERO) + (said if is_by_time and was_by_time else ZERO)
    together = base + amount
    # A lower bound gives nothing back of what lines before were lowered or lifted to by a higher one.
    if figure < said and (place == "maximum" or (place == "minimum" and due)):
        kept = max(kept, base + due)
    total = adjusted(together, max(figure, kept))
    had[place] = (is_by_time, figure, together, total - together, kept)
    return amount + total - together - due


def discounted(discount: Mapping[str, Any], amount: Fraction, part: Fraction) -> Fraction:
    if "percent" in discount:
        return amount * number(discount["percent"]) / 100
    return min(max(amount, ZERO), number(discount["amount"]) * (part if discount.get("prorated") else 1))


def whole_lines(
    account: Mapping[str, Any],
    whole: Span,
    span: Span,
    lines: list[Line],
    segments: list[Segment],
    offers: list[Credit],
    *,
    is_opening: bool = False,
) -> list[Line]:
    """Discounts, minimum, maximum, credits before tax, tax, credits after it."""  # fmt: skip
    unit = 10 ** DECIMALS[account["currency"]]
    plans = [segment for segment in segments if not segment.add_on]
    left = {line.key: line.minor for line in lines}
    adjustable = {line.key for line in lines if line.kind == "charge"}
    taxed = {line.key for line in lines if line.kind == "charge" and line.is_taxed}
    made: list[Line] = []

    def take_off(key: str, kind: str, minor: int, keys: Iterable[str]) -> None:
        made.append(Line(key, kind, minor))
        for other, part in shared_out(minor, {each: left[each] for each in keys}).items():
            left[other] += part

    for place, discount in enumerate(plans[-1].version["version"].get("discounts", ()) if plans else (), 1):
        if "amount" in discount and is_opening:
            continue
        if "amount" in discount and discount.get("prorated"):
            held = sum(share(one.span, whole) for one in plans if one.plan == plans[-1].plan)
            part = number(discount["amount"]) * held
            discount = {"amount": str(Fraction(rounded(part * unit), unit))}
        subtotal = Fraction(sum(left[key] for key in adjustable), unit)
        off = rounded(-discounted(discount, subtotal, Fraction(1)) * unit)
        if off:
            take_off(f"discount {place}", "discount", off, adjustable)
    least, most = (None, None) if is_opening or not plans else _whole_bounds(plans, whole, unit)
    if least is not None and (missing := least - sum(left[key] for key in adjustable)) > 0:
        made.append(Line("minimum", "minimum", missing))
        left["minimum"] = missing
        adjustable.add("minimum")
        taxed.add("minimum")
    if most is not None and (excess := sum(left[key] for key in adjustable) - most) > 0:
        take_off("maximum", "maximum", -excess, adjustable)
    usable = sorted(
        (
            offer
            for offer in offers
            if offer.left > 0 and (offer.expires_at is None or offer.expires_at > span[0])
        ),
        key=lambda one: (
            one.priority,
            one.expires_at is None,
            one.expires_at or span[0],
            one.granted_at,
            one.key,
        ),
    )

    def due() -> int:
        return max(0, sum(line.minor for line in (*lines, *made)))

    payers = [line for line in lines if line.kind == "charge" and line.takes_credit]
    open_minor = {line.key: left[line.key] for line in payers if left[line.key] > 0}
    for offer in (one for one in usable if one.is_before_tax):
        payable = {
            line.key: open_minor[line.key]
            for line in payers
            if open_minor.get(line.key) and (offer.covers is None or line.price in offer.covers)
        }
        if minor := min(offer.left, sum(payable.values()), due()):
            parts = shared_out(minor, payable)
            paid = tuple(key for key, part in parts.items() if part)
            made.append(Line(f"credit {offer.key}", "credit", -minor, paid=paid))
            for key, part in parts.items():
                left[key] -= part
                open_minor[key] -= part
    if account["tax"] and taxed:
        name, percent = account["tax"]
        base = sum(left[key] for key in taxed)
        made.append(Line(f"tax {name}", "tax", rounded(base * number(percent) / 100)))
    still_due = due()
    for offer in usable:
        if not offer.is_before_tax and (minor := min(offer.left, still_due)):
            still_due -= minor
            made.append(Line(f"credit {offer.key}", "credit", -minor))
    return made


def _whole_bounds(plans: list[Segment], whole: Span, unit: int) -> tuple[int | None, int | None]:
    """The least and the most in minor units; by the time of each plan where they are prorated."""

    def bound(name: str) -> int | None:
        stated = [(plan, plan.version["version"].get(name)) for plan in plans]
        last = stated[-1][1]
        by_time = [isinstance(one, Mapping) and bool(one.get("prorated")) for _, one in stated]
        if not any(by_time) or (last is not None and not by_time[-1]):
            return None if last is None else rounded((_bound(last, Fraction(1)) or ZERO) * unit)
        held: dict[tuple[str, str, bool], Fraction] = defaultdict(Fraction)
        for plan, one in stated:
            if isinstance(one, Mapping):
                held[plan.plan, one["amount"], bool(one.get("prorated"))] += share(plan.span, whole)
            elif one is not None:
                held[plan.plan, one, False] += share(plan.span, whole)
        return sum(rounded(number(amount) * part * unit) for (_, amount, _), part in held.items())

    least, most = bound("minimum"), bound("maximum")
    if most is not None and any(plan.version["version"].get("maximum") is None for plan in plans):
        most = None
    if least is not None and most is not None and least > most:
        least = most
    return least, most
